"""A source is built from its file, or refused with the column that is wrong."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from shared.errors import DataError
from shared.schema import Column
from shared.sources import Source, SourceTable
from shared.values import from_texts

TABLE = pa.table(
    {
        "place": ["JFK", "JFK", None],
        "hour": ["2013-01-01T05:00:00Z", "2013-01-01T06:00:00Z", "2013-01-01T06:00:00Z"],
        "temp": [1.5, None, 3.0],
    }
)
SOURCE = Source("weather", {"origin": "place"}, (Column("temp", "numeric"),), ("at", "hour"))


def test_a_table_is_joined_by_key_and_time() -> None:
    asked = {
        "origin": from_texts("category", ["JFK", "JFK", "JFK", ""]),
        "at": from_texts("datetime", ["2013-01-01T05:59", "2013-01-01T07:00", "2013-01-01", ""]),
    }
    found = SourceTable.build(SOURCE, TABLE).lookup(asked)["weather.temp"]
    assert np.array_equal(found, [1.5, np.nan, np.nan, np.nan], equal_nan=True)


def test_a_row_without_key_is_left_out() -> None:
    assert len(SourceTable.build(SOURCE, TABLE)) == 2


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (Source("weather", {"origin": "plase"}, SOURCE.columns), "'plase' is not a column"),
        (Source("weather", SOURCE.keys, (Column("tmp", "numeric"),)), "Did you mean 'temp'"),
        (Source("weather", SOURCE.keys, SOURCE.columns, ("at", "temp")), "datetime column cannot"),
        (Source("weather", SOURCE.keys, SOURCE.columns), "rows 0 and 1 have the same key"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(source: Source, words: str) -> None:
    with pytest.raises(DataError, match=f"source 'weather'.*{words}"):
        SourceTable.build(source, TABLE)
