"""locate: raw coordinate and declared datum to WGS 84, cells, keys, quality."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo.crs import from_wgs84
from geo.grids import open_grids, regular_grids
from schemas import Located, Signal
from streams.rooms.locate import Locate
from tests.cells import SOUTH, STEP, WEST, city

LON, LAT = WEST + STEP / 2, SOUTH + STEP / 2
CELLS = ("1000000", "P1", "100")
NOWHERE = ("", "", "")


def signal(x: float | None = None, y: float | None = None, datum: str = "wgs84", address: str = "") -> Signal:
    return Signal(
        id="110:1", source="110", revision=1, occurred_at_ms=0, reported_at_ms=0, received_at_ms=0, category="治安",
        x=x, y=y, datum=datum, address=address,
    )  # fmt: skip


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Locate:
    return Locate(open_grids(city(tmp_path_factory.mktemp("city"))))


def one(room: Locate, signal: Signal) -> Located:
    (located,) = room.step([signal])
    assert located.signal is signal
    return located


def test_nothing_gives_nothing(room: Locate) -> None:
    assert room.step([]) == []


@pytest.mark.parametrize("datum", ["wgs84", "cgcs2000", "gcj02", "bd09", "GCJ-02"])
def test_every_datum_ends_in_the_same_cell(room: Locate, datum: str) -> None:
    x, y = from_wgs84(LON, LAT, datum)
    located = one(room, signal(float(x), float(y), datum))
    assert (located.cells, located.quality) == (CELLS, "point")
    assert (located.lon, located.lat) == (pytest.approx(LON, abs=1e-8), pytest.approx(LAT, abs=1e-8))
    assert (located.signal.x, located.signal.datum) == (float(x), datum)  # the raw one is kept


def test_a_wgs84_coordinate_is_not_touched(room: Locate) -> None:
    located = one(room, signal(LON, LAT))
    assert (located.lon, located.lat) == (LON, LAT)
    assert located.uncertainty_m == 0


@pytest.mark.parametrize(
    ("x", "y", "datum"),
    [
        (None, None, "wgs84"),
        (None, LAT, "wgs84"),
        (LON, None, "gcj02"),
        (float("nan"), LAT, "wgs84"),
        (LON, float("inf"), "gcj02"),
        (LON, LAT, "xian80"),
        (LON, LAT, ""),
    ],
)
def test_without_a_usable_coordinate_it_is_unlocated(room: Locate, x: float, y: float, datum: str) -> None:
    located = one(room, signal(x, y, datum, "人民路120号"))
    assert (located.cells, located.lon, located.lat, located.quality) == (NOWHERE, None, None, "unlocated")
    assert located.place_keys == ("a:人民路120号",)


@pytest.mark.parametrize(("x", "y"), [(0.0, 0.0), (WEST - 1, LAT), (500.0, -900.0), (1e300, 1e300)])
def test_a_coordinate_in_no_cell_is_outside(room: Locate, x: float, y: float) -> None:
    located = one(room, signal(x, y))
    assert (located.cells, located.lon, located.lat, located.quality) == (NOWHERE, x, y, "outside")


def test_keys_of_the_place(room: Locate) -> None:
    assert one(room, signal(LON, LAT, address="人民路120号")).place_keys == ("a:人民路120号",)
    assert one(room, signal(LON, LAT, address="人民路")).place_keys == ("p:人民路@121.4050,31.2050",)
    assert one(room, signal(address="人民路")).place_keys == ()
    assert one(room, signal(LON, LAT)).place_keys == ()


def test_a_vague_place_is_keyed_in_wgs84_whatever_the_datum(room: Locate) -> None:
    x, y = from_wgs84(LON, LAT, "gcj02")
    raw, plain = signal(float(x), float(y), "gcj02", "人民路"), signal(LON, LAT, address="人民路")
    assert one(room, raw).place_keys == one(room, plain).place_keys


def test_regular_grids_fit_the_room() -> None:
    located = one(Locate(regular_grids({"unit": 500, "street": 2000})), signal(121.4737, 31.2304))
    assert (located.cells, located.quality) == (("500N6953E23129", "2000N1738E5782"), "point")


COORDINATE = st.one_of(st.none(), st.floats(), st.floats(WEST - STEP, WEST + 5 * STEP), st.floats(31.19, 31.25))
SIGNALS = st.lists(
    st.builds(
        signal,
        x=COORDINATE,
        y=COORDINATE,
        datum=st.sampled_from(["wgs84", "gcj02", "bd09", "cgcs2000", "xian80"]),
        address=st.sampled_from(["", "人民路", "人民路120号", "a / b"]),
    ),
    max_size=12,
)


@given(signals=SIGNALS, cut=st.integers(0, 12))
def test_one_batch_of_many_is_many_batches(room: Locate, signals: list[Signal], cut: int) -> None:
    whole = room.step(signals)
    assert len(whole) == len(signals)
    assert whole == room.step(signals[:cut]) + room.step(signals[cut:])
    assert whole == [located for each in signals for located in room.step([each])]
    assert {located.quality for located in whole} <= {"point", "outside", "unlocated"}
