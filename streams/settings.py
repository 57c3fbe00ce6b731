"""Configuration: `quanyu.toml` < `QUANYU__SECTION__KEY` environment < `--set section.key=value`, read once.

Frozen structs; an unknown key or a value out of range is a `UsageError` that names the path. Secrets come from the
environment or from a file named by `*_file`, never from the TOML itself. Names carry units.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, cast
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from msgspec import Meta, Struct, field

from schemas import UsageError
from streams.settings_secrets import SECRETS, Section, mask, refuse, refuse_in_url, with_files
from streams.settings_tree import DEFAULTS, Place, check, merged, paths, put, read, told

Positive = Annotated[int, Meta(ge=1)]
NotNegative = Annotated[int, Meta(ge=0)]
Share = Annotated[float, Meta(ge=0, le=1)]


class City(Struct, frozen=True, forbid_unknown_fields=True):
    """The city itself."""

    name: str = "示范市"
    timezone: Annotated[str, Meta(description="IANA name; days and hours of the day are counted in it")] = (
        "Asia/Shanghai"
    )


class Source(Struct, frozen=True, forbid_unknown_fields=True):
    """One source of signals and how it keeps time."""

    mapping: Annotated[str, Meta(description="mapping file, or the name of a shipped one")]
    topic: str = ""
    partitions: Positive = 4
    tardy: Annotated[bool, Meta(description="never holds the watermark; its signals revise panes")] = False
    lateness_s: Annotated[int, Meta(ge=-1, description="how late a signal may come; -1: sort the whole input")] = 120
    horizon_h: Annotated[int, Meta(ge=1, description="how long corrections and duplicates are recognised")] = 48
    max_silence_min: Annotated[NotNegative, Meta(description="a longer silence is always told; 0: by the rate")] = 0


class Intake(Section, frozen=True, forbid_unknown_fields=True):
    """What the intake room refuses, and when it gives up."""

    max_bad_share: Annotated[Share, Meta(description="above this share of rejected records the run stops")] = 0.2
    bad_window: Annotated[Positive, Meta(description="records over which the share is judged")] = 1000
    max_record_bytes: Positive = 1_000_000
    max_ahead_h: Annotated[Positive, Meta(description="how far a time may lie ahead of the clock told")] = 24
    earliest: Annotated[str, Meta(description="no event is older")] = "1990-01-01"
    latest: Annotated[str, Meta(description="no event is newer; empty: the clock told + max_ahead_h")] = ""
    caller_key: Annotated[str, Meta(description="secret of the callers' keyed hash (environment only)")] = ""
    caller_key_file: str = ""


class Grids(Struct, frozen=True, forbid_unknown_fields=True):
    """Where the city's cells come from."""

    file: Annotated[str, Meta(description="polygons, layer list (.toml) or built index; empty: regular grid")] = ""
    shape: Annotated[str, Meta(pattern="^(square|hex)$")] = "square"
    sizes_m: Annotated[dict[str, float], Meta(description="regular grid: layer -> cell size, finest first")] = field(
        default_factory=lambda: {"unit": 500.0, "street": 2000.0, "district": 10000.0}
    )


class Panes(Struct, frozen=True, forbid_unknown_fields=True):
    """Spans of time that are counted."""

    minutes: Annotated[int, Meta(ge=1, le=60, description="shortest pane; divides an hour")] = 15
    category_depth: Positive = 1
    resolutions_min: Annotated[dict[str, list[int]], Meta(description="layer -> lengths; others: shortest only")] = (
        field(
            default_factory=lambda: {
                "unit": [15],
                "street": [15, 1440],
                "district": [15, 60, 1440],
                "city": [15, 60, 1440],
                "source": [15, 60, 1440],
            }
        )
    )


class Incidents(Struct, frozen=True, forbid_unknown_fields=True):
    """When reports are one matter."""

    session_gap_min: Annotated[Positive, Meta(description="silence that ends a session")] = 30
    category_depth: Annotated[Positive, Meta(description="levels of the category that must agree")] = 1


