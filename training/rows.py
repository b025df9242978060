"""Encoded rows, and the order in which a network meets them.

An epoch goes through its rows in windows: blocks of shuffled rows, each of a whole number of
batches but for the last. Here: rows in memory, which are shuffled all together. Not here: those on
the disk (store.py).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

WINDOW = 1 << 18

Array = npt.NDArray[Any]


class Learnable(Protocol):
    """Training rows, wherever they lie."""

    @property
    def target(self) -> Array:
        """The target of each row [n]."""

    def __len__(self) -> int: ...

    def take(self, places: Array) -> Rows:
        """The rows at these places, which ascend."""

    def blocks(self) -> Iterator[Rows]:
        """All rows as they lie, block by block."""

    def windows(self, seed: int, epoch: int, batch: int) -> Iterator[Rows]:
        """All rows as the epoch meets them; seed and epoch alone decide the order."""

    def digest(self) -> str:
        """The SHA-256 of all rows."""


@dataclass(frozen=True)
class Rows:
    """Encoded rows: numeric float32 [n, D], codes int32 [n, K], and the target [n].

    The target is float32 (binary: 0 and 1; regression: scaled) or int32 class numbers (multiclass).
    """

    numeric: Array
    codes: Array
    target: Array

    def __len__(self) -> int:
        return len(self.target)

    def take(self, places: Array) -> Rows:
        """The rows at these places."""
        return Rows(*(array.take(places, axis=0) for array in self.arrays))

    def cut(self, start: int, end: int) -> Rows:
        """The rows from one place up to another; no copy."""
        return Rows(self.numeric[start:end], self.codes[start:end], self.target[start:end])

    def blocks(self) -> Iterator[Rows]:
        """All rows, as one block."""
        yield self

    def windows(self, seed: int, epoch: int, batch: int) -> Iterator[Rows]:
        """All rows, shuffled."""
        order = random(seed, epoch).permutation(len(self)).astype(np.int32)
        size = max(WINDOW // batch, 1) * batch
        for start in range(0, len(order), size):
            yield self.take(order[start : start + size])

    def digest(self) -> str:
        """The SHA-256 of the three arrays, one after the other."""
        sha256 = hashlib.sha256()
        for array in self.arrays:
            sha256.update(np.ascontiguousarray(array).data)
        return sha256.hexdigest()

    @property
    def arrays(self) -> tuple[Array, Array, Array]:
        """The three arrays."""
        return self.numeric, self.codes, self.target


def joined(parts: list[Rows]) -> Rows:
    """Several rows as one."""
    if len(parts) == 1:
        return parts[0]
    return Rows(
        *(np.concatenate(arrays) for arrays in zip(*(p.arrays for p in parts), strict=True))
    )


def random(seed: int, epoch: int) -> np.random.Generator:
    """What decides the order of rows in an epoch."""
    return np.random.Generator(np.random.Philox(key=np.array([seed, epoch], dtype=np.uint64)))
