"""JSON and JSON Lines: every form in which rows may come, and everything that can be wrong."""

from __future__ import annotations

import json
from typing import Any

import pytest

from inference import codecs, limits
from inference.codecs.request import Records
from shared.errors import InputError
from shared.schema import Column, Schema, Target

SCHEMA = Schema(
    (Column("age", "numeric"), Column("job", "category")), (), Target("income", "regression")
)
ROW = {"age": 39, "job": "nurse"}
LINES = "application/jsonlines"


def read(body: bytes | str, content_type: str = codecs.JSON) -> dict[str, list[Any]]:
    body = body.encode() if isinstance(body, str) else body
    columns = codecs.decode(body, content_type).columns(SCHEMA)
    return {name: array.tolist() for name, array in columns.items()}


def refusal(body: bytes | str, content_type: str = codecs.JSON) -> InputError:
    with pytest.raises(InputError) as caught:
        read(body, content_type)
    return caught.value


@pytest.mark.parametrize(
    "document",
    [
        ROW,
        [ROW],
        {"instances": [ROW]},
        {"instances": [ROW], "signature_name": "serving_default"},
        [[39, "nurse"]],
        {"instances": [[39, "nurse"]]},
        {"columns": ["job", "age"], "data": [["nurse", 39]]},
        {"columns": ["job", "age"], "index": [7], "data": [["nurse", 39]]},
        {"inputs": {"age": [39], "job": ["nurse"]}},
    ],
    ids=json.dumps,
)
def test_rows_may_come_in_many_forms(document: object) -> None:
    assert read(json.dumps(document)) == {"age": [39], "job": ["nurse"]}


@pytest.mark.parametrize(
    "body", ['{"age": 39, "job": "nurse"}\n\n[1]', "[39]\n", '[39, "nurse"]\n{"age": 1}', "5\n"]
)
def test_lines_of_two_kinds_or_of_no_row_are_refused(body: str) -> None:
    assert refusal(body, LINES).code in {"not_an_object", "not_a_list", "wrong_cells"}


@pytest.mark.parametrize("content_type", ["application/jsonlines", "application/x-ndjson"])
def test_json_lines_are_objects_or_lists_and_empty_ones_are_no_rows(content_type: str) -> None:
    expected = {"age": [39, 40], "job": ["nurse", None]}
    objects = '{"age": 39, "job": "nurse"}\r\n\n{"age": 40, "job": null}'
    assert read(objects, content_type) == expected
    assert read('[39, "nurse"]\n  \n[40, null]\n', content_type) == expected


def test_bad_lines_are_told_by_row_all_at_once() -> None:
    error = refusal('[1, "a"]\n[2\n[3, "b"]\nnil\n{"age": NaN}', LINES)
    assert [(one.code, one.row) for one in (error, *error.others)] == [
        ("invalid_json", 1),
        ("invalid_json", 3),
        ("invalid_json", 4),
    ]


@pytest.mark.parametrize(
    "body",
    [b"{", b"[1,]", b"\xff\xfe", b'{"a": "\xe9"}', b"nil", b'"\\ud800"', b"01", b"[1]x", b"1e400"],
)
def test_what_is_not_json_is_refused(body: bytes) -> None:
    error = refusal(body)
    assert (error.code, error.status) == ("invalid_json", 400)


@pytest.mark.parametrize("literal", ["NaN", "Infinity", "-Infinity"])
def test_of_numbers_that_json_has_not_the_cure_is_null(literal: str) -> None:
    error = refusal(f'{{"age": {literal}, "job": "x"}}')
    assert error.code == "invalid_json"
    assert "send null for what is missing" in str(error)


def test_deep_nesting_is_refused_and_not_a_crash() -> None:
    assert refusal(b"[" * 1_000_000).code == "too_deep"
    assert refusal(b'{"a":' * 100_000 + b"1" + b"}" * 100_000).code == "too_deep"
    assert refusal(b'{"age": ' + b"[" * 1000 + b"]" * 1000 + b', "job": "x"}').code == "wrong_type"
    deep = b"[" * 1000 + b"]" * 1000
    assert refusal(b'[{"age": 1, "job": "x"}, ' + deep + b"]").code == "not_an_object"
    assert refusal(b'[[1, "x"], {"age": ' + deep + b"}]").code == "not_a_list"


