"""`quanyu live`: the Faust worker."""

from __future__ import annotations

from threading import Event

import click
import msgspec

from schemas import QuanyuError, UsageError
from sinks.clickhouse import open_sink
from streams import logs, metrics
from streams import settings as configuration
from streams.assemble import assemble
from streams.commands.base import configured, fail, wall_ms
from streams.kafka import check_topics
from streams.metrics import RoomMeter
from streams.runner import quiet_gc

STAGES = ("intake", "city")


@click.command("live")
@click.option("--stages", default="intake,city", show_default=True, help="Stages of this worker. 本进程运行的阶段。")
@configured
def live_command(stages: str, config: str | None, overrides: tuple[str, ...]) -> None:
    """Run a worker: Kafka -> both stages -> ClickHouse, until SIGTERM. 运行实时处理进程。

    \b
    quanyu live
    quanyu live --stages intake --set kafka.servers=broker:9092
    """
    chosen = tuple(part.strip() for part in stages.split(",") if part.strip())
    try:
        if not chosen or any(stage not in STAGES for stage in chosen):
            raise UsageError(
                f"--stages {stages}: want intake, city or both", f"--stages {stages}：应为 intake、city 或两者"
            )
        settings = configuration.load(config, overrides=overrides)
        if not settings.intake.caller_key:
            raise UsageError(
                "no secret for the callers' hash: set QUANYU__INTAKE__CALLER_KEY or intake.caller_key_file; "
                "all workers need the same one",
                "缺少来电人散列密钥：请设置 QUANYU__INTAKE__CALLER_KEY 或 intake.caller_key_file；所有进程必须相同",
            )
        logs.configure(settings.log.level)
        check_topics(settings)
        assembly = assemble(settings, settings.intake.caller_key.encode(), meter=RoomMeter())
        sink = open_sink(settings.clickhouse, assembly.grids.layers, settings.city.timezone)
        from streams.live import run

        ready = Event()
        endpoint = None
        if settings.metrics.port:
            endpoint = metrics.serve(settings.metrics.host, settings.metrics.port, ready.is_set)
        logs.get().info("live", stages=list(chosen), versions=msgspec.structs.asdict(assembly.versions))
        quiet_gc()
        try:
            run(assembly, sink, wall_ms, chosen, ready.set)
        finally:
            if endpoint is not None:
                endpoint.shutdown()
    except QuanyuError as error:
        fail(error)
