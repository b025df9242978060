from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.local import json_paths
from infra.local.json_paths import AbsentError, PathError

RECORD = {"id": 7, "features": [1, 2, 3], "nest": {"a": {"x": 1}, "b": {"x": 2}}}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("$", RECORD),
        ("$.id", 7),
        ("$['id']", 7),
        ("$.features", [1, 2, 3]),
        ("$.features[0]", 1),
        ("$.features[-1]", 3),
        ("$.features[0,2]", [1, 3]),
        ("$.features[1:]", [2, 3]),
        ("$.features[:1]", [1]),
        ("$.features[0:2]", [1, 2]),
        ("$.features[0,1:]", [1, 2, 3]),
        ("$.features[*]", [1, 2, 3]),
        ("$.nest.*", [{"x": 1}, {"x": 2}]),
        ("$.nest.*.x", [1, 2]),
        ("$.nest['a','b']", {"a": {"x": 1}, "b": {"x": 2}}),
        ("$.nest.['a','b']", {"a": {"x": 1}, "b": {"x": 2}}),
        ("$['id', 'features']", {"id": 7, "features": [1, 2, 3]}),
    ],
)
def test_what_the_guide_lists_is_selected(path: str, found: Any) -> None:
    assert json_paths.parse(path).select(RECORD) == found


@pytest.mark.parametrize(
    "path",
    [
        *("", "id", ".id", "$.", "$..id", "$[?(@.id)]", "$.features.length()", "$[]", "$[a]"),
        *("$[0", '$["id"]', "$['a','b'].x", "$['a'].['b','c']['d']", "$[0:2:1]", "$ .id", "$id"),
    ],
)
def test_anything_else_is_refused(path: str) -> None:
    with pytest.raises(PathError):
        json_paths.parse(path)


@pytest.mark.parametrize(
    "path", ["$.no", "$['id','no']", "$.features[3]", "$.features[-4]", "$[0]", "$.id.*", "$.id.x"]
)
def test_what_a_record_has_not_is_an_error(path: str) -> None:
    with pytest.raises(AbsentError):
        json_paths.parse(path).select(RECORD)


@pytest.mark.parametrize(
    ("path", "for_csv"),
    [("$", True), ("$[1:]", True), ("$[0,-1]", True), ("$[*]", True), ("$.id", False)],
)
def test_a_row_of_csv_knows_places_only(path: str, for_csv: bool) -> None:
    assert json_paths.parse(path).by_place is for_csv


@given(st.text(max_size=63))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(PathError):
        assert json_paths.parse("$" + text).text == "$" + text


@given(st.lists(st.integers(), min_size=1), st.integers(-9, 9), st.integers(-9, 9))
def test_slices_are_pythons(values: list[int], start: int, end: int) -> None:
    path = json_paths.parse(f"$[{start}:{end}]")
    assert path.select(values) == values[start:end]
    assert json.loads(json.dumps(values)) == json_paths.parse("$[:]").select(values)
