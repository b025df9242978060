"""A bounded number of a column's values, chosen by lot, while its rows pass by block by block.

Every row draws a lot, a number between 0 and 1; the values with the lowest lots are kept. So the
choice depends on the rows and their order only, not on the blocks in which they come.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from shared.values import Array

Lots = npt.NDArray[np.float64]

SEED = 0
MOST = 1 << 18


class Urn:
    """Where rows draw their lots: the same ones, whatever the blocks."""

    def __init__(self) -> None:
        self._generator = np.random.Generator(np.random.Philox(key=SEED))

    def draw(self, rows: int) -> Lots:
        """The lots of the next rows: float64 [rows]."""
        return self._generator.random(rows)


class Sample:
    """At most `most` values; all of them as long as there are no more.

    Args:
        most: how many are kept.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._values: list[Array] = []
        self._lots: list[Lots] = []
        self._held = 0
        self._highest = np.inf

    def add(self, values: Array, lots: Lots) -> None:
        """Let the values of more rows [n] pass by, with the lots [n] of these rows."""
        if self._highest < np.inf:
            low = lots < self._highest
            values, lots = values[low], lots[low]
        self._values.append(values)
        self._lots.append(lots)
        self._held += len(values)
        if self._held >= 2 * self._most:
            self._cut()

    def values(self) -> Array:
        """What was kept, in the order in which it came."""
        self._cut()
        return self._values[0]

    def _cut(self) -> None:
        values, drawn = np.concatenate(self._values), np.concatenate(self._lots)
        if len(values) > self._most:
            kept = np.sort(np.argpartition(drawn, self._most - 1)[: self._most])
            values, drawn = values[kept], drawn[kept]
            self._highest = float(drawn.max())
        self._values, self._lots, self._held = [values], [drawn], len(values)
