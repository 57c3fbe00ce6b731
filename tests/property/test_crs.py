"""Every datum and back: within a millimetre anywhere in China, whatever the point."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo.crs import CHINA, DATUMS, from_wgs84, to_wgs84
from geo.metres import METRES_PER_DEGREE, offset_m

WEST, EAST, SOUTH, NORTH = CHINA
POINT = st.tuples(st.floats(WEST, EAST), st.floats(SOUTH, NORTH))


@pytest.mark.parametrize("datum", DATUMS)
@given(point=POINT)
def test_there_and_back_is_within_a_millimetre(datum: str, point: tuple[float, float]) -> None:
    lon, lat = to_wgs84(*from_wgs84(*point, datum), datum)
    assert np.hypot(*offset_m(*point, float(lon), float(lat))) < 1e-3


@given(point=POINT)
def test_gcj02_is_metres_to_a_kilometre_off(point: tuple[float, float]) -> None:
    x, y = from_wgs84(*point, "gcj02")
    assert 0 < np.hypot(*offset_m(*point, float(x), float(y))) < 1_500


@given(points=st.lists(st.tuples(st.floats(-180, 180), st.floats(-90, 90)), min_size=1, max_size=20))
def test_many_at_once_are_each_alone(points: list[tuple[float, float]]) -> None:
    xy = np.array(points)
    for datum in DATUMS:
        together = np.column_stack(to_wgs84(xy[:, 0], xy[:, 1], datum))
        alone = np.array([to_wgs84(x, y, datum) for x, y in points])
        assert np.abs(together - alone).max() * METRES_PER_DEGREE < 1e-6
