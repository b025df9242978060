"""From which probability on the answer is the positive class.

The threshold is a matter of what is wanted, not of the network: 0.5 is right where the scores are
shares and both mistakes cost the same. It is chosen on the validation rows alone, so that the test
rows still judge it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from shared.problem import ThresholdRule

Array = npt.NDArray[Any]


def choose(rule: ThresholdRule, truth: Array, scores: Array) -> float:
    """The threshold that a rule takes for best.

    It lies half way between two scores, so that no row sits on it and a last bit decides nothing.
    Of equally good ones the nearest to 0.5 is taken.

    Args:
        rule: "f1": the highest F1; "balanced_accuracy": the highest mean of the recalls of both
            classes (Youden's index).
        truth: [n], 0 or 1, of the validation rows.
        scores: [n], probabilities of 1.

    Returns:
        0.5 where the truth is all of one class: then nothing can be chosen.
    """
    positive, rows = int(np.count_nonzero(truth)), len(truth)
    if positive in (0, rows):
        return 0.5
    order = np.argsort(-scores, kind="stable")
    falling = scores[order].astype(np.float64)
    last = np.flatnonzero(np.append(falling[1:] < falling[:-1], True))
    hits = np.cumsum(truth[order])[last]
    answered = last + 1
    if rule == "f1":
        worth = 2 * hits / (answered + positive)
    else:
        worth = hits / positive + 1 - (answered - hits) / (rows - positive)
    following = np.append(falling[last[:-1] + 1], 0.0)
    limits = (falling[last] + following) / 2
    best = np.flatnonzero(worth >= worth.max() - 1e-12)
    return float(limits[best[np.argmin(np.abs(limits[best] - 0.5))]])
