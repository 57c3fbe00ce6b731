"""Settings: what a text means, what wins, and that every mistake is told with the place where it was made."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import UsageError
from streams.settings import Settings, load, masked, version


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No quanyu.toml is in the current directory."""
    monkeypatch.chdir(tmp_path)


def loaded(*overrides: str, text: str = "", **environ: str) -> Settings:
    """Settings of a file of this text, of the environment and of --set."""
    file = Path("given.toml")
    file.write_text(text, encoding="utf-8")
    return load(file, environ, overrides)


def wrong(*overrides: str, text: str = "", **environ: str) -> UsageError:
    with pytest.raises(UsageError) as caught:
        loaded(*overrides, text=text, **environ)
    return caught.value


# -- what a text means -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["true", "2026-01-01", "0x10", "1e3", "[1]", "{}", "12:30:00", "", "a = b", "'", '"'])
def test_a_key_that_is_a_string_takes_the_text_as_it_is(text: str) -> None:
    assert loaded(f"city.name={text}").city.name == text
    assert loaded(QUANYU__CITY__NAME=text).city.name == text
    assert loaded(QUANYU__INTAKE__CALLER_KEY=text).intake.caller_key == text


@settings(deadline=None)
@given(st.text(st.characters(exclude_characters="\"'", exclude_categories=["Cs"])))
def test_every_text_comes_through(text: str) -> None:
    assert load(None, {}, [f"city.name={text}"]).city.name == text


@pytest.mark.parametrize("text", ['"a b"', "'a b'"])
def test_toml_quotes_are_taken_off(text: str) -> None:
    assert loaded(f"city.name={text}").city.name == "a b"


def test_other_keys_are_read_as_toml() -> None:
    found = loaded(
        "intake.earliest=1950-01-01",
        "panes.minutes=30",
        "panes.resolutions_min={unit=[30], city=[60]}",
        "sources.110.tardy=true",
        "hotspots.dispersion=1",
        "grids.sizes_m.unit=250",
    )
    assert found.intake.earliest == "1950-01-01"
    assert found.panes.minutes == 30
    assert found.panes.resolutions_min == {"unit": [30], "city": [60]}
    assert found.sources["110"].tardy
    assert found.hotspots.dispersion == 1.0
    assert found.grids.sizes_m == {"unit": 250.0}


# -- what wins ---------------------------------------------------------------------------------------------------------


def test_set_wins_over_the_environment_over_the_file_over_the_base() -> None:
    text = "[panes]\ncategory_depth = 2\n[repeats]\ndays = 7\nincidents = 4"
    found = loaded("repeats.days=9", text=text, QUANYU__REPEATS__DAYS="8", QUANYU__REPEATS__INCIDENTS="5")
    assert (found.panes.category_depth, found.repeats.days, found.repeats.incidents) == (2, 9, 5)
    Path("given.toml").write_text(text, encoding="utf-8")
    base: dict[str, Any] = {"repeats": {"days": 3, "close_days": 4}}
    assert msgspec.structs.astuple(load("given.toml", {}, (), base).repeats) == (4, 7, 4)


def test_a_file_with_sources_names_all_of_them() -> None:
    found = loaded(text='[sources.110]\nlateness_s = 5\n[sources.x]\nmapping = "grid"')
    assert list(found.sources) == ["110", "x"]
    assert (found.sources["110"].lateness_s, found.sources["110"].topic) == (5, "raw.110")
    assert list(loaded("sources.110.lateness_s=5").sources) == ["110", "12345", "grid", "sensor"]


def test_the_version_is_of_what_decides() -> None:
    assert version(loaded("kafka.servers=other:9092")) == version(loaded())
    assert version(loaded("panes.category_depth=2")) != version(loaded())


