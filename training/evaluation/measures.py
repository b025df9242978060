"""Scores of a network's outputs against the truth, by task; and which of them decides.

Here: scores (scikit-learn's), those of an answer that is always the same, and the comparison of two
models by the headline. Not here: the threshold (threshold.py), calibration by bin (calibration.py),
scores of parts of the rows (slices.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from shared import predictions
from shared.predictions import Predictions
from shared.schema import Target, Task
from shared.transforms import TargetTransform
from training.evaluation import calibration
from training.evaluation.ranking import area

Array = npt.NDArray[Any]
Scores = Mapping[str, float]


@dataclass(frozen=True)
class Headline:
    """The score that decides between two models of one task.

    Args:
        name: of the score, as `metrics` calls it.
        higher_is_better: whether a model with more of it is the better one.
    """

    name: str
    higher_is_better: bool


HEADLINES: Mapping[Task, Headline] = {
    "binary": Headline("auc", True),
    "multiclass": Headline("accuracy", True),
    "regression": Headline("rmse", False),
}
WITHOUT_BOTH_CLASSES = Headline("log_loss", False)


@dataclass(frozen=True)
class Comparison:
    """One model's headline beside another's, on the same rows.

    Args:
        headline: the score they were compared by.
        champion, challenger: their scores.
        gain: by how much the challenger is better, in the score's unit; negative: worse.
    """

    headline: Headline
    champion: float
    challenger: float
    gain: float


def metrics(
    target: Target, transform: TargetTransform, truth: Array, outputs: Array
) -> dict[str, float]:
    """Scores of the network's outputs.

    Args:
        target: with its classes; binary: its threshold decides accuracy, precision, recall and f1.
        transform: as fitted.
        truth: int64 class numbers [n]; regression: float64 in the target's unit.
        outputs: the network's raw outputs [n, …].

    Returns:
        binary: auc and pr_auc (left out where the truth is all of one class), log_loss, brier,
        calibration_error, accuracy, precision, recall, f1;
        multiclass: accuracy, balanced_accuracy, macro_f1, log_loss, macro_auc (one class against
        the rest, mean over the classes that the truth has; left out where it has only one);
        regression: rmse, mae, r2, and rmse_per_sd (left out where the truth is constant).
    """
    return _compared(predictions.decode(outputs, target, transform), truth)


def baseline(target: Target, learnt: Array, truth: Array) -> dict[str, float]:
    """Scores of the answer that is the same for every row: what the inputs must beat.

    The answer is the training rows' mean for regression; for classes their shares as the scores
    and the most frequent class as the label.

    Args:
        target: with its classes.
        learnt: the training rows' truth [m], as `metrics` takes it.
        truth: of the rows to score [n].

    Returns:
        The figures that `metrics` gives.
    """
    rows, none = len(truth), np.empty(0)
    if target.task == "regression":
        values = np.full(rows, learnt.mean())
        return _compared(Predictions(target, values, none.astype(np.int64), none), truth)
    shares = np.bincount(learnt, minlength=len(target.classes)) / len(learnt)
    scores = np.tile(shares[1:] if target.task == "binary" else shares, (rows, 1))
    choice = np.full(rows, np.argmax(shares), np.int64)
    return _compared(Predictions(target, none, choice, scores), truth)


def headline(
    target: Target, transform: TargetTransform, truth: Array, outputs: Array
) -> dict[str, float]:
    """The figure that stands on each epoch's line: `val_auc`, `val_accuracy` or `val_rmse`."""
    value = headline_of(predictions.decode(outputs, target, transform), truth)
    return {} if value is None else {f"val_{HEADLINES[target.task].name}": value}


def headline_of(answer: Predictions, truth: Array) -> float | None:
    """The headline alone; None for a binary truth that is all of one class.

    It is asked for after each epoch and for each input dealt out, so it takes the short way.
    """
    if answer.target.task == "regression":
        return float(np.sqrt(np.mean(np.square(truth - answer.values))))
    if answer.target.task == "multiclass":
        return float(np.mean(answer.choice == truth))
    found = area(truth == 1, answer.scores[:, 0])
    return None if np.isnan(found) else found


