"""The area under the ROC curve and its standard error, from ranks alone.

DeLong's variance (DeLong, DeLong and Clarke-Pearson, Biometrics 44, 1988) in the form of Sun and
Xu (IEEE Signal Processing Letters 21, 2014): the share of negatives that each positive row beats,
and of positives that beat each negative row, are themselves rows whose means vary by chance.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def ranks(values: Array) -> npt.NDArray[np.float64]:
    """Rank of each value [n], from 1; equals share the mean of theirs."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    shared: npt.NDArray[np.float64] = (last - (counts - 1) / 2)[place]
    return shared


def area(positive: Array, scores: Array) -> float:
    """AUC alone: the share of pairs that stand in the right order; NaN without both classes.

    Args:
        positive: bool [n].
        scores: [n], higher for what is held positive.
    """
    ours = int(np.count_nonzero(positive))
    others = len(positive) - ours
    if not ours or not others:
        return float("nan")
    return float((ranks(scores)[positive].sum() - ours * (ours + 1) / 2) / (ours * others))


def auc(positive: Array, scores: Array) -> tuple[float, float]:
    """AUC and its standard error.

    Args:
        positive: bool [n], some True and some False.
        scores: [n], higher for what is held positive.

    Returns:
        Both NaN where there are no positive or no negative rows; the error NaN where there is only
        one of either.
    """
    ours, others = scores[positive], scores[~positive]
    if not len(ours) or not len(others):
        return float("nan"), float("nan")
    whole = ranks(scores)
    beats = (whole[positive] - ranks(ours)) / len(others)
    beaten = 1.0 - (whole[~positive] - ranks(others)) / len(ours)
    if min(len(ours), len(others)) < 2:
        return float(beats.mean()), float("nan")
    variance = np.var(beats, ddof=1) / len(ours) + np.var(beaten, ddof=1) / len(others)
    return float(beats.mean()), float(np.sqrt(variance))
