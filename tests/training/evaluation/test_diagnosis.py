"""The verdict follows from the curves."""

import numpy as np
import pytest

from shared.hyperparameters import Hyperparameters
from training import evaluation
from training.evaluation import diagnose


def curves(train: list[float], val: list[float]) -> list[dict[str, float]]:
    return [{"train_loss": t, "val_loss": v} for t, v in zip(train, val, strict=True)]


OVERFIT = curves([0.6, 0.5, 0.4, 0.3], [0.62, 0.55, 0.6, 0.7])
SETTINGS = Hyperparameters(epochs=10, l2=1e-4, dropout=0.2, units=64)


def test_rising_validation_loss_is_over_fitting_from_the_epoch_after_the_best() -> None:
    found = diagnose(OVERFIT, SETTINGS, 10)
    assert found.verdict == "over-fitting"
    assert (found.best_epoch, found.from_epoch) == (2, 3)
    assert found.gap == pytest.approx(0.05)
    assert "over-fits from epoch 3 on" in found.text
    assert "l2 (now 0.0001; try 0.001)" in found.text
    assert "dropout (now 0.2; try 0.4)" in found.text
    assert "units (now 64; try 32)" in found.text


def test_a_widening_gap_is_the_beginning_of_over_fitting() -> None:
    found = diagnose(curves([0.6, 0.4, 0.2, 0.1], [0.62, 0.6, 0.59, 0.58]), SETTINGS, 10)
    assert found.verdict == "over-fitting"
    assert found.from_epoch == 2
    assert "begins to over-fit at epoch 2" in found.text


def test_a_constant_distance_is_no_over_fitting() -> None:
    found = diagnose(curves([0.6, 0.5, 0.45, 0.45], [0.5, 0.4, 0.36, 0.361]), SETTINGS, 10)
    assert found.verdict == "sound"
    assert found.best_epoch == 3


def test_a_rise_within_the_standard_error_is_no_over_fitting() -> None:
    found = diagnose(OVERFIT, SETTINGS, 10, noise=0.2)
    assert found.verdict == "sound"
    assert "rises after it by 0.15, within chance (± 0.2)" in found.text


def test_a_validation_loss_below_the_training_loss_is_explained() -> None:
    found = diagnose(curves([0.6, 0.5, 0.4, 0.3], [0.5, 0.35, 0.38, 0.4]), SETTINGS, 10)
    assert "the two sets differ (for instance another season)" in found.text
    assert "the two sets differ" not in diagnose(OVERFIT, SETTINGS, 10).text


def test_cures_are_short_numbers_within_the_bounds_of_their_knobs() -> None:
    text = diagnose(OVERFIT, Hyperparameters(l2=7.4321e-5, dropout=0.7, units=8), 10).text
    assert text.endswith("To get further: raise l2 (now 7.4e-05; try 0.00074).")
    text = diagnose(OVERFIT, Hyperparameters(l2=1.0, dropout=0.6, units=8), 10).text
    assert text.endswith("To get further: bring more training rows.")


def test_scores_on_fewer_than_a_hundred_rows_come_with_a_caution() -> None:
    caution = evaluation.few_rows({"validation": 99, "test": 100})
    assert caution == "Scores on 99 validation rows say little: chance moves them far."
    assert evaluation.few_rows({"validation": 100, "test": 100}) is None


def test_a_loss_that_still_falls_at_the_end_asks_for_more_epochs() -> None:
    history = curves([0.6, 0.5, 0.45], [0.6, 0.5, 0.45])
    found = diagnose(history, Hyperparameters(epochs=3), 10)
    assert found.verdict == "under-fitting"
    assert found.text.endswith("Raise epochs (now 3; try 6).")


def test_a_loss_no_better_than_the_constant_answers_is_nothing_learnt() -> None:
    history = curves([0.6, 0.55, 0.55], [0.6, 0.555, 0.556])
    settings = Hyperparameters(l2=0.1, dropout=0.4, learning_rate=1e-4, units=32)
    found = diagnose(history, settings, 10, noise=0.01, nothing=0.56)
    assert found.verdict == "under-fitting"
    assert "not below that of always giving the same answer (0.56)" in found.text
    assert found.text.endswith(
        "lower l2 (now 0.1; try 0.01), or lower dropout (now 0.4; try 0.2), or raise "
        "learning_rate (now 0.0001; try 0.0003), or raise units (now 32; try 64)."
    )
    assert diagnose(history, settings, 10, noise=0.01, nothing=0.6).verdict == "sound"


def test_a_network_that_only_learns_by_heart_over_fits_and_its_worth_is_told() -> None:
    found = diagnose(OVERFIT, SETTINGS, 10, nothing=0.54)
    assert found.verdict == "over-fitting"
    assert "Even they are no better than always giving the same answer (0.54)." in found.text


def test_a_rate_that_is_too_high_is_to_be_lowered_where_nothing_is_learnt() -> None:
    history = curves([0.7, 0.7], [0.7, 0.7])
    found = diagnose(history, Hyperparameters(learning_rate=0.1, units=64), 10, nothing=0.69)
    assert found.text.endswith("lower learning_rate (now 0.1; try 0.001).")


def test_small_weights_are_counted() -> None:
    kernels = [np.array([[0.0, 0.5], [0.0005, -0.2]]), np.array([[-1e-5]])]
    assert evaluation.zeroed(kernels) == (3, 5)
