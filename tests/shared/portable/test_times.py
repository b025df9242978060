"""ISO 8601 text is read as Python's own parser reads it, with or without an offset from UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import values
from shared.values import Mistake

OFFSETS = st.integers(-23 * 60 - 59, 23 * 60 + 59).map(lambda m: timezone(timedelta(minutes=m)))


@given(st.lists(st.datetimes(timezones=st.none() | st.just(UTC) | OFFSETS), min_size=1))
def test_times_are_read_as_python_reads_them(moments: list[datetime]) -> None:
    expected = [
        np.datetime64(moment.replace(tzinfo=None), "us")
        - np.timedelta64(moment.utcoffset() or timedelta(), "us")
        for moment in moments
    ]
    found = values.from_values("datetime", [moment.isoformat() for moment in moments])
    assert found.tolist() == np.array(expected, dtype=values.TIME).tolist()


@pytest.mark.parametrize("offset", ["+02:30", "+0230"])
def test_an_offset_may_be_written_with_or_without_a_colon(offset: str) -> None:
    [found] = values.from_values("datetime", [f"2013-07-01T15:30{offset}"])
    assert found == np.datetime64("2013-07-01T13:00:00", "us")


@pytest.mark.parametrize(
    "text",
    ["0000-01-01", "2013-02-29", "2013-07-01T24:00", "2013-07-01T15:30+24:00", "NaT", "today"],
)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(Mistake) as caught:
        values.from_values("datetime", ["2013-07-01", text])
    assert (caught.value.row, caught.value.code) == (1, "bad_date")
