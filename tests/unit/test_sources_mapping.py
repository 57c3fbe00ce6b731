"""Mapping files: the shipped ones load, and what is wrong with one is said with file, key and fix."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas import UsageError
from schemas.sources import load_mapping, mapping_version
from schemas.sources.mapping import shipped

ROOT = Path(__file__).parents[2]
SMALL = """
name = "small"
[id]
from = "no"
[time]
occurred = "at"
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "city.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_shipped_mappings_and_the_examples_load() -> None:
    assert shipped() == ["110", "12345", "grid", "sensor"]
    examples = sorted((ROOT / "examples").glob("*.toml"))
    assert len(examples) >= 4
    names: list[str | Path] = [*shipped(), *examples]
    for name in names:
        mapping = load_mapping(name)
        assert mapping.name == (name if isinstance(name, str) else name.stem)
        assert mapping.title


def test_dictionaries_of_the_shipped_mappings_are_whole() -> None:
    """Each code's path goes on where its parent's ends, so that falling back to a prefix loses detail only."""
    tops = {name: {path.split("/")[0] for path in load_mapping(name).category.codes.values()} for name in shipped()}
    assert tops["110"] == {"刑事", "治安", "交通", "火警", "纠纷", "求助", "群众服务", "举报"}
    assert tops["grid"] == {"部件", "事件"}
    assert len(tops["12345"]) == 8
    for name in ("110", "12345", "grid"):
        codes = load_mapping(name).category.codes
        assert len(set(codes.values())) == len(codes), name
        for code, path in codes.items():
            assert path.count("/") == 0 or path.rpartition("/")[0] == codes[code[:-2]], (name, code)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('from = "no"', 'form = "no"', ["id.form", "did you mean 'from'?"]),
        ("occurred", "ocurred", ["time.ocurred", "did you mean 'occurred'?"]),
        ('occurred = "at"', "", ["time.occurred is missing"]),
        ("[time]", "[times]", ["unknown key times", "did you mean 'time'?"]),
        ("[time]", "zone = 8\n[time]", ["id.zone"]),
        ('occurred = "at"', 'occurred = "at"\nzone = 8', ["time.zone: Expected `str`, got `int`"]),
        ('occurred = "at"', 'occurred = "at"\nzone = "Mars/Olympus"', ["time.zone", "Asia/Shanghai"]),
        ('occurred = "at"', 'occurred = "at"\nformats = ["%Q"]', ["time.formats", "%Q"]),
        ('occurred = "at"', 'occurred = "at"\nformats = ["is0"]', ["time.formats", "is0", "iso"]),
        ('occurred = "at"', 'occurred = { from = "at", patern = "x" }', ["time.occurred.patern", "'pattern'"]),
        ('occurred = "at"', 'occurred = { from = "at", pattern = "(x" }', ["time.occurred.pattern", "regular"]),
        ('occurred = "at"', 'occurred = { from = "at", pattern = "(x)(y)" }', ["time.occurred.pattern", "(?:...)"]),
        ('occurred = "at"', 'occurred = { default = "2026-01-01" }', ["time.occurred", "names no field"]),
        ('from = "no"', "", ["id", "hash"]),
        ('from = "no"', 'from = "no"\nhash = ["a"]', ["id", "hash"]),
        ("[id]", 'severity = { from = "s", values = { high = 7 } }\n[id]', ["severity.values", "7", "1, 2, 3, 4"]),
        ("[id]", 'format = "xml"\n[id]', ["format", "xml"]),
        ("[id]", 'encoding = "utf-16"\n[id]', ["encoding", "utf-16"]),
        ("[id]", 'category.code = "c"\n[id]', ["category", "dictionary"]),
        ("[id]", 'place.x = "x"\n[id]', ["place", "x and y go together"]),
        ("[id]", 'place.datum = "wgs"\n[id]', ["place.datum", "wgs84"]),
        ("[id]", "place.bounds = [10, 20]\n[id]", ["place.bounds", "west < east"]),
        ("[id]", "place.bounds = [136, 3, 73, 54]\n[id]", ["place.bounds", "west < east"]),
        ("[id]", 'state.when.gone = "x"\n[id]', ["state", "withdrawn"]),
        ("[id]", 'relations = [{ type = "merged" }]\n[id]', ["relations[0]", "`to`"]),
        ("[id]", 'relations = [{ too = "x" }]\n[id]', ["relations[0].too", "did you mean 'to'?"]),
        ("[id]", 'format = "csv"\ncsv.delimiter = "||"\n[id]', ["csv.delimiter"]),
        ("[id]", 'format = "csv"\ncsv.header = false\n[id]', ["csv.columns"]),
        ("[id]", 'category.file = "none.csv"\n[id]', ["category.file", "none.csv"]),
        ("[id]", "[id\n", ["not readable as TOML"]),
    ],
)
def test_errors_name_file_key_and_fix(tmp_path: Path, old: str, new: str, words: list[str]) -> None:
    assert load_mapping(write(tmp_path, SMALL)).name == "small"
    path = write(tmp_path, SMALL.replace(old, new))
    with pytest.raises(UsageError) as caught:
        load_mapping(path)
    for word in [str(path), *words]:
        assert word in caught.value.en
    assert str(path) in caught.value.zh
    assert caught.value.zh != caught.value.en


def test_an_unknown_name_tells_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"no mapping '1234'.*110, 12345, grid, sensor.*did you mean '12345'"):
        load_mapping("1234")
    with pytest.raises(UsageError, match="no mapping"):
        load_mapping("no/such.toml")


def test_a_dictionary_may_lie_in_a_csv_file(tmp_path: Path) -> None:
    (tmp_path / "codes.csv").write_text("代码,一级,二级\nA,城管,\nA1,城管,占道\n\nB,环保,\n", encoding="utf-8-sig")
    text = SMALL.replace("[id]", 'category.code = "c"\ncategory.file = "codes.csv"\ncategory.codes.B = "生态"\n[id]')
    mapping = load_mapping(write(tmp_path, text))
    assert mapping.category.codes == {"A": "城管", "A1": "城管/占道", "B": "生态"}


def test_the_version_follows_the_content(tmp_path: Path) -> None:
    first = mapping_version(load_mapping(write(tmp_path, SMALL)))
    assert first == mapping_version(load_mapping(write(tmp_path, "# a remark" + SMALL)))
    assert first != mapping_version(load_mapping(write(tmp_path, SMALL.replace('"at"', '"when"'))))
