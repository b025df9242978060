"""What the report draws of the answers: ROC, precision and recall, confusion, residuals.

Curves of many rows are thinned to POINTS points, the ends kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

POINTS = 100
DOTS = 400
GROUPS = 10
QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)

Array = npt.NDArray[Any]
Points = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Group:
    """Rows of similar answer: one tenth of all, by what was predicted.

    Args:
        rows: how many.
        predicted: their mean answer.
        observed: their mean target.
        rmse: of these rows.
    """

    rows: int
    predicted: float
    observed: float
    rmse: float


@dataclass(frozen=True)
class Residuals:
    """Where numbers are missed, and by how much: truth minus answer, in the target's unit.

    Args:
        quantiles: of the residuals, by share of the rows.
        groups: tenths of the rows by answer, the lowest first.
        dots: (answer, residual) of up to 400 rows.
    """

    quantiles: tuple[tuple[float, float], ...]
    groups: tuple[Group, ...]
    dots: Points


def roc(truth: Array, scores: Array) -> Points:
    """(false positive rate, true positive rate) from (0, 0) to (1, 1); truth of both classes."""
    hits, answered = _counts(truth, scores)
    positive = int(hits[-1])
    rates = (answered - hits) / (len(truth) - positive), hits / positive
    return _thinned(np.append(0.0, rates[0]), np.append(0.0, rates[1]))


def precision_recall(truth: Array, scores: Array) -> Points:
    """(recall, precision) by falling threshold; the truth has positives."""
    hits, answered = _counts(truth, scores)
    return _thinned(hits / hits[-1], hits / answered)


def confusion(truth: Array, choice: Array, classes: int) -> tuple[tuple[int, ...], ...]:
    """Rows by true class (first) and answered class."""
    counts = np.bincount(truth * classes + choice, minlength=classes**2)
    return tuple(tuple(row) for row in counts.reshape(classes, classes).tolist())


def residuals(truth: Array, answers: Array) -> Residuals:
    """Residuals of numbers; float64 [n] both."""
    missed = truth - answers
    order = np.argsort(answers, kind="stable")
    groups = [
        Group(
            len(rows),
            float(answers[rows].mean()),
            float(truth[rows].mean()),
            float(np.sqrt(np.mean(np.square(missed[rows])))),
        )
        for rows in np.array_split(order, GROUPS)
        if len(rows)
    ]
    some = np.sort(np.random.default_rng(0).permutation(len(truth))[:DOTS])
    quantiles = np.quantile(missed, QUANTILES).tolist()
    return Residuals(
        tuple(zip(QUANTILES, quantiles, strict=True)),
        tuple(groups),
        _pairs(answers[some], missed[some]),
    )


def _counts(truth: Array, scores: Array) -> tuple[Array, Array]:
    """Positives among, and number of, the rows at or above each score, from the highest down."""
    order = np.argsort(-scores, kind="stable")
    falling = scores[order]
    last = np.flatnonzero(np.append(falling[1:] < falling[:-1], True))
    return np.cumsum(truth[order])[last], last + 1


def _thinned(x: Array, y: Array) -> Points:
    if len(x) > POINTS:
        kept = np.unique(np.linspace(0, len(x) - 1, POINTS).round().astype(np.int64))
        x, y = x[kept], y[kept]
    return _pairs(x, y)


def _pairs(x: Array, y: Array) -> Points:
    pairs: Sequence[tuple[float, float]] = list(zip(x.tolist(), y.tolist(), strict=True))
    return tuple(pairs)
