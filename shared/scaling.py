"""Numeric and boolean columns → scaled numbers, all columns of a chunk at once.

Here: what is fitted for one column (Fitting, Scaling) and the arithmetic that applies it (Scaler).
The arithmetic is IEEE additions, multiplications, divisions and comparisons only, so that its bits
do not depend on batch size, numpy version or CPU.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from shared.elementary import MANY, ONE, Number, Ops, log1p
from shared.errors import DataError
from shared.sampling import Lots, Sample
from shared.schema import Column
from shared.values import Array

Floats = npt.NDArray[np.float64]

SKEWED = 1.0
KNOTS = 256
# Numbers are held within these, so that no square, sum or quotient of them overflows.
HUGE = 1e140
TINY = 1e-140
FAR = 1e6


@dataclass(frozen=True)
class Scaling:
    """What was fitted for one numeric or boolean column, in the order in which it is applied.

    Args:
        name: the column.
        indicator: a second output says where the value was missing.
        fill: stands for a missing value.
        low, high: values are clipped to these.
        unit: if not None, x becomes log(1 + x / unit).
        knots: if there are any, x becomes its rank from 0 to 1: between two knots on a line from
            the one's `upper` to the other's `lower`, on a knot their mean, at the ends 0 and 1.
        centre, spread: at last (x - centre) / spread.
    """

    name: str
    indicator: bool
    fill: float
    low: float
    high: float
    unit: float | None
    knots: tuple[float, ...]
    lower: tuple[float, ...]
    upper: tuple[float, ...]
    centre: float
    spread: float


class Fitting:
    """Fits one column to training rows that come block by block.

    Where more than sampling.MOST rows have a value, quantiles, mean and deviation are those of that
    many, chosen by lot; the extremes are always the column's own. The values count, not
    their order.

    Args:
        column: of kind numeric or boolean.
    """

    def __init__(self, column: Column) -> None:
        self._column = column
        self._sample = Sample()
        self._indicator = False
        self._low, self._high = math.inf, -math.inf

    def add(self, data: Array, lots: Lots) -> None:
        """More training rows: float64 [n], NaN = missing; and their lots [n]."""
        missing = np.isnan(data)
        if missing.any():
            self._indicator = True
            data, lots = data[~missing], lots[~missing]
        if data.size:
            known = np.clip(data, -HUGE, HUGE)
            self._low = min(self._low, float(known.min()))
            self._high = max(self._high, float(known.max()))
            self._sample.add(known, lots)

    def done(self) -> Scaling:
        """What was fitted.

        Raises:
            DataError: all values are missing, or log = true and some are negative.
        """
        column, indicator = self._column, self._indicator
        if self._low > self._high:
            raise DataError(
                "every value is missing in the training rows",
                where=f"column {column.name!r}",
                cure="Remove the column, or set feature = false",
            )
        known = self._sample.values()
        known.sort()
        known[0], known[-1] = self._low, self._high
        known += 0.0  # of -0.0 and 0.0 either may have come first
        if column.kind == "boolean":
            fill = 1.0 if known.mean() > 0.5 else 0.0
            return Scaling(column.name, indicator, fill, 0.0, 1.0, None, (), (), (), 0.0, 1.0)
        fill = {"median": np.median(known), "mean": np.mean(known), "zero": 0.0}[column.impute]
        low, high = _bounds(column, known)
        clipped = np.clip(known, low, high)
        if column.scale == "quantile":
            knots, lower, upper = _ranks(clipped)
            low, high = knots[0], knots[-1]
            return Scaling(
                column.name, indicator, float(fill), low, high, None,
                knots, lower, upper, 0.5, math.sqrt(1 / 12),
            )  # fmt: skip
        unit = log_unit(clipped, column.log, f"column {column.name!r}")
        if unit is not None:
            low = max(low, 0.0)
            clipped = log1p(clipped / unit, MANY)
        centre, spread = location(clipped, column.scale)
        return Scaling(
            column.name, indicator, float(fill), low, high, unit, (), (), (), centre, spread
        )  # fmt: skip


def log_unit(data: Floats, log: Literal["auto"] | bool, where: str) -> float | None:
    """The unit of log(1 + x / unit), or None where no logarithm is to be taken.

    "auto" takes it where no value is negative and the skewness (the third standardized moment)
    is above 1. The unit is the 10 % quantile of the positive values, so that the result does not
    depend on what x is measured in, and is close to log(x) for nine tenths of these.

    Raises:
        DataError: log is True and a value is negative.
    """
    if log is False:
        return None
    least = float(data.min())
    if log is True and least < 0:
        raise DataError(
            "log = true, but some values are negative", where=where, cure='Use log = "auto"'
        )
    positive = data[data > 0]
    if least < 0 or not positive.size or (log == "auto" and skewness(data) <= SKEWED):
        return None
    return max(float(np.quantile(positive, 0.1)), TINY)


def skewness(data: Floats) -> float:
    """The third standardized moment; 0 for constant data."""
    centre, spread = location(data, "standard")
    standardized = (data - centre) / spread
    return float(np.mean(standardized * standardized * standardized))


def location(data: Floats, scale: Literal["standard", "robust"]) -> tuple[float, float]:
    """Centre and spread: mean and standard deviation, or median and interquartile range.

    Where the interquartile range is 0 the standard deviation stands in; for constant data the
    spread is 1.
    """
    if data.min() == data.max():
        return float(data[0]), 1.0
    centre, spread = float(np.mean(data)), float(np.std(data))
    if scale == "robust":
        quarter, centre, three = (float(q) for q in np.quantile(data, (0.25, 0.5, 0.75)))
        spread = three - quarter or spread
    return centre, spread if spread > TINY else 1.0


def _bounds(column: Column, known: Floats) -> tuple[float, float]:
    """Clipping quantiles, or the extremes where nearly all values are equal and these meet."""
    if column.clip is None:
        return -HUGE, HUGE
    low, high = (float(q) for q in np.quantile(known, column.clip))
    return (low, high) if low < high else (float(known.min()), float(known.max()))


def _ranks(data: Floats) -> tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]]:
    """Distinct quantiles, and the first and the last rank at which each occurs."""
    share = np.linspace(0.0, 1.0, min(KNOTS, max(data.size, 2)))
    quantiles = np.maximum.accumulate(np.quantile(data, share))
    knots, first = np.unique(quantiles, return_index=True)
    last = np.append(first[1:], len(quantiles)) - 1
    return tuple(knots.tolist()), tuple(share[first].tolist()), tuple(share[last].tolist())


class Scaler:
    """Applies the scalings of all columns to rows.

    Outputs come in the order of `keys`: scaled columns (plain, then logarithmic, then ranked),
    then missing indicators.
    """

    def __init__(self, scalings: Sequence[Scaling]) -> None:
        plain = [s for s in scalings if s.unit is None and not s.knots]
        logarithmic = [s for s in scalings if s.unit is not None]
        ranked = [s for s in scalings if s.knots]
        ordered = plain + logarithmic + ranked
        self.columns = [s.name for s in ordered]
        self._flagged = [i for i, s in enumerate(ordered) if s.indicator]
        self.keys = [(name, "") for name in self.columns]
        self.keys += [(ordered[i].name, ".missing") for i in self._flagged]
        self._fill = _column([s.fill for s in ordered])
        self._alone = [(s.fill, _alone(s)) for s in ordered]
        self._together: list[tuple[slice, _Step]] = []
        start = 0
        for alike in (plain, logarithmic, *([s] for s in ranked)):
            end = start + len(alike)
            if alike:
                self._together.append((slice(start, end), _together(alike)))
            start = end

    def __call__(self, chunk: Sequence[Array | Sequence[float]]) -> Floats:
        """Scale rows.

        Args:
            chunk: floats [n], for each of `columns`.

        Returns:
            float64 [len(keys), n].
        """
        count, width = len(self.columns), len(self.keys)
        rows = len(chunk[0])
        result = np.empty((width, rows))
        x = result[:count]
        np.concatenate(chunk, out=x.reshape(-1))
        missing = np.isnan(x)
        if np.count_nonzero(missing):
            np.copyto(x, self._fill, where=missing)
        for some, step in self._together:
            x[some] = _scaled(x[some], step, MANY)
        if self._flagged:
            result[count:] = missing.take(self._flagged, axis=0)
        return result

    def singly(self, chunk: Sequence[Sequence[float]]) -> list[float]:
        """Scale few rows, number by number.

        Args:
            chunk: n numbers, for each of `columns`.

        Returns:
            n numbers for each of `keys`, one after the other.
        """
        steps = self._alone
        if chunk and len(chunk[0]) > 1:
            steps = [step for step in steps for _ in chunk[0]]
        result = [
            _scaled(x if x == x else fill, step, ONE)  # noqa: PLR0124 - a missing one is NaN
            for x, (fill, step) in zip(chain.from_iterable(chunk), steps, strict=True)
        ]
        if self._flagged:
            result += [float(x != x) for i in self._flagged for x in chunk[i]]  # noqa: PLR0124
        return result


class _Ranks(NamedTuple):
    """The piecewise line of a ranked column; scikit-learn's QuantileTransformer draws the same."""

    knots: Sequence[float] | Floats
    upper: Sequence[float] | Floats
    on: Sequence[float] | Floats
    width: Sequence[float] | Floats
    rise: Sequence[float] | Floats