def test_secrets_come_from_the_environment_or_a_file_and_are_not_shown() -> None:
    Path("key").write_text("from a file\n", encoding="utf-8")
    assert loaded("intake.caller_key_file=key").intake.caller_key == "from a file"
    found = loaded("intake.caller_key_file=key", QUANYU__INTAKE__CALLER_KEY="1234")
    assert found.intake.caller_key == "1234"
    assert masked(found)["intake"]["caller_key"] == "***"
    error = wrong(text='[clickhouse]\npassword = "hush"')
    assert "given.toml: clickhouse.password: is a secret" in error.en
    assert "QUANYU__CLICKHOUSE__PASSWORD" in error.en and "hush" not in error.en
    assert "intake.caller_key_file" in wrong("intake.caller_key_file=none").en


# -- mistakes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("override", "en"),
    [
        ("panes.minutes=7", "--set panes.minutes: must divide 60"),
        ("panes.minutes=x", "--set panes.minutes: Expected `int`, got `str`"),
        ("panes.minutes=0", "--set panes.minutes: Expected `int` >= 1"),
        ("panes.minutes=30", "--set panes.minutes: panes.resolutions_min.unit: 15 must be a multiple"),
        ("panes.resolutions_min.unit=[7]", "--set panes.resolutions_min.unit: 7 must be a multiple"),
        ("panes.resolutions_min.unit=[0]", "--set panes.resolutions_min.unit: 0 must be a multiple"),
        ("panes.minute=15", "--set panes.minute: unknown key `minute`; did you mean `minutes`?"),
        ("pane.minutes=15", "unknown key `pane`; did you mean `panes`?"),
        ("zzz=15", "unknown key `zzz`; known: city, sources"),
        ("panes=15", "--set panes: is a section"),
        ("sources.110=15", "--set sources.110: is a section"),
        ("city.name.x=15", "city.name: Expected `str`"),
        ("grids.shape=round", "--set grids.shape: Expected `str` matching"),
        ("city.timezone=Asia/Nowhere", "--set city.timezone: unknown zone 'Asia/Nowhere'"),
        ("sources.x.topic=t", "sources.x.mapping: is missing"),
        ("sources.110.topic=raw.grid", "--set sources.110.topic: two sources read topic raw.grid"),
    ],
)
def test_a_mistake_is_told_with_its_option(override: str, en: str) -> None:
    error = wrong(override)
    assert error.en.startswith("--set ")
    assert en in error.en
    assert re.search(r"[\u4e00-\u9fff]", error.zh)
    assert error.exit_code == 2


def test_a_mistake_is_told_with_its_variable_or_file() -> None:
    variable = wrong(QUANYU__PANES__MINUTES="7")
    assert (variable.en, variable.zh) == (
        "environment QUANYU__PANES__MINUTES: panes.minutes: must divide 60",
        "环境变量 QUANYU__PANES__MINUTES：panes.minutes：必须整除 60",
    )
    assert "environment QUANYU__INTAKE__CALLER_KEYS" in wrong(QUANYU__INTAKE__CALLER_KEYS="x").en
    assert wrong(text="[panes]\nminutes = 7").en == "given.toml: panes.minutes: must divide 60"
    assert wrong(text="[panes]\nminutes = '7'").zh == "given.toml：panes.minutes：应为整数，实为文本"
    assert wrong(text="intake = 3").en == "given.toml: intake: is a section, not a value"
    assert wrong(text="sources = 3").en == "given.toml: sources: is a section, not a value"
    assert wrong("panes.category_depth=2", text="[panes]\nminutes = 7").en.startswith("given.toml: ")
    assert "given.toml: not valid TOML" in wrong(text="[panes").en
    assert wrong(text="[sources]").en == "given.toml: sources: at least one source is needed"


def test_a_file_that_cannot_be_read() -> None:
    with pytest.raises(UsageError, match="no configuration file none"):
        load("none.toml", {})
    Path("folder").mkdir()
    with pytest.raises(UsageError, match="folder: cannot be read"):
        load("folder", {})


def test_set_wants_a_value() -> None:
    assert wrong("panes").zh == "--set panes：应为 section.key=value"
