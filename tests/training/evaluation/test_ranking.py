"""AUC is scikit-learn's; its standard error is DeLong's, and what chance does."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from training.evaluation import ranking

RANDOM = np.random.default_rng(0)


def test_equal_values_share_their_mean_rank() -> None:
    assert ranking.ranks(np.array([3.0, 1.0, 3.0, 9.0])).tolist() == [2.5, 1.0, 2.5, 4.0]


def test_area_and_error_agree_with_the_sum_by_hand() -> None:
    positive, scores = np.array([True, True, False, False]), np.array([0.9, 0.4, 0.5, 0.1])
    # The positives beat 1 and 1/2 of the negatives; the negatives lose to 1/2 and 1 positives.
    area, error = ranking.auc(positive, scores)
    assert area == pytest.approx(3 / 4)
    assert error == pytest.approx(math.sqrt(0.125 / 2 + 0.125 / 2))


@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=4, max_size=40).filter(
        lambda rows: 0 < sum(label for label, _ in rows) < len(rows)
    )
)
def test_the_area_is_scikit_learns(rows: list[tuple[bool, int]]) -> None:
    positive = np.array([label for label, _ in rows])
    scores = np.array([float(score) for _, score in rows])
    expected = pytest.approx(roc_auc_score(positive, scores))
    assert ranking.auc(positive, scores)[0] == expected
    assert ranking.area(positive, scores) == expected


def test_the_error_is_how_far_the_area_moves_between_samples() -> None:
    areas, errors = [], []
    for _ in range(300):
        positive = RANDOM.random(150) < 0.3
        area, error = ranking.auc(positive, RANDOM.normal(positive * 1.0))
        areas.append(area)
        errors.append(error)
    assert np.mean(errors) == pytest.approx(np.std(areas), rel=0.12)


def test_there_is_no_area_without_both_classes_and_no_error_with_a_single_row_of_one() -> None:
    assert all(map(math.isnan, ranking.auc(np.zeros(3, bool), np.arange(3.0))))
    area, error = ranking.auc(np.array([True, False, False]), np.arange(3.0))
    assert area == 0
    assert math.isnan(error)
