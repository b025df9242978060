"""Columns that should not be inputs: those that give the answer away, are constant, or only count.

A column that alone predicts the target too well is often known only afterwards: the delay on
arrival, where the question is whether the flight will be late. Each input is judged by itself,
before anything is trained: from the training rows, the mean target of each level (or of each of up
to 256 quantile bins, with straight lines between) is the prediction, and the validation rows judge
it. Numbers to predict are judged by their ranks, so that a few huge ones do not decide.

A column's skill is 2 · AUC - 1 for classes and R² of the ranks for numbers: 0 for a column that
says nothing, 1 for one that says everything. Two rules call for a warning:

    PERFECT      its skill is that or more: nothing else is needed
    AHEAD        its skill is STRONG or more, and AHEAD times that of the next best column, by more
                 than chance: with n validation rows CHANCE / sqrt(n), some two standard errors

Neither proves a leak. Whether the value is known when the prediction is made, only people know.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from shared import values
from shared.schema import Column, Target
from training.data import Part
from training.evaluation.ranking import area, ranks

PERFECT = 0.96
STRONG, AHEAD = 0.7, 2.0
CHANCE = 1.5
LEAST_ROWS, LEAST_OF_A_CLASS = 20, 5
MOST_TRAINING_ROWS, MOST_VALIDATION_ROWS = 50_000, 20_000
MOST_BINS, ROWS_A_BIN = 256, 20
PRIOR_ROWS = 10.0
UNIQUE = 0.9

CURE = (
    "If its value is known only once the answer is, it gives the answer away: set "
    "feature = false for it, or leave it out"
)

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Finding:
    """One column that should be looked at.

    Args:
        column: its name.
        kind: leak: it alone predicts too well; constant: it says nothing; unique: nearly every row
            has a level (or a number counted upwards) of its own.
        text: what was found and what to do, in words.
    """

    column: str
    kind: Literal["leak", "constant", "unique"]
    text: str


def check(
    features: Sequence[Column],
    target: Target,
    training: Part,
    validation: Part,
    *,
    sampled: bool = False,
) -> list[Finding]:
    """Findings about the inputs, the gravest first.

    Args:
        features: the network's inputs.
        target: with its classes.
        training: rows with these columns; at most 50,000 of them decide what a column tells about
            the target, all of them whether it is constant or unique.
        validation: likewise, to judge by; at most 20,000 of them are used.
        sampled: the training rows are a sample. Then none is called unique: a level that comes
            back now and then may be in a sample once.
    """
    useless = [
        found
        for column in features
        if (found := _useless(column, training.columns[column.name])) is not None
        and not (sampled and found.kind == "unique")
    ]
    skills = skill(
        [column for column in features if column.name not in {one.column for one in useless}],
        target,
        _some(training, MOST_TRAINING_ROWS),
        _some(validation, MOST_VALIDATION_ROWS),
    )
    return [*_leaks(skills, target, len(validation)), *useless]


def skill(
    features: Sequence[Column], target: Target, training: Part, validation: Part
) -> dict[str, float]:
    """What each column alone tells about the target, from 0 to 1, the best first.

    Nothing is told on fewer than 20 validation rows, nor of a class with fewer than 5 of them.
    """
    if len(validation) < LEAST_ROWS:
        return {}
    truths = _truths(target, training.target), _truths(target, validation.target)
    found = {}
    for column in features:
        answers = _alone(training.columns[column.name], validation.columns[column.name], truths[0])
        found[column.name] = max(_judge(target, truths[1], answers), 0.0)
    return dict(sorted(found.items(), key=lambda pair: -pair[1]))


def _leaks(skills: Mapping[str, float], target: Target, rows: int) -> list[Finding]:
    found = [
        Finding(
            name,
            "leak",
            f"column {name!r} alone predicts {target.name!r} almost perfectly "
            f"({_words(target, value)}). {CURE}",
        )
        for name, value in skills.items()
        if value >= PERFECT
    ]
    rest = [(name, value) for name, value in skills.items() if value < PERFECT]
    if len(rest) > 1:
        (name, best), (after, second) = rest[:2]
        sure = best - CHANCE / rows**0.5
        if sure >= STRONG and sure >= AHEAD * second:
            text = (
                f"column {name!r} alone predicts {target.name!r} far better "
                f"({_words(target, best)}) than any other ({after!r}: {_words(target, second)}). "
                f"{CURE}"
            )
            found.append(Finding(name, "leak", text))
    return found


def _words(target: Target, value: float) -> str:
    if target.task == "regression":
        return f"R² of the ranks {value:.3f}"
    return f"AUC {(value + 1) / 2:.3f}"


def _truths(target: Target, truth: Array) -> npt.NDArray[np.float64]:
    """What a column is to predict, float64 [n, K]: ranks of numbers, or one 0/1 for each class."""
    if target.task == "regression":
        return (ranks(truth) / len(truth))[:, None]
    classes = np.arange(1 if target.task == "binary" else 0, len(target.classes))
    return np.asarray(truth[:, None] == classes, dtype=np.float64)


def _judge(target: Target, truths: Array, answers: Array) -> float:
    if target.task == "regression":
        truth, answer = truths[:, 0], answers[:, 0]
        variance = np.var(truth)
        return float(1 - np.mean(np.square(truth - answer)) / variance) if variance > 0 else 0.0
    areas = [
        area(truth > 0, answer)
        for truth, answer in zip(truths.T, answers.T, strict=True)
        if LEAST_OF_A_CLASS <= truth.sum() <= len(truth) - LEAST_OF_A_CLASS
    ]
    return 2 * float(np.mean(areas)) - 1 if areas else 0.0


def _alone(training: Array, validation: Array, truths: Array) -> npt.NDArray[np.float64]:
    """The answers [m, K] that a column alone gives for the validation rows."""
    prior = truths.mean(axis=0)
    if training.dtype == object:
        codes = {level: code for code, level in enumerate(dict.fromkeys(training.tolist()))}
        known = np.fromiter(map(codes.__getitem__, training.tolist()), np.int64, len(training))
        asked = np.fromiter(
            (codes.get(level, -1) for level in validation.tolist()), np.int64, len(validation)
        )
        means = np.vstack([_means(known, truths, len(codes), prior), prior])
        return np.asarray(means[asked])
    answers = np.tile(prior, (len(validation), 1))
    absent = values.is_missing(training)
    if absent.any():
        answers[:] = truths[absent].mean(axis=0)
    there = ~values.is_missing(validation)
    x, y = training[~absent].astype(np.float64), truths[~absent]
    if len(x):
        bins = min(max(len(x) // ROWS_A_BIN, 8), MOST_BINS)
        edges = np.unique(np.quantile(x, np.arange(1, bins) / bins))
        place = np.searchsorted(edges, x, side="left")
        _, place = np.unique(place, return_inverse=True)
        bins = int(place.max()) + 1
        middle, means = _means(place, x[:, None], bins)[:, 0], _means(place, y, bins)
        asked = validation[there].astype(np.float64)
        answers[there] = np.stack([np.interp(asked, middle, mean) for mean in means.T], axis=1)
    return answers


def _means(place: Array, rows: Array, count: int, prior: Array | None = None) -> Array:
    """Means of rows [n, K] by place [count, K]; with a prior that counts as some rows more."""
    weights = np.bincount(place, minlength=count).astype(np.float64)[:, None]
    sums = np.stack([np.bincount(place, column, minlength=count) for column in rows.T], axis=1)
    if prior is None:
        return np.asarray(sums / weights)
    return np.asarray((sums + PRIOR_ROWS * prior) / (weights + PRIOR_ROWS))


def _useless(column: Column, data: Array) -> Finding | None:
    if data.dtype == object:
        counts = Counter(data.tolist())
        missing = counts.pop(None, 0)
        if len(counts) == 1 and not missing:
            return _constant(column)
        single = sum(count == 1 for count in counts.values())
        if single >= UNIQUE * len(data):
            text = (
                f"column {column.name!r} has a level of its own in nearly every row "
                f"({len(counts):,} levels in {len(data):,} rows), so it can only be learnt by "
                "heart. Set feature = false for it, or leave it out"
            )
            return Finding(column.name, "unique", text)
        return None
    if values.is_missing(data).any():
        return None
    if (data == data[0]).all():
        return _constant(column)
    if column.kind == "numeric" and _counts_upwards(data):
        text = (
            f"column {column.name!r} numbers the rows: all its values are whole and different. "
            "A number that new rows continue tells nothing about them. Set feature = false for "
            "it, or leave it out"
        )
        return Finding(column.name, "unique", text)
    return None


def _constant(column: Column) -> Finding:
    text = (
        f"column {column.name!r} has one value in all training rows, so nothing can be learnt "
        "from it. Leave it out"
    )
    return Finding(column.name, "constant", text)


def _counts_upwards(data: Array) -> bool:
    """Whole, all different, and dense: at least every third number between them is there."""
    low, high = data.min(), data.max()
    if high - low > 3 * len(data) or not np.array_equal(data, np.rint(data)):
        return False
    return len(np.unique(data)) == len(data)


def _some(part: Part, most: int) -> Part:
    if len(part) <= most:
        return part
    return part.take(np.sort(np.random.default_rng(0).permutation(len(part))[:most]))
