"""Layer lists and files: defaults, and every mistake named with file, key or cell and a fix."""

from __future__ import annotations

from pathlib import Path

import pytest
import shapely

from geo.grids import open_grids
from geo.layers import read_layer, read_specs
from schemas import UsageError
from tests.cells import STEP, WEST, box, city, feature, squares, write

BOWTIE = shapely.Polygon([(WEST, 31.2), (WEST + STEP, 31.21), (WEST + STEP, 31.2), (WEST, 31.21)])


def refused(path: Path) -> str:
    """What the user reads; Chinese must be there, too."""
    with pytest.raises(UsageError) as caught:
        open_grids(path)
    assert any("\u4e00" <= c <= "\u9fff" for c in caught.value.zh)
    assert caught.value.zh != caught.value.en
    return caught.value.en


def layer_list(folder: Path, *entries: str, head: str = "") -> Path:
    path = folder / "grids.toml"
    path.write_text(head + "".join(f"[[layers]]\n{entry}\n" for entry in entries), encoding="utf-8")
    return path


def test_the_code_is_the_first_unique_short_property(tmp_path: Path) -> None:
    cells = [
        feature(box(k, 0), kind="unit", note="x" * 40 + str(k), part=[k], area=float(k), id2=f"Z{k}") for k in range(3)
    ]
    layer = read_layer(read_specs(write(tmp_path / "g.geojson", cells))[0])
    assert layer.codes == ("0", "1", "2")
    assert layer.names == layer.codes


def test_a_property_named_code_comes_first(tmp_path: Path) -> None:
    cells = [feature(box(k, 0), fid=k, code=310000 + k, name=f"n{k}") for k in range(2)]
    layer = read_layer(read_specs(write(tmp_path / "g.geojson", cells))[0])
    assert layer.codes == ("310000", "310001")
    assert layer.names == ("n0", "n1")


def test_no_code_property(tmp_path: Path) -> None:
    text = refused(write(tmp_path / "g.geojson", [feature(box(k, 0), kind="unit") for k in range(2)]))
    assert "g.geojson" in text
    assert "code =" in text


@pytest.mark.parametrize(
    ("cells", "says"),
    [
        ([feature(box(0, 0), code="a"), feature(box(1, 0), code="a")], "cell a: double code"),
        ([feature(box(0, 0), code="a"), feature(box(1, 0), code=None)], "cell ?: no code"),
        ([feature(BOWTIE, code="a")], "cell a: invalid polygon (Self-intersection"),
        ([feature(None, code="a")], "cell a: not a polygon"),
        ([feature(shapely.Point(121, 31), code="a")], "cell a: not a polygon"),
        ([feature(shapely.box(3e5, 3e6, 4e5, 4e6), code="a")], "cell a: coordinates are not degrees"),
        ([], "no features"),
    ],
)
def test_unsound_cells_are_refused_by_name(tmp_path: Path, cells: list[dict[str, object]], says: str) -> None:
    text = refused(write(tmp_path / "g.geojson", cells))
    assert says in text
    assert "g.geojson" in text


def test_a_code_against_its_pattern(tmp_path: Path) -> None:
    squares(tmp_path / "g.geojson")
    path = layer_list(tmp_path, 'name = "unit"\nfile = "g.geojson"\npattern = "^[0-9]{15}$"')
    assert "cell 1000000: code is not ^[0-9]{15}$" in refused(path)


def test_repair_makes_an_invalid_polygon_valid(tmp_path: Path) -> None:
    write(tmp_path / "g.geojson", [feature(BOWTIE, code="a")])
    entry = 'name = "unit"\nfile = "g.geojson"'
    for path in (layer_list(tmp_path, entry, head="repair = true\n"), layer_list(tmp_path, entry + "\nrepair = true")):
        assert open_grids(path).codes("unit") == ("a",)
    assert "repair = true" in refused(tmp_path / "g.geojson")


def test_a_cell_in_no_parent(tmp_path: Path) -> None:
    city(tmp_path)
    write(tmp_path / "street.geojson", [feature(box(0, 0, 2, 4), code="100")])
    text = refused(tmp_path / "grids.toml")
    assert "lies in no cell of its parent layer 'street'" in text


@pytest.mark.parametrize(
    ("entries", "says"),
    [
        (['name = "unit"\nfile = "g.geojson"\ncolour = "red"'], "colour"),
        (['name = "unit"'], "file"),
        ([], "layers"),
        (['name = "unit"\nfile = "g.geojson"'] * 2, "'unit' twice"),
        (['name = "unit"\nfile = "g.geojson"\nparent = "street"'], "'street' is not the name of a later layer"),
        (['name = "unit"\nfile = "g.geojson"\npattern = "("'], "layers.pattern"),
        (['name = "unit"\nfile = "g.geojson"\ndatum = "xian80"'], "unknown datum 'xian80'"),
        (['name = "unit"\nfile = "g.geojson"\ncode = "kode"'], "no property 'kode'; the file has: code, name"),
        (['name = "unit"\nfile = "g.geojson"\nname_property = "nom"'], "layers.name_property: no property 'nom'"),
        (['name = "unit"\nfile = "none.geojson"'], "no grid file"),
        (['name = "city"\nfile = "g.geojson"'], "'city' is taken"),
    ],
)
def test_mistakes_in_the_layer_list(tmp_path: Path, entries: list[str], says: str) -> None:
    squares(tmp_path / "g.geojson")
    assert says in refused(layer_list(tmp_path, *entries))


def test_files_that_are_no_polygon_files(tmp_path: Path) -> None:
    assert "no grid file" in refused(tmp_path / "none.geojson")
    for name, content in [("a.geojson", "{"), ("b.json", '{"type": "Point"}'), ("c.gpkg", "x"), ("d.toml", "[[")]:
        (tmp_path / name).write_text(content, encoding="utf-8")
        assert name in refused(tmp_path / name)
    assert "none.toml" in refused(tmp_path / "none.toml")