def compare(task: Task, champion: Scores, challenger: Scores) -> Comparison:
    """Compare two models by the headline of the task.

    Where a binary truth is all of one class there is no AUC; then by log_loss.

    Args:
        task: of both.
        champion: what `metrics` gave for the one model.
        challenger: what it gave for the other, on the same rows.
    """
    by = HEADLINES[task]
    if by.name not in champion or by.name not in challenger:
        by = WITHOUT_BOTH_CLASSES
    old, new = champion[by.name], challenger[by.name]
    return Comparison(by, old, new, new - old if by.higher_is_better else old - new)


def standard_error(task: Task, truth: Array, outputs: Array) -> float:
    """How far the mean loss over these rows may be off by chance: the rows' deviation / sqrt(n).

    Args:
        task: decides the loss: cross-entropy of classes, squared error of numbers.
        truth: [n], as the network learns it: class numbers, or the scaled target.
        outputs: the network's raw outputs [n, …].
    """
    if task == "regression":
        losses = np.square(outputs[:, 0].astype(np.float64) - truth)
    else:
        scores = _rows_sum_to_one(outputs.astype(np.float64))
        right = scores[np.arange(len(truth)), truth.astype(np.int64)]
        losses = -np.log(np.maximum(right, np.finfo(np.float32).tiny))
    return float(np.std(losses, ddof=1) / np.sqrt(len(losses)))


def _compared(answer: Predictions, truth: Array) -> dict[str, float]:
    measure = {"binary": _binary, "multiclass": _multiclass, "regression": _regression}
    return measure[answer.target.task](answer, truth)


def _binary(answer: Predictions, truth: Array) -> dict[str, float]:
    from sklearn import metrics as sk

    scores, choice = answer.scores[:, 0], answer.choice
    result = {
        "log_loss": float(sk.log_loss(truth, _rows_sum_to_one(answer.scores), labels=[0, 1])),
        "brier": float(np.mean(np.square(scores - truth))),
        "calibration_error": calibration.error(calibration.reliability(truth, scores)),
        "accuracy": float(np.mean(choice == truth)),
        "precision": float(sk.precision_score(truth, choice, zero_division=0.0)),
        "recall": float(sk.recall_score(truth, choice, zero_division=0.0)),
        "f1": float(sk.f1_score(truth, choice, zero_division=0.0)),
    }
    if len(np.unique(truth)) == 2:
        result["auc"] = float(sk.roc_auc_score(truth, scores))
        result["pr_auc"] = float(sk.average_precision_score(truth, scores))
    return result


def _multiclass(answer: Predictions, truth: Array) -> dict[str, float]:
    from sklearn import metrics as sk

    scores, labels = answer.scores, list(range(len(answer.target.classes)))
    there = np.unique(truth)
    recalls = sk.recall_score(truth, answer.choice, labels=there, average=None, zero_division=0.0)
    f1 = sk.f1_score(truth, answer.choice, labels=labels, average="macro", zero_division=0.0)
    result = {
        "accuracy": float(np.mean(answer.choice == truth)),
        "balanced_accuracy": float(np.mean(recalls)),
        "macro_f1": float(f1),
        "log_loss": float(sk.log_loss(truth, _rows_sum_to_one(scores), labels=labels)),
    }
    if len(there) > 1:
        aucs = [sk.roc_auc_score(truth == label, scores[:, label]) for label in there]
        result["macro_auc"] = float(np.mean(aucs))
    return result


def _regression(answer: Predictions, truth: Array) -> dict[str, float]:
    from sklearn import metrics as sk

    result = {
        "rmse": float(sk.root_mean_squared_error(truth, answer.values)),
        "mae": float(sk.mean_absolute_error(truth, answer.values)),
        "r2": float(sk.r2_score(truth, answer.values)),
    }
    deviation = float(np.std(truth))
    if deviation > 0:
        result["rmse_per_sd"] = result["rmse"] / deviation
    return result


def _rows_sum_to_one(scores: Array) -> Array:
    """Probabilities of all classes [n, C]; float32 sums miss 1 by what scikit-learn warns about."""
    if scores.shape[1] == 1:
        return np.concatenate([1.0 - scores, scores], axis=1)
    return np.asarray(scores / scores.sum(axis=1, keepdims=True))
