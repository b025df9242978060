"""The reliability curve is a matter of counting, and its error of summing."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve

from training.evaluation import calibration
from training.evaluation.calibration import Bin


def test_the_curve_and_its_error_agree_with_the_sum_by_hand() -> None:
    truth, scores = np.array([0, 1, 1, 1]), np.array([0.1, 0.2, 0.8, 0.9])
    found = calibration.reliability(truth, scores, bins=2)
    assert found == (
        Bin(2, pytest.approx(0.15), 0.5, pytest.approx(np.sqrt(0.125))),
        Bin(2, pytest.approx(0.85), 1.0, 0.0),
    )
    assert calibration.error(found) == pytest.approx((0.35 + 0.15) / 2)


def test_the_curve_is_scikit_learns() -> None:
    random = np.random.default_rng(0)
    scores = random.random(1000)
    truth = (random.random(1000) < scores**2).astype(int)
    observed, predicted = calibration_curve(truth, scores, n_bins=10, strategy="quantile")
    found = calibration.reliability(truth, scores)
    assert [one.predicted for one in found] == pytest.approx(predicted, abs=2e-3)
    assert [one.observed for one in found] == pytest.approx(observed, abs=0.02)


@given(
    st.lists(
        st.tuples(st.integers(0, 1), st.sampled_from([0.0, 0.1, 0.5, 1.0]) | st.floats(0, 1)),
        min_size=1,
        max_size=60,
    )
)
def test_every_row_is_in_one_bin_and_equal_scores_share_it(rows: list[tuple[int, float]]) -> None:
    truth = np.array([label for label, _ in rows])
    scores = np.array([score for _, score in rows])
    found = calibration.reliability(truth, scores)
    assert sum(one.rows for one in found) == len(rows)
    assert len(found) <= min(calibration.BINS, len(set(scores.tolist())))
    assert sum(one.rows * one.observed for one in found) == pytest.approx(truth.sum())
    assert sum(one.rows * one.predicted for one in found) == pytest.approx(scores.sum())
    mean_distance = abs(truth.mean() - scores.mean())
    assert mean_distance - 1e-9 <= calibration.error(found) <= 1
