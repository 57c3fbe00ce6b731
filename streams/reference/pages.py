"""The pages that need no server: doors, configuration, metrics, commands, mapping files."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from typing import Any

import click
from msgspec import Struct, inspect
from prometheus_client import Counter, Gauge, Histogram

from schemas.export import DOORS
from schemas.sources import spec
from streams import metrics
from streams.cli import main
from streams.reference.structs import default, fields, kind, paragraphs, struct_table, table, value
from streams.settings import Settings, Source

#: columns of a help text
WIDTH = 100


def doors() -> str:
    """Every door, alphabetically."""
    parts = [
        "# Doors\n\nThe types that pass between rooms (`schemas/`); their JSON Schemas are in `schemas/json/`. "
        "Times are milliseconds since 1970-01-01 UTC. *On the wire an array* means: on Kafka its fields stand in "
        "this order, without names.\n"
    ]
    for name, door in DOORS.items():
        wire = "*On the wire an array.* " if door.__struct_config__.array_like else ""
        parts.append(f"## {name}\n\n{wire}{paragraphs(door)}\n\n{struct_table(door)}")
    return "\n".join(parts)


def comments(example: str) -> dict[str, str]:
    """Key -> the comment above it, of a configuration whose keys are all commented out (`#key = value`)."""
    found: dict[str, str] = {}
    section, said = "", []
    for line in example.splitlines():
        if line.startswith("# "):
            said.append(line[2:])
        elif opened := re.fullmatch(r"#\[(.+)\]", line):
            section, said = opened[1], []
        elif re.match(r"#[^# ]", line):
            key = line[1:].partition("=")[0].strip()
            if said:
                found[f"{section}.{key}"] = " ".join(said)
            said = []
    return found


def uncommented(example: str) -> dict[str, Any]:
    """The configuration that `quanyu.toml` shows, as if every # had been taken away."""
    return tomllib.loads("\n".join(line[1:] for line in example.splitlines() if re.match(r"#[^# ]", line)))


def configuration(example: str) -> str:
    """Every key; `example` is the text of quanyu.toml."""
    said = comments(example)
    sources = Settings().sources
    first = next(iter(sources))
    parts = [
        "# Configuration 配置\n\n`quanyu.toml` < environment `QUANYU__SECTION__KEY` < `--set section.key=value`. An "
        "unknown key or a value out of range ends a command with exit code 2 and names the path. Secrets are refused "
        "in the file. 未知的键或越界的值会使命令以退出码 2 结束并指出位置；密钥不得写入文件。\n"
    ]
    for section in fields(Settings):
        if section.name == "sources":
            names = [f.name for f in fields(Source)]
            rows = [
                (
                    f"`{f.name}`",
                    kind(f.type),
                    "required" if f.required else default(f),
                    said[f"sources.{first}.{f.name}"],
                )
                for f in fields(Source)
            ]
            shipped = [(f"`{name}`", *[value(getattr(s, n)) for n in names]) for name, s in sources.items()]
            parts.append("## [sources.NAME]\n\n" + table(("key", "type", "default", "meaning 含义"), rows))
            parts.append("Shipped sources 自带的来源:\n\n" + table(("NAME", *names), shipped))
            continue
        assert isinstance(section.type, inspect.StructType)
        rows = [
            (f"`{f.name}`", kind(f.type), default(f), said[f"{section.name}.{f.name}"])
            for f in fields(section.type.cls)
        ]
        parts.append(
            f"## [{section.name}]\n\n{paragraphs(section.type.cls)}\n\n"
            + table(("key", "type", "default", "meaning 含义"), rows)
        )
    return "\n".join(parts)


def metrics_page() -> str:
    """Every metric, as a scrape names it."""
    rows = []
    for metric in vars(metrics).values():
        if isinstance(metric, Counter | Gauge | Histogram):
            name = metric._name + ("_total" if isinstance(metric, Counter) else "")
            labels = ", ".join(f"`{label}`" for label in metric._labelnames)
            rows.append((f"`{name}`", type(metric).__name__.lower(), labels, metric._documentation))
    return (
        "# Metrics\n\n`quanyu live` answers `/metrics` (Prometheus), `/healthz` (the process runs) and `/readyz` (it "
        "works) at `metrics.host`:`metrics.port`.\n\n"
    ) + table(("name", "kind", "labels", "meaning"), rows)


def commands() -> str:
    """`--help` of every command."""
    parts = [
        "# Commands 命令\n\nExit codes 退出码: 0 done 完成; 1 failed 失败; "
        "2 wrong usage or configuration 用法或配置有误; 3 too much bad data 坏数据过多; "
        "4 a server is unreachable 服务器不可达.\n"
    ]
    root = click.Context(main, info_name="quanyu", terminal_width=WIDTH, max_content_width=WIDTH)
    for context in _commands(root):
        parts.append(f"## {context.command_path}\n\n```text\n{context.command.get_help(context)}\n```\n")
    return "\n".join(parts)


def _commands(context: click.Context) -> Iterator[click.Context]:
    yield context
    if isinstance(context.command, click.Group):
        for name in context.command.list_commands(context):
            command = context.command.get_command(context, name)
            assert command is not None
            yield from _commands(click.Context(command, context, name, terminal_width=WIDTH, max_content_width=WIDTH))


def mapping() -> str:
    """Every section of a mapping file."""
    parts = [
        "# Mapping files\n\nA mapping turns a source's records into signals; it is written in TOML, no code is needed. "
        "Shipped: `schemas/sources/*.toml`; for open data: `examples/`.\n\n" + (spec.__doc__ or "").strip() + "\n"
    ]
    sections = [s for s in vars(spec).values() if isinstance(s, type) and issubclass(s, Struct) and s is not Struct]
    for section in sorted(sections, key=lambda s: (s is not spec.Mapping, s.__name__)):
        parts.append(f"## {section.__name__}\n\n{paragraphs(section)}\n\n{struct_table(section)}")
    return "\n".join(parts)
