"""CSV and Parquet are read into columns, or refused with file, row, column and value."""

from __future__ import annotations

import datetime
import decimal
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shared import tables, values
from shared.errors import DataError
from shared.schema import Column, Kind, Target


def csv(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def column(data: Any, kind: Kind) -> list[Any]:
    """The values of an Arrow column read as this kind."""
    read = tables.to_columns(pa.table({"x": data}), [Column("x", kind)], "here")["x"]
    present = ~values.is_missing(read)
    return [value if there else None for value, there in zip(read.tolist(), present, strict=True)]


def refused(data: Any, kind: Kind) -> str:
    with pytest.raises(DataError) as caught:
        column(data, kind)
    return str(caught.value)


def test_csv_cells_are_text_until_a_kind_is_given(tmp_path: Path) -> None:
    path = csv(tmp_path / "a.csv", 'zip,size,"last, name"\n007,1.5,"O""Neil"\n,,"two\nlines"\n')
    table = tables.read(path)
    kinds: list[tuple[str, Kind]] = [
        ("zip", "category"),
        ("size", "numeric"),
        ("last, name", "category"),
    ]
    columns = tables.to_columns(table, [Column(name, kind) for name, kind in kinds], "here")
    assert columns["zip"].tolist() == ["007", None]
    assert columns["last, name"].tolist() == ['O"Neil', "two\nlines"]
    assert columns["size"][0] == 1.5
    assert math.isnan(columns["size"][1])


@pytest.mark.parametrize("text", ["NA", "N/A", "NaN", "null", "None", "?", ""])
def test_the_usual_words_for_missing_are_understood_in_numbers(text: str) -> None:
    assert column(["1", text], "numeric") == [1.0, None]
    assert column(["true", text], "boolean") == [1.0, None]


def test_a_csv_row_may_be_millions_of_letters_long(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(f"id,text\n1,{'x' * 3_000_000}\n2,short\n")
    table = tables.read(tmp_path / "a.csv")
    assert [len(text) for text in table["text"].to_pylist()] == [3_000_000, 5]


def test_a_byte_order_mark_and_windows_line_ends_are_no_part_of_the_data(tmp_path: Path) -> None:
    table = tables.read(csv(tmp_path / "a.csv", b"\xef\xbb\xbfa,b\r\n1,2\r\n"))
    assert table.column_names == ["a", "b"]
    assert table.to_pylist() == [{"a": "1", "b": "2"}]


@pytest.mark.parametrize(
    ("data", "kind", "expected"),
    [
        (pa.array([1, None, 3]), "numeric", [1.0, None, 3.0]),
        (pa.array([1.5, math.nan, None]), "numeric", [1.5, None, None]),
        (pa.array([decimal.Decimal("1.25")]), "numeric", [1.25]),
        (pa.array([2**63 - 1]), "numeric", [float(2**63)]),
        (pa.array(["1e3", " 2 ", None]), "numeric", [1000.0, 2.0, None]),
        (pa.array([True, None, False]), "boolean", [1.0, None, 0.0]),
        (pa.array([0, 1, None]), "boolean", [0.0, 1.0, None]),
        (pa.array(["Yes", "no", "TRUE", "0"]), "boolean", [1.0, 0.0, 1.0, 0.0]),
        (pa.array(["a", "", None]), "category", ["a", None, None]),
        (pa.array([5, None]), "category", ["5", None]),
        (pa.array([5.0, 0.5, None]), "category", ["5", "0.5", None]),
        (pa.array([True, False]), "category", ["true", "false"]),
        (pa.array(["a", None, "a"]).dictionary_encode(), "category", ["a", None, "a"]),
        (pa.chunked_array([["a"], ["b"]]), "category", ["a", "b"]),
        (pa.array(["a"], pa.large_string()), "category", ["a"]),
        (pa.nulls(2), "category", [None, None]),
        (pa.nulls(2), "numeric", [None, None]),
        (pa.array([], pa.string()), "datetime", []),
    ],
)  # fmt: skip
def test_arrow_columns_become_canonical_arrays(data: Any, kind: Kind, expected: Any) -> None:
    assert column(data, kind) == expected


@pytest.mark.parametrize(
    "data",
    [
        pa.array(["2013-07-01T15:30:00Z"]),
        pa.array(["2013-07-01T11:30:00-04:00"]),
        pa.array([datetime.datetime(2013, 7, 1, 15, 30)]),
        pa.array([datetime.datetime(2013, 7, 1, 15, 30)], pa.timestamp("s")),
        pa.array([datetime.datetime(2013, 7, 1, 15, 30)], pa.timestamp("ns", "America/New_York")),
    ],
)
def test_arrow_times_become_utc(data: Any) -> None:
    read = tables.to_columns(pa.table({"x": data}), [Column("x", "datetime")], "here")["x"]
    expected = (
        "2013-07-01T15:30" if str(data.type) != "timestamp[ns, tz=America/New_York]" else None
    )
    assert read[0] == np.datetime64(expected or data.cast(pa.timestamp("us")).to_numpy()[0], "us")


def test_dates_become_midnight() -> None:
    data = pa.array([datetime.date(2013, 7, 1), None])
    read = tables.to_columns(pa.table({"x": data}), [Column("x", "datetime")], "here")["x"]
    assert read[0] == np.datetime64("2013-07-01", "us")
    assert np.isnat(read[1])


@pytest.mark.parametrize(
    ("data", "kind", "words"),
    [
        (["1", "2", "x"], "numeric", "here, row 2, column 'x': a number is needed, not 'x'"),
        (["1", "1e400"], "numeric", "row 1, column 'x': a finite number is needed, not '1e400'"),
        ([1.0, math.inf], "numeric", "row 1, column 'x': a finite number is needed, not inf"),
        ([0, 2], "boolean", "row 1, column 'x': 0 or 1 is needed, not 2.0"),
        (["yes", "maybe"], "boolean", "row 1, column 'x': true or false"),
        (["2013-01-01", "2013-13-01"], "datetime", "row 1, column 'x': '2013-13-01' is no date"),
        ([1, 2], "datetime", "a datetime column cannot be made of the Arrow type int64"),
        ([[1]], "numeric", "a numeric column cannot be made of the Arrow type list"),
        ([b"x"], "category", "a category column cannot be made of the Arrow type binary"),
    ],
)
def test_a_value_that_is_not_of_the_kind_is_refused(data: Any, kind: Kind, words: str) -> None:
    assert words in refused(data, kind)


def test_a_mistake_in_the_second_file_names_that_file_and_its_row(tmp_path: Path) -> None:
    csv(tmp_path / "1.csv", "a\n1\n2\n")
    csv(tmp_path / "2.csv", "a\n3\nfour\n")
    with pytest.raises(DataError, match=r"2\.csv, row 1, column 'a': .*not 'four'"):
        tables.to_columns(tables.read(tmp_path), [Column("a", "numeric")], "here")


def test_a_column_that_is_not_there_is_refused_and_the_nearest_named() -> None:
    with pytest.raises(DataError, match=r"here: 'distence' is not a column\. Did you mean"):
        tables.to_columns(pa.table({"distance": [1]}), [Column("distence", "numeric")], "here")


def test_a_folder_a_glob_and_a_list_of_files_are_read_in_order(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [1]}), tmp_path / "1.parquet")
    pq.write_table(pa.table({"a": [2.5]}), tmp_path / "2.parquet")
    (tmp_path / "_SUCCESS").write_text("")
    (tmp_path / "readme.txt").write_text("")
    for location in (tmp_path, str(tmp_path / "*.parquet"), sorted(tmp_path.glob("*.parquet"))):
        assert tables.read(location).column("a").to_pylist() == [1, 2.5]


