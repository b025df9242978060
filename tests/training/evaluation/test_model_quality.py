"""The documents are the ones that the SageMaker developer guide shows."""

import json

import numpy as np
import pytest
from sklearn import metrics as sk

from shared.predictions import Predictions
from shared.schema import Target
from training.evaluation import model_quality

RANDOM = np.random.default_rng(0)
NONE = np.empty(0)


def binary(scores: np.ndarray) -> Predictions:
    target = Target("late", "binary", (False, True))
    return Predictions(target, NONE, (scores >= 0.5).astype(np.int64), scores[:, None])


def test_the_guides_own_example_of_a_binary_model_comes_out() -> None:
    # Four rows: one true negative, two false alarms, one hit; perfectly ranked.
    answer, truth = binary(np.array([0.2, 0.6, 0.7, 0.9])), np.array([0, 0, 0, 1])
    found = model_quality.statistics(answer, truth)["binary_classification_metrics"]
    assert found["confusion_matrix"] == {"0": {"0": 1, "1": 2}, "1": {"0": 0, "1": 1}}
    expected = {
        "recall": 1.0,
        "precision": 0.3333333333333333,
        "accuracy": 0.5,
        "recall_best_constant_classifier": 1.0,
        "precision_best_constant_classifier": 0.25,
        "accuracy_best_constant_classifier": 0.25,
        "true_positive_rate": 1.0,
        "true_negative_rate": 0.3333333333333333,
        "false_positive_rate": 0.6666666666666666,
        "false_negative_rate": 0.0,
        "auc": 1.0,
        "f0_5": 0.3846153846153846,
        "f1": 0.5,
        "f2": 0.7142857142857143,
        "f0_5_best_constant_classifier": 0.29411764705882354,
        "f1_best_constant_classifier": 0.4,
        "f2_best_constant_classifier": 0.625,
    }
    values = {name: one["value"] for name, one in found.items() if "value" in one}
    assert values == pytest.approx(expected)
    assert {one["standard_deviation"] for one in found.values() if "value" in one} == {"NaN"}
    assert found["receiver_operating_characteristic_curve"].keys() == {
        "false_positive_rates",
        "true_positive_rates",
    }
    assert found["precision_recall_curve"].keys() == {"precisions", "recalls"}


def test_a_number_has_the_guides_four_scores_and_their_deviations() -> None:
    truth = RANDOM.normal(10, 3, 1000)
    answers = truth + RANDOM.normal(0, 1, 1000)
    target = Target("price", "regression")
    answer = Predictions(target, answers, NONE.astype(np.int64), NONE)
    document = model_quality.statistics(answer, truth)
    found = document["regression_metrics"]
    assert document["dataset"] == {"item_count": 1000}
    assert {name: one["value"] for name, one in found.items()} == pytest.approx(
        {
            "mae": sk.mean_absolute_error(truth, answers),
            "mse": sk.mean_squared_error(truth, answers),
            "rmse": sk.root_mean_squared_error(truth, answers),
            "r2": sk.r2_score(truth, answers),
        }
    )
    # Samples of 80 % differ from one another by about half of what samples of that size would.
    assert 0 < found["rmse"]["standard_deviation"] < 0.03


def test_weighted_scores_of_many_classes_are_scikit_learns() -> None:
    truth, choice = RANDOM.integers(0, 4, 500), RANDOM.integers(0, 3, 500)
    choice = np.where(RANDOM.random(500) < 0.5, truth, choice)
    target = Target("grade", "multiclass", ("a", "b", "c", "d"))
    answer = Predictions(target, NONE, choice, np.zeros((500, 4)))
    found = model_quality.statistics(answer, truth)["multiclass_classification_metrics"]
    assert found["accuracy"]["value"] == pytest.approx(sk.accuracy_score(truth, choice))
    for name, beta in (("f0_5", 0.5), ("f1", 1), ("f2", 2)):
        theirs = sk.fbeta_score(truth, choice, beta=beta, average="weighted")
        assert found[f"weighted_{name}"]["value"] == pytest.approx(theirs)
    precision = sk.precision_score(truth, choice, average="weighted")
    assert found["weighted_precision"]["value"] == pytest.approx(precision)
    most = np.bincount(truth).max() / 500
    assert found["accuracy_best_constant_classifier"]["value"] == pytest.approx(most)
    assert found["confusion_matrix"]["3"].keys() == {"0", "1", "2", "3"}


def test_a_monitored_model_must_not_fall_below_the_test_rows_scores() -> None:
    answer, truth = binary(RANDOM.random(300)), RANDOM.integers(0, 2, 300)
    document = model_quality.constraints(answer, truth)
    scores = model_quality.statistics(answer, truth)["binary_classification_metrics"]
    limits = document["binary_classification_constraints"]
    assert limits["f1"] == {
        "threshold": scores["f1"]["value"],
        "comparison_operator": "LessThanThreshold",
    }
    assert limits["false_positive_rate"]["comparison_operator"] == "GreaterThanThreshold"
    assert not any("constant" in name for name in limits)


def test_rows_of_one_class_have_no_area_and_still_make_a_document() -> None:
    document = model_quality.statistics(binary(RANDOM.random(300)), np.zeros(300, np.int64))
    found = document["binary_classification_metrics"]
    assert "auc" not in found
    assert "receiver_operating_characteristic_curve" not in found
    json.dumps(document, allow_nan=False)