class HotSpots(Struct, frozen=True, forbid_unknown_fields=True):
    """First, provisional detector: the last panes of a cell against the same hours of past days."""

    window_panes: Positive = 4
    history_days: Positive = 14
    min_history_days: Positive = 3
    min_count: Positive = 4
    open_score: Annotated[float, Meta(gt=0, description="-log10 of the tail probability")] = 6.0
    keep_score: Annotated[float, Meta(gt=0)] = 3.0
    close_after_h: Positive = 12
    dispersion: Annotated[float, Meta(gt=0, description="day-to-day variance / mean² of the counts")] = 0.2


class Repeats(Struct, frozen=True, forbid_unknown_fields=True):
    """The repeat list: at least `incidents` in `days` at one place."""

    incidents: Annotated[int, Meta(ge=2)] = 3
    days: Positive = 30
    close_days: Positive = 15


class Feeds(Struct, frozen=True, forbid_unknown_fields=True):
    """When a feed is silent, thin or unread."""

    min_history_days: Annotated[int, Meta(ge=2, description="before, a source is starting and not judged")] = 7
    window_min: Annotated[Positive, Meta(description="minutes whose records are compared with the usual ones")] = 120
    thin_ratio: Annotated[float, Meta(gt=0, lt=0.7, description="share of the usual below which a feed is thin")] = 0.5
    thin_score: Annotated[float, Meta(gt=0, description="-log10 of the probability of so few")] = 5.0
    silence_records: Annotated[float, Meta(ge=5, description="a silence misses at least so many records")] = 20.0
    gap_factor: Annotated[float, Meta(ge=1, description="and so many times the longest usual gap")] = 2.0
    unread_min: Annotated[Positive, Meta(description="not read for so long while time goes on: unread")] = 30
    hold_min: Annotated[Positive, Meta(description="an alert closes after the feed was well for so long")] = 30


class Kafka(Section, frozen=True, forbid_unknown_fields=True):
    """The corridor of the live system."""

    servers: str = "localhost:9092"
    group: str = "quanyu"
    log_topic: str = "signals.located"
    late_topic: str = "signals.late"
    state_topic: str = "city.state"
    watermark_topic: str = "city.watermark"
    partitions: Annotated[Positive, Meta(description="cities that share these five topics: one partition each")] = 1
    partition: Annotated[NotNegative, Meta(description="the one of this city; its alone")] = 0
    retention_days: Positive = 30
    replication: Positive = 1
    heartbeat_s: Annotated[float, Meta(gt=0, description="an idle partition's clock is told this often")] = 5.0
    heartbeat_clock: Annotated[
        str,
        Meta(pattern="^(wall|events)$", description="wall: now - lateness; events: follow the others (simulations)"),
    ] = "wall"
    security_protocol: Annotated[str, Meta(pattern="^(PLAINTEXT|SSL|SASL_PLAINTEXT|SASL_SSL)$")] = "PLAINTEXT"
    sasl_mechanism: Annotated[str, Meta(pattern="^(PLAIN|SCRAM-SHA-256|SCRAM-SHA-512)$")] = "SCRAM-SHA-512"
    sasl_username: str = ""
    sasl_password: Annotated[str, Meta(description="secret (environment only)")] = ""
    sasl_password_file: str = ""
    tls_ca_file: Annotated[str, Meta(description="PEM of who signs the brokers' certificates; empty: system's")] = ""
    tls_cert_file: Annotated[str, Meta(description="PEM certificate of this client, for mutual TLS")] = ""
    tls_key_file: Annotated[str, Meta(description="PEM key of tls_cert_file, without a passphrase")] = ""
    rejected_topic: Annotated[str, Meta(description="dead letters, beside the table; empty: none")] = "signals.rejected"


class Live(Struct, frozen=True, forbid_unknown_fields=True):
    """How the live worker keeps its state, its pace and its promise to end."""

    snapshot_s: Annotated[float, Meta(gt=0, description="seconds between two snapshots of the state")] = 60.0
    ahead_min: Annotated[Positive, Meta(description="event time a raw partition may be ahead of the city")] = 60
    ahead_signals: Annotated[NotNegative, Meta(description="signals that may wait before any is held")] = 50_000
    stuck_s: Annotated[float, Meta(gt=0, description="a batch in work for longer, and no server waited for: a bug")] = (
        300.0
    )


