"""The pages of `docs/reference`, made of the code: `python -m streams.reference [DIRECTORY]` (`make docs`).

Nothing in them is written by hand: fields and their meaning come from the annotations, keys from the settings and the
comments of `quanyu.toml`, commands from their `--help`, tables from an embedded ClickHouse that has just been migrated.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from sinks.clickhouse import Client, connect, migrate
from streams.reference.pages import commands, configuration, doors, mapping, metrics_page
from streams.reference.tables import tables
from streams.settings import Settings

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "reference"
MADE = "<!-- Made by `make docs`; do not edit. -->\n"


def pages(client: Client, database: str, example: str) -> Mapping[str, str]:
    """File name -> text of every page. `database` is migrated; `example` is the text of quanyu.toml."""
    made = {
        "commands.md": commands(),
        "configuration.md": configuration(example),
        "doors.md": doors(),
        "mapping.md": mapping(),
        "metrics.md": metrics_page(),
        "tables.md": tables(client, database),
    }
    return {name: MADE + text for name, text in made.items()}


def build(directory: Path = REFERENCE) -> None:
    """Write every page."""
    settings = Settings()
    with TemporaryDirectory(prefix="quanyu-docs-") as folder:
        client = connect(msgspec.structs.replace(settings.clickhouse, url=f"chdb:{folder}"))
        migrate(client, "reference", settings.city.timezone)
        made = pages(client, "reference", (ROOT / "quanyu.toml").read_text(encoding="utf-8"))
        client.close()
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in made.items():
        (directory / name).write_text(text, encoding="utf-8")
