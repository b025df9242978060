"""How good the network is, where, by what, and whether it over-fits.

    measures        scores by task, and which of them decides between two models
    threshold       from which score on the answer is the positive class
    calibration     whether scores are shares
    curves          ROC, precision and recall, confusion, residuals
    slices          scores of parts of the rows
    permutation     what each input is worth
    leakage         inputs that give the answer away, before anything is trained
    diagnosis       over-fitting or under-fitting, in words, from the two curves
    model_quality   the scores as SageMaker's Model Registry and Model Monitor read them
    ranking         AUC and its standard error

Not here: gathering them from a job (outcome.py), nor how any of it looks (report/).
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
