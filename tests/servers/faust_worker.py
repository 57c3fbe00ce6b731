"""A tiny Faust worker on whole batches, run as a process of its own by the tests (so that it can be killed).

It appends one JSON line a batch to `--out` (what was read), waits `--work` seconds, flushes, then acks: the file is
its sink. `--hold OFFSET` never acks the batch that holds that offset; `--start OFFSET` starts there whatever the
group committed; `--fail OFFSET` raises at that offset; `--pause` holds partition 0 from its
first batch on for 0.3 s.
"""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path
from typing import Any

import faust
import msgspec

from streams.batches import TP, batch_app, batch_topic, process_of, taken


def build(options: argparse.Namespace) -> faust.App:
    """The app, wired by hand."""

    def start_offsets(partitions: frozenset[TP]) -> dict[TP, int]:
        return {tp: options.start for tp in partitions if tp.topic == options.topic}

    app = batch_app(
        options.group,
        options.servers,
        max_batch=options.max_batch,
        start_offsets=start_offsets if options.start is not None else None,
        finish_s=2.0,
        broker_commit_interval=0.1,
        broker_session_timeout=6.0,
        broker_heartbeat_interval=0.5,
    )
    sink = Path(options.out).open("ab")  # noqa: SIM115 - as long as the process

    held: list[TP] = []
    releases: list[asyncio.Task[None]] = []

    async def release() -> None:
        sink.write(b'["held",0,[],[]]\n')
        await app.consumer.release(held)

    async def read(stream: Any) -> None:
        async for event in taken(stream):
            batch = event.value
            if options.pause and batch.partition == 0 and not held:
                held.append(TP(batch.topic, 0))
                app.consumer.hold(held)
                asyncio.get_running_loop().call_later(0.3, lambda: releases.append(asyncio.create_task(release())))
            if options.fail is not None and options.fail in batch.offsets:
                raise RuntimeError("told to fail")
            line = [batch.topic, batch.partition, batch.offsets, [value.decode() for value in batch.values]]
            sink.write(msgspec.json.encode(line) + b"\n")
            sink.flush()
            await asyncio.sleep(options.work)
            if options.hold is None or options.hold not in batch.offsets:
                event.ack()

    app.agent(batch_topic(app, options.topic))(read)
    return app


def main() -> None:
    """Run until SIGTERM."""
    parser = argparse.ArgumentParser()
    for name in ("servers", "topic", "group", "out"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--max-batch", type=int, default=100)
    parser.add_argument("--work", type=float, default=0.0)
    parser.add_argument("--pause", action="store_true")
    for name in ("hold", "start", "fail"):
        parser.add_argument(f"--{name}", type=int)
    options = parser.parse_args()
    process_of(build(options), loglevel="WARN").execute_from_commandline()


if __name__ == "__main__":
    main()
