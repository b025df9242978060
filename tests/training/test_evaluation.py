"""Scores are scikit-learn's, and the verdict follows from the curves."""

import re

import numpy as np
import pytest
import sklearn.metrics as sk

from shared.hyperparameters import Hyperparameters, metric_definitions, metric_line
from shared.schema import Target, Task
from shared.transforms import TargetTransform
from training import evaluation, report
from training.evaluation import diagnose
from training.tuning import Trial

RANDOM = np.random.default_rng(0)


def curves(train: list[float], val: list[float]) -> list[dict[str, float]]:
    return [{"train_loss": t, "val_loss": v} for t, v in zip(train, val, strict=True)]


OVERFIT = curves([0.6, 0.5, 0.4, 0.3], [0.62, 0.55, 0.6, 0.7])
SETTINGS = Hyperparameters(epochs=10, l2=1e-4, dropout=0.2, units=64)


def test_binary_scores_are_scikit_learns() -> None:
    truth, scores = RANDOM.integers(0, 2, 200), RANDOM.random((200, 1)).astype(np.float32)
    found = evaluation.metrics(
        Target("late", "binary", (False, True)), TargetTransform("binary"), truth, scores
    )
    assert found["auc"] == sk.roc_auc_score(truth, scores[:, 0])
    assert found["accuracy"] == np.mean((scores[:, 0] >= 0.5) == truth)
    assert found["log_loss"] == pytest.approx(sk.log_loss(truth, scores[:, 0].astype(float)))


def test_auc_is_left_out_where_there_is_one_class_only() -> None:
    target, transform = Target("late", "binary", (False, True)), TargetTransform("binary")
    found = evaluation.metrics(
        target, transform, np.zeros(5, int), np.full((5, 1), 0.2, np.float32)
    )
    assert found.keys() == {"accuracy", "log_loss"}


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
    binary = evaluation.baseline(Target("late", "binary", (False, True)), learnt, truth)
    assert binary == pytest.approx(
        {
            "log_loss": -np.mean(np.log([0.75, 0.25, 0.25])),
            "accuracy": 1 / 3,
            "auc": 0.5,
        }
    )
    grades = Target("grade", "multiclass", ("a", "b", "c"))
    multiclass = evaluation.baseline(grades, np.array([0, 1, 1, 2]), np.array([1, 2]))
    assert multiclass == pytest.approx({"log_loss": -np.mean(np.log([0.5, 0.25])), "accuracy": 0.5})


def test_the_baseline_of_numbers_is_the_training_rows_mean() -> None:
    found = evaluation.baseline(
        Target("price", "regression"), np.array([90.0, 110.0]), np.array([98.0, 102.0])
    )
    assert found == pytest.approx({"rmse": 2, "mae": 2, "r2": 0})


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


def test_scores_on_fewer_than_a_hundred_rows_come_with_a_caution() -> None:
    caution = evaluation.few_rows({"validation": 99, "test": 100})
    assert caution == "Scores on 99 validation rows say little: chance moves them far."
    assert evaluation.few_rows({"validation": 100, "test": 100}) is None


def test_a_loss_that_still_falls_at_the_end_asks_for_more_epochs() -> None:
    history = curves([0.6, 0.5, 0.45], [0.6, 0.5, 0.45])
    found = diagnose(history, Hyperparameters(epochs=3), 10)
    assert found.verdict == "under-fitting"
    assert "Raise epochs (now 3)" in found.text


def test_small_weights_are_counted() -> None:
    kernels = [np.array([[0.0, 0.5], [0.0005, -0.2]]), np.array([[-1e-5]])]
    assert evaluation.zeroed(kernels) == (3, 5)


def test_the_metric_line_is_read_by_the_definitions_given_to_sagemaker() -> None:
    line = metric_line(3, {"train_loss": 0.412345, "val_loss": 1.5e-05, "val_auc": 0.701})
    found = {}
    for definition in metric_definitions():
        match = re.search(definition["Regex"], line)
        if match:
            found[definition["Name"]] = float(match[1])
    assert found == {"train_loss": 0.412345, "val_loss": 1.5e-05, "val_auc": 0.701}


def test_the_report_is_one_page_that_needs_nothing_else() -> None:
    trials = [
        Trial(0, {"dropout": 0.2, "activation": "relu"}, "finished", ((0.5, 0.7), (0.4, 0.5))),
        Trial(1, {"dropout": 0.4, "activation": "relu"}, "finished", ((0.6, 0.6), (0.5, 0.5))),
        Trial(2, {"dropout": 0.4, "activation": "<x>"}, "failed", (), "the loss is <not> finite"),
    ]
    page = report.html(
        report.Content(
            title="fruit & more",
            facts={"rows": "10 training", "weights": 12345},
            scores={"test": {"auc": 0.71234}},
            baseline={"test": {"auc": 0.5}},
            caution="Scores on 5 test rows say little.",
            history=OVERFIT,
            diagnosis=diagnose(OVERFIT, SETTINGS, 10),
            trials=trials,
            importance={"dropout": 0.75, "activation": 0.25},
            hyperparameters={"dropout": 0.2, "units": "auto"},
            resolved={"units": 64},
        )
    )
    assert "<title>fruit &amp; more" in page
    assert page.count("<polyline") == 4
    assert '<td class="n">0.45</td><td class="n">0.05</td>' in page
    assert "<td>dropout</td><td>75%</td>" in page
    assert "<x>" not in page
    assert "0.71234" in page
    assert "<p>Scores on 5 test rows say little.</p>" in page
    assert "<th>units</th><td>auto: 64</td>" in page
    assert "<th>weights</th><td>12,345</td>" in page
    assert '<td>test, always the same answer</td><td class="n">0.5</td>' in page
    assert "over-fits from epoch 3 on" in page
    assert "the loss is &lt;not&gt; finite" in page
    assert not re.search(r"<script|https?://(?!www\.w3\.org)|src=|@import|url\(", page)
