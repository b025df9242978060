"""Scores are scikit-learn's, or follow by hand; the headline decides between two models."""

import re
from collections.abc import Sequence

import numpy as np
import pytest
import sklearn.metrics as sk

from shared.hyperparameters import metric_definitions, metric_line
from shared.schema import Target, Task
from shared.transforms import TargetTransform
from training import evaluation

RANDOM = np.random.default_rng(0)
BINARY = Target("late", "binary", (False, True))
GRADES = Target("grade", "multiclass", ("a", "b", "c"))


def binary(
    truth: Sequence[int], scores: Sequence[float], target: Target = BINARY
) -> dict[str, float]:
    outputs = np.array(scores, np.float32)[:, None]
    return evaluation.metrics(target, TargetTransform("binary"), np.array(truth), outputs)


def test_every_binary_score_agrees_with_the_sum_by_hand() -> None:
    found = binary([0, 0, 1, 1, 1], [0.1, 0.6, 0.4, 0.8, 0.9])
    assert found["auc"] == pytest.approx(5 / 6)
    assert found["pr_auc"] == pytest.approx((1 + 1 + 3 / 4) / 3)
    assert found["brier"] == pytest.approx(0.78 / 5)
    assert found["log_loss"] == pytest.approx(-np.mean(np.log([0.9, 0.4, 0.4, 0.8, 0.9])))
    assert found["accuracy"] == pytest.approx(3 / 5)
    assert (found["precision"], found["recall"], found["f1"]) == pytest.approx((2 / 3,) * 3)


def test_the_threshold_decides_what_counts_as_positive_and_not_the_ranking() -> None:
    low = Target("late", "binary", (False, True), threshold=0.3)
    found, before = (
        binary([0, 0, 1, 1, 1], [0.1, 0.6, 0.4, 0.8, 0.9], target) for target in (low, BINARY)
    )
    assert (found["precision"], found["recall"]) == (0.75, 1)
    assert found["auc"] == before["auc"]


def test_every_multiclass_score_agrees_with_the_sum_by_hand() -> None:
    outputs = np.array(
        [[0.6, 0.3, 0.1], [0.3, 0.5, 0.2], [0.1, 0.8, 0.1], [0.5, 0.1, 0.4]], np.float32
    )
    truth = np.array([0, 0, 1, 2])
    found = evaluation.metrics(GRADES, TargetTransform("multiclass"), truth, outputs)
    assert found["accuracy"] == 0.5
    assert found["balanced_accuracy"] == pytest.approx((0.5 + 1 + 0) / 3)
    assert found["macro_f1"] == pytest.approx((0.5 + 2 / 3 + 0) / 3)
    assert found["macro_auc"] == pytest.approx((3 / 4 + 1 + 1) / 3)


def test_a_class_that_the_rows_do_not_hold_counts_for_f1_and_for_nothing_else() -> None:
    outputs = np.array([[0.9, 0.05, 0.05], [0.1, 0.8, 0.1]], np.float32)
    found = evaluation.metrics(GRADES, TargetTransform("multiclass"), np.array([0, 1]), outputs)
    assert (found["balanced_accuracy"], found["macro_auc"]) == (1, 1)
    assert found["macro_f1"] == pytest.approx(2 / 3)


def test_rmse_per_deviation_is_what_r2_leaves_unexplained() -> None:
    truth = RANDOM.normal(100, 20, 50)
    transform = TargetTransform("regression", None, centre=100.0, spread=10.0)
    outputs = RANDOM.normal(0, 1, (50, 1)).astype(np.float32)
    found = evaluation.metrics(Target("price", "regression"), transform, truth, outputs)
    assert found["rmse_per_sd"] == pytest.approx(np.sqrt(1 - found["r2"]))


def test_a_constant_truth_has_no_deviation_to_measure_by() -> None:
    transform = TargetTransform("regression", None, centre=0.0, spread=1.0)
    outputs = np.array([[1.0], [3.0]], np.float32)
    found = evaluation.metrics(Target("price", "regression"), transform, np.ones(2), outputs)
    assert "rmse_per_sd" not in found
    assert found["rmse"] == pytest.approx(np.sqrt(2))


@pytest.mark.parametrize(
    ("task", "champion", "challenger", "name", "gain"),
    [
        ("binary", {"auc": 0.7, "log_loss": 0.5}, {"auc": 0.75, "log_loss": 0.6}, "auc", 0.05),
        ("multiclass", {"accuracy": 0.9}, {"accuracy": 0.8}, "accuracy", -0.1),
        ("regression", {"rmse": 10.0}, {"rmse": 8.0}, "rmse", 2.0),
        ("binary", {"log_loss": 0.5}, {"log_loss": 0.6}, "log_loss", -0.1),
    ],
)
def test_the_better_model_of_two_has_the_gain(
    task: Task,
    champion: dict[str, float],
    challenger: dict[str, float],
    name: str,
    gain: float,
) -> None:
    found = evaluation.compare(task, champion, challenger)
    assert (found.headline.name, found.gain) == (name, pytest.approx(gain))


