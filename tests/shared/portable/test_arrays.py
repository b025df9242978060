"""numpy arrays of every type become canonical columns, or are refused with the row."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from shared.arrays import from_array
from shared.values import ColumnMistake, Kind, Mistake

NAT = np.datetime64("NaT")


@pytest.mark.parametrize(
    ("array", "kind", "expected"),
    [
        (np.array([1, 2], "<i4"), "numeric", [1.0, 2.0]),
        (np.array([2**64 - 1], "<u8"), "numeric", [2.0**64]),
        (np.array([0.5], ">f2"), "numeric", [0.5]),
        (np.array(["1.5", "NA"]), "numeric", [1.5, np.nan]),
        (np.array([b"1.5", b""]), "numeric", [1.5, np.nan]),
        (np.array([0, 1]), "boolean", [0.0, 1.0]),
        (np.array([np.nan, 1.0]), "boolean", [np.nan, 1.0]),
        (np.array([True, False]), "boolean", [1.0, 0.0]),
        (np.array(["yes", "false"]), "boolean", [1.0, 0.0]),
    ],
    ids=str,
)
def test_numbers_and_booleans(array: Any, kind: Kind, expected: list[float]) -> None:
    found = from_array(kind, array)
    assert found.dtype == np.float64
    assert found.tolist() == pytest.approx(expected, nan_ok=True, rel=0, abs=0)


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.array(["é", ""], ">U3"), ["é", None]),
        (np.array(["é".encode()]), ["é"]),
        (np.array([5, 2**40]), ["5", "1099511627776"]),
        (np.array([5.0, 0.5, np.nan, -0.0]), ["5", "0.5", None, "0"]),
        (np.array([True, False]), ["true", "false"]),
        (np.array(["2013-07-01", "NaT"], "M8[D]"), ["2013-07-01T00:00:00.000000", None]),
    ],
    ids=str,
)
def test_categories(array: Any, expected: list[str | None]) -> None:
    found = from_array("category", array)
    assert found.dtype == object
    assert found.tolist() == expected


@pytest.mark.parametrize("unit", ["Y", "M", "W", "D", "h", "m", "s", "ms", "us", "7D", "25s"])
@pytest.mark.parametrize("order", "<>")
def test_times_of_any_unit_and_byte_order(unit: str, order: str) -> None:
    days = np.array(["1950-01-01", "2013-01-01", "NaT"], f"{order}M8[{unit}]")
    found = from_array("datetime", days)
    assert found.dtype == np.dtype("M8[us]")
    assert np.array_equal(found, days, equal_nan=True)


def test_finer_times_are_rounded_down_to_microseconds_as_text_is() -> None:
    texts = ["1969-12-31T23:59:59.123456999", "2013-01-01T00:00:00.000000999"]
    expected = from_array("datetime", np.array(texts)).tolist()
    assert from_array("datetime", np.array(texts, "M8[ns]")).tolist() == expected


@pytest.mark.parametrize(
    "array",
    [
        np.array([0, 2**62], "M8[s]"),
        np.array([0, -(2**62)], "M8[D]"),
        np.array([0, 2**40], "M8[Y]"),
        np.array(["2013-01-01", "10000-01-01"], "M8[D]"),
        np.array(["2013-01-01", "0000-12-31"], "M8[D]"),
    ],
    ids=str,
)
def test_times_that_microseconds_or_text_cannot_say_are_refused(array: Any) -> None:
    with pytest.raises(Mistake) as caught:
        from_array("datetime", array)
    assert (caught.value.row, caught.value.code) == (1, "out_of_range")


@pytest.mark.parametrize(
    ("array", "kind", "code"),
    [
        (np.array([1.0, np.inf]), "numeric", "not_finite"),
        (np.array([1.0, -np.inf]), "category", "not_finite"),
        (np.array([1, 2]), "boolean", "wrong_type"),
        (np.array(["1", "x"]), "numeric", "wrong_type"),
        (np.array([b"a", b"\xff"]), "category", "wrong_charset"),
        (np.frombuffer(b"a\0\0\0\xff\xff\xff\xff", "<U1"), "category", "wrong_charset"),
    ],
    ids=["inf", "-inf", "2", "x", "bytes", "no character"],
)
def test_a_wrong_value_is_refused_by_row(array: Any, kind: Kind, code: str) -> None:
    with pytest.raises(Mistake) as caught:
        from_array(kind, array)
    assert (caught.value.row, caught.value.code) == (1, code)


@pytest.mark.parametrize(
    ("array", "kind"),
    [
        (np.array([True]), "numeric"),
        (np.array([1]), "datetime"),
        (np.array([1j]), "numeric"),
        (np.array([None]), "category"),
        (np.array([1], "m8[s]"), "numeric"),
        (np.array([1], "M8[s]"), "numeric"),
        (np.array([NAT]), "datetime"),
        (np.zeros(1, "V3"), "category"),
    ],
    ids=str,
)
def test_a_type_that_a_kind_cannot_be_made_of_is_refused_as_a_whole(array: Any, kind: Kind) -> None:
    with pytest.raises(ColumnMistake):
        from_array(kind, array)
