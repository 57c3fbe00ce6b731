"""The documentation under test: pages are fresh, links lead somewhere, and what the READMEs tell people to type works.

In a README a block marked `sh` is run here, in order, in an empty directory; `python` too, with its output compared to
the `text` block that follows. `console` is for what needs a server or a shell of one's own.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import click
import msgspec
import pytest

from sinks.clickhouse import Client, migrate
from streams.cli import main
from streams.reference import REFERENCE, pages
from streams.reference.pages import comments, uncommented
from streams.settings import PREFIX, Settings, load
from tests.clickhouse import ZONE, fresh_database

ROOT = Path(__file__).parents[2]
READMES = (ROOT / "README.md", ROOT / "README.zh-CN.md")
EXAMPLE = (ROOT / "quanyu.toml").read_text(encoding="utf-8")
WRITTEN = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").glob("*.md")])


def blocks(path: Path) -> list[tuple[str, str]]:
    """(kind, text) of every fenced block."""
    return re.findall(r"^```(\w*)\n(.*?)^```$", path.read_text(encoding="utf-8"), re.M | re.S)


def typed(path: Path) -> list[tuple[str, str]]:
    """What a reader types."""
    return [(kind, text) for kind, text in blocks(path) if kind != "text"]


def lines(path: Path) -> Iterator[str]:
    """Command lines of a README, outside of here-documents."""
    for kind, text in typed(path):
        if kind in ("sh", "console"):
            yield from re.sub(r"<<'END'\n.*?^END$", "", text, flags=re.M | re.S).splitlines()


# -- made pages --------------------------------------------------------------------------------------------------------


def test_reference_pages_are_fresh(chdb: Client) -> None:
    database = fresh_database()
    migrate(chdb, database, ZONE)
    made = pages(chdb, database, EXAMPLE)
    assert {path.name for path in REFERENCE.iterdir()} == set(made)
    for name, text in made.items():
        assert (REFERENCE / name).read_text(encoding="utf-8") == text, f"{name} is stale: run `make docs`"


def test_reference_says_something_of_everything() -> None:
    text = {path.name: path.read_text(encoding="utf-8") for path in REFERENCE.iterdir()}
    assert "`quanyu_watermark_lag_seconds` | gauge" in text["metrics.md"]
    assert "## quanyu replay run" in text["commands.md"] and "--dry-run" in text["commands.md"]
    assert "| `opened` | `UInt32` | incidents whose first signal is here: adds up |" in text["tables.md"]
    assert "| `lateness_s` | int >= -1 | `120` | replay: how late one may come" in text["mapping.md"]
    assert "| `occurred_at_ms` | int | required | event time |" in text["doors.md"]


# -- configuration -----------------------------------------------------------------------------------------------------


def test_the_example_configuration_is_the_defaults() -> None:
    """Also as it lies there: a command run beside it has the defaults, and a mapping's own time keeping stands."""
    shown = uncommented(EXAMPLE)
    assert shown == msgspec.to_builtins(Settings())
    assert all(not line or line.startswith("#") for line in EXAMPLE.splitlines())
    assert load(ROOT / "quanyu.toml", {}) == load(None, {}) == Settings()


def test_the_example_configuration_can_be_used_uncommented(tmp_path: Path) -> None:
    """Secrets apart, which it must refuse to hold only when they are given."""
    path = tmp_path / "quanyu.toml"
    path.write_text(re.sub(r"^#(?=[^# ])", "", EXAMPLE, flags=re.M), encoding="utf-8")
    assert load(path, {}) == Settings()


def test_every_key_of_the_example_is_explained_in_both_languages() -> None:
    for key, said in comments(EXAMPLE).items():
        assert re.search(r"[A-Za-z]{2}", said) and re.search(r"[\u4e00-\u9fff]", said), key
    sections = msgspec.to_builtins(Settings())
    sources = sections.pop("sources")
    wanted = {f"{section}.{key}" for section, keys in sections.items() for key in keys}
    assert set(comments(EXAMPLE)) == wanted | {f"sources.110.{key}" for key in sources["110"]}