class _Step(NamedTuple):
    """What is done to a known number: floats, or columns of them for several columns of data."""

    low: Number
    high: Number
    unit: Number | None
    ranks: _Ranks | None
    centre: Number
    spread: Number
    far: bool


def _scaled(x: Number, step: _Step, ops: Ops) -> Number:
    """One number, or a matrix of a row for each column of the step; an array may be changed."""
    low, high, unit, ranks, centre, spread, far = step
    x = ops.clip(x, low, high)
    # Which of -0.0 and 0.0 a maximum returns depends on the CPU; this makes it 0.0.
    x += 0.0
    if unit is not None:
        x /= unit
        x = log1p(x, ops)
    elif ranks is not None:
        at = ops.rank(ranks.knots, x) - 1
        beyond = x - ranks.knots[at]
        between = ranks.upper[at] + beyond / ranks.width[at] * ranks.rise[at]
        x = ops.choose(beyond == 0.0, ranks.on[at], between)
    x -= centre
    x /= spread
    return ops.clip(x, -FAR, FAR) if far else x


def _alone(scaling: Scaling) -> _Step:
    step = _Step(
        scaling.low,
        scaling.high,
        scaling.unit,
        _ranks_of(scaling) if scaling.knots else None,
        scaling.centre,
        scaling.spread,
        far=False,
    )
    ends = [_scaled(end, step, ONE) for end in (scaling.low, scaling.high)]
    return step._replace(far=max(map(abs, ends)) > FAR / 2)