class ClickHouse(Section, frozen=True, forbid_unknown_fields=True):
    """Where results end: `chdb:DIR` (embedded) or `http[s]://user@host:port`."""

    url: str = "chdb:quanyu-data/clickhouse"
    database: Annotated[str, Meta(pattern="^[A-Za-z_][A-Za-z0-9_]*$")] = "quanyu"
    password: Annotated[str, Meta(description="secret (environment only)")] = ""
    password_file: str = ""
    batch_rows: Positive = 10_000
    batch_s: Annotated[float, Meta(gt=0)] = 1.0
    retention_days: Annotated[NotNegative, Meta(description="0: for ever")] = 0
    ca_file: Annotated[str, Meta(description="PEM of who signs the server's certificate; empty: system's")] = ""
    cluster: Annotated[str, Meta(pattern="^[A-Za-z0-9_.-]*$", description="nodes with the tables; empty: one")] = ""
    shard: Annotated[str, Meta(pattern="^[A-Za-z0-9_.-]*$", description="cluster that is the one shard")] = ""
    rejected_retention_days: Annotated[
        NotNegative,
        Meta(description="of dead letters, bytes as they came, here and on kafka.rejected_topic; 0: for ever"),
    ] = 30


class Metrics(Struct, frozen=True, forbid_unknown_fields=True):
    """Prometheus endpoint of the live worker."""

    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535, description="0: none")] = 9464


class Log(Struct, frozen=True, forbid_unknown_fields=True):
    """JSON logs on standard error."""

    level: Annotated[str, Meta(pattern="^(debug|info|warning|error)$")] = "info"


class Reconcile(Struct, frozen=True, forbid_unknown_fields=True):
    """The nightly reconcile."""

    totals: Annotated[str, Meta(description="control totals: CSV day,source,total or TOML; empty: none")] = ""


class Archive(Struct, frozen=True, forbid_unknown_fields=True):
    """The city's log beyond Kafka."""

    dir: Annotated[str, Meta(description="folder of the closed days of the log")] = "quanyu-data/archive"


def _sources() -> dict[str, Source]:
    return {
        "110": Source(mapping="110", topic="raw.110"),
        "12345": Source(mapping="12345", topic="raw.12345", tardy=True, lateness_s=3600),
        "grid": Source(mapping="grid", topic="raw.grid", lateness_s=300),
        "sensor": Source(mapping="sensor", topic="raw.sensor", lateness_s=300, horizon_h=24),
    }


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """The whole configuration."""

    city: City = City()
    sources: dict[str, Source] = field(default_factory=_sources)
    intake: Intake = Intake()
    grids: Grids = Grids()
    panes: Panes = Panes()
    incidents: Incidents = Incidents()
    hotspots: HotSpots = HotSpots()
    repeats: Repeats = Repeats()
    kafka: Kafka = Kafka()
    live: Live = Live()
    clickhouse: ClickHouse = ClickHouse()
    metrics: Metrics = Metrics()
    log: Log = Log()
    reconcile: Reconcile = Reconcile()
    archive: Archive = Archive()
    feeds: Feeds = Feeds()


#: sections that change results; their hash is the config version that travels with every result
DECIDING = ("city", "sources", "intake", "grids", "panes", "incidents", "hotspots", "repeats", "feeds")
PREFIX = "QUANYU__"


