"""CSV: headers, quotes, line ends, and everything that can be wrong."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference import codecs, limits
from inference.codecs import as_csv
from shared.errors import InputError
from shared.schema import Column, Schema, Target

SCHEMA = Schema(
    (Column("job", "category"), Column("note", "category"), Column("age", "numeric")),
    (Column("weather.temp", "numeric"),),
    Target("income", "regression"),
)


def read(text: str, content_type: str = codecs.CSV) -> dict[str, list[Any]]:
    columns = codecs.decode(text.encode(), content_type).columns(SCHEMA)
    return {name: array.tolist() for name, array in columns.items()}


def refusal(text: str, content_type: str = codecs.CSV) -> InputError:
    with pytest.raises(InputError) as caught:
        read(text, content_type)
    return caught.value


def test_columns_come_in_the_schemas_order_or_below_a_header_in_any() -> None:
    expected = {"job": ["nurse"], "note": [None], "age": [39.0]}
    assert read("nurse,,39\n") == expected
    assert read("age,job,note\n39,nurse,\n") == expected
    assert read("age,job,weather.temp,note\n39,nurse,1.5,\n") == {**expected, "weather.temp": [1.5]}


def test_cells_may_hold_commas_quotes_and_line_ends() -> None:
    text = 'job,note,age\r\n"one, two","say ""hi""\nthere",1\r\n'
    assert read(text) == {"job": ["one, two"], "note": ['say "hi"\nthere'], "age": [1.0]}


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_end_in_any_way_and_empty_ones_are_no_rows(end: str) -> None:
    text = end.join(["", "a,b,1", "", "c,d,2", "", ""])
    assert read(text)["age"] == [1.0, 2.0]


@pytest.mark.parametrize("text", ['"open', '"a"b,c', '"' + "x" * 200_000])
def test_broken_csv_is_refused(text: str) -> None:
    assert refusal(text).code in {"invalid_csv", "text_too_long"}


def test_a_header_with_a_misspelt_name_is_still_a_header() -> None:
    error = refusal("job,note,aeg\nx,y,1\n")
    assert [(one.code, one.column) for one in (error, *error.others)] == [
        ("unknown_column", "aeg"),
        ("missing_column", "age"),
    ]
    assert "Did you mean 'age'" in str(error)


def test_a_first_row_of_values_is_no_header() -> None:
    assert read("age,x,39\ny,z,40\n") == {
        "job": ["age", "y"],
        "note": ["x", "z"],
        "age": [39.0, 40.0],
    }


def test_the_content_type_may_say_whether_there_is_a_header() -> None:
    assert refusal("a,b,1\n", "text/csv; header=present").code == "unknown_column"
    assert refusal("job,note,age\n", "text/csv; header=absent").column == "age"
    assert read("job,note,1", "text/csv; header=absent")["job"] == ["job"]


def test_a_header_alone_has_no_rows() -> None:
    assert refusal("job,note,age\n").code == "no_rows"


def test_rows_of_the_wrong_length_are_all_told_by_their_number_below_the_header() -> None:
    for text in ("job,note,age\na,b,1\na,b\na,b,1,2\n", "a,b,1\na,b\na,b,1,2\n"):
        error = refusal(text)
        assert [(one.code, one.row) for one in (error, *error.others)] == [
            ("wrong_cells", 1),
            ("wrong_cells", 2),
        ]
        assert "3 cells are needed" in str(error)


def test_many_mistakes_are_told_at_once_and_not_too_many() -> None:
    error = refusal("\n".join(f"a,b,{'x' * (row % 2)}" for row in range(50)))
    told = [(one.code, one.row, one.column) for one in (error, *error.others)]
    assert told == [("wrong_type", row, "age") for row in (1, 3, 5, 7, 9)]
    assert len([error, *refusal("a\n" * 100).others]) == 20


def test_too_many_rows_are_refused_with_413(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "ROWS", 3)
    for header in ("", "job,note,age\n", '"job",note,age\n'):
        assert len(read(header + "a,b,1\n" * 3)["age"]) == 3
        for rows in (4, 5, 10):
            error = refusal(header + "a,b,1\n" * rows)
            assert (error.code, error.status) == ("too_many_rows", 413)


def test_too_many_columns_are_refused_with_413(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "COLUMNS", 3)
    assert refusal("1,2,3,4\n").code == "too_many_columns"


@pytest.mark.parametrize("quote", ["", '"'])
def test_a_text_that_is_too_long_is_refused_by_row_and_column(quote: str) -> None:
    assert read(f"{'x' * limits.TEXT_LENGTH},b,1")["age"] == [1]
    error = refusal(f"a,b,1\na,{quote}{'x' * (limits.TEXT_LENGTH + 1)}{quote},1")
    assert (error.code, error.row, error.column) == ("text_too_long", 1, "note")


@given(st.lists(st.lists(st.text(), min_size=2, max_size=2), min_size=1))
def test_csv_that_python_writes_comes_back_cell_for_cell(rows: list[list[str]]) -> None:
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL).writerows(rows)
    try:
        body = text.getvalue().encode()
    except UnicodeEncodeError:
        return
    found = as_csv.read(body)
    assert (found.cells, found.widths) == ([cell for row in rows for cell in row], [2] * len(rows))


@given(st.text(st.sampled_from('ab1,,\n\n\r "\0é\x85\u2028')))
def test_text_without_quotes_is_split_as_the_csv_module_splits_it(text: str) -> None:
    text = text.replace('"', "").replace("\r\n", "\n").replace("\r", "")
    assert as_csv._plain(text) == as_csv._quoted(text)
