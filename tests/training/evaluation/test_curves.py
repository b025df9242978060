"""The curves are scikit-learn's, thinned; tables are a matter of counting."""

import numpy as np
import pytest
from sklearn import metrics as sk

from training.evaluation import curves

RANDOM = np.random.default_rng(0)
TRUTH = RANDOM.integers(0, 2, 2000)
SCORES = np.round(RANDOM.normal(TRUTH), 2)


def test_the_roc_curve_runs_through_scikit_learns_points() -> None:
    rates = sk.roc_curve(TRUTH, SCORES, drop_intermediate=False)[:2]
    theirs = set(zip(*(rate.tolist() for rate in rates), strict=True))
    ours = curves.roc(TRUTH, SCORES)
    assert len(ours) == curves.POINTS
    assert (ours[0], ours[-1]) == ((0, 0), (1, 1))
    assert set(ours) <= theirs


def test_precision_and_recall_are_scikit_learns() -> None:
    precision, recall, _ = sk.precision_recall_curve(TRUTH, SCORES)
    theirs = set(zip(recall.tolist(), precision.tolist(), strict=True))
    ours = curves.precision_recall(TRUTH, SCORES)
    assert ours[-1] == (1, TRUTH.mean())
    assert set(ours) <= theirs


def test_few_points_are_all_kept() -> None:
    truth, scores = np.array([1, 0, 1]), np.array([0.9, 0.5, 0.1])
    assert curves.roc(truth, scores) == ((0, 0), (0, 0.5), (1, 0.5), (1, 1))
    assert curves.precision_recall(truth, scores) == ((0.5, 1), (0.5, 0.5), (1, 2 / 3))


def test_confusion_counts_truth_by_answer() -> None:
    found = curves.confusion(np.array([0, 0, 1, 2]), np.array([0, 2, 1, 1]), 3)
    assert found == ((1, 0, 1), (0, 1, 0), (0, 1, 0))


def test_residuals_are_truth_minus_answer_by_tenth_of_the_answers() -> None:
    answers = np.arange(100.0)
    found = curves.residuals(answers + np.where(answers < 10, 3.0, 0.0), answers)
    assert (found.groups[0].predicted, found.groups[0].observed) == (4.5, 7.5)
    assert [group.rmse for group in found.groups] == [3] + [0] * 9
    assert dict(found.quantiles)[0.5] == 0
    assert dict(found.quantiles)[0.95] == 3
    assert len(found.dots) == 100


def test_many_rows_are_drawn_by_some_of_them() -> None:
    found = curves.residuals(RANDOM.random(5000), RANDOM.random(5000))
    assert len(found.dots) == curves.DOTS
    assert sum(group.rows for group in found.groups) == 5000


def test_fewer_rows_than_groups_make_fewer_groups() -> None:
    assert len(curves.residuals(np.ones(3), np.ones(3)).groups) == 3


@pytest.mark.parametrize("rows", [1, 2, 99, 100, 101])
def test_thinning_keeps_both_ends(rows: int) -> None:
    found = curves._thinned(np.arange(rows), np.arange(rows))
    assert (found[0], found[-1]) == ((0, 0), (rows - 1, rows - 1))
    assert len(found) == min(rows, curves.POINTS)
