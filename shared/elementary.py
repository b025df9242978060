"""Logarithms from IEEE additions, multiplications and divisions only.

numpy's own np.log differs in the last bit between versions, CPUs and batch sizes; these do not.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

_LN2 = math.log(2.0)
_ROOT = math.sqrt(0.5)
_TERMS = tuple(2.0 / k for k in range(13, 0, -2))


def log1p(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """log(1 + x) for finite x >= 0, within 1e-12.

    With 1 + x = m * 2**e and s = (m - 1) / (m + 1): log(1 + x) = e * log(2) + 2 * artanh(s), and
    artanh is a series in odd powers of s, which is at most 0.172.
    """
    mantissa, exponent = np.frexp(x + 1.0)
    small = mantissa < _ROOT
    mantissa *= 1.0 + small
    s = (mantissa - 1.0) / (mantissa + 1.0)
    square = s * s
    series = np.full_like(s, _TERMS[0])
    for term in _TERMS[1:]:
        series *= square
        series += term
    series *= s
    series += (exponent - small) * _LN2
    return series
