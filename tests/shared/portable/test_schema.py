"""Requests are read into columns, or refused with the place and the reason."""

from __future__ import annotations

import contextlib
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared import mistakes, values
from shared.errors import MAX_MISTAKES, BundleError, InputError, ProjectError
from shared.schema import Column, Schema, Target
from tests.shared.strategies import NUMBERS, TEXTS

SCHEMA = Schema(
    columns=(
        Column("distance", "numeric"),
        Column("delayed", "boolean"),
        Column("carrier", "category"),
        Column("departure", "datetime"),
        Column("key", "category", feature=False, nullable=False),
    ),
    source_columns=(Column("weather.temp", "numeric"), Column("weather.sky", "category")),
    target=Target("late", "binary", (False, True)),
)
ROW = {"distance": 1.5, "delayed": True, "carrier": "UA", "departure": "2013-07-01", "key": "k"}


def read(**cells: Any) -> dict[str, Any]:
    """The columns of a request of one row, as lists."""
    columns = SCHEMA.from_records([ROW | cells])
    return {name: array.tolist() for name, array in columns.items()}


def refused(records: list[Any]) -> InputError:
    with pytest.raises(InputError) as caught:
        SCHEMA.from_records(records)
    return caught.value


def test_a_row_is_read_into_canonical_arrays() -> None:
    columns = SCHEMA.from_records([ROW, ROW | {"distance": None, "carrier": None}])
    assert {name: array.dtype.str for name, array in columns.items()} == {
        "distance": "<f8",
        "delayed": "<f8",
        "carrier": "|O",
        "departure": "<M8[us]",
        "key": "|O",
    }
    assert math.isnan(columns["distance"][1])
    assert columns["carrier"].tolist() == ["UA", None]


@pytest.mark.parametrize(
    ("given", "text"),
    [("UA", "UA"), (5, "5"), (5.0, "5"), (-0.0, "0"), (0.5, "0.5"), (True, "true"), ("", None)],
)
def test_a_category_has_one_text_whatever_its_json_type(given: Any, text: str | None) -> None:
    assert read(carrier=given)["carrier"] == [text]


ODD = {"surrogate": "\ud800", "nul": "a\0b", "only nul": "\0", "long": "é" * 100_000}


@pytest.mark.parametrize("text", ODD.values(), ids=ODD)
def test_odd_text_is_a_category_like_any_other(text: str) -> None:
    assert read(carrier=text)["carrier"] == [text]


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2013-07-01", "2013-07-01T00:00:00"),
        ("2013-07-01 15:30", "2013-07-01T15:30:00"),
        ("2013-07-01T15:30:00Z", "2013-07-01T15:30:00"),
        ("2013-07-01T15:30:00.123456-04:00", "2013-07-01T19:30:00.123456"),
        ("2013-07-01T15:30:00.123456789", "2013-07-01T15:30:00.123456"),
        ("2013-07-01T15:30+0530", "2013-07-01T10:00:00"),
    ],
)
def test_iso_times_are_read_as_utc(text: str, moment: str) -> None:
    columns = SCHEMA.from_records([ROW | {"departure": text}])
    assert columns["departure"][0] == np.datetime64(moment, "us")


def test_times_with_and_without_offsets_may_be_mixed() -> None:
    texts = ["2013-07-01T01:00", None, "2013-07-01T01:00+01:00"]
    columns = SCHEMA.from_records([ROW | {"departure": text} for text in texts])
    expected = np.array(["2013-07-01T01:00", "NaT", "2013-07-01T00:00"], dtype="datetime64[us]")
    assert np.array_equal(columns["departure"], expected, equal_nan=True)


@pytest.mark.parametrize(
    ("column", "value", "code", "words"),
    [
        ("distance", "5", "wrong_type", "a number is needed, not the text '5'"),
        ("distance", True, "wrong_type", "a number is needed, not true"),
        ("distance", [1], "wrong_type", "a number is needed, not a list"),
        ("distance", {}, "wrong_type", "a number is needed, not an object"),
        ("distance", math.nan, "not_finite", "a finite number is needed, not nan"),
        ("distance", math.inf, "not_finite", "a finite number is needed, not inf"),
        pytest.param("distance", 10**400, "not_finite", "not a whole number of 1329", id="large"),
        ("delayed", 1, "wrong_type", "true or false is needed, not 1"),
        ("delayed", "true", "wrong_type", "true or false is needed, not the text 'true'"),
        ("carrier", [], "wrong_type", "text, a number or a boolean is needed, not a list"),
        ("carrier", math.nan, "not_finite", "nan cannot be a category"),
        pytest.param("carrier", 10**5000, "not_finite", "cannot be a category", id="too long"),
        ("departure", 20130701, "wrong_type", "as ISO 8601 text is needed, not 20130701"),
        ("departure", "1 July 2013", "bad_date", "is needed, not '1 July 2013'"),
        ("departure", "2013-02-30", "bad_date", "'2013-02-30' is no date: day is out of range"),
        ("departure", "now", "bad_date", "is needed, not 'now'"),
        ("departure", "", "bad_date", "is needed, not ''"),
        ("key", None, "null", "a value is needed, not null"),
    ],
)
def test_a_wrong_value_is_refused_with_row_column_and_reason(
    column: str, value: Any, code: str, words: str
) -> None:
    error = refused([ROW, ROW, ROW | {column: value}])
    assert (error.row, error.column, error.code, error.status) == (2, column, code, 400)
    assert words in str(error)
    assert str(error).startswith(f"row 2, column {column!r}: ")


