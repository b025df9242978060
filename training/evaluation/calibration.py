"""Whether a score of 0.3 comes true in 30 % of the rows: the reliability curve and its error.

Bins hold equal numbers of rows, for scores crowd where a class is rare; equal scores share a bin.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

BINS = 10
Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Bin:
    """Rows of similar score.

    Args:
        rows: how many.
        predicted: their mean score.
        observed: the share of them that is of the positive class.
        error: the standard error of `observed`.
    """

    rows: int
    predicted: float
    observed: float
    error: float


def reliability(truth: Array, scores: Array, bins: int = BINS) -> tuple[Bin, ...]:
    """The reliability curve, lowest scores first.

    Args:
        truth: [n], 0 or 1.
        scores: [n], probabilities of 1.
        bins: at most so many; fewer where scores are equal.
    """
    edges = np.quantile(scores, np.arange(1, bins) / bins)
    place = np.searchsorted(edges, scores, side="right")
    rows = np.bincount(place, minlength=bins)
    predicted = np.bincount(place, weights=scores, minlength=bins)
    positive = np.bincount(place, weights=truth, minlength=bins)
    found = []
    for count, score, hits in zip(rows.tolist(), predicted, positive, strict=True):
        if count:
            share = float(hits / count)
            error = float(np.sqrt(share * (1 - share) / count))
            found.append(Bin(count, float(score / count), share, error))
    return tuple(found)


def error(bins: Sequence[Bin]) -> float:
    """The expected calibration error: the mean distance of predicted and observed, by rows."""
    rows = sum(one.rows for one in bins)
    return sum(one.rows * abs(one.predicted - one.observed) for one in bins) / rows