def test_a_glob_may_find_folders(tmp_path: Path) -> None:
    for year in ("year=2013", "year=2014"):
        (tmp_path / year).mkdir()
        csv(tmp_path / year / "a.csv", f"a\n{year}\n")
    assert tables.read(f"{tmp_path}/year=*").column("a").to_pylist() == ["year=2013", "year=2014"]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.csv", "", "a.csv: the file is empty"),
        ("a.csv", "a,b\n", "there are no rows"),
        ("a.csv", "a,b\n1,2\n3\n", "a.csv: the file cannot be read: .*Expected 2 columns, got 1"),
        ("a.csv", b"a\n\xff\xfe\n", "a.csv: the file cannot be read: .*UTF8"),
        ("a.csv", "a,a\n1,2\n", "a.csv, column 'a': two columns have this name"),
        ("a.csv", "a,\n1,2\n", "a.csv, column 2: the column has no name"),
        ("a.csv", "a;b\n1;2\n", "a.csv: the header holds no comma"),
        ("a.parquet", "PAR1 but not really", "a.parquet: the file cannot be read"),
        ("a.parquet", "", "a.parquet: the file is empty"),
        ("a.xlsx", "x", r"the name ends in '.xlsx'; .csv or .parquet is needed"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_by_name(
    tmp_path: Path, name: str, content: str | bytes, words: str
) -> None:
    with pytest.raises(DataError, match=words):
        tables.read(csv(tmp_path / name, content))


def test_nothing_there_is_said_so(tmp_path: Path) -> None:
    for location, words in [
        (tmp_path / "a.csv", "there is no such file"),
        (f"{tmp_path}/*.csv", "there is no such file"),
        (tmp_path, "there is no CSV or Parquet file in this folder"),
        ([], "no file is given"),
    ]:
        with pytest.raises(DataError, match=words):
            tables.read(location)


@pytest.mark.parametrize("second", ["a,c\n1,2\n", "a\n1\n", "a,b,c\n1,2,3\n"])
def test_files_of_other_columns_are_refused_by_name(tmp_path: Path, second: str) -> None:
    csv(tmp_path / "1.csv", "a,b\n1,2\n")
    csv(tmp_path / "2.csv", second)
    with pytest.raises(DataError, match=r"2\.csv, column '[bc]'"):
        tables.read(tmp_path)


def test_files_whose_columns_differ_in_type_are_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [1]}), tmp_path / "1.parquet")
    pq.write_table(pa.table({"a": ["x"]}), tmp_path / "2.parquet")
    with pytest.raises(DataError, match="differ in type"):
        tables.read(tmp_path)