def load(
    file: str | Path | None = None,
    environ: Mapping[str, str] | None = None,
    overrides: Iterable[str] = (),
    base: Mapping[str, Any] | None = None,
) -> Settings:
    """Read the configuration: `file` (or ./quanyu.toml if present), then environment, then `section.key=value`s.

    `base` is a tree below the file: what a command would rather have than the defaults. A file that has `[sources]`
    names all of them; else the four shipped ones are there. Raises UsageError with the path of the key, and where it
    was written, for anything unknown, ill-typed or out of range.
    """
    environ = os.environ if environ is None else environ
    tree, place = read(file)
    check(tree, Settings, place)
    for path in (*SECRETS, ("clickhouse", "url")):
        text = tree.get(path[0], {}).get(path[1])
        refuse(path, text, place, PREFIX)
        refuse_in_url(path, text, place, PREFIX)
    places = dict.fromkeys(paths(tree), place)
    tree.setdefault("sources", {name: {} for name in _sources()})
    tree = merged(base or {}, tree)
    for keys, text, place in told({}, PREFIX, overrides):
        refuse(keys, text, place, PREFIX)
    for keys, text, place in told(environ, PREFIX, overrides):
        refuse_in_url(keys, text, place, PREFIX)
        put(tree, keys, text, Settings, place)
        places[keys] = place
    shipped = msgspec.to_builtins(_sources())
    for name, source in tree["sources"].items():
        tree["sources"][name] = source = merged(shipped.get(name, {}), source)
        if "mapping" not in source:
            at = next((p for keys, p in places.items() if keys[:2] == ("sources", name)), DEFAULTS)
            raise at.error(("sources", name, "mapping"), "is missing: name a mapping file", "缺少：请给出映射文件")
    return cast(Settings, with_files(_check(msgspec.convert(tree, Settings), places)))


def _check(settings: Settings, places: Mapping[tuple[str, ...], Place]) -> Settings:
    """What one key cannot tell alone."""

    def bad(path: str, en: str, zh: str, other: str = "") -> UsageError:
        """Told where the key was written, or the section it is in, or the `other` key that it does not go with."""
        keys = tuple(path.split("."))
        found = (places.get(keys[:n]) for n in range(len(keys), 0, -1))
        place = next((p for p in found if p), None) or places.get(tuple(other.split(".")), DEFAULTS)
        return place.error(keys, en, zh)

    try:
        ZoneInfo(settings.city.timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        zone = repr(settings.city.timezone)
        raise bad(
            "city.timezone", f"unknown zone {zone}; e.g. Asia/Shanghai", f"未知时区 {zone}，应如 Asia/Shanghai"
        ) from None
    if 60 % settings.panes.minutes:
        raise bad("panes.minutes", "must divide 60", "必须整除 60")
    for layer, lengths in settings.panes.resolutions_min.items():
        for minutes in lengths:
            if minutes < 1 or minutes % settings.panes.minutes or 1440 % minutes:
                raise bad(
                    f"panes.resolutions_min.{layer}",
                    f"{minutes} must be a multiple of panes.minutes = {settings.panes.minutes} and divide 1440",
                    f"{minutes} 必须是 panes.minutes = {settings.panes.minutes} 的倍数且整除 1440",
                    other="panes.minutes",
                )
    if settings.clickhouse.shard and not settings.clickhouse.cluster:
        raise bad("clickhouse.shard", "needs clickhouse.cluster too", "还须设置 clickhouse.cluster")
    if settings.kafka.partition >= settings.kafka.partitions:
        raise bad(
            "kafka.partition",
            f"must be below kafka.partitions = {settings.kafka.partitions}",
            f"必须小于 kafka.partitions = {settings.kafka.partitions}",
            other="kafka.partitions",
        )
    if not settings.sources:
        raise bad("sources", "at least one source is needed", "至少需要一个来源")
    topics = [s.topic for s in settings.sources.values() if s.topic]
    for name, source in settings.sources.items():
        if topics.count(source.topic) > 1:
            raise bad(
                f"sources.{name}.topic", f"two sources read topic {source.topic}", f"两个来源读同一主题 {source.topic}"
            )
    return settings


def masked(settings: Settings) -> dict[str, Any]:
    """The effective configuration as builtins, secrets shown as ***."""
    return mask(msgspec.to_builtins(settings))


def version(settings: Settings) -> str:
    """Content hash of every setting that can change a result (12 hex digits)."""
    tree = masked(settings)
    deciding = {name: tree[name] for name in DECIDING}
    return hashlib.blake2b(msgspec.json.encode(deciding, order="sorted"), digest_size=6).hexdigest()
