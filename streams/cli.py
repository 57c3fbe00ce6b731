"""`quanyu`: the composition root. One file a command in `commands/`; they are listed here."""

from __future__ import annotations

import sys
from io import TextIOWrapper

import click

from streams.commands.base import language

COMMANDS = {
    "archive": "streams.commands.archive:archive_command",
    "config": "streams.commands.config:config_group",
    "demo": "streams.commands.demo:demo_command",
    "doctor": "streams.commands.doctor:doctor_command",
    "grids": "streams.commands.grids:grids",
    "live": "streams.commands.live:live_command",
    "locate": "streams.commands.grids:locate",
    "migrate": "streams.commands.migrate:migrate_command",
    "reconcile": "streams.commands.reconcile:reconcile_command",
    "rejected": "streams.commands.rejected:rejected_group",
    "replay": "streams.commands.replay:replay_group",
    "simulate": "streams.commands.simulate:simulate_command",
    "state": "streams.commands.state:state_group",
    "stats": "streams.commands.stats:stats_group",
    "topics": "streams.commands.topics:topics",
}


class Lazy(click.Group):
    """Imports a command when it is asked for: `quanyu --help` loads neither Faust nor a database engine."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """First of all, `--help` too: a terminal that has no Chinese shows escapes instead of a traceback."""
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All commands, by name."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        place = COMMANDS.get(cmd_name)
        if place is None:
            return None
        from importlib import import_module

        module, _, name = place.partition(":")
        command = getattr(import_module(module), name)
        assert isinstance(command, click.Command)
        return command


@click.group(cls=Lazy)
@click.option("--lang", type=click.Choice(["en", "zh"]), default=None, help="Language of messages. 消息语言。")
@click.version_option(package_name="quanyu")
@click.pass_context
def main(context: click.Context, lang: str | None) -> None:
    """Quanyu 全域: a city's signals from the wire to hot spots, repeat addresses and ClickHouse.

    \b
    quanyu demo
    quanyu replay run --file calls.csv.gz --source 110 --map examples/seattle_fire911.toml
    """
    context.obj = {"lang": language(lang)}