@pytest.mark.parametrize(
    "body",
    [
        "1",
        '"x"',
        "null",
        "true",
        '{"instances": {"age": 1}}',
        '{"columns": "age", "data": []}',
        '{"columns": [1], "data": []}',
        '{"columns": ["age"], "data": {}}',
        '{"inputs": {"age": 1, "job": ["x"]}}',
        '{"inputs": {"age": [1, 2], "job": ["x"]}}',
    ],
)
def test_json_that_holds_no_rows_is_refused(body: str) -> None:
    assert refusal(body).code == "wrong_shape"


@pytest.mark.parametrize(
    "body",
    [
        "[]",
        '{"instances": []}',
        '{"columns": ["age", "job"], "data": []}',
        '{"inputs": {}}',
        '{"inputs": {"age": [], "job": []}}',
    ],
)
def test_no_rows_are_refused(body: str) -> None:
    assert refusal(body).code == "no_rows"


@pytest.mark.parametrize(
    ("body", "key"),
    [
        ('{"instances": [], "signature_name": "other"}', "signature_name"),
        ('{"instances": [], "rows": []}', "rows"),
        ('{"columns": [], "data": [], "dtypes": []}', "dtypes"),
        ('{"inputs": {}, "outputs": {}}', "outputs"),
    ],
)
def test_a_stranger_beside_the_rows_is_refused_by_name(body: str, key: str) -> None:
    error = refusal(body)
    assert error.code == "unknown_key"
    assert key in error.message


def test_rows_of_the_wrong_length_or_kind_are_all_told() -> None:
    error = refusal('[[1, "a"], [2], {"age": 3}, [4, "b"], [], null]')
    assert [(one.code, one.row) for one in (error, *error.others)] == [
        ("wrong_cells", 1),
        ("not_a_list", 2),
        ("wrong_cells", 4),
        ("not_a_list", 5),
    ]
    assert "The order is age, job" in str(error)


def test_columns_of_a_split_table_are_checked_by_name() -> None:
    error = refusal('{"columns": ["age", "jop", "age"], "data": [[1, "x", 2]]}')
    assert [(one.code, one.column) for one in (error, *error.others)] == [
        ("unknown_column", "jop"),
        ("duplicate_column", "age"),
        ("missing_column", "job"),
    ]


def test_of_a_key_that_comes_twice_the_last_counts() -> None:
    assert read('{"age": 1, "job": "a", "age": 2}') == {"age": [2], "job": ["a"]}


@pytest.mark.parametrize(
    ("number", "value"),
    [
        ("-0", 0.0),
        ("-0.0", 0.0),
        ("18446744073709551616", 2.0**64),
        ("123456789012345678901234567890", 123456789012345678901234567890.0),
        ("1e308", 1e308),
        ("1e-400", 0.0),
        ("0." + "1" * 100_000, 1 / 9),
    ],
)
def test_numbers_are_read_to_the_nearest_float(number: str, value: float) -> None:
    assert read(f'{{"age": {number}, "job": null}}')["age"] == [value]


def test_too_many_rows_are_refused_with_413(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "ROWS", 3)
    for form in ("[{0}]", '{{"instances": [{0}]}}', '{{"columns": [], "data": [{0}]}}'):
        error = refusal(form.format(",".join(["[]"] * 4)))
        assert (error.code, error.status) == ("too_many_rows", 413)
    assert refusal('{"inputs": {"age": [1, 2, 3, 4]}}').code == "too_many_rows"
    assert refusal("[]\n" * 4, LINES).code == "too_many_rows"
    assert len(read(json.dumps([ROW] * 3))["age"]) == 3


def test_too_many_columns_are_refused_with_413(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "COLUMNS", 1)
    for body in ('{"columns": ["age", "job"], "data": []}', '{"inputs": {"age": [], "job": []}}'):
        error = refusal(body)
        assert (error.code, error.status) == ("too_many_columns", 413)


@pytest.mark.parametrize("form", ['[{{"age": 1, "job": "{0}"}}]', '[[1, "{0}"]]'])
def test_a_text_that_is_too_long_is_refused_by_row_and_column(form: str) -> None:
    assert read(form.format("x" * limits.TEXT_LENGTH))["age"] == [1]
    error = refusal(form.format("é" * (limits.TEXT_LENGTH + 1)))
    assert (error.code, error.status, error.row, error.column) == ("text_too_long", 400, 0, "job")


def test_a_column_may_be_called_like_a_form() -> None:
    names = ("data", "inputs")
    schema = Schema(tuple(Column(name, "numeric") for name in names), (), SCHEMA.target)
    found = codecs.decode(b'{"data": 1, "inputs": 2}', codecs.JSON)
    assert found == Records([{"data": 1, "inputs": 2}])
    assert list(found.columns(schema)) == ["data", "inputs"]
