"""Arithmetic that gives one number the bits that it gets in an array.

A request of one row would spend most of its time on making arrays of one element. So the formulas
of scaling, clock and sources take Python's numbers as well as arrays: both do IEEE 754 operations,
one at a time, and what the two spell differently is an `Ops`. Of what IEEE leaves open only a
logarithm is needed; numpy's own differs in the last bit between versions, CPUs and batch sizes.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

Number = Any
"""A float or an int, or an array of them."""

LN2 = math.log(2.0)
ROOT = math.sqrt(0.5)
FIRST, *BETWEEN, LAST = (2.0 / k for k in range(13, 0, -2))


class Ops(NamedTuple):
    """What is spelt differently for one number and for arrays.

    Args:
        clip: (x, low, high) → x held between the two; an array may be changed in place.
        frexp: x → mantissa and exponent.
        rank: (rising, x) → how many of `rising` are x or less.
        choose: (condition, a, b) → a where it is true, else b.
    """

    clip: Callable[[Number, Number, Number], Number]
    frexp: Callable[[Number], tuple[Number, Number]]
    rank: Callable[[Any, Number], Number]
    choose: Callable[[Any, Number, Number], Number]


def log1p(x: Number, ops: Ops) -> Number:
    """log(1 + x) for finite x >= 0, within 1e-12.

    With 1 + x = m * 2**e, r = sqrt(1/2) and s = (m - r) / (m + r): log(1 + x) =
    (e - 1/2) * log(2) + 2 * artanh(s), and artanh is a series in odd powers of s, which is at
    most 0.172.
    """
    mantissa, exponent = ops.frexp(x + 1.0)
    s = mantissa - ROOT
    mantissa += ROOT
    s /= mantissa
    square = s * s
    series = square * FIRST
    for term in BETWEEN:
        series += term
        series *= square
    series += LAST
    series *= s
    series += (exponent - 0.5) * LN2
    return series


def _clip_one(x: float, low: float, high: float) -> float:
    return low if x < low else high if x > high else x


def _clip_many(x: Number, low: Number, high: Number) -> Number:
    np.maximum(x, low, out=x)
    return np.minimum(x, high, out=x)


def _rank_many(rising: Number, x: Number) -> Number:
    return np.searchsorted(rising, x, side="right")


def _choose_one(condition: bool, a: float, b: float) -> float:
    return a if condition else b


ONE = Ops(_clip_one, math.frexp, bisect_right, _choose_one)
MANY = Ops(_clip_many, np.frexp, _rank_many, np.where)
