"""How good the network is for parts of the rows: each level of a category, each hour, each month.

A part has few rows, and few rows move by chance. So every score stands with its standard error, and
a part is called worse only where it is so beyond chance, all parts together (Bonferroni, 5 %).

A part is compared with the other levels of its own column, not with all rows: rows that differ in
a column that the network uses are easier to put in order than rows that agree in it, so every
part's AUC may lie below the whole's. A network that is wrong about a level as a whole shows in
`observed` beside `predicted`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from shared import clock
from shared.predictions import Predictions
from shared.schema import Column
from shared.values import Columns
from training.evaluation.measures import HEADLINES
from training.evaluation.ranking import auc

LEAST_ROWS, LEAST_OF_A_CLASS = 100, 10
MOST_LEVELS = 50
CHANCE = 0.05
MISSING = "(missing)"
PARTS = {
    "minute_of_day": "hour",
    "hour": "hour",
    "weekday": "weekday",
    "dayofyear": "month",
    "month": "month",
}
BOOLEANS = ("false", "true", MISSING)
NAMES = {
    "hour": (*(f"{hour:02d}" for hour in range(24)), MISSING),
    "weekday": (
        "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday", MISSING,
    ),
    "month": (*(f"{month:02d}" for month in range(1, 13)), MISSING),
}  # fmt: skip

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Slice:
    """One part of the rows.

    Args:
        column: whose level it is; of a datetime column, the part of the time, too.
        level: as text.
        rows: how many.
        score: the headline: AUC, accuracy or RMSE.
        error: its standard error.
        others: the mean score of the column's other levels, by rows.
        gap: by how much the part is worse than those; negative: better.
        worse: whether that is more than chance.
        observed, predicted: binary: the share of positives and the mean score; regression: the
            mean target and the mean answer; multiclass: None.
    """

    column: str
    level: str
    rows: int
    score: float
    error: float
    others: float
    gap: float
    worse: bool
    observed: float | None
    predicted: float | None


def find(
    columns: Sequence[Column], data: Columns, truth: Array, answer: Predictions
) -> list[Slice]:
    """All parts with rows enough, the worst beyond chance first.

    Args:
        columns: what to slice by: categories, booleans and datetimes are taken, inputs of the
            network or not; of a category the 50 most frequent levels.
        data: canonical arrays [n], at least those of `columns`.
        truth: as `metrics` takes it [n].
        answer: the network's answers for the same rows.

    Returns:
        Those of 100 rows or more (binary: and 10 of each class), of columns with two or more of
        them.
    """
    higher = HEADLINES[answer.target.task].higher_is_better
    by_column: dict[str, list[_Part]] = {}
    for name, levels in _levels(columns, data):
        parts = [
            part
            for level, rows in levels.items()
            if (part := _part(level, rows, truth, answer)) is not None
        ]
        if len(parts) > 1:
            by_column[name] = parts
    count = sum(map(len, by_column.values()))
    if not count:
        return []
    far = NormalDist().inv_cdf(1 - CHANCE / count)
    found: list[tuple[float, Slice]] = []
    for name, parts in by_column.items():
        rows = np.array([part.rows for part in parts], dtype=np.float64)
        scores = np.array([part.score for part in parts])
        errors = np.array([part.error for part in parts])
        for place, part in enumerate(parts):
            weights = np.delete(rows, place)
            weights /= weights.sum()
            others = float(weights @ np.delete(scores, place))
            noise = math.hypot(part.error, *(weights * np.delete(errors, place)))
            gap = others - part.score if higher else part.score - others
            found.append(
                (
                    gap - far * noise,
                    Slice(
                        column=name,
                        level=part.level,
                        rows=part.rows,
                        score=part.score,
                        error=part.error,
                        others=others,
                        gap=gap,
                        worse=gap > far * noise,
                        observed=part.observed,
                        predicted=part.predicted,
                    ),
                )
            )
    return [one for _, one in sorted(found, key=lambda pair: -pair[0])]


@dataclass(frozen=True)
class _Part:
    level: str
    rows: int
    score: float
    error: float
    observed: float | None
    predicted: float | None


def _part(level: str, rows: Array, truth: Array, answer: Predictions) -> _Part | None:
    """The score of some rows and its standard error; None where there are too few to tell."""
    if len(rows) < LEAST_ROWS:
        return None
    own = truth[rows]
    if answer.target.task == "regression":
        errors = np.square(own - answer.values[rows])
        score = float(np.sqrt(errors.mean()))
        # From the mean of squares to its root: the derivative of the square root.
        error = float(np.std(errors, ddof=1) / np.sqrt(len(rows)) / (2 * score)) if score else 0.0
        return _Part(
            level, len(rows), score, error, float(own.mean()), float(answer.values[rows].mean())
        )
    if answer.target.task == "multiclass":
        share = float(np.mean(own == answer.choice[rows]))
        error = math.sqrt(share * (1 - share) / len(rows))
        return _Part(level, len(rows), share, error, None, None)
    positive, scores = own == 1, answer.scores[rows, 0]
    if min(positive.sum(), len(rows) - positive.sum()) < LEAST_OF_A_CLASS:
        return None
    score, error = auc(positive, scores)
    return _Part(level, len(rows), score, error, float(positive.mean()), float(scores.mean()))


def _levels(
    columns: Sequence[Column], data: Columns
) -> Iterator[tuple[str, Mapping[str, npt.NDArray[np.int64]]]]:
    """What to slice by, and the rows of each level."""
    for column in columns:
        array = data[column.name]
        if column.kind == "category":
            yield column.name, _groups(array.tolist())
        elif column.kind == "boolean":
            yield column.name, _groups(np.nan_to_num(array, nan=2).tolist(), BOOLEANS)
        elif column.kind == "datetime":
            for part in dict.fromkeys(PARTS[part] for part in column.parts if part in PARTS):
                yield f"{column.name}.{part}", _groups(_times(column, array, part), NAMES[part])


def _groups(
    levels: Sequence[Any], names: Sequence[str] | None = None
) -> dict[str, npt.NDArray[np.int64]]:
    """The rows of each of the 50 most frequent levels; numbers stand for one of the names."""
    codes = {level: code for code, level in enumerate(dict.fromkeys(levels))}
    code = np.fromiter(map(codes.__getitem__, levels), np.int64, len(levels))
    counts = np.bincount(code, minlength=len(codes))
    rows = np.split(np.argsort(code, kind="stable"), np.cumsum(counts)[:-1])
    words = [MISSING if x is None else x if names is None else names[int(x)] for x in codes]
    kept = np.argsort(-counts, kind="stable")[:MOST_LEVELS]
    return {words[place]: rows[place] for place in kept.tolist()}


def _times(column: Column, array: Array, part: str) -> list[int]:
    """The hour, weekday or month in the column's own time zone, from 0; the last for none."""
    transitions, offsets = clock.zone(column.timezone, column.name)
    times = array.astype(np.int64)
    times += np.array(offsets)[np.searchsorted(transitions, times, side="right")]
    if part == "hour":
        numbers = times // clock.HOUR % 24
    elif part == "weekday":
        numbers = (times // clock.DAY + 3) % 7
    else:
        numbers = times.view("datetime64[us]").astype("datetime64[M]").astype(np.int64) % 12
    found: list[int] = np.where(np.isnat(array), len(NAMES[part]) - 1, numbers).tolist()
    return found
