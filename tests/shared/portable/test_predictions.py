"""Outputs become answers in the target's own labels."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from shared.errors import BundleError
from shared.predictions import decode
from shared.schema import Target
from shared.transforms import TargetTransform


def records(outputs: list[list[float]], target: Target) -> list[dict[str, Any]]:
    transform = TargetTransform(target.task, centre=10.0, spread=2.0)
    array = np.array(outputs, dtype=np.float32)
    return decode(array, target, transform).to_records()


def test_a_binary_answer_is_a_label_as_typed_and_the_positive_probability() -> None:
    target = Target("late", "binary", (False, True), threshold=0.5)
    assert records([[0.25], [0.5]], target) == [
        {"label": False, "score": 0.25, "scores": {"false": 0.75, "true": 0.25}},
        {"label": True, "score": 0.5, "scores": {"false": 0.5, "true": 0.5}},
    ]


def test_the_threshold_decides_between_the_labels() -> None:
    target = Target("income", "binary", ("<=50K", ">50K"), threshold=0.75)
    assert [answer["label"] for answer in records([[0.5], [0.75]], target)] == ["<=50K", ">50K"]


def test_a_multiclass_answer_holds_every_score() -> None:
    target = Target("grade", "multiclass", (1, 2, 3))
    assert records([[0.25, 0.5, 0.25]], target) == [
        {"label": 2, "score": 0.5, "scores": {"1": 0.25, "2": 0.5, "3": 0.25}}
    ]


@pytest.mark.parametrize(
    ("classes", "dtype"), [((False, True), "|b1"), ((3, 5), "<i8"), (("no", "yes"), "|O")]
)
def test_columns_say_what_records_say(classes: Any, dtype: str) -> None:
    for target, outputs in (
        (Target("y", "binary", classes), [[0.25], [0.75]]),
        (Target("y", "multiclass", classes), [[0.25, 0.75], [1.0, 0.0]]),
    ):
        array = np.array(outputs, dtype=np.float32)
        found = decode(array, target, TargetTransform(target.task))
        columns, rows = found.to_columns(), found.to_records()
        assert columns["label"].dtype.str == dtype
        assert len(found) == len(rows) == 2
        for name in ("label", "score"):
            assert columns[name].tolist() == [row[name] for row in rows]
        for name in target.class_names:
            assert columns[f"scores.{name}"].tolist() == [row["scores"][name] for row in rows]


def test_a_regression_answer_is_in_the_targets_unit() -> None:
    assert records([[-1.0], [0.5]], Target("price", "regression")) == [{"value": 8}, {"value": 11}]


@pytest.mark.parametrize(
    "target",
    [
        Target("y", "binary", (0, 1)),
        Target("y", "regression"),
        Target("y", "multiclass", ("a", "b")),
    ],
)
def test_answers_are_json_and_no_rows_have_none(target: Target) -> None:
    width = 2 if target.task == "multiclass" else 1
    assert json.dumps(records([[0.5] * width], target))
    transform = TargetTransform(target.task)
    assert decode(np.empty((0, width), dtype=np.float32), target, transform).to_records() == []


def test_outputs_of_the_wrong_shape_or_not_finite_are_refused() -> None:
    with pytest.raises(BundleError, match=r"the shape \(1, 2\), not \[n, 1\]"):
        records([[0.5, 0.5]], Target("y", "binary", (0, 1)))
    with pytest.raises(BundleError, match="output for row 1 is not finite"):
        records([[0.5], [np.nan]], Target("y", "regression"))
