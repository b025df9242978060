"""Bytes to raw requests and back: every content type, and everything that can be wrong with one."""

from __future__ import annotations

import contextlib
import csv
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference import codecs
from inference.codecs import Cells, Records
from shared.errors import InputError

ROW = {"age": 39, "job": "nurse"}


def refusal(body: bytes, content_type: str | None = codecs.JSON) -> InputError:
    with pytest.raises(InputError) as caught:
        codecs.decode(body, content_type)
    return caught.value


@pytest.mark.parametrize(
    "document", [{"instances": [ROW]}, [ROW], ROW], ids=["instances", "list", "object"]
)
def test_json_rows_may_come_as_instances_as_a_list_or_as_one_object(document: object) -> None:
    assert codecs.decode(json.dumps(document).encode(), codecs.JSON) == Records([ROW])


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json; charset=utf-8",
        "Application/JSON ;charset=UTF-8",
        "application/json;",
        None,
    ],
)
def test_parameters_and_case_of_the_content_type_do_not_matter(content_type: str | None) -> None:
    assert codecs.decode(json.dumps(ROW).encode(), content_type) == Records([ROW])


def test_a_byte_order_mark_is_skipped() -> None:
    assert codecs.decode(b"\xef\xbb\xbf[{}]", codecs.JSON) == Records([{}])
    assert codecs.decode(b"\xef\xbb\xbfa,b", codecs.CSV) == Cells([["a", "b"]])


@pytest.mark.parametrize("body", [b"", b" \r\n\t", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("content_type", [codecs.JSON, codecs.CSV])
def test_an_empty_body_is_refused(body: bytes, content_type: str) -> None:
    assert refusal(body, content_type).code == "empty_body"


@pytest.mark.parametrize(
    "body",
    [b"{", b"[1,]", b'{"a": NaN}', b'{"a": Infinity}', b"\xff\xfe", b'{"a": "\xe9"}', b"nil"],
)
def test_what_is_not_json_is_refused(body: bytes) -> None:
    error = refusal(body)
    assert (error.code, error.status) == ("invalid_json", 400)


def test_deep_nesting_is_refused_and_not_a_crash() -> None:
    assert refusal(b"[" * 1_000_000).code == "invalid_json"
    assert refusal(b'{"a":' * 100_000 + b"1" + b"}" * 100_000).code == "invalid_json"


@pytest.mark.parametrize("body", [b"1", b'"x"', b"null", b"true", b'{"instances": {"age": 1}}'])
def test_json_that_holds_no_rows_is_refused(body: bytes) -> None:
    assert refusal(body).code == "wrong_shape"


def test_a_stranger_beside_instances_is_refused_by_name() -> None:
    error = refusal(b'{"instances": [], "signature_name": "x"}')
    assert error.code == "unknown_key"
    assert "signature_name" in error.message


def test_csv_cells_may_hold_commas_quotes_and_line_ends() -> None:
    body = b'a,b\r\n"one, two","say ""hi""\nthere"\r\n'
    assert codecs.decode(body, codecs.CSV) == Cells([["a", "b"], ["one, two", 'say "hi"\nthere']])


def test_empty_lines_of_csv_are_no_rows() -> None:
    assert codecs.decode(b"\n1,2\n\n3,4\n\n", codecs.CSV) == Cells([["1", "2"], ["3", "4"]])


@pytest.mark.parametrize("body", [b'"open', b'"a"b,c', b"x" * 200_000])
def test_broken_csv_is_refused(body: bytes) -> None:
    assert refusal(body, codecs.CSV).code == "invalid_csv"


def test_csv_that_is_not_utf8_is_refused_at_the_byte() -> None:
    error = refusal(b"age,job\n39,caf\xe9\n", codecs.CSV)
    assert error.code == "not_utf8"
    assert "byte 14 is 0xe9" in error.message


@pytest.mark.parametrize("content_type", ["text/plain", "application/octet-stream", "", "json"])
def test_another_content_type_is_refused_with_415(content_type: str) -> None:
    if content_type == "":
        assert codecs.decode(b"{}", content_type) == Records([{}])
        return
    error = refusal(b"{}", content_type)
    assert error.status == 415
    assert "application/json or text/csv" in str(error)


def test_another_charset_is_refused_with_415() -> None:
    assert refusal(b"{}", "application/json; charset=utf-16").status == 415


def test_the_first_row_is_a_header_when_it_names_columns() -> None:
    cells = Cells([["age", "job"], ["39", "nurse"]])
    assert cells.split({"age", "job"}) == (["age", "job"], [["39", "nurse"]])


def test_a_header_with_a_misspelt_name_is_still_a_header() -> None:
    cells = Cells([["age", "jbo"], ["39", "nurse"]])
    assert cells.split({"age", "job"})[0] == ["age", "jbo"]


def test_a_first_row_of_values_is_no_header() -> None:
    cells = Cells([["39", "nurse", "age"], ["40", "judge", "x"]])
    assert cells.split({"age", "job", "note"}) == (None, cells.rows)


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, codecs.JSON),
        ("", codecs.JSON),
        ("*/*", codecs.JSON),
        ("application/json", codecs.JSON),
        ("application/json; charset=utf-8", codecs.JSON),
        ("text/csv", codecs.CSV),
        ("TEXT/CSV", codecs.CSV),
        ("text/*", codecs.CSV),
        ("application/*", codecs.JSON),
        ("text/html, text/csv;q=0.5", codecs.CSV),
        ("application/json;q=0.2, text/csv;q=0.9", codecs.CSV),
        ("*/*;q=0.1, text/csv", codecs.CSV),
        ("text/csv, */*", codecs.CSV),
        ("application/json;q=0, */*", codecs.CSV),
    ],
)
def test_the_answer_comes_in_the_type_the_client_likes_best(
    accept: str | None, expected: str
) -> None:
    assert codecs.answer_type(accept) == expected


@pytest.mark.parametrize(
    "accept",
    [
        "image/png",
        "text/html, image/*",
        "*/*;q=0",
        "text/csv;q=x",
        "text/csv;q=nan",
        "text/csv;q=2",
    ],
)
def test_a_client_that_accepts_nothing_we_have_gets_406(accept: str) -> None:
    with pytest.raises(InputError) as caught:
        codecs.answer_type(accept)
    assert caught.value.status == 406


@given(body=st.binary(), content_type=st.sampled_from([codecs.JSON, codecs.CSV]))
def test_any_bytes_are_rows_or_a_clients_mistake(body: bytes, content_type: str) -> None:
    # Any other exception than the client's mistake fails the test.
    with contextlib.suppress(InputError):
        request = codecs.decode(body, content_type)
        assert isinstance(request, Records if content_type == codecs.JSON else Cells)


@given(content_type=st.text(), accept=st.text())
def test_any_headers_are_understood_or_a_clients_mistake(content_type: str, accept: str) -> None:
    with contextlib.suppress(InputError):
        codecs.decode(b"{}", content_type)
    with contextlib.suppress(InputError):
        assert codecs.answer_type(accept) in codecs.ANSWERS


@given(st.lists(st.lists(st.text(), min_size=2, max_size=2), min_size=1))
def test_csv_that_python_writes_comes_back_cell_for_cell(rows: list[list[str]]) -> None:
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL).writerows(rows)
    try:
        body = text.getvalue().encode()
    except UnicodeEncodeError:
        return
    assert codecs.decode(body, codecs.CSV) == Cells(rows)
