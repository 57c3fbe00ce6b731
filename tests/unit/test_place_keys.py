"""Which addresses name one place, and which are the same."""

from __future__ import annotations

import pytest

from geo.address.keys import normalise, place_key


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("人民路120号3幢402室", "a:人民路120号3幢402室"),
        ("人民路１２０号　３幢４０２室", "a:人民路120号3幢402室"),
        ("人民路 120 号", "a:人民路120号"),
        ("张东路2281弄", "a:张东路2281弄"),
        ("幸福小区三号楼", "a:幸福小区三号楼"),
        ("幸福小区3#楼", "a:幸福小区3#楼"),
        ("科技大厦A座", "a:科技大厦a座"),
        ("4507 Brooklyn Av Ne", "a:4507 brooklyn av ne"),
        ("024XX W LITHUANIAN PLAZA CT", "a:024xx w lithuanian plaza ct"),
        ("BRIAR PATH & WHITEMARSH LN", "a:briar path&whitemarsh ln"),
        ("Whitemarsh Ln /  Briar Path", "a:briar path&whitemarsh ln"),
        ("12th Av / Pine St", "a:12th av&pine st"),
        ("解放路/人民路", "a:人民路&解放路"),
        ("人民路与解放路交叉口", "a:人民路&解放路"),
        ("人民路与解放路路口", "a:人民路&解放路"),
    ],
)
def test_specific_addresses(address: str, key: str) -> None:
    assert place_key(address, None, None) == key
    assert place_key(address, 121.4, 31.2) == key  # wherever the coordinate: it is the address that counts


@pytest.mark.parametrize("address", ["人民路", "人民广场附近", "12th Av", "地铁5号线", "三里屯", "Northgate Mall"])
def test_vague_addresses_need_a_coordinate(address: str) -> None:
    assert place_key(address, None, None) == ""
    assert place_key(address, 121.47371, 31.23042) == f"p:{normalise(address)}@121.4737,31.2304"
    assert place_key(address, 121.47369, 31.23038) == place_key(address, 121.47371, 31.23042)
    assert place_key(address, 121.4750, 31.23042) != place_key(address, 121.47371, 31.23042)


@pytest.mark.parametrize("address", ["", "  ", "　"])
def test_no_address_has_no_key(address: str) -> None:
    assert place_key(address, 121.4, 31.2) == ""


def test_blanks_between_latin_words_still_tell_them_apart() -> None:
    assert place_key("1 12th Av", None, None) != place_key("11 2th Av", None, None)
    assert place_key("1  12TH\tAV ", None, None) == place_key("1 12th Av", None, None)


def test_zero_has_no_sign() -> None:
    assert place_key("pier", -0.00001, 0.00001) == "p:pier@0.0000,0.0000"
