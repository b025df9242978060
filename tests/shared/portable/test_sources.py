"""Sources are joined by key and time: the latest row that was known, never the future."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared import values
from shared.cells import ALONE, Cells
from shared.errors import BundleError, DataError
from shared.schema import Column, Schema, Target
from shared.sources import Source, SourceTable, enrich
from shared.transforms import Transforms
from shared.values import Array, Kind

PLACES = Source("places", {"dest": "faa"}, (Column("lat", "numeric"), Column("zone", "category")))
WEATHER = Source(
    name="weather",
    keys={"origin": "place", "level": "height"},
    columns=(
        Column("temp", "numeric"),
        Column("sky", "category"),
        Column("rain", "boolean"),
        Column("seen", "datetime"),
    ),
    as_of=("departure", "hour"),
    tolerance=10.0,
)


def texts(*cells: str | None) -> Array:
    return values.from_values("category", cells)


def moments(*seconds: float | None) -> Array:
    cells = ["NaT" if s is None else np.datetime64(int(s * 10**6), "us") for s in seconds]
    return np.array(cells, dtype="datetime64[us]")


def weather(rows: list[tuple[Any, ...]], tolerance: float | None = 10.0) -> SourceTable:
    """A table of rows (place, height, hour, temp)."""
    place, height, hour, temp = zip(*rows, strict=True) if rows else ((), (), (), ())
    columns = (Column("temp", "numeric"),)
    source = Source("weather", WEATHER.keys, columns, WEATHER.as_of, tolerance)
    return SourceTable.from_columns(
        source,
        {"place": texts(*place), "height": texts(*height)},
        {"hour": moments(*hour)},
        {"temp": np.array(temp, dtype=float)},
    )


def ask(table: SourceTable, *rows: tuple[Any, ...]) -> list[float]:
    """Temperatures found for rows of (origin, level, departure)."""
    origin, level, departure = zip(*rows, strict=True)
    asked = {"origin": texts(*origin), "level": texts(*level), "departure": moments(*departure)}
    found: list[float] = table.lookup(asked)["weather.temp"].tolist()
    kinds: dict[str, Kind] = {"origin": "category", "level": "category", "departure": "datetime"}
    times = [None if s is None else round(s * 10**6) for s in departure]
    cells = {"origin": origin, "level": level, "departure": times}
    for times_over in (1, ALONE):
        many = {name: [*column] * times_over for name, column in cells.items()}
        few = Cells(kinds, many, len(rows) * times_over)
        temperatures = enrich(few, [table])["weather.temp"].tolist()
        assert repr(temperatures) == repr(found * times_over)
    return found


cell = st.none() | st.sampled_from(["a", "b", "c"])
second = st.none() | st.integers(-5, 30)
table_rows = st.lists(st.tuples(cell, cell, second, st.integers(0, 10**6)), max_size=25)
asked_rows = st.lists(st.tuples(cell | st.just("z"), cell, second), min_size=1, max_size=15)


def by_hand(table: list[Any], asked: Any, tolerance: float | None) -> float:
    """The same join, spelled out row by row."""
    best: Any = None
    for place, height, hour, temp in table:
        if None in (place, height, hour, *asked) or (place, height) != asked[:2]:
            continue
        late = hour > asked[2] or (tolerance is not None and asked[2] - hour > tolerance)
        if not late and (best is None or hour >= best[0]):
            best = (hour, temp)
    return best[1] if best else math.nan


@settings(max_examples=300)
@given(table_rows, asked_rows, st.sampled_from([None, 0.0, 3.0, 10.0]))
def test_the_join_equals_one_spelled_out_row_by_row(
    table: list[Any], asked: list[Any], tolerance: float | None
) -> None:
    built = weather(table, tolerance)
    expected = [by_hand(table, row, tolerance) for row in asked]
    assert np.array_equal(ask(built, *asked), expected, equal_nan=True)
    alone = [ask(built, row)[0] for row in asked]
    assert np.array_equal(alone, expected, equal_nan=True)


@settings(max_examples=100)
@given(table_rows, asked_rows)
def test_rows_of_the_future_change_nothing(table: list[Any], asked: list[Any]) -> None:
    latest = max((row[2] for row in asked if row[2] is not None), default=0)
    known = [row for row in table if row[2] is not None and row[2] <= latest]
    found = ask(weather(known, None), *asked)
    assert np.array_equal(ask(weather(table, None), *asked), found, equal_nan=True)


def test_a_row_at_the_very_moment_is_found_and_one_a_microsecond_later_is_not() -> None:
    table = weather([("a", "b", 5.0, 1.0)])
    assert ask(table, ("a", "b", 5.0)) == [1.0]
    assert math.isnan(ask(table, ("a", "b", 4.999999))[0])


def test_a_row_older_than_the_tolerance_is_not_used() -> None:
    table = weather([("a", "b", 5.0, 1.0)])
    assert ask(table, ("a", "b", 15.0)) == [1.0]
    assert math.isnan(ask(table, ("a", "b", 15.000001))[0])


def test_of_rows_at_the_same_time_the_last_one_counts() -> None:
    assert ask(weather([("a", "b", 5, 1.0), ("a", "b", 5, 2.0)]), ("a", "b", 6)) == [2.0]


def test_an_empty_table_knows_nothing() -> None:
    assert math.isnan(ask(weather([]), ("a", "b", 5))[0])


def places(faa: Array) -> SourceTable:
    rows = len(faa)
    data = {"lat": np.arange(rows, dtype=float), "zone": texts(*[f"zone {i}" for i in range(rows)])}
    return SourceTable.from_columns(PLACES, {"faa": faa}, {}, data)


def test_a_missing_or_unknown_key_finds_nothing_of_any_kind() -> None:
    found = places(texts("JFK", "LGA")).lookup({"dest": texts("LGA", None, "XXX")})
    assert np.array_equal(found["places.lat"], [1, math.nan, math.nan], equal_nan=True)
    assert found["places.zone"].tolist() == ["zone 1", None, None]


def test_numeric_keys_are_compared_in_their_canonical_text() -> None:
    found = places(texts("5", "7")).lookup({"dest": np.array([7.0, 5.0, math.nan, 5.5])})
    assert found["places.zone"].tolist() == ["zone 1", "zone 0", None, None]


def test_keys_that_differ_only_in_odd_characters_are_different() -> None:
    odd = texts("a", "a\0", "\ud800", " a")
    assert places(odd).lookup({"dest": odd})["places.lat"].tolist() == [0, 1, 2, 3]


def test_a_key_twice_is_refused_with_its_rows() -> None:
    with pytest.raises(DataError, match=r"'places': rows 1 and 3 have the same key, faa = 'LGA'"):
        places(texts("JFK", "LGA", "EWR", "LGA"))


def test_a_key_column_that_is_not_there_is_named() -> None:
    with pytest.raises(DataError, match="source 'places', column 'dest'"):
        places(texts("JFK")).lookup({"origin": texts("JFK")})


def test_what_a_request_brings_wins_over_the_look_up() -> None:
    columns = {
        "dest": texts("JFK", "JFK", "XXX"),
        "places.lat": np.array([9.0, math.nan, 8.0]),
        "places.zone": texts(None, "mine", None),
    }
    found = enrich(columns, [places(texts("JFK"))])
    assert found["places.lat"].tolist() == [9, 0, 8]
    assert found["places.zone"].tolist() == ["zone 0", "mine", None]
    assert found["dest"] is columns["dest"]


def mixed() -> tuple[SourceTable, dict[str, Array]]:
    keys = {"place": texts("a", "b", "a"), "height": texts("1", "\0", "é")}
    data = {
        "temp": np.array([0.1, -0.0, math.nan]),
        "sky": texts("blue", None, "\ud800"),
        "rain": np.array([1.0, math.nan, 0.0]),
        "seen": moments(1, None, 2),
    }
    table = SourceTable.from_columns(WEATHER, keys, {"hour": moments(1, 2, 3)}, data)
    asked = {"origin": keys["place"], "level": keys["height"], "departure": moments(9, 9, 9)}
    return table, asked


def test_a_table_saved_and_loaded_finds_the_same(tmp_path: Path) -> None:
    table, asked = mixed()
    table.save(tmp_path / "weather.npz")
    again = SourceTable.load(tmp_path / "weather.npz", WEATHER)
    before, after = table.lookup(asked), again.lookup(asked)
    assert {name: array.dtype for name, array in before.items()} == {
        name: array.dtype for name, array in after.items()
    }
    for name, array in before.items():
        assert repr(array.tolist()) == repr(after[name].tolist())


def test_the_same_table_is_saved_to_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one.npz", "two.npz"):
        mixed()[0].save(tmp_path / name)
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()


@pytest.mark.parametrize("content", [b"", b"PK", b"not a zip file", b"\x93NUMPY"])
def test_a_damaged_table_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "weather.npz"
    path.write_bytes(content)
    with pytest.raises(BundleError, match="not a source table"):
        SourceTable.load(path, WEATHER)


def test_objects_in_a_table_are_never_unpickled(tmp_path: Path) -> None:
    path = tmp_path / "weather.npz"
    np.savez(path, groups=np.array([object()], dtype=object))
    with pytest.raises(BundleError, match="not a source table"):
        SourceTable.load(path, WEATHER)


def test_the_keys_of_a_sample_are_found_again() -> None:
    table, _ = mixed()
    for (place, height), moment in table.sample(range(5)):
        asked = {
            "origin": texts(place),
            "level": texts(height),
            "departure": np.array([np.datetime64(moment, "us")]),
        }
        found = table.lookup(asked)
        assert not all(values.is_missing(array)[0] for array in found.values()) or place == "b"


@pytest.mark.parametrize("own", [(), ("height",), ("height", "dest", "departure")])
@pytest.mark.parametrize("rows", [1, 2, ALONE + 1])
def test_few_rows_are_encoded_as_arrays_are_whatever_of_them_is_a_feature(
    own: tuple[str, ...], rows: int
) -> None:
    places = SourceTable.from_columns(
        PLACES,
        {"faa": texts("JFK", "LGA")},
        {},
        {"lat": np.array([40.6, math.nan]), "zone": texts("east", "west")},
    )
    table = weather([("JFK", "low", 0, 20.0), ("LGA", "low", 5, 21.0), ("LGA", "low", 9, None)])
    schema = Schema(
        columns=(
            Column("origin", "category"),
            Column("level", "category"),
            Column("departure", "datetime", timezone="Europe/Berlin"),
            Column("dest", "category"),
            Column("height", "numeric", log=True),
        ),
        source_columns=PLACES.named_columns + table.source.named_columns,
        target=Target("late", "binary", (False, True)),
    )
    records = [
        {
            "origin": ("LGA", "JFK", None)[row % 3],
            "level": "low",
            "departure": ("1970-01-01T00:00:08Z", None)[row % 5 == 1],
            "dest": ("JFK", "LGA", "nowhere")[row % 3],
            "height": (1.5, None, 1e9)[row % 3],
        }
        for row in range(100)
    ]
    arrays = enrich(schema.from_records(records), [table, places])
    assert not isinstance(arrays, Cells)
    wanted = [column for column in schema.columns if column.name in own]
    fitted = Transforms.fit(arrays, [*wanted, *schema.source_columns])
    expected = fitted.encode(arrays)
    few = enrich(schema.from_records(records[:rows]), [table, places])
    assert isinstance(few, Cells)
    found = fitted.encode(few)
    assert found.numeric.tobytes() == expected.numeric[:rows].tobytes()
    assert found.codes.tobytes() == expected.codes[:rows].tobytes()
