"""Many values at once become the very bits that they become one by one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import many, values
from shared.values import Kind, Mistake

NUMBERS = st.one_of(
    st.none(), st.integers(), st.floats(), st.sampled_from([10**400, -0.0, 2**64, True, "5", []])
)
DIGITS = st.text("0123456789.-+eE_ nainfNAN/?١", max_size=8)
DAYS = ["2013-07-01", "0001-01-01", "9999-12-31", "0000-01-01", "2013-02-30", "2012-02-29"]
HOURS = ["T", " ", "15:30", "24:00", "15:30:59", "15:30:60", ".5", ".123456", ".1234567"]
PIECES = st.sampled_from([*DAYS, *HOURS, "Z", "+02:00", "\n", "NaT", "now", "2013", "NA", ""])
TIMES = st.lists(PIECES, max_size=4).map("".join) | st.datetimes().map(str)


def outcome(convert: Any, kind: Kind, given: Any) -> Any:
    """The bits, or the mistake."""
    try:
        array = convert(kind, given)
    except Mistake as mistake:
        return mistake.row, mistake.code, mistake.message
    return np.asarray(array).dtype.str, np.asarray(array).tobytes()


def one_by_one(convert: Any) -> Any:
    return lambda kind, given: values.array_of(kind, convert(kind, given))


@given(st.lists(NUMBERS, max_size=6))
def test_numbers(given: list[Any]) -> None:
    expected = outcome(one_by_one(values.cells_of_values), "numeric", given)
    assert outcome(values.from_values, "numeric", given) == expected


@given(st.lists(DIGITS | st.sampled_from(sorted(many.MISSING_TEXTS)), max_size=6))
def test_numbers_as_text(given: list[str]) -> None:
    expected = outcome(one_by_one(values.cells_of_texts), "numeric", given)
    assert outcome(values.from_texts, "numeric", given) == expected


@given(st.lists(TIMES | st.none() | st.sampled_from([5, True]), max_size=6))
def test_times(given: list[Any]) -> None:
    expected = outcome(one_by_one(values.cells_of_values), "datetime", given)
    assert outcome(values.from_values, "datetime", given) == expected


@given(st.lists(TIMES, max_size=6))
def test_times_as_text(given: list[str]) -> None:
    expected = outcome(one_by_one(values.cells_of_texts), "datetime", given)
    assert outcome(values.from_texts, "datetime", given) == expected


@pytest.mark.parametrize(
    ("function", "given"),
    [
        (many.numbers, [1, 2.5, None]),
        (many.number_texts, ["1", "-2.5e3", "", "NA"]),
        (many.times, ["2013-07-01", None, "2013-07-01 15:30", "2013-07-01T15:30:00.5"]),
        (many.time_texts, ["2013-07-01", "", "?"]),
    ],
)
def test_plain_values_are_taken_together(function: Any, given: list[Any]) -> None:
    assert len(function(given)) == len(given)
