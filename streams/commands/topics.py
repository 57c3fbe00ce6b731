"""`quanyu topics create|check`: the Kafka topics the configuration needs."""

from __future__ import annotations

from typing import Any

import click
from rich.table import Table

from schemas import QuanyuError
from streams.commands.base import configured, console, fail, json_option, print_json, say
from streams.kafka import DAY_MS, Topic, create_topics, require_topics, topic_states
from streams.settings import load


@click.group()
def topics() -> None:
    """Kafka topics: create what is missing, check what is there. Kafka 主题：创建与检查。

    \b
    quanyu topics create
    quanyu topics check --json
    """


@topics.command()
@configured
@json_option
def create(config: str | None, overrides: tuple[str, ...], as_json: bool) -> None:
    """Create the missing topics; existing ones are never changed. 创建缺少的主题，不改动已有主题。

    \b
    quanyu topics create --set kafka.servers=broker:9092
    """
    try:
        _show(create_topics(load(config, overrides=overrides)), as_json)
    except QuanyuError as error:
        fail(error)


@topics.command()
@configured
@json_option
def check(config: str | None, overrides: tuple[str, ...], as_json: bool) -> None:
    """Compare the broker's topics with the configuration; exit 2 if one is missing or wrong. 检查主题。

    \b
    quanyu topics check --json
    """
    try:
        settings = load(config, overrides=overrides)
        found = topic_states(settings)
        _show(found, as_json)
        require_topics(found, settings)
    except QuanyuError as error:
        fail(error)


def _show(found: list[Topic], as_json: bool) -> None:
    if as_json:
        print_json({"topics": [_row(topic) for topic in found], "ok": all(topic.ok for topic in found)})
        return
    table = Table()
    for title in (
        say("topic", "主题"),
        say("partitions", "分区"),
        say("wanted", "应有"),
        say("retention, days", "保留天数"),
        say("state", "状态"),
    ):
        table.add_column(title)
    for topic in found:
        days = "-" if topic.found_retention_ms is None else f"{topic.found_retention_ms / DAY_MS:g}"
        partitions = "-" if topic.found_partitions is None else str(topic.found_partitions)
        table.add_row(topic.name, partitions, str(topic.partitions), days, _state(topic))
    console().print(table)


def _row(topic: Topic) -> dict[str, Any]:
    return {
        "name": topic.name,
        "partitions": topic.found_partitions,
        "wanted_partitions": topic.partitions,
        "retention_ms": topic.found_retention_ms,
        "wanted_retention_ms": topic.retention_ms,
        "created": topic.created,
        "ok": topic.ok,
    }


def _state(topic: Topic) -> str:
    if topic.created:
        return say("created", "已创建")
    if topic.found_partitions is None:
        return say("missing", "缺少")
    if not topic.ok:
        return say("wrong number of partitions", "分区数不符")
    if topic.found_retention_ms != topic.retention_ms:
        return say("ok (another retention)", "正常（保留期不同）")
    return say("ok", "正常")