@pytest.mark.parametrize(
    ("data", "classes"),
    [
        (pa.array([True, False, True]), (False, True)),
        (pa.array(["True", "false", "TRUE"]), (False, True)),
        (pa.array([1, 0, 1]), (0, 1)),
        (pa.array(["1", "0", "1.0"]), (0, 1)),
        (pa.array(["yes", "no", "yes"]), ("no", "yes")),
    ],
)
def test_classes_are_found_however_the_file_types_them(data: Any, classes: Any) -> None:
    target = Target("y", "binary", classes)
    assert tables.target_values(pa.table({"y": data}), target).tolist() == [1, 0, 1]


def test_a_regression_target_is_a_number() -> None:
    read = tables.target_values(pa.table({"y": ["1.5", "2"]}), Target("y", "regression"))
    assert read.tolist() == [1.5, 2.0]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (["a", None, "b", None], "2 rows have no value, the first is row 1"),
        (["a", "b", "c"], r"row 2, column 'y': 'c' is none of \['a', 'b'\]"),
    ],
)
def test_a_target_without_value_or_of_another_class_is_refused(data: Any, words: str) -> None:
    with pytest.raises(DataError, match=words):
        tables.target_values(pa.table({"y": data}), Target("y", "binary", ("a", "b")))


def test_a_number_that_is_no_class_is_shown_as_a_number() -> None:
    with pytest.raises(DataError, match=r"row 1, column 'y': 3\.0 is none of \[0, 1\]"):
        tables.target_values(pa.table({"y": [0, 3]}), Target("y", "binary", (0, 1)))


def test_a_target_that_is_not_a_column_is_refused_and_the_nearest_named() -> None:
    with pytest.raises(
        DataError, match=r"target 'late': 'late' is not a column\. Did you mean 'lat'"
    ):
        tables.target_values(pa.table({"lat": [1]}), Target("late", "regression"))