def test_an_epochs_line_has_the_headline_alone() -> None:
    outputs = np.array([[0.1], [0.9]], np.float32)
    found = evaluation.headline(BINARY, TargetTransform("binary"), np.array([0, 1]), outputs)
    assert found == {"val_auc": 1.0}
    assert not evaluation.headline(BINARY, TargetTransform("binary"), np.zeros(2, int), outputs)


def test_binary_scores_are_scikit_learns() -> None:
    truth, scores = RANDOM.integers(0, 2, 200), RANDOM.random((200, 1)).astype(np.float32)
    found = evaluation.metrics(
        Target("late", "binary", (False, True)), TargetTransform("binary"), truth, scores
    )
    assert found["auc"] == sk.roc_auc_score(truth, scores[:, 0])
    assert found["accuracy"] == np.mean((scores[:, 0] >= 0.5) == truth)
    assert found["log_loss"] == pytest.approx(sk.log_loss(truth, scores[:, 0].astype(float)))


def test_auc_is_left_out_where_there_is_one_class_only() -> None:
    found = binary([0, 0, 0], [0.2, 0.2, 0.2])
    assert not found.keys() & {"auc", "pr_auc"}
    assert found["accuracy"] == 1


def test_multiclass_scores_count_every_class() -> None:
    truth = np.array([0, 2, 1])
    outputs = np.array([[0.8, 0.1, 0.1], [0.2, 0.2, 0.6], [0.5, 0.3, 0.2]], np.float32)
    target = Target("grade", "multiclass", ("a", "b", "c"))
    found = evaluation.metrics(target, TargetTransform("multiclass"), truth, outputs)
    assert found["accuracy"] == pytest.approx(2 / 3)
    assert found["log_loss"] == pytest.approx(-np.mean(np.log([0.8, 0.6, 0.3])), rel=1e-6)


def test_regression_scores_are_in_the_targets_own_unit() -> None:
    transform = TargetTransform("regression", None, centre=100.0, spread=10.0)
    truth = np.array([100.0, 120.0])
    found = evaluation.metrics(
        Target("price", "regression"), transform, truth, np.array([[0.0], [1.0]], np.float32)
    )
    assert found["rmse"] == pytest.approx(np.sqrt(50))
    assert found["mae"] == pytest.approx(5)


def test_the_baseline_gives_every_row_the_shares_of_the_training_rows() -> None:
    learnt, truth = np.array([0, 0, 0, 1]), np.array([0, 1, 1])
    binary = evaluation.baseline(BINARY, learnt, truth)
    assert binary == pytest.approx(
        {
            "log_loss": -np.mean(np.log([0.75, 0.25, 0.25])),
            "brier": (0.25**2 + 2 * 0.75**2) / 3,
            "calibration_error": 2 / 3 - 0.25,
            "accuracy": 1 / 3,
            "precision": 0,
            "recall": 0,
            "f1": 0,
            "auc": 0.5,
            "pr_auc": 2 / 3,
        }
    )
    multiclass = evaluation.baseline(GRADES, np.array([0, 1, 1, 2]), np.array([1, 2]))
    assert multiclass == pytest.approx(
        {
            "log_loss": -np.mean(np.log([0.5, 0.25])),
            "accuracy": 0.5,
            "balanced_accuracy": 0.5,
            "macro_f1": 2 / 9,
            "macro_auc": 0.5,
        }
    )


def test_the_baseline_of_numbers_is_the_training_rows_mean() -> None:
    found = evaluation.baseline(
        Target("price", "regression"), np.array([90.0, 110.0]), np.array([98.0, 102.0])
    )
    assert found == pytest.approx({"rmse": 2, "mae": 2, "r2": 0, "rmse_per_sd": 1})


@pytest.mark.parametrize(
    ("task", "truth", "outputs", "losses"),
    [
        ("binary", [1.0, 0.0], [[0.8], [0.4]], -np.log([0.8, 0.6])),
        ("multiclass", [0, 2], [[0.8, 0.1, 0.1], [0.2, 0.2, 0.6]], -np.log([0.8, 0.6])),
        ("regression", [1.0, 2.0], [[1.5], [4.0]], [0.25, 4.0]),
    ],
)
def test_the_standard_error_is_that_of_the_rows_losses(
    task: Task, truth: list[float], outputs: list[list[float]], losses: list[float]
) -> None:
    found = evaluation.standard_error(task, np.array(truth), np.array(outputs, np.float32))
    assert found == pytest.approx(np.std(losses, ddof=1) / np.sqrt(2), rel=1e-5)


def test_the_metric_line_is_read_by_the_definitions_given_to_sagemaker() -> None:
    line = metric_line(3, {"train_loss": 0.412345, "val_loss": 1.5e-05, "val_auc": 0.701})
    found = {}
    for definition in metric_definitions():
        match = re.search(definition["Regex"], line)
        if match:
            found[definition["Name"]] = float(match[1])
    assert found == {"train_loss": 0.412345, "val_loss": 1.5e-05, "val_auc": 0.701}