def test_a_whole_number_that_fits_a_float_is_read() -> None:
    assert read(distance=10**300)["distance"] == [1e300]


def test_an_unknown_column_is_refused_and_the_nearest_named() -> None:
    error = refused([ROW, ROW | {"distence": 1}])
    assert (error.code, error.row, error.column) == ("unknown_column", 1, "distence")
    assert "Did you mean 'distance'?" in str(error)


def test_of_very_many_unknown_columns_no_more_are_looked_at_than_are_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looked_at: list[str] = []
    monkeypatch.setattr(mistakes, "nearest", lambda name, _: looked_at.append(name))
    error = refused([ROW | {f"stranger {number}": 1 for number in range(1000)}])
    assert len((error, *error.others)) == len(looked_at) == MAX_MISTAKES


def test_a_missing_column_is_refused() -> None:
    error = refused([ROW, {name: cell for name, cell in ROW.items() if name != "carrier"}])
    assert (error.code, error.row, error.column) == ("missing_column", 1, "carrier")


@pytest.mark.parametrize("row", [None, 5, "row", [1, 2]])
def test_a_row_that_is_no_object_is_refused(row: Any) -> None:
    error = refused([ROW, row])
    assert (error.code, error.row) == ("not_an_object", 1)


def test_no_rows_are_refused() -> None:
    assert refused([]).code == "no_rows"
    with pytest.raises(InputError, match="no rows"):
        SCHEMA.from_columns(None, [[]] * 5, values.from_texts)


def test_source_columns_may_be_brought_by_some_rows() -> None:
    columns = SCHEMA.from_records([ROW, ROW | {"weather.temp": 20}])
    assert math.isnan(columns["weather.temp"][0])
    assert columns["weather.temp"][1] == 20
    assert "weather.sky" not in columns


def test_a_brought_source_column_is_checked_too() -> None:
    error = refused([ROW, ROW | {"weather.temp": "hot"}])
    assert (error.row, error.column) == (1, "weather.temp")


def from_cells(names: list[str] | None, rows: list[list[str]]) -> dict[str, Any]:
    columns = [list(column) for column in zip(*rows, strict=True)]
    return dict(SCHEMA.from_columns(names, columns, values.from_texts))


CELLS = ["1.5", "yes", "UA", "2013-07-01T00:00:00Z", "k"]


def test_cells_without_a_header_are_in_the_order_of_the_own_columns() -> None:
    columns = from_cells(None, [CELLS])
    records = SCHEMA.from_records([ROW])
    assert {name: array.tolist() for name, array in columns.items()} == {
        name: array.tolist() for name, array in records.items()
    }


def test_a_header_may_have_any_order_and_bring_source_columns() -> None:
    names = ["key", "weather.temp", "departure", "carrier", "delayed", "distance"]
    columns = from_cells(names, [["k", "-3.5", "2013-07-01", "", "FALSE", ""]])
    assert columns["weather.temp"].tolist() == [-3.5]
    assert columns["carrier"].tolist() == [None]
    assert columns["delayed"].tolist() == [0.0]
    assert math.isnan(columns["distance"][0])


@pytest.mark.parametrize("text", sorted(values.MISSING_TEXTS))
def test_words_for_missing_are_missing_in_cells_as_they_are_in_tables(text: str) -> None:
    columns = from_cells(None, [CELLS, [text, text, text, text, "k"]])
    for name in ("distance", "delayed", "departure"):
        assert values.is_missing(columns[name]).tolist() == [False, True], name
    assert columns["carrier"].tolist() == ["UA", text or None]


@pytest.mark.parametrize("text", ["NA", "null", "?"])
def test_words_for_missing_are_no_numbers_in_json(text: str) -> None:
    assert refused([ROW | {"distance": text}]).code == "wrong_type"


@pytest.mark.parametrize(
    ("place", "cell", "code"),
    [
        (0, "five", "wrong_type"),
        (0, "1_000", "wrong_type"),
        (0, "٣", "wrong_type"),
        (0, "-inf", "not_finite"),
        (0, "1e400", "not_finite"),
        (1, "maybe", "wrong_type"),
        (3, "yesterday", "bad_date"),
        (4, "", "null"),
    ],
)
def test_a_wrong_cell_is_refused_with_row_and_column(place: int, cell: str, code: str) -> None:
    cells = [cell if place == i else other for i, other in enumerate(CELLS)]
    with pytest.raises(InputError) as caught:
        from_cells(None, [CELLS, cells])
    assert (caught.value.row, caught.value.code) == (1, code)
    assert caught.value.column == SCHEMA.columns[place].name


