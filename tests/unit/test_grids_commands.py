"""`quanyu grids ...` and `quanyu locate` as a user runs them."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bench.join import main as bench_join
from streams.commands.grids import grids, locate
from tests.cells import SOUTH, STEP, WEST, box, city, feature, squares, write

HERE = {"lon": WEST + STEP / 5, "lat": SOUTH + STEP / 2}


def run(command: object, *arguments: str | Path, text: str | bytes = "", lang: str = "en") -> Result:
    return CliRunner().invoke(command, [str(a) for a in arguments], input=text, obj={"lang": lang})  # type: ignore[call-overload, no-any-return]


def rows(result: Result) -> list[dict[str, object]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_check_of_a_sound_city(tmp_path: Path) -> None:
    result = run(grids, "check", city(tmp_path), "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert (told["errors"], told["warnings"], told["findings"]) == (0, 0, [])
    assert [(layer["name"], layer["cells"]) for layer in told["layers"]] == [("unit", 16), ("police", 2), ("street", 4)]
    assert told["layers"][0]["area_km2"] == pytest.approx(16 * 1.06, rel=0.01)


@pytest.mark.parametrize(("lang", "word"), [("en", "overlap by"), ("zh", "重叠")])
def test_check_of_overlapping_cells(tmp_path: Path, lang: str, word: str) -> None:
    path = write(tmp_path / "g.geojson", [feature(box(0, 0, 2), code="a"), feature(box(1, 0), code="b")])
    result = run(grids, "check", path, "--json", lang=lang)
    assert result.exit_code == 1
    (finding,) = json.loads(result.stdout)["findings"]
    assert word in finding["message"]
    assert (finding["kind"], finding["codes"], finding["level"]) == ("overlap", ["a", "b"], "error")
    assert finding["fix"]
    table = run(grids, "check", path, lang=lang)
    assert table.exit_code == 1
    assert "1 errors" in table.stdout or "1 个错误" in table.stdout


def test_check_against_a_reference_of_another_datum(tmp_path: Path) -> None:
    path = squares(tmp_path / "g.geojson")
    assert run(grids, "check", path, "--reference", path).exit_code == 0
    result = run(grids, "check", path, "--reference", path, "--reference-datum", "gcj02", "--json")
    assert result.exit_code == 1
    assert [finding["kind"] for finding in json.loads(result.stdout)["findings"]] == ["datum"]


def test_wrong_usage_names_the_file(tmp_path: Path) -> None:
    for arguments in (["check", "none.geojson"], ["build", "none.geojson", "-o", "x.qgrid"]):
        result = run(grids, *arguments)
        assert result.exit_code == 2
        assert "none.geojson" in result.stderr
    assert run(grids, "build", city(tmp_path), "-o", tmp_path / "x.bin").exit_code == 2
    assert run(grids, "check", city(tmp_path), "--datum", "gcj02").exit_code == 2


def test_build_then_locate(tmp_path: Path) -> None:
    built = run(grids, "build", city(tmp_path), "-o", tmp_path / "city.qgrid", "--json")
    assert built.exit_code == 0, built.output
    assert json.loads(built.stdout)["layers"] == {"unit": 16, "police": 2, "street": 4}
    line = json.dumps({"id": "x", **HERE})
    (row,) = rows(run(locate, "--grids", tmp_path / "city.qgrid", text=line))
    assert (row["id"], row["cells"]) == ("x", {"unit": "1000000", "police": "P1", "street": "100"})


def test_locate_reads_csv_and_ndjson_alike(tmp_path: Path) -> None:
    points = [("1", HERE["lon"], HERE["lat"], "wgs84"), ("2", HERE["lon"], HERE["lat"], "GCJ-02"), ("3", 0, 0, "")]
    table = "id,lon,lat,crs\r\n" + "".join(f"{i},{x},{y},{crs}\r\n" for i, x, y, crs in points)
    lines = "".join(json.dumps({"id": i, "lon": x, "lat": y, "crs": crs or None}) + "\n" for i, x, y, crs in points)
    path = city(tmp_path)
    plain = rows(run(locate, "--grids", path, text=table))
    assert plain == rows(run(locate, "--grids", path, text=lines))
    (tmp_path / "p.csv.gz").write_bytes(gzip.compress(b"\xef\xbb\xbf" + table.encode()))
    assert plain == rows(run(locate, tmp_path / "p.csv.gz", "--grids", path))
    assert plain[0]["cells"] == {"unit": "1000000", "police": "P1", "street": "100"}
    assert plain[1]["cells"] == {"unit": "", "police": "", "street": ""}  # 400 m west: out of the city
    assert plain[2]["cells"] == {"unit": "", "police": "", "street": ""}


def test_locate_takes_a_default_datum(tmp_path: Path) -> None:
    line = json.dumps({"id": 1, **HERE})
    path = city(tmp_path)
    (row,) = rows(run(locate, "--grids", path, "--crs", "gcj02", text=line))
    assert row["lon"] != pytest.approx(HERE["lon"], abs=1e-4)


def test_locate_tells_bad_rows_and_goes_on(tmp_path: Path) -> None:
    lines = [
        '{"id": 1}', "nonsense", "[1]", '{"id": 2, "lon": "x", "lat": 1}', '{"id": 3, "lon": 1, "lat": NaN}', "",
        '{"id": 4, "lon": "inf", "lat": 1}', '{"id": 5, "lon": 1, "lat": 1, "crs": "xian80"}',
        json.dumps({"id": 6, **HERE}),
    ]  # fmt: skip
    result = run(locate, "--grids", city(tmp_path), text="\n".join(lines))
    assert result.exit_code == 0
    assert "7 of 8 rows" in result.stderr
    out = rows(result)
    assert ["error" in row for row in out] == [True] * 7 + [False]
    assert [row["id"] for row in out] == [1, None, None, 2, None, 4, 5, 6]


def test_locate_of_nothing_and_of_nothing_readable(tmp_path: Path) -> None:
    path = city(tmp_path)
    assert run(locate, "--grids", path, text="").exit_code == 0
    assert run(locate, "--grids", path, text='{"id": 1}\n').exit_code == 3
    assert run(locate, "--grids", path, text="lon,lat\n,\n").exit_code == 3
    assert run(locate, "--grids", path, text="nonsense\n").exit_code == 2
    assert run(locate, tmp_path / "none.csv", "--grids", path).exit_code == 2


def test_locate_without_grids_uses_regular_squares(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (row,) = rows(run(locate, text='{"id": 1, "lon": 121.4737, "lat": 31.2304}'))
    assert row["cells"] == {"unit": "500N6953E23129", "street": "2000N1738E5782", "district": "10000N347E1156"}


def test_make_writes_a_sound_grid(tmp_path: Path) -> None:
    path = tmp_path / "made.geojson"
    result = run(grids, "make", "121.40", "31.20", "121.43", "31.22", "--shape", "hex", "-o", path)
    assert result.exit_code == 0, result.output
    assert run(grids, "check", path).exit_code == 0


def test_the_bench_judges_any_polygon_file(tmp_path: Path) -> None:
    for arguments in (["--cells", "300"], ["--polygons", city(tmp_path)]):
        result = run(bench_join, *arguments, "--points", "20000", "--sample", "800", "--json")
        assert result.exit_code == 0, result.output
        told = json.loads(result.stdout)
        assert told["figures"]["exact_share"]["ok"] is True
        assert told["figures"]["points_per_second"]["value"] > 0
