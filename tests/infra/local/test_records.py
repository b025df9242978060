from __future__ import annotations

import contextlib
import csv
import io
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.local import json_paths, records
from infra.local.records import CSV, JSON, JSON_LINES, Plan, RecordError

LINES = Plan(by_line=True, single=False, most=None, lines_out=True)
CELLS = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\r\n\0"))


def transformed(plan: Plan, content: bytes, model: Any = lambda body: body) -> bytes:
    """A file through a plan, with a function for the server."""
    found = [(each, model(each.body)) for each in plan.requests(io.BytesIO(content))]
    if plan.most is not None:
        assert all(len(request.body) <= plan.most for request, _ in found)
    return b"".join(plan.answer(request, answer) for request, answer in found)


@given(
    st.lists(st.binary(max_size=20).map(lambda each: each.replace(b"\n", b"")), max_size=30),
    st.integers(21, 90),
    st.booleans(),
    st.booleans(),
)
def test_records_come_back_whole_and_in_order_for_any_sizes(
    lines: list[bytes], most: int, single: bool, last_feed: bool
) -> None:
    content = b"\n".join(lines) + (b"\n" if last_feed and lines else b"")
    plan = replace(LINES, most=most, single=single)
    answer = transformed(plan, content)
    expected = content if content.endswith(b"\n") or not content else content + b"\n"
    assert answer == expected


def test_requests_are_as_full_as_they_may_be() -> None:
    plan = replace(LINES, most=6)
    bodies = [each.body for each in plan.requests(io.BytesIO(b"a\nbb\nccc\nd\n"))]
    assert bodies == [b"a\nbb\n", b"ccc\nd\n"]


def test_single_records_are_sent_without_their_line_feed() -> None:
    plan = replace(LINES, single=True)
    assert [each.body for each in plan.requests(io.BytesIO(b"a\nb"))] == [b"a", b"b"]


@pytest.mark.parametrize("by_line", [True, False])
def test_a_record_larger_than_a_request_fails_the_file(by_line: bool) -> None:
    plan = replace(LINES, by_line=by_line, most=3)
    with pytest.raises(RecordError, match="Too much data for max payload size"):
        transformed(plan, b"1234\n")


def test_a_file_that_is_not_split_is_one_request() -> None:
    plan = replace(LINES, by_line=False, lines_out=False)
    assert [each.body for each in plan.requests(io.BytesIO(b"a\nb\n"))] == [b"a\nb\n"]
    assert transformed(plan, b"a\nb") == b"a\nb"


@given(st.lists(st.lists(CELLS, min_size=2, max_size=4), max_size=12), st.integers(0, 4))
def test_joined_csv_has_the_row_and_then_the_answer(rows: list[list[str]], per: int) -> None:
    content = written(rows)
    most = None if per == 0 else per * 60 + 1000
    select = json_paths.parse("$[1:]")
    plan = replace(LINES, media=CSV, join=True, most=most, select=select)

    def count(body: bytes) -> bytes:
        parsed = list(csv.reader(io.StringIO(body.decode(), newline="")))
        return b"".join(b"%d\n" % len(row) for row in parsed)

    answer = transformed(plan, content, count)
    found = list(csv.reader(io.StringIO(answer.decode(), newline="")))
    assert found == [[*row, str(len(row) - 1)] for row in rows]


def test_columns_of_joined_csv_can_be_chosen() -> None:
    plan = replace(LINES, media=CSV, join=True, keep=json_paths.parse("$[0,-1]"))
    content = b'7,"a, b",2\r\n8,"say ""x""",3\r\n'
    assert transformed(plan, content, lambda _: b"0.5\n0.25\n") == b"7,0.5\n8,0.25\n"
    one = replace(plan, keep=json_paths.parse("$[1]"))
    assert transformed(one, content, lambda _: b"1\n2\n") == b'"a, b"\n"say ""x"""\n'


