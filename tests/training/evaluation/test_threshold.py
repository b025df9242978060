"""The threshold is the best one for its rule, and no row sits on it."""

from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk

from shared.problem import ThresholdRule
from training.evaluation import threshold


def worth(rule: str, truth: np.ndarray, choice: np.ndarray) -> float:
    measure = {"f1": sk.f1_score, "balanced_accuracy": sk.balanced_accuracy_score}[rule]
    return float(measure(truth, choice))


def test_the_best_f1_agrees_with_the_sum_by_hand() -> None:
    truth, scores = np.array([0, 0, 1, 0, 1, 1]), np.array([0.1, 0.2, 0.3, 0.4, 0.6, 0.8])
    # Positive from 0.3 on: 3 hits of 4 answers, F1 = 6/7; from 0.6 on: 2 of 2, F1 = 4/5.
    assert threshold.choose("f1", truth, scores) == pytest.approx(0.25)


def test_the_best_balanced_accuracy_is_where_both_recalls_are_high() -> None:
    truth, scores = np.array([0, 0, 0, 0, 1]), np.array([0.1, 0.2, 0.3, 0.5, 0.4])
    # From 0.4 on: recalls 1 and 3/4; from 0.5 on: 0 and 3/4.
    assert threshold.choose("balanced_accuracy", truth, scores) == pytest.approx(0.35)


def test_of_equally_good_thresholds_the_nearest_to_a_half_is_taken() -> None:
    truth, scores = np.array([1, 0, 1, 0]), np.array([0.9, 0.9, 0.45, 0.45])
    assert threshold.choose("balanced_accuracy", truth, scores) == pytest.approx(0.675)


@pytest.mark.parametrize("label", [0, 1])
def test_rows_of_one_class_decide_nothing(label: int) -> None:
    assert threshold.choose("f1", np.full(3, label), np.array([0.1, 0.2, 0.3])) == 0.5


@given(
    st.sampled_from(get_args(ThresholdRule)),
    st.lists(st.tuples(st.integers(0, 1), st.integers(0, 8)), min_size=2, max_size=30),
)
def test_no_other_threshold_is_better_and_no_score_equals_it(
    rule: ThresholdRule, rows: list[tuple[int, int]]
) -> None:
    truth = np.array([label for label, _ in rows])
    scores = np.array([score / 8 for _, score in rows], np.float32)
    if len(set(truth.tolist())) < 2:
        return
    chosen = threshold.choose(rule, truth, scores)
    assert 0 <= chosen <= 1
    assert chosen == 0 or not np.any(scores == chosen)
    best = max(worth(rule, truth, scores >= limit) for limit in np.unique(scores))
    assert worth(rule, truth, scores >= chosen) == pytest.approx(best)
