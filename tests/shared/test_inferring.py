"""A schema is guessed from a table as a person would."""

from __future__ import annotations

import datetime
from typing import Any

import pyarrow as pa
import pytest

from shared.errors import DataError
from shared.inferring import infer, infer_target
from shared.schema import Task


def kind(data: Any) -> tuple[str, bool]:
    """The kind guessed for a column, and whether it is a feature."""
    rows = len(data)
    table = pa.table({"x": data, "y": [i % 2 for i in range(rows)]})
    column = infer(table, "y").columns[0]
    return column.kind, column.feature


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (pa.array([1, 2, 2]), "numeric"),
        (pa.array([1.5, None, 2]), "numeric"),
        (pa.array(["1", "2.5", "NA"]), "numeric"),
        (pa.array([True, False, None]), "boolean"),
        (pa.array(["yes", "No", ""]), "boolean"),
        (pa.array(["a", "b", "a"]), "category"),
        (pa.array(["02134", "10001", "10001"]), "category"),
        (pa.array(["2013-01-01", "2013-01-02 10:00", None]), "datetime"),
        (pa.array([datetime.date(2013, 1, 1), datetime.date(2013, 1, 2)]), "datetime"),
        (pa.array(["a", "b", "a"]).dictionary_encode(), "category"),
    ],
)
def test_kinds_come_from_types_and_from_what_text_says(data: Any, expected: str) -> None:
    assert kind(data) == (expected, True)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (pa.array(["a", "b", "c"]), "every value is different"),
        (pa.array([5, 5, 5]), "there is only one value"),
        (pa.array([None, None, None], pa.string()), "every value is missing"),
        (pa.array([[1], [2], [3]]), "is no data for a network"),
        (pa.array([7, 8, 9]), "it counts up by one"),
        (pa.array(["1", "2", "3"]), "it counts up by one"),
        (pa.array(["12/31/2022", "1/2/2023", None]), "looks like dates; write them as ISO 8601"),
        (pa.array(["31.12.2022", "01.01.2023 10:15", "NA"]), "looks like dates"),
    ],
)
def test_columns_that_tell_nothing_are_no_features_and_the_reason_is_told(
    data: Any, reason: str
) -> None:
    guess = infer(pa.table({"x": data, "y": [0, 1, 0]}), "y")
    assert not guess.columns[0].feature
    assert reason in guess.excluded["x"]


@pytest.mark.parametrize("data", [[9, 8, 7], [1, 3, 5], [0.5, 1.5, 2.5], [1, 2, None]])
def test_other_numbers_are_features(data: Any) -> None:
    assert kind(pa.array(data)) == ("numeric", True)


def test_a_category_that_is_numbers_but_for_a_few_cells_is_remarked_upon() -> None:
    prices = [f"{number % 50}.5" for number in range(300)]
    guess = infer(pa.table({"x": [*prices, "free", "free"], "y": [0, 1] * 151}), "y")
    assert (guess.columns[0].kind, guess.columns[0].feature) == ("category", True)
    assert guess.remarks["x"] == "numbers but for 2 of 302 cells; the first is row 300: 'free'"
    many = infer(pa.table({"x": [*prices, *["free"] * 4], "y": [0, 1] * 152}), "y")
    assert not many.remarks


@pytest.mark.parametrize(
    ("data", "task", "classes"),
    [
        ([True, False], "binary", (False, True)),
        ([1, 0, 1], "binary", (0, 1)),
        ([1.0, 0.0], "binary", (0, 1)),
        (["1", "0"], "binary", (0, 1)),
        (["<=50K", ">50K"], "binary", ("<=50K", ">50K")),
        (["True", "false", None], "binary", (False, True)),
        (["Yes", "No", "Yes"], "binary", ("No", "Yes")),
        (["b", "c", "a"], "multiclass", ("a", "b", "c")),
        ([3, 1, 2] * 5, "multiclass", (1, 2, 3)),
        ([10, 9, 8], "regression", ()),
        (list(range(21)) * 10, "regression", ()),
        ([0.5, 1.5, 2.5], "regression", ()),
    ],
)
def test_the_task_and_its_classes_come_from_the_targets_values(
    data: Any, task: str, classes: Any
) -> None:
    target = infer_target(pa.table({"y": data}), "y")
    assert (target.task, target.classes) == (task, classes)
    assert [type(label) for label in target.classes] == [type(label) for label in classes]


@pytest.mark.parametrize(
    ("data", "task", "classes"),
    [
        ([3, 1, 2] * 5, "regression", ()),
        ([10, 9, 8], "multiclass", (8, 9, 10)),
        ([0, 1], "regression", ()),
        ([0, 1], "multiclass", (0, 1)),
    ],
)
def test_the_task_may_be_given(data: Any, task: Task, classes: Any) -> None:
    target = infer_target(pa.table({"y": data}), "y", task)
    assert (target.task, target.classes) == (task, classes)


@pytest.mark.parametrize(
    ("data", "task", "words"),
    [
        (["a", "a"], None, r"target 'y': the only value is 'a'; two or more are needed"),
        ([1.5, 1.5], None, "the only value is 1.5"),
        ([None, None], None, "every value is missing"),
        (["a", "b"], "regression", "a category column cannot be a regression target"),
        ([1, 2, 3], "binary", "3 different values, but a binary target has 2"),
        ([0.5, 1.5, 2.5], "multiclass", r"the value 0.5 is no class\. Use task = .regression"),
        (["2013-01-01", "2013-01-02"], None, "a date cannot be predicted"),
        ([[1], [2]], None, "cannot be predicted"),
    ],
)
def test_a_target_that_cannot_be_learnt_is_refused(data: Any, task: Any, words: str) -> None:
    with pytest.raises(DataError, match=words):
        infer_target(pa.table({"y": data}), "y", task)


def test_a_target_that_is_not_a_column_is_refused_and_the_nearest_named() -> None:
    with pytest.raises(DataError, match=r"'labell' is not a column\. Did you mean 'label'"):
        infer(pa.table({"label": [0, 1]}), "labell")