# -- links and commands ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", WRITTEN, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8")):
        assert (path.parent / target).exists(), target


@pytest.mark.parametrize("path", WRITTEN, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_named_in_texts_exist(path: Path) -> None:
    """`folder/file.ext` in backticks is a file of the repository."""
    folders = "schemas|geo|streams|sinks|docker|bench|docs|tests|examples"
    for name in re.findall(rf"`((?:{folders})/[\w./*-]+)`", path.read_text(encoding="utf-8")):
        assert any(ROOT.glob(name.rstrip("/"))), name


def test_decisions_are_listed() -> None:
    folder = ROOT / "docs" / "decisions"
    index = (folder / "README.md").read_text(encoding="utf-8")
    for path in sorted(folder.glob("0*.md")):
        title = path.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")
        assert f"- [{title}]({path.name})" in index
        assert all(
            f"**{part}.**" in path.read_text(encoding="utf-8") for part in ("Context", "Decision", "Consequences")
        )


@pytest.mark.parametrize("path", READMES, ids=lambda path: path.name)
def test_options_that_are_named_exist(path: Path) -> None:
    """Every `quanyu ...` line, those of `console` blocks too: commands, options and how many arguments they take."""
    said = [line for line in lines(path) if line.startswith("quanyu ")]
    assert any("topics create" in line for line in said) and any("live" in line for line in said)
    for line in said + re.findall(r"`(quanyu [^`]+)`", path.read_text(encoding="utf-8")):
        parse(main, line.split()[1:])


def parse(command: click.Command, arguments: list[str]) -> None:
    """Parse a command line as click would, without running anything."""
    context = click.Context(command, resilient_parsing=True)
    if not isinstance(command, click.Group):
        command.make_parser(context).parse_args(list(arguments))
        return
    _, rest, _ = command.make_parser(context).parse_args(list(arguments))
    if rest:
        inner = command.get_command(context, rest[0])
        assert inner is not None, f"no command {rest[0]}"
        parse(inner, rest[1:])


def test_environment_variables_that_are_named_exist() -> None:
    known = {
        f"{PREFIX}{section}__{key}".upper() for section, keys in msgspec.to_builtins(Settings()).items() for key in keys
    }
    for path in [*WRITTEN, ROOT / "quanyu.toml"]:
        for name in re.findall(rf"{PREFIX}[A-Z_]+", path.read_text(encoding="utf-8")):
            assert name in known | {f"{PREFIX}SECTION__KEY"}, f"{path.name}: {name}"


def test_both_readmes_say_the_same_commands() -> None:
    """And show the same answer to a query."""
    english, chinese = (typed(path) for path in READMES)
    assert english == chinese
    answers = [[after for (kind, _), (_, after) in pairwise(blocks(path)) if kind == "python"] for path in READMES]
    assert answers[0] == answers[1] != []


def test_what_the_readme_says_works(tmp_path: Path) -> None:
    """`make` targets are looked up only: `make test` is what runs this, and `make demo` makes an environment first."""
    environment = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "LANG": "C.UTF-8",
    }

    def run(*command: str) -> str:
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command[-1]}\n{done.stdout}{done.stderr}"
        return done.stdout

    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
    said = ""
    for (kind, text), (_, after) in pairwise([*blocks(READMES[0]), ("", "")]):
        if kind == "sh" and text.startswith("make "):
            assert {line.removeprefix("make ") for line in text.splitlines()} <= targets
        elif kind == "sh":
            said += run("bash", "-euo", "pipefail", "-c", text)
        elif kind == "python":
            assert run(sys.executable, "-c", text).strip() == after.strip()
    assert re.search(r"signals +3\b", said) and re.search(r"incidents +2\b", said)
    assert "0 errors, 0 warnings" in said and "min_count = 5" in said
