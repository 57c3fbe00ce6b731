"""Every kind of defect is found, with cells, place and size; a sound city has none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import shapely

from geo.check import as_builtins, check, errors
from geo.crs import from_wgs84
from geo.findings import ERROR, FIXES, WARNING, Finding
from geo.layers import Layer, LayerSpec, read_layer, read_specs
from geo.metres import METRES_PER_DEGREE
from tests.cells import STEP, WEST, box, city, feature, squares, write

#: area of a lattice cell, m²
CELL = (STEP * METRES_PER_DEGREE) ** 2 * np.cos(np.radians(31.205))
BOWTIE = shapely.Polygon([(WEST, 31.2), (WEST + STEP, 31.21), (WEST + STEP, 31.2), (WEST, 31.21)])


def layer(name: str = "unit", codes: str = "", *shapes: shapely.Geometry | None, **spec: object) -> Layer:
    names = tuple(codes.split())
    made = LayerSpec(name=name, file=f"{name}.geojson", **spec)  # type: ignore[arg-type]
    return Layer(made, names, names, np.array(shapes, dtype=object))


def only(found: list[Finding], kind: str) -> Finding:
    assert [finding.kind for finding in found] == [kind]
    return found[0]


def read(path: Path) -> list[Layer]:
    return [read_layer(spec) for spec in read_specs(path)]


def test_a_sound_city_has_no_findings(tmp_path: Path) -> None:
    assert check(read(city(tmp_path))) == []


def test_an_invalid_ring_is_found_where_it_crosses() -> None:
    found = only(check([layer("unit", "a", BOWTIE)]), "invalid")
    assert (found.level, found.codes) == (ERROR, ("a",))
    assert found.place == pytest.approx((WEST + STEP / 2, 31.205))


def test_a_repaired_ring_is_told(tmp_path: Path) -> None:
    write(tmp_path / "g.geojson", [feature(BOWTIE, code="a")])
    (tmp_path / "g.toml").write_text('repair = true\n[[layers]]\nname = "unit"\nfile = "g.geojson"\n', encoding="utf-8")
    assert only(check(read(tmp_path / "g.toml")), "repaired").level == WARNING


def test_an_overlap_has_its_two_cells_place_and_size() -> None:
    found = only(check([layer("unit", "a b", box(0, 0, 1.25), box(1, 0))]), "overlap")
    assert (found.level, found.codes) == (ERROR, ("a", "b"))
    assert found.size_m2 == pytest.approx(CELL / 4, rel=1e-3)
    assert found.place is not None
    assert box(1, 0, 0.25).covers(shapely.Point(found.place))


@pytest.mark.parametrize("shape", [box(0, 0), box(0.25, 0.25, 0.5, 0.5)])
def test_equal_and_contained_cells_overlap(shape: shapely.Polygon) -> None:
    found = only(check([layer("unit", "a b", box(0, 0), shape)]), "overlap")
    assert found.size_m2 == pytest.approx(shape.area / box(0, 0).area * CELL, rel=1e-3)


def test_a_hair_overlap_is_a_warning_and_rounding_is_nothing() -> None:
    assert only(check([layer("unit", "a b", box(0, 0, 1 + 5e-5), box(1, 0))]), "overlap").level == WARNING
    assert check([layer("unit", "a b", box(0, 0, 1 + 1e-8), box(1, 0))]) == []


def test_a_gap_is_found_with_its_neighbours() -> None:
    cells = [box(c, r) for r in range(3) for c in range(3) if (c, r) != (1, 1)]
    found = only(check([layer("unit", "a b c d e f g h", *cells)]), "gap")
    assert (found.level, found.codes) == (ERROR, tuple("abcdefgh"))
    assert found.size_m2 == pytest.approx(CELL, rel=1e-3)
    allowed = layer("unit", "a b c d e f g h", *cells, enclaves=True)
    assert only(check([allowed]), "gap").level == WARNING


def test_a_hair_gap_is_a_warning() -> None:
    left, right = box(0, 0), box(1, 0)
    bent = shapely.Polygon([*left.exterior.coords[:1], (WEST + STEP - 3e-7, 31.205), *left.exterior.coords[1:]])
    found = check([layer("unit", "a b", shapely.union(bent, left), shapely.difference(right, left))])
    assert found == []
    notch = shapely.Polygon([(WEST + STEP, 31.202), (WEST + STEP + 1e-6, 31.205), (WEST + STEP, 31.208)])
    found = check([layer("unit", "a b", left, shapely.difference(right, notch))])
    assert only(found, "gap").level == WARNING


def test_a_sliver_is_found() -> None:
    thin = box(0, 1, 1, 5e-4)  # half a metre high
    assert only(check([layer("unit", "a b", box(0, 0), thin)]), "sliver").codes == ("b",)


def test_codes_missing_double_and_against_the_pattern() -> None:
    shapes = [box(k, 0) for k in range(4)]
    made = LayerSpec(name="unit", file="-", pattern="^[0-9]{2}$")
    found = check([Layer(made, ("", "01", "01", "1x"), ("", "", "", ""), np.array(shapes, dtype=object))])
    assert [(f.kind, f.codes) for f in found] == [
        ("missing_code", ()),
        ("duplicate_code", ("01",)),
        ("code_pattern", ("1x",)),
    ]
    assert errors(found) == 3


@pytest.mark.parametrize("shape", [None, shapely.Point(121, 31), shapely.Polygon()])
def test_a_cell_without_polygon(shape: shapely.Geometry | None) -> None:
    assert only(check([layer("unit", "a b", shape, box(0, 0))]), "no_polygon").codes == ("a",)


def test_a_layer_without_any_polygon() -> None:
    found = check([layer("unit", "a", None, parent="street"), layer("street", "s", box(0, 0))])
    assert only(found, "no_polygon").layer == "unit"
    found = check([layer("unit", "a", box(0, 0), parent="street"), layer("street", "s", None)])
    assert only(found, "no_polygon").layer == "street"


def test_coordinates_that_are_not_degrees_or_swapped() -> None:
    assert only(check([layer("unit", "a", shapely.box(3e5, 3.4e6, 3.1e5, 3.41e6))]), "not_degrees").level == ERROR
    assert only(check([layer("unit", "a", shapely.box(31.2, 121.4, 31.3, 121.5))]), "swapped").level == ERROR


def test_a_chinese_datum_outside_china() -> None:
    chicago = shapely.box(-87.7, 41.8, -87.6, 41.9)
    assert only(check([layer("unit", "a", chicago, datum="gcj02")]), "outside_china").level == ERROR


def test_a_child_beyond_its_parent_or_in_none() -> None:
    parent = layer("street", "s", box(0, 0, 2, 1))
    beyond = check([layer("unit", "a", box(1.5, 0), parent="street"), parent])
    assert {f.kind: f.codes for f in beyond} == {"no_parent": ("a",)} or [f.kind for f in beyond] == ["outside_parent"]
    reaching = only(check([layer("unit", "a", box(0.8, 0, 1.5), parent="street"), parent]), "outside_parent")
    assert (reaching.level, reaching.codes) == (ERROR, ("a", "s"))
    assert reaching.size_m2 == pytest.approx(0.3 * CELL, rel=1e-3)
    lost = check([layer("unit", "a b", box(0, 0), box(5, 5), parent="street"), parent])
    assert only(lost, "no_parent").codes == ("b",)


def test_a_child_in_another_parent_than_its_code_says() -> None:
    parents = layer("street", "10 11", box(0, 0), box(1, 0))
    found = check([layer("unit", "100 101", box(0, 0, 1, 0.4), box(1, 0.5, 1, 0.4), parent="street"), parents])
    assert only(found, "wrong_parent").codes == ("101", "11")


def shifted(shape: shapely.Geometry, datum: str) -> shapely.Geometry:
    return shapely.transform(shape, lambda p: np.column_stack(from_wgs84(p[:, 0], p[:, 1], datum)))


@pytest.mark.parametrize("datum", ["gcj02", "bd09"])
def test_a_wrong_datum_is_named(tmp_path: Path, datum: str) -> None:
    city(tmp_path)
    cells = [
        feature(shifted(box(c, r), datum), code=f"1{r // 2}{c // 2}{r:02d}{c:02d}") for r in range(4) for c in range(4)
    ]
    write(tmp_path / "unit.geojson", cells)
    text = (tmp_path / "grids.toml").read_text(encoding="utf-8").replace('name_property = "name"\n', "")
    (tmp_path / "grids.toml").write_text(text, encoding="utf-8")
    found = next(f for f in check(read(tmp_path / "grids.toml")) if f.kind == "datum")
    assert (found.level, found.layer) == (ERROR, "unit")
    assert f"unit.geojson is {datum}, not wgs84" in found.en
    right = text.replace('file = "unit.geojson"', f'file = "unit.geojson"\ndatum = "{datum}"')
    (tmp_path / "grids.toml").write_text(right, encoding="utf-8")
    assert errors(check(read(tmp_path / "grids.toml"))) == 0


def test_a_reference_layer_shows_a_wrong_datum(tmp_path: Path) -> None:
    (right,) = read(squares(tmp_path / "g.geojson"))
    wrong = Layer(right.spec, right.codes, right.names, shifted(right.polygons, "gcj02"))
    assert "is gcj02, not wgs84" in only(check([wrong], right), "datum").en
    assert check([right], right) == []


def test_a_shift_of_no_known_datum_is_a_warning(tmp_path: Path) -> None:
    (right,) = read(squares(tmp_path / "g.geojson"))
    moved = Layer(right.spec, right.codes, right.names, shapely.transform(right.polygons, lambda p: p - [0.003, 0]))
    assert only(check([moved], right), "shift").level == WARNING


def test_every_kind_has_a_fix_in_both_languages() -> None:
    found = Finding(ERROR, "gap", "unit", ("a",), (121.0, 31.0), 5.0, "a gap", "空隙")
    (row,) = as_builtins([found], "zh")
    assert (row["message"], row["fix"], row["place"], row["size_m2"]) == ("空隙", FIXES["gap"][1], (121.0, 31.0), 5.0)
    assert all(en and zh and en != zh for en, zh in FIXES.values())