@pytest.mark.parametrize(
    ("record", "joined"),
    [
        ({"key": 1}, {"key": 1, "SageMakerOutput": {"label": 1}}),
        ([1, 2], {"SageMakerInput": [1, 2], "SageMakerOutput": {"label": 1}}),
        ("text", {"SageMakerInput": "text", "SageMakerOutput": {"label": 1}}),
    ],
)
@pytest.mark.parametrize(("media", "by_line"), [(JSON, False), (JSON, True), (JSON_LINES, True)])
def test_joined_json_is_as_the_guide_shows_it(
    record: Any, joined: Any, media: str, by_line: bool
) -> None:
    plan = replace(LINES, media=media, by_line=by_line, join=True)
    answer = transformed(plan, json.dumps(record).encode(), lambda _: b'{"label": 1}\n')
    assert json.loads(answer) == joined


def test_features_go_to_the_model_and_the_id_comes_back_with_the_answer() -> None:
    plan = replace(
        LINES,
        media=JSON_LINES,
        join=True,
        select=json_paths.parse("$.features"),
        keep=json_paths.parse("$['id','SageMakerOutput']"),
    )
    content = b'{"id":1,"features":[1,2]}\n{"id":2,"features":[3]}\n'

    def total(body: bytes) -> bytes:
        return b"".join(b"%d\n" % sum(json.loads(line)) for line in body.splitlines())

    answer = transformed(plan, content, total)
    assert answer == b'{"id":1,"SageMakerOutput":3}\n{"id":2,"SageMakerOutput":3}\n'


@pytest.mark.parametrize(
    ("plan", "content", "answer", "words"),
    [
        (replace(LINES, media=CSV, join=True), b"1\n2\n", b"1\n", "mismatched line count"),
        (replace(LINES, media=JSON_LINES, join=True), b"{}\n", b"oops", "Failed to parse"),
        (replace(LINES, media=JSON_LINES, join=True), b"oops\n", b"1", "Failed to parse"),
        (
            replace(LINES, media=CSV, keep=json_paths.parse("$[3]")),
            b"1\n",
            b"1",
            "outside the 1 elements",
        ),
        (replace(LINES, media=JSON_LINES, select=json_paths.parse("$.a")), b"{}\n", b"", "no 'a'"),
    ],
)
def test_what_does_not_fit_fails_the_file_with_the_reason(
    plan: Plan, content: bytes, answer: bytes, words: str
) -> None:
    with pytest.raises(RecordError, match=words):
        transformed(plan, content, lambda _: answer)


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_any_bytes_are_joined_or_refused(content: bytes, answer: bytes) -> None:
    for media in records.FORMATS:
        plan = replace(LINES, media=media, join=True, keep=json_paths.parse("$[0]"))
        with contextlib.suppress(RecordError):
            assert isinstance(transformed(plan, content, lambda _: answer), bytes)


@pytest.mark.parametrize(
    ("key", "prefix", "name"),
    [
        ("in/a.csv", "in/", "a.csv"),
        ("in/a.csv", "in", "a.csv"),
        ("in/deep/a.csv", "in", "deep/a.csv"),
        ("in/a.csv", "in/a.csv", "a.csv"),
        ("in/a.csv", "in/a", "a.csv"),
        ("a.csv", "", "a.csv"),
    ],
)
def test_an_output_is_named_from_the_prefix_on(key: str, prefix: str, name: str) -> None:
    assert records.relative(key, prefix) == name


def test_a_manifest_lists_objects_below_its_prefix() -> None:
    content = b'[{"prefix": "s3://b/x/"}, "a.csv", "deep/b.csv"]'
    assert records.manifest(content) == [("s3://b/x/", "a.csv"), ("s3://b/x/", "deep/b.csv")]


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b'["a"]', b'[{"prefix": 1}]', b"\xff"])
def test_anything_else_is_no_manifest(content: bytes) -> None:
    with pytest.raises(RecordError, match="not a JSON array"):
        records.manifest(content)


def written(rows: list[list[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()
