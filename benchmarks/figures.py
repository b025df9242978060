"""How a benchmark states a figure: one line each, beside what it must and should reach."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

COMPARE = {"<=": operator.le, ">=": operator.ge}


@dataclass(frozen=True)
class Figure:
    """One measured value; `sense` says on which side of `must` and `goal` it has to lie."""

    name: str
    value: float
    unit: str
    sense: Literal["<=", ">="]
    must: float
    goal: float

    def holds(self) -> bool:
        """Whether the must is met."""
        return bool(COMPARE[self.sense](self.value, self.must))

    def __str__(self) -> str:
        verdict = "goal reached" if COMPARE[self.sense](self.value, self.goal) else "must met"
        return (
            f"{self.name:<56} {self.value:>10.4g} {self.unit:<4} must {self.sense} {self.must:g}"
            f"  goal {self.sense} {self.goal:g}  {verdict if self.holds() else 'MISSED'}"
        )


def report(figures: Iterable[Figure]) -> int:
    """Prints every figure; returns the exit code, 1 when a must is missed."""
    missed = False
    for figure in figures:
        print(figure, flush=True)
        missed |= not figure.holds()
    return int(missed)
