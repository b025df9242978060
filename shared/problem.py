"""What a training job is told of a project: project.json, in the channel ``project``.

Here: Problem and its parts, JSON strictly. Not here: project.toml with its durations, places and
instances, which is infra's; the job needs none of these.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from shared import documents
from shared.errors import KitError, ProjectError, nearest
from shared.feature_rules import Declaration
from shared.hyperparameters import Choice, Range, check_space
from shared.schema import Column, Schema, Target
from shared.sources import Source
from shared.values import Mistake, from_texts

MOST_TRIALS = 10_000
LISTED = ("manual", "grid")
ThresholdRule = Literal["f1", "balanced_accuracy"]
Container = Literal["own", "tensorflow-serving", "toolkit"]
"""What serves: our own image, AWS's TensorFlow Serving image, or one of the inference toolkit."""


@dataclass(frozen=True)
class Split:
    """How rows become training, validation and test rows, before anything is fitted.

    Args:
        by: "time", "random" or "column".
        time: by time: the datetime column.
        validation_from: by time: ISO 8601; the first moment of the validation rows.
        test_from: by time: ISO 8601; the first moment of the test rows.
        validation: the share of validation rows: at random; by column, of the training rows where
            the column names no validation rows.
        test: at random: the share of test rows.
        seed: of the random choice.
        column: by column: the column whose values are train, validation and test.

    Raises:
        ProjectError: something that `by` needs is missing, or a value cannot be.
    """

    by: Literal["time", "random", "column"] = "random"
    time: str | None = None
    validation_from: str | None = None
    test_from: str | None = None
    validation: float = 0.1
    test: float = 0.2
    seed: int = 0
    column: str | None = None

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise ProjectError(f"the seed {self.seed} is negative", where="split, seed")
        for name in ("validation", "test"):
            if not 0 < getattr(self, name) < 1:
                raise ProjectError(
                    f"{getattr(self, name)} is not a share between 0 and 1", where=f"split, {name}"
                )
        if self.by == "random" and self.validation + self.test >= 1:
            raise ProjectError("validation and test leave no rows to train on", where="split")
        needed = {"time": ("time", "validation_from", "test_from"), "column": ("column",)}
        for name in needed.get(self.by, ()):
            if not getattr(self, name):
                raise ProjectError(f"a split by {self.by} needs {name!r}", where="split")
        if self.by == "time":
            self._check_times()

    def _check_times(self) -> None:
        try:
            times = from_texts("datetime", [self.validation_from or "", self.test_from or ""])
        except Mistake as mistake:
            raise ProjectError(mistake.message, where="split") from None
        if not times[0] < times[1]:
            raise ProjectError("validation_from must be before test_from", where="split")


@dataclass(frozen=True)
class Tuning:
    """How hyperparameters are searched.

    Args:
        strategy: "manual" tries the candidates, "grid" every combination of the space's lists;
            "random", "bayesian" and "hyperband" draw from the space.
        trials: how many are drawn, of a space of lists no more than it has combinations. Where
            they are listed (manual, grid) the list decides.
        folds: 2 or more: a trial is scored by that many folds of cross-validation.
        where: inside the training job, or by the service's own tuning job.
        seed: of what is drawn.
        parallel: how many trials run at a time; "auto" leaves it to the job (cores, memory) or, by
            the service, to its tuning job.
        candidates: of "manual": the values to try; a knob that one leaves out keeps the project's
            own value.
        space: of the others: what to search.

    Raises:
        ProjectError: a count or the seed is out of bounds, or the strategy lacks what it needs.
        HyperparameterError: an unknown knob or a value that it does not allow.
    """

    strategy: Literal["manual", "grid", "random", "bayesian", "hyperband"] = "bayesian"
    trials: int = 12
    folds: int = 1
    where: Literal["job", "service"] = "job"
    seed: int = 0
    parallel: Literal["auto"] | int = "auto"
    candidates: tuple[Mapping[str, bool | int | float | str], ...] = ()
    space: Mapping[str, Range | Choice] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.trials < 0:
            raise ProjectError("trials must be 0 or more", where="tuning.trials")
        if self.folds < 1:
            raise ProjectError("folds must be 1 or more", where="tuning.folds")
        if self.seed < 0:
            raise ProjectError(f"the seed {self.seed} is negative", where="tuning.seed")
        if self.parallel != "auto" and self.parallel < 1:
            raise ProjectError('parallel must be "auto", or 1 or more', where="tuning.parallel")
        check_space(self.space)
        for candidate in self.candidates:
            check_space({name: Choice((value,)) for name, value in candidate.items()})
        self._check_strategy()

    @property
    def count(self) -> int:
        """How many trials there will be."""
        if self.strategy == "manual":
            return len(self.candidates)
        if not self.space:
            return 0
        if not all(isinstance(dimension, Choice) for dimension in self.space.values()):
            return self.trials
        combinations = math.prod(
            len(choice.values) for choice in self.space.values() if isinstance(choice, Choice)
        )
        return combinations if self.strategy == "grid" else min(self.trials, combinations)

    def _check_strategy(self) -> None:
        if self.strategy == "manual":
            if not self.candidates:
                raise ProjectError(
                    'strategy "manual" needs values to try',
                    where="tuning.candidates",
                    cure="For example: candidates = [{ dropout = 0.2 }, { dropout = 0.4 }]",
                )
            if self.space:
                raise ProjectError(
                    'strategy "manual" tries its candidates and has no space', where="tuning.space"
                )
        elif self.candidates:
            raise ProjectError(
                f'candidates belong to strategy "manual", not "{self.strategy}"',
                where="tuning.candidates",
            )
        if self.strategy == "grid":
            for name, dimension in self.space.items():
                if isinstance(dimension, Range):
                    raise ProjectError(
                        "a grid tries every combination, and a range has no last value",
                        where=f"tuning.space.{name}",
                        cure='Write a list such as [0.001, 0.003], or use strategy = "random"',
                    )
        if self.count > MOST_TRIALS:
            raise ProjectError(
                f"that makes {self.count:,} trials; {MOST_TRIALS:,} are the most",
                where="tuning",
                cure='Shorten the lists, or use strategy = "random"',
            )
        if self.strategy == "hyperband" and "epochs" in self.space:
            raise ProjectError(
                "hyperband itself decides how many epochs a trial gets",
                where="tuning.space.epochs",
                cure="The project's own epochs are the most that one gets",
            )


