"""A logarithm from IEEE additions, multiplications and divisions only.

numpy's own np.log differs in the last bit between versions, CPUs and batch sizes; this does not.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

# As arrays: numpy takes longer to make one of a number than to add a few.
_ONE: Floats = np.array(1.0)
_HALF: Floats = np.array(0.5)
_LN2: Floats = np.array(math.log(2.0))
_ROOT: Floats = np.array(math.sqrt(0.5))
_TERMS: tuple[Floats, ...] = tuple(np.array(2.0 / k) for k in range(13, 0, -2))


def log1p(x: Floats) -> Floats:
    """log(1 + x) for finite x >= 0, within 1e-12.

    With 1 + x = m * 2**e, r = sqrt(1/2) and s = (m - r) / (m + r): log(1 + x) =
    (e - 1/2) * log(2) + 2 * artanh(s), and artanh is a series in odd powers of s, which is at
    most 0.172.
    """
    mantissa, exponent = np.frexp(x + _ONE)
    s = mantissa - _ROOT
    mantissa += _ROOT
    s /= mantissa
    square = s * s
    series: Floats = square * _TERMS[0]
    for term in _TERMS[1:-1]:
        series += term
        series *= square
    series += _TERMS[-1]
    series *= s
    series += (exponent - _HALF) * _LN2
    return series
