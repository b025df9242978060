"""The scores as SageMaker's Model Registry and Model Monitor read them.

    statistics    ModelMetrics.ModelQuality.Statistics of a model package, and the statistics.json
                  of a model quality baseline
    constraints   …Constraints, and the constraints.json: what a monitored model must not fall below

The names are those of "Model quality metrics and Amazon CloudWatch monitoring" in the SageMaker
developer guide (model-monitor-model-quality-metrics.html), values and standard deviations included:
a deviation is that of five samples of 80 % of the rows, and the text NaN below 200 rows. The best
constant classifier always answers the positive class, as in the guide's example; with many classes
the most frequent one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from shared.predictions import Predictions
from training.evaluation import curves
from training.evaluation.ranking import area

SAMPLES, SHARE, ROWS_FOR_DEVIATION = 5, 0.8, 200
WORSE_WHEN_HIGHER = frozenset({"mae", "mse", "rmse", "false_positive_rate", "false_negative_rate"})
GROUPS = {
    "binary": "binary_classification",
    "multiclass": "multiclass_classification",
    "regression": "regression",
}

Array = npt.NDArray[Any]
Document = dict[str, Any]
Measure = Callable[[Predictions, Array], dict[str, float]]


def statistics(answer: Predictions, truth: Array) -> Document:
    """The statistics document.

    Args:
        answer: for the test rows.
        truth: as `metrics` takes it.
    """
    task = answer.target.task
    measure = _MEASURES[task]
    values, deviations = measure(answer, truth), _deviations(measure, answer, truth)
    group: Document = {
        name: {"value": value, "standard_deviation": deviations.get(name, "NaN")}
        for name, value in values.items()
    }
    if task != "regression":
        classes = len(answer.target.classes)
        table = curves.confusion(truth, answer.choice, classes)
        group["confusion_matrix"] = {
            str(i): {str(j): count for j, count in enumerate(row)} for i, row in enumerate(table)
        }
    if task == "binary" and "auc" in values:
        roc = curves.roc(truth, answer.scores[:, 0])
        both = curves.precision_recall(truth, answer.scores[:, 0])
        group["receiver_operating_characteristic_curve"] = {
            "false_positive_rates": [x for x, _ in roc],
            "true_positive_rates": [y for _, y in roc],
        }
        group["precision_recall_curve"] = {
            "precisions": [y for _, y in both],
            "recalls": [x for x, _ in both],
        }
    return {
        "version": 0.0,
        "dataset": {"item_count": len(truth)},
        f"{GROUPS[task]}_metrics": group,
    }


def constraints(answer: Predictions, truth: Array) -> Document:
    """The constraints document: each score at the value that the test rows gave."""
    task = answer.target.task
    limits = {
        name: {
            "threshold": value,
            "comparison_operator": (
                "GreaterThanThreshold" if name in WORSE_WHEN_HIGHER else "LessThanThreshold"
            ),
        }
        for name, value in _MEASURES[task](answer, truth).items()
        if not name.endswith("best_constant_classifier")
    }
    return {"version": 0.0, f"{GROUPS[task]}_constraints": limits}


def _deviations(measure: Measure, answer: Predictions, truth: Array) -> dict[str, float]:
    if len(truth) < ROWS_FOR_DEVIATION:
        return {}
    random = np.random.default_rng(0)
    found = []
    for _ in range(SAMPLES):
        rows = random.permutation(len(truth))[: round(SHARE * len(truth))]
        found.append(measure(_take(answer, rows), truth[rows]))
    return {
        name: float(np.std([one[name] for one in found], ddof=1))
        for name in found[0]
        if all(name in one for one in found)
    }


def _take(answer: Predictions, rows: Array) -> Predictions:
    if answer.target.task == "regression":
        return Predictions(answer.target, answer.values[rows], answer.choice, answer.scores)
    return Predictions(answer.target, answer.values, answer.choice[rows], answer.scores[rows])


def _regression(answer: Predictions, truth: Array) -> dict[str, float]:
    missed = truth - answer.values
    mse, variance = float(np.mean(np.square(missed))), float(np.var(truth))
    found = {"mae": float(np.mean(np.abs(missed))), "mse": mse, "rmse": float(np.sqrt(mse))}
    return found | ({"r2": 1 - mse / variance} if variance > 0 else {})


def _binary(answer: Predictions, truth: Array) -> dict[str, float]:
    (tn, fp), (fn, tp) = curves.confusion(truth, answer.choice, 2)
    found = _rates(tn, fp, fn, tp)
    best = _rates(0, tn + fp, 0, tp + fn)
    for name in ("recall", "precision", "accuracy", "f0_5", "f1", "f2"):
        found[f"{name}_best_constant_classifier"] = best[name]
    found["auc"] = area(truth == 1, answer.scores[:, 0])
    return {name: value for name, value in found.items() if not np.isnan(value)}


def _rates(tn: int, fp: int, fn: int, tp: int) -> dict[str, float]:
    recall, precision = _share(tp, tp + fn), _share(tp, tp + fp)
    return {
        "recall": recall,
        "precision": precision,
        "accuracy": _share(tp + tn, tp + tn + fp + fn),
        "true_positive_rate": recall,
        "true_negative_rate": _share(tn, tn + fp),
        "false_positive_rate": _share(fp, tn + fp),
        "false_negative_rate": _share(fn, tp + fn),
        **_f_scores(np.array([precision]), np.array([recall]), np.ones(1)),
    }


def _multiclass(answer: Predictions, truth: Array) -> dict[str, float]:
    classes = len(answer.target.classes)
    counts = np.array(curves.confusion(truth, answer.choice, classes), dtype=np.float64)
    most = np.zeros_like(counts)
    most[:, int(counts.sum(axis=1).argmax())] = counts.sum(axis=1)
    found = _weighted(counts)
    constant = {f"{name}_best_constant_classifier": v for name, v in _weighted(most).items()}
    return found | constant


def _weighted(counts: Array) -> dict[str, float]:
    right, there, answered = np.diag(counts), counts.sum(axis=1), counts.sum(axis=0)
    weights = there / there.sum()
    recall = np.divide(right, there, out=np.zeros_like(right), where=there > 0)
    precision = np.divide(right, answered, out=np.zeros_like(right), where=answered > 0)
    f = _f_scores(precision, recall, weights)
    return {
        "accuracy": float(right.sum() / counts.sum()),
        "weighted_recall": float(weights @ recall),
        "weighted_precision": float(weights @ precision),
        **{f"weighted_{name}": value for name, value in f.items()},
    }


def _f_scores(precision: Array, recall: Array, weights: Array) -> dict[str, float]:
    found = {}
    for name, beta in (("f0_5", 0.5), ("f1", 1.0), ("f2", 2.0)):
        below = beta**2 * precision + recall
        above = (1 + beta**2) * precision * recall
        found[name] = float(
            weights @ np.divide(above, below, out=np.zeros_like(below), where=below > 0)
        )
    return found


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


_MEASURES: Mapping[str, Measure] = {
    "binary": _binary,
    "multiclass": _multiclass,
    "regression": _regression,
}