@dataclass(frozen=True)
class Problem:
    """One prediction problem, complete.

    Args:
        name: the project's.
        columns: the request's own columns.
        target: its classes may be empty; they are then found in the training data.
        split, sources, tuning: see there.
        threshold_rule: binary: what the threshold shall be best for, on the validation rows; None:
            it is the target's.
        features: what features.py makes, if the project has one.
        container: for which the bundle is made.

    Raises:
        ProjectError: the parts do not fit each other.
    """

    name: str
    columns: tuple[Column, ...]
    target: Target
    split: Split = field(default_factory=Split)
    sources: tuple[Source, ...] = ()
    tuning: Tuning = field(default_factory=Tuning)
    threshold_rule: ThresholdRule | None = None
    features: Declaration | None = None
    container: Container = "own"

    def __post_init__(self) -> None:
        self.schema(self.target)
        if self.target.task != "binary" and (self.threshold_rule or self.target.threshold != 0.5):
            raise ProjectError(
                f"a {self.target.task} target has no threshold",
                where="training.threshold",
                cure="Leave it out",
            )
        own = {column.name: column for column in self.columns}
        for source in self.sources:
            for ours in source.keys:
                self._own(own, ours, f"sources.{source.name}.keys", ("category", "numeric"))
            if source.as_of:
                self._own(own, source.as_of[0], f"sources.{source.name}.as_of", ("datetime",))
        if len({source.name for source in self.sources}) < len(self.sources):
            raise ProjectError("two sources have one name", where="sources")
        if self.split.by == "time" and self.split.time in own:
            self._own(own, self.split.time, "split.time", ("datetime",))

    def _own(
        self, own: Mapping[str, Column], name: str, where: str, kinds: tuple[str, ...]
    ) -> None:
        if name not in own:
            raise ProjectError(f"{name!r} is not a column", where=where, cure=nearest(name, own))
        if own[name].kind not in kinds:
            raise ProjectError(
                f"the column {name!r} is {own[name].kind}, but must be {' or '.join(kinds)}",
                where=where,
            )

    def schema(self, target: Target) -> Schema:
        """The schema of a model trained for this problem, with the classes that `target` has."""
        added = tuple(column for source in self.sources for column in source.named_columns)
        made = self.features.columns if self.features else ()
        return Schema(self.columns, added, target, made)

    def to_json(self) -> str:
        """The problem as JSON text."""
        return documents.dumps(self, indent=1)

    @classmethod
    def from_json(
        cls, text: str | bytes, where: str = "project.json", error: type[KitError] = ProjectError
    ) -> Problem:
        """Read what `to_json` wrote; unknown keys are refused.

        Raises:
            error: the text is not a problem.
        """
        return documents.decode(cls, documents.loads(text, where, error), where, error)
