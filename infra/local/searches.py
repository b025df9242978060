"""How a tuning job chooses what to try next.

A dimension is one tuned hyperparameter; it turns a position between 0 and 1 into the text that a
training job is given, on the scale that was asked for, so that every strategy draws positions and
none knows about scales. Random and Hyperband draw at random, Grid takes every combination in
turn, and Bayesian asks Optuna's TPE sampler, which is shown what the earlier jobs came to.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Literal, Protocol

import numpy as np

Scale = Literal["Linear", "Logarithmic", "ReverseLogarithmic"]
Values = Mapping[str, str]

WIDE = 100.0
DRAWS = 1000


@dataclass(frozen=True)
class Interval:
    """A tuned number, from `low` to `high`, both included."""

    name: str
    low: float
    high: float
    scale: Scale
    whole: bool

    @property
    def size(self) -> float:
        """How many values there are."""
        return self.high - self.low + 1 if self.whole else math.inf

    def text(self, position: float) -> str:
        """The value at a position, as a hyperparameter's text."""
        low, high = self._ends()
        value = self._back(low + position * (high - low))
        if self.whole:
            return str(int(min(max(math.floor(value + 0.5), self.low), self.high)))
        return repr(min(max(value, self.low), self.high))

    def position(self, text: str) -> float | None:
        """Where a value lies; None when it is outside, or no number."""
        try:
            value = float(text)
        except ValueError:
            return None
        if not self.low <= value <= self.high:
            return None
        low, high = self._ends()
        return min(max((self._there(value) - low) / (high - low), 0.0), 1.0)

    def _ends(self) -> tuple[float, float]:
        margin = 0.5 if self.whole else 0.0  # each whole number is as wide as the next
        return self._there(self.low - margin), self._there(self.high + margin)

    def _there(self, value: float) -> float:
        if self.scale == "Logarithmic":
            return math.log(value)
        return -math.log1p(-value) if self.scale == "ReverseLogarithmic" else value

    def _back(self, value: float) -> float:
        if self.scale == "Logarithmic":
            return math.exp(value)
        return -math.expm1(-value) if self.scale == "ReverseLogarithmic" else value


@dataclass(frozen=True)
class Choices:
    """A tuned hyperparameter that takes one of a few texts."""

    name: str
    values: Sequence[str]

    @property
    def size(self) -> float:
        """How many values there are."""
        return len(self.values)

    def text(self, position: float) -> str:
        """The value at a position."""
        return self.values[min(int(position * len(self.values)), len(self.values) - 1)]


Dimension = Interval | Choices


def automatic(low: float, high: float) -> Scale:
    """The scale of a range that asks for Auto: logarithmic where it spans two decades."""
    return "Logarithmic" if low > 0 and high / low >= WIDE else "Linear"


class Search(Protocol):
    """Proposes values, one training job after the other."""

    def propose(self) -> Values | None:
        """What the next job shall try; None when there is nothing left."""

    def learn(self, values: Values, objective: float | None) -> None:
        """What a proposed job came to, in the objective's own direction; None: nothing."""


class Random:
    """Draws at random; where the space is finite, nothing twice."""

    def __init__(self, dimensions: Sequence[Dimension], seed: int) -> None:
        self._dimensions = dimensions
        self._seed = seed
        self._number = 0
        self._seen: set[tuple[str, ...]] = set()

    def propose(self) -> Values | None:
        """The draw of this number, whatever came of the others."""
        generator = np.random.default_rng((self._seed, self._number))
        self._number += 1
        for _ in range(DRAWS):
            drawn = tuple(each.text(generator.random()) for each in self._dimensions)
            if drawn not in self._seen:
                self._seen.add(drawn)
                return _named(self._dimensions, drawn)
        return None

    def learn(self, values: Values, objective: float | None) -> None:
        """Chance has no memory."""


class Grid:
    """Every combination, the last dimension varying fastest."""

    def __init__(self, dimensions: Sequence[Choices]) -> None:
        self._combinations: Iterator[tuple[str, ...]] = itertools.product(
            *(each.values for each in dimensions)
        )
        self._dimensions = dimensions

    def propose(self) -> Values | None:
        """The next combination."""
        found = next(self._combinations, None)
        return None if found is None else _named(self._dimensions, found)

    def learn(self, values: Values, objective: float | None) -> None:
        """A grid goes on whatever comes of it."""


class Bayesian:
    """Draws where earlier jobs did well.

    Args:
        dimensions: the space.
        seed: of the sampler.
        maximize: whether more is better.
        earlier: what parents tried, with what it came to.
    """

    def __init__(
        self,
        dimensions: Sequence[Dimension],
        seed: int,
        *,
        maximize: bool,
        earlier: Sequence[tuple[Values, float]] = (),
    ) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._optuna = optuna
        self._dimensions = dimensions
        self._open: dict[tuple[str, ...], Any] = {}
        self._study = optuna.create_study(
            direction="maximize" if maximize else "minimize",
            sampler=optuna.samplers.TPESampler(seed=seed % 2**32, constant_liar=True),
        )
        self._distributions = {
            each.name: optuna.distributions.CategoricalDistribution(list(each.values))
            if isinstance(each, Choices)
            else optuna.distributions.FloatDistribution(0.0, 1.0)
            for each in dimensions
        }
        for values, objective in earlier:
            self._remember(values, objective)

    def propose(self) -> Values | None:
        """What promises most; again when it was tried before, as long as something is left."""
        for _ in range(DRAWS):
            trial = self._study.ask(self._distributions)
            drawn = tuple(
                str(trial.params[each.name])
                if isinstance(each, Choices)
                else each.text(trial.params[each.name])
                for each in self._dimensions
            )
            if drawn not in self._open:
                self._open[drawn] = trial
                return _named(self._dimensions, drawn)
            self._study.tell(trial, state=self._optuna.trial.TrialState.FAIL)
        return None

    def learn(self, values: Values, objective: float | None) -> None:
        """Tell Optuna."""
        trial = self._open[tuple(values[each.name] for each in self._dimensions)]
        if objective is None:
            self._study.tell(trial, state=self._optuna.trial.TrialState.FAIL)
        else:
            self._study.tell(trial, objective)

    def _remember(self, values: Values, objective: float) -> None:
        found: dict[str, str | float] = {}
        for each in self._dimensions:
            text = values.get(each.name)
            if text is None:
                return
            if isinstance(each, Choices):
                if text not in each.values:
                    return
                found[each.name] = text
            else:
                position = each.position(text)
                if position is None:
                    return
                found[each.name] = position
        trial = self._optuna.trial.create_trial(
            params=found, distributions=self._distributions, value=objective
        )
        self._study.add_trial(trial)


def has_optuna() -> bool:
    """Whether the Bayesian search can be made in this environment."""
    return find_spec("optuna") is not None


def _named(dimensions: Sequence[Dimension], texts: Sequence[str]) -> Values:
    return {each.name: text for each, text in zip(dimensions, texts, strict=True)}
