"""Every metric, declared once: name, kind, labels, unit in the name, meaning. `/metrics`, `/healthz`, `/readyz`.

The same names for every room; `docs/reference/metrics.md` is generated from this file.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from schemas import UsageError

REGISTRY = CollectorRegistry()

ROOM_ITEMS = Counter(
    "quanyu_room_items",
    "Items into (direction=in) and out of a room, by outcome.",
    ["city", "room", "direction", "outcome"],
    registry=REGISTRY,
)
ROOM_SECONDS = Counter("quanyu_room_seconds", "Time a room has worked, seconds.", ["city", "room"], registry=REGISTRY)
STATE_ITEMS = Gauge("quanyu_state_items", "Entries of a room's state.", ["city", "room"], registry=REGISTRY)
BATCH_ITEMS = Histogram(
    "quanyu_batch_items",
    "Records of one batch.",
    ["stage"],
    buckets=(1, 10, 100, 500, 1000, 2500, 5000, 10000),
    registry=REGISTRY,
)
WATERMARK_LAG = Gauge(
    "quanyu_watermark_lag_seconds", "Wall clock minus the city's watermark, seconds.", ["city"], registry=REGISTRY
)
EVENT_TO_CLICKHOUSE = Histogram(
    "quanyu_event_to_clickhouse_seconds",
    "From arrival on the broker until it is folded and what came of it is stored, seconds, without the wait for the "
    "watermark; of the oldest signal of each envelope.",
    ["city"],
    buckets=(0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 300, 900),
    registry=REGISTRY,
)
REJECTED = Counter("quanyu_rejected", "Records refused by intake.", ["city", "source", "reason"], registry=REGISTRY)
RETRIES = Counter("quanyu_retries", "Writes repeated because a server did not answer.", ["server"], registry=REGISTRY)
FEED_STALENESS = Gauge(
    "quanyu_feed_staleness_seconds",
    "Wall clock minus the newest arrival from a source, seconds.",
    ["city", "source"],
    registry=REGISTRY,
)
FEED_ALERT = Gauge(
    "quanyu_feed_alert",
    "1 while an alert of the source's feed is open: silent, thin or unread, and until it was well for feeds.hold_min.",
    ["city", "source"],
    registry=REGISTRY,
)
DELIVERIES = Counter(
    "quanyu_deliveries", "Alert deliveries by channel and outcome.", ["channel", "outcome"], registry=REGISTRY
)
SNAPSHOT_AGE = Gauge(
    "quanyu_snapshot_age_seconds", "Age of the city's newest complete snapshot.", ["city"], registry=REGISTRY
)
SNAPSHOT_SECONDS = Histogram(
    "quanyu_snapshot_seconds",
    "From the freezing of the state until its snapshot is complete, seconds.",
    ["city"],
    buckets=(0.1, 0.5, 1, 2, 5, 10, 30, 60, 300),
    registry=REGISTRY,
)
SNAPSHOT_PAUSE = Histogram(
    "quanyu_snapshot_pause_seconds",
    "How long the fold stood still for a snapshot, seconds.",
    ["city"],
    buckets=(0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1),
    registry=REGISTRY,
)
SNAPSHOT_BYTES = Gauge(
    "quanyu_snapshot_bytes", "Size of the newest snapshot, bytes, not compressed.", ["city"], registry=REGISTRY
)
HELD_PARTITIONS = Gauge(
    "quanyu_held_partitions", "Raw partitions held back because they run ahead.", ["city"], registry=REGISTRY
)
LOG_LAG = Gauge("quanyu_log_lag", "Messages of the city's log that are not folded yet.", ["city"], registry=REGISTRY)
#: what only the worker that has a city's log can tell
OF_THE_LOG = (WATERMARK_LAG, LOG_LAG, STATE_ITEMS, FEED_STALENESS, FEED_ALERT, SNAPSHOT_BYTES)


def forget(city: str) -> None:
    """Tell nothing more of a city whose log is another worker's: a gauge that stands still reads as trouble."""
    for gauge in OF_THE_LOG:
        gauge.remove_by_labels({"city": city})


class RoomMeter:
    """Counts and times the rooms of a shell (see `streams.pipeline.Meter`), for the city of that name."""

    def __init__(self, city: str = "", clock: Callable[[], float] = time.perf_counter) -> None:
        self._city, self._clock = city, clock
        self.seconds: dict[str, float] = {}

    @contextmanager
    def _room(self, name: str, items: int) -> Iterator[None]:
        began = self._clock()
        yield
        spent = self._clock() - began
        self.seconds[name] = self.seconds.get(name, 0.0) + spent
        ROOM_ITEMS.labels(self._city, name, "in", "").inc(items)
        ROOM_SECONDS.labels(self._city, name).inc(spent)

    def room(self, name: str, items: int) -> AbstractContextManager[object]:
        """Wraps one step of a room."""
        return self._room(name, items)


def serve(host: str, port: int, unready: Callable[[], str]) -> ThreadingHTTPServer:
    """Start the endpoint in a thread: `/metrics`, `/healthz` (the process runs), `/readyz` (it works, or why not).

    Close it with `shutdown()`. `port` 0 takes a free one (`server_address[1]`). Raises UsageError for a port in use.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.startswith("/metrics"):
                self._answer(200, generate_latest(REGISTRY), "text/plain; version=0.0.4; charset=utf-8")
            elif self.path == "/healthz":
                self._answer(200, b"ok\n", "text/plain")
            elif self.path == "/readyz":
                why = unready()
                self._answer(503 if why else 200, f"{why or 'ready'}\n".encode(), "text/plain; charset=utf-8")
            else:
                self._answer(404, b"not found\n", "text/plain")

        def _answer(self, status: int, body: bytes, kind: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Scrapes are not worth a log line."""

    try:
        server = ThreadingHTTPServer((host, port), Handler)
    except OSError as error:
        raise UsageError(
            f"metrics.host, metrics.port: cannot listen on {host}:{port} ({error.strerror}); "
            f"set another metrics.port (QUANYU__METRICS__PORT), or 0 for none",
            f"metrics.host、metrics.port：无法监听 {host}:{port}（{error.strerror}）；"
            f"请另设 metrics.port（QUANYU__METRICS__PORT），或设为 0 表示不开",
        ) from error
    Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    return server
