"""`quanyu live`: the Faust worker."""

from __future__ import annotations

import logging
import signal

import click
import msgspec

from schemas import QuanyuError, TooMuchBadData, UsageError
from sinks.base import Sink
from sinks.clickhouse import open_sink
from streams import logs, metrics
from streams import settings as configuration
from streams.assemble import Assembly, assemble
from streams.cities import check_together
from streams.commands.base import bad_data, configured_cities, fail, options_of, wall_ms
from streams.kafka import check_group, check_topics
from streams.kafka_security import needs
from streams.live_store import Health
from streams.metrics import RoomMeter
from streams.runner import quiet_gc
from streams.settings import Settings
from streams.settings_secrets import values as secret_values
from streams.snapshots import rules_of
from streams.state_topic import check_state

STAGES = ("intake", "city")
#: in what Kafka's clients say of a broker that is gone for a while
TRIES_AGAIN = (
    "NodeNotReadyError",
    "KafkaConnectionError",
    "CoordinatorNotAvailableError",
    "NotCoordinator",
    "NotLeaderForPartitionError",
    "RequestTimedOutError",
    "Unable connect to node",
    "Unable to update metadata",
    "No node available",
    "marking coordinator dead",
    "socket disconnected",
)


@click.command("live")
@click.option("--stages", default="intake,city", show_default=True, help="Stages of this worker. 本进程运行的阶段。")
@configured_cities
def live_command(stages: str, configs: tuple[str, ...], overrides: tuple[str, ...]) -> None:
    """Run a worker: Kafka -> both stages -> ClickHouse, until SIGTERM. 运行实时处理进程。

    Cities that share a group of workers have a --config each. 共用一组进程的多个城市各用一个 --config。

    \b
    quanyu live
    quanyu live --stages intake --set kafka.servers=broker:9092
    quanyu live --config hangzhou.toml --config ningbo.toml
    """
    chosen = tuple(part.strip() for part in stages.split(",") if part.strip())
    try:
        if not chosen or any(stage not in STAGES for stage in chosen):
            raise UsageError(
                f"--stages {stages}: want intake, city or both", f"--stages {stages}：应为 intake、city 或两者"
            )
        cities = [configuration.load(config, overrides=overrides) for config in configs or (None,)]
        check_together(cities)
        settings = cities[0]
        if not all(city.intake.caller_key for city in cities):
            raise UsageError(
                "no secret for the callers' hash: set QUANYU__INTAKE__CALLER_KEY or intake.caller_key_file; "
                "all workers need the same one",
                "缺少来电人散列密钥：请设置 QUANYU__INTAKE__CALLER_KEY 或 intake.caller_key_file；所有进程必须相同",
            )
        signal.signal(signal.SIGTERM, _stopped)  # until the worker listens itself: there is nothing to finish yet
        logs.configure(settings.log.level, [secret for city in cities for secret in secret_values(city)])
        _hush(settings.log.level)
        for city in cities:
            check_topics(city, needs(city, chosen))
        check_group(settings.kafka)
        served = [_served(city, chosen) for city in cities]
        from streams.live import run

        health = Health()
        endpoint = None
        if settings.metrics.port:
            endpoint = metrics.serve(settings.metrics.host, settings.metrics.port, lambda: health.unready)
        for assembly, _ in served:
            name, versions = assembly.settings.city.name, msgspec.structs.asdict(assembly.versions)
            logs.get().info("live", city=name, stages=list(chosen), versions=versions)
        quiet_gc()
        try:
            run(served, wall_ms, chosen, health)
        finally:
            if endpoint is not None:
                endpoint.shutdown()
    except TooMuchBadData as error:
        fail(bad_data(error, options_of("", configs[0] if configs else None, overrides)))
    except QuanyuError as error:
        fail(error)


def _served(settings: Settings, stages: tuple[str, ...]) -> tuple[Assembly, Sink]:
    """A city's stages and its database. Raises UsageError for a snapshot that cannot be continued."""
    assembly = assemble(settings, settings.intake.caller_key.encode(), meter=RoomMeter(settings.city.name))
    if "city" in stages:
        check_state(settings.kafka, rules_of(settings, assembly.grids.layers, assembly.versions))
    return assembly, open_sink(settings.clickhouse, assembly.grids.layers, settings.city.timezone)


def _stopped(*_: object) -> None:
    raise SystemExit(0)


def _is_news(record: logging.LogRecord) -> bool:
    """Whether the record is neither about an error that ends the command, which then says it in the user's words, nor
    about a thread of Faust's that had ended before it was told to (a race on the way out, with nothing to be done), nor
    one of the hundred a second with which Kafka's clients tell that they try again (we say once that we wait)."""
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, QuanyuError) or str(error) == "Event loop is closed":
        return False
    client = record.name.partition(".")[0] in ("aiokafka", "kafka")
    return not client or not (isinstance(error, OSError) or any(said in record.getMessage() for said in TRIES_AGAIN))


def _hush(level: str) -> None:
    """Keep to what a person can act on: the clients tell every step they take, Faust every late timer."""
    if level != "debug":
        for handler in logging.getLogger().handlers:
            handler.addFilter(_is_news)
        for name in ("faust", "mode", "aiokafka", "kafka", "streams.batches"):
            logging.getLogger(name).setLevel(logging.WARNING)
        for name in (
            "mode.timers",
            "aiokafka.consumer.group_coordinator",
            "kafka.admin",
            "kafka.net.selector",
            "clickhouse_connect",
            "urllib3",
        ):
            logging.getLogger(name).setLevel(logging.ERROR)
