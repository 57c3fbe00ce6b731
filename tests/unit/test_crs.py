"""Datums: names, published values, edges."""

from __future__ import annotations

import numpy as np
import pytest

from geo.crs import CHINA, datum_name, find_datum, from_wgs84, in_china, to_wgs84
from schemas import UsageError

# A published example of the widely used formulas: Beijing, to 1e-9 degrees.
WGS84 = (116.404, 39.915)
GCJ02 = (116.41024449916938, 39.91640428150164)
BD09_OF_GCJ02 = (116.41036949371029, 39.92133699351021)


def test_gcj02_agrees_with_the_published_example() -> None:
    assert np.allclose(from_wgs84(*WGS84, "gcj02"), GCJ02, atol=1e-9, rtol=0)


def test_bd09_agrees_with_the_published_example() -> None:
    lon, lat = to_wgs84(*WGS84, "gcj02")  # the point whose GCJ-02 is WGS84's numbers
    assert np.allclose(from_wgs84(lon, lat, "bd09"), BD09_OF_GCJ02, atol=1e-8, rtol=0)


def test_cgcs2000_and_wgs84_are_the_same() -> None:
    for datum in ("wgs84", "cgcs2000"):
        assert to_wgs84(*WGS84, datum) == WGS84
        assert from_wgs84(*WGS84, datum) == WGS84


@pytest.mark.parametrize("point", [(-87.63, 41.88), (0.0, 0.0), (139.7, 35.7), (1e300, -1e300)])
def test_gcj02_is_wgs84_outside_china(point: tuple[float, float]) -> None:
    assert from_wgs84(*point, "gcj02") == point
    assert to_wgs84(*point, "gcj02") == point


def test_shape_is_kept_and_nan_stays() -> None:
    lon, lat = to_wgs84([[116.4, np.nan]], [[39.9, 39.9]], "gcj02")
    assert lon.shape == lat.shape == (1, 2)
    assert np.isnan(lon[0, 1])
    assert not np.isnan(lon[0, 0])


def test_arguments_are_not_changed() -> None:
    x, y = np.array([116.4]), np.array([39.9])
    for datum in ("gcj02", "bd09"):
        to_wgs84(x, y, datum)
        from_wgs84(x, y, datum)
    assert (x[0], y[0]) == (116.4, 39.9)


def test_points_just_inside_the_rectangle_come_back() -> None:
    west, east, south, north = CHINA
    x = np.array([west, west + 1e-4, east, east - 1e-4, 100.0, 100.0])
    y = np.array([30.0, 30.0, 30.0, 30.0, south, north])
    assert in_china(x, y).all()
    assert np.allclose(to_wgs84(*from_wgs84(x, y, "gcj02"), "gcj02"), (x, y), atol=1e-8, rtol=0)


@pytest.mark.parametrize(
    ("spelling", "name"),
    [("WGS84", "wgs84"), ("EPSG:4326", "wgs84"), ("GCJ-02", "gcj02"), ("gcj_02", "gcj02"), ("BD-09", "bd09"),
     ("CGCS 2000", "cgcs2000"), ("epsg:4490", "cgcs2000")],
)  # fmt: skip
def test_usual_spellings(spelling: str, name: str) -> None:
    assert datum_name(spelling) == name


def test_unknown_datum_lists_the_known() -> None:
    with pytest.raises(UsageError) as caught:
        to_wgs84(1.0, 2.0, "xian80")
    for text in (caught.value.en, caught.value.zh):
        assert "xian80" in text
        assert "gcj02" in text
    assert find_datum("xian80") == ""