def test_columns_without_names_are_all_of_the_own_ones() -> None:
    with pytest.raises(InputError, match=r"5 cells are needed, not 4\. The order is distance, del"):
        from_cells(None, [CELLS[:4]])


@pytest.mark.parametrize(
    ("names", "code"),
    [
        (["distance", "delayed", "carrier", "departure", "kee"], "unknown_column"),
        (["distance", "delayed", "carrier", "departure", "distance"], "duplicate_column"),
        (["distance", "delayed", "carrier", "departure"], "missing_column"),
    ],
)
def test_a_wrong_header_is_refused(names: list[str], code: str) -> None:
    with pytest.raises(InputError) as caught:
        from_cells(names, [CELLS[: len(names)]])
    assert caught.value.code == code


rows = st.fixed_dictionaries(
    {
        "distance": st.none() | NUMBERS | st.integers(-(10**300), 10**300),
        "delayed": st.none() | st.booleans(),
        "carrier": st.none() | TEXTS | st.integers() | st.booleans() | NUMBERS,
        "departure": st.none() | st.datetimes().map(str) | st.dates().map(str),
        "key": TEXTS,
    }
)


def lists(columns: Any) -> dict[str, list[Any]]:
    return {name: array.astype(object).tolist() for name, array in columns.items()}


@settings(max_examples=100)
@given(st.lists(rows, min_size=1, max_size=8))
def test_a_row_alone_is_read_as_in_its_batch(records: list[dict[str, Any]]) -> None:
    batch = lists(SCHEMA.from_records(records))
    for number, record in enumerate(records):
        alone = lists(SCHEMA.from_records([record]))
        assert repr(alone) == repr({name: [cells[number]] for name, cells in batch.items()})


@settings(max_examples=300)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.sampled_from([*ROW]), inner),
        max_leaves=10,
    )
)
def test_anything_else_is_refused_as_the_clients_mistake(value: Any) -> None:
    for records in ([value], [ROW, value], [ROW | {"distance": value, "departure": value}]):
        with contextlib.suppress(InputError):
            SCHEMA.from_records(records)


def test_a_schema_read_back_from_json_is_the_same() -> None:
    assert Schema.from_json(SCHEMA.to_json()) == SCHEMA


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[]", "an object is needed"),
        ("{}", "the key 'columns' is missing"),
        ('{"colums": []}', "unknown key 'colums'. Did you mean 'columns'?"),
        ('{"columns": [{"name": "x", "kind": "number"}]}', "'number' is not one of 'numeric'"),
        ('{"columns": [{"name": 5, "kind": "numeric"}]}', r"columns\[0\].name: text is needed"),
        ("not JSON", "not JSON"),
    ],
)
def test_damaged_schema_json_is_refused_with_the_place(text: str, words: str) -> None:
    with pytest.raises(BundleError, match=words):
        Schema.from_json(text, "schema.json", BundleError)


def test_features_are_the_own_ones_first() -> None:
    names = [column.name for column in SCHEMA.features]
    assert names == ["distance", "delayed", "carrier", "departure", "weather.temp", "weather.sky"]


def test_the_json_schema_says_what_a_row_may_be() -> None:
    document = SCHEMA.json_schema()
    assert document["required"] == ["distance", "delayed", "carrier", "departure", "key"]
    assert document["additionalProperties"] is False
    assert document["properties"]["delayed"] == {"type": ["boolean", "null"]}
    assert document["properties"]["key"] == {"type": ["string", "number", "boolean"]}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"name": ""}, "a column needs a name"),
        ({"clip": (0.9, 0.1)}, "column 'x', clip: .* two quantiles"),
        ({"max_levels": 0}, "max_levels: 0 is not allowed; it must be 1 or more"),
        ({"min_count": 0}, "min_count"),
        ({"parts": ("hours",)}, "'hours' is not allowed; .* Did you mean 'hour'?"),
        ({"parts": ()}, "parts"),
        ({"log": True, "scale": "quantile"}, "ranks stay the same"),
    ],
)
def test_a_column_refuses_options_that_cannot_be(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ProjectError, match=words):
        Column(**({"name": "x", "kind": "numeric"} | options))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("binary", (1,)), "2 classes, not 1"),
        (("multiclass", ("a",)), "2 classes or more"),
        (("regression", (1, 2)), "no classes"),
        (("binary", ("a", "a")), "listed twice"),
        (("binary", (), 1.5), "not between 0 and 1"),
    ],
)
def test_a_target_refuses_what_does_not_fit(arguments: Any, words: str) -> None:
    with pytest.raises(ProjectError, match=words):
        Target("y", *arguments)


def test_no_columns_two_of_one_name_and_the_target_as_input_are_refused() -> None:
    column = Column("x", "numeric")
    with pytest.raises(ProjectError, match="one column or more"):
        Schema((), (), Target("y", "regression"))
    with pytest.raises(ProjectError, match="two columns have this name"):
        Schema((column, column), (), Target("y", "regression"))
    with pytest.raises(ProjectError, match="the target cannot be an input"):
        Schema((column,), (), Target("x", "regression"))
