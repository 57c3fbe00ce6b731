"""The runner: step -> write -> let the caller ack. Waits out an outage, counts bad data, decides nothing.

* `Unreachable` from a sink: wait `retry_after_s` and write the same rows again, as long as it takes (or `give_up_s`);
* more rejected records than `max_bad_share`: `TooMuchBadData`, after the dead letters are stored;
* everything else is a bug and goes up: the process ends, un-acked.
"""

from __future__ import annotations

import gc
import queue
import threading
import time
from collections.abc import Callable

from schemas import TooMuchBadData, Unreachable
from schemas.rows import Rows
from sinks.base import Sink
from streams.metrics import RETRIES

MAX_WAIT_S = 30.0


def quiet_gc() -> None:
    """Keep the cycle collector's full passes out of a worker: they walk the whole state, which has no cycles."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 1_000, 1_000)


def no_gc() -> None:
    """Do without the cycle collector, in a process that ends with its run: neither stage makes cycles."""
    gc.collect()
    gc.freeze()
    gc.disable()


class BadShare:
    """Watches the share of rejected records, window by window and over the whole run."""

    def __init__(self, limit: float, window: int) -> None:
        self.limit, self.window = limit, window
        self.read = self.bad = 0
        self._read = self._bad = 0

    def add(self, read: int, bad: int) -> None:
        """Note a batch whose dead letters are stored. Raises TooMuchBadData when a full window is over the limit."""
        self.read += read
        self.bad += bad
        self._read += read
        self._bad += bad
        if self._read >= self.window:
            self._judge(self._read, self._bad)
            self._read = self._bad = 0

    def finish(self) -> None:
        """At the end of a run: judge all of it, however short."""
        self._judge(self.read, self.bad)

    def _judge(self, read: int, bad: int) -> None:
        if read and bad / read > self.limit:
            raise TooMuchBadData(
                f"{bad} of {read} records were rejected, more than intake.max_bad_share = {self.limit:g}",
                f"{read} 条记录中有 {bad} 条被拒收，超过 intake.max_bad_share = {self.limit:g}",
            )


def until_stored(
    call: Callable[[], None],
    give_up_s: float | None = None,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Call until it does not raise Unreachable: in place, with growing waits. Raises it after `give_up_s`."""
    began, tries = clock(), 0
    while True:
        try:
            return call()
        except Unreachable as error:
            RETRIES.labels("sink").inc()
            wait = min(error.retry_after_s * 2**tries, MAX_WAIT_S)
            if give_up_s is not None and clock() - began + wait > give_up_s:
                raise
            tries += 1
            sleep(wait)


class Writer:
    """Writes rows to a sink in a second thread, in order, at most `depth` steps ahead (replay and demo).

    The caller folds while the database stores. An error of the sink is raised from the next call.
    """

    def __init__(self, sink: Sink, give_up_s: float | None = None, depth: int = 2) -> None:
        self._sink, self._give_up_s = sink, give_up_s
        self._queue: queue.Queue[Rows | None] = queue.Queue(depth)
        self._error: BaseException | None = None
        self.seconds = 0.0
        # a daemon: a caller that dies of a bug must not be kept alive by a thread that waits for its rows
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
        self._thread.start()

    def write(self, rows: Rows) -> None:
        """Hand over the rows of a step; waits while the sink is behind."""
        self._raise()
        self._queue.put(rows)

    def close(self) -> None:
        """Store everything; the sink itself stays open. Raises what the sink raised."""
        self._queue.put(None)
        self._thread.join()
        self._raise()

    def abandon(self) -> None:
        """Stop after what is being written (an error is on its way up already)."""
        self._error = self._error or RuntimeError("abandoned")
        while self._thread.is_alive():
            try:
                self._queue.put(None, timeout=0.1)
            except queue.Full:
                continue
            self._thread.join(0.1)

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        while (rows := self._queue.get()) is not None:
            if self._error is not None:
                continue  # drain, so that the caller is never stuck
            began = time.perf_counter()
            try:
                until_stored(lambda rows=rows: self._sink.write(rows), self._give_up_s)  # type: ignore[misc]
            except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
                self._error = error
            self.seconds += time.perf_counter() - began
        if self._error is None:
            try:
                until_stored(self._sink.flush, self._give_up_s)
            except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
                self._error = error
