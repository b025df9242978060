"""How good the network is, where, by what, and whether it over-fits.

    measures      scores by task, and which of them decides between two models
    calibration   whether the scores are shares
    diagnosis     over-fitting or under-fitting, in words, from the two curves

Not here: how any of it looks (report/).
"""

from training.evaluation.diagnosis import Diagnosis, History, diagnose, few_rows, zeroed
from training.evaluation.measures import (
    HEADLINES,
    Comparison,
    Headline,
    baseline,
    compare,
    headline,
    metrics,
    standard_error,
)

__all__ = [
    "HEADLINES",
    "Comparison",
    "Diagnosis",
    "Headline",
    "History",
    "baseline",
    "compare",
    "diagnose",
    "few_rows",
    "headline",
    "metrics",
    "standard_error",
    "zeroed",
]