def _together(scalings: Sequence[Scaling]) -> _Step:
    """Of columns that are all plain, all logarithmic, or one that is ranked."""
    first, alone = scalings[0], [_alone(s) for s in scalings]
    return _Step(
        _column([s.low for s in scalings]),
        _column([s.high for s in scalings]),
        None if first.unit is None else _column([s.unit or 1.0 for s in scalings]),
        _Ranks(*map(np.array, alone[0].ranks)) if alone[0].ranks else None,
        _column([s.centre for s in scalings]),
        _column([s.spread for s in scalings]),
        any(step.far for step in alone),
    )


def _ranks_of(scaling: Scaling) -> _Ranks:
    knots, lower, upper = scaling.knots, scaling.lower, scaling.upper
    on = [(first + last) * 0.5 for first, last in zip(lower, upper, strict=True)]
    if len(on) > 1:
        on[0], on[-1] = 0.0, 1.0
    # The last knot has nothing to its right: x is clipped to it.
    width = [*(right - left for left, right in pairwise(knots)), 1.0]
    rise = [*(first - last for last, first in zip(upper, lower[1:], strict=False)), 0.0]
    return _Ranks(knots, upper, on, width, rise)


def _column(numbers: Sequence[float]) -> Floats:
    return np.array(numbers, dtype=np.float64).reshape(-1, 1)
