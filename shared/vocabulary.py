"""Category columns → codes: 0 missing, 1 unknown, 2 rare, then the levels by falling frequency."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from itertools import repeat

import numpy as np
import numpy.typing as npt

from shared.errors import DataError
from shared.schema import Column
from shared.values import Array

MISSING, UNKNOWN, RARE, FIRST = range(4)


@dataclass(frozen=True)
class Vocabulary:
    """What was fitted for one category column.

    Args:
        name: the column.
        levels: kept levels by falling frequency, equals in text order; they are coded from 3 on.
        rare: levels that were seen, but not kept; they are all coded 2.
    """

    name: str
    levels: tuple[str, ...]
    rare: tuple[str, ...]

    @property
    def cardinality(self) -> int:
        """How many codes there are, the three special ones included."""
        return FIRST + len(self.levels)

    @cached_property
    def _codes(self) -> dict[str | None, int]:
        codes: dict[str | None, int] = dict.fromkeys(self.rare, RARE)
        codes.update(zip(self.levels, range(FIRST, self.cardinality), strict=True))
        codes[None] = MISSING
        return codes

    def __call__(self, data: Array) -> npt.NDArray[np.int32]:
        """Object array [n] of str and None → codes, int32 [n]."""
        found = map(self._codes.get, data.tolist(), repeat(UNKNOWN))
        return np.fromiter(found, np.int32, len(data))


def fit(column: Column, data: Array) -> Vocabulary:
    """Fit one column on training rows.

    Args:
        column: of kind category.
        data: object array [n] of str, None = missing.

    Raises:
        DataError: all values are missing.
    """
    counts = Counter(data.tolist())
    counts.pop(None, None)
    if not counts:
        raise DataError(
            "every value is missing in the training rows",
            where=f"column {column.name!r}",
            cure="Remove the column, or set feature = false",
        )
    ordered = sorted(counts, key=lambda level: (-counts[level], level))
    frequent = [level for level in ordered if counts[level] >= column.min_count]
    kept = frequent[: column.max_levels]
    return Vocabulary(column.name, tuple(kept), tuple(ordered[len(kept) :]))
