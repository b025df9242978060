"""The search for hyperparameters: random or Bayesian, resumable, in the job's own process.

Optuna proposes (ask), we train and report (tell). Each trial's sampler is made anew, seeded from
the study's seed and the trial's number, and shown the earlier trials; so trial 5 of a resumed
search is trial 5 of one never stopped. What a finished trial found lies as one small JSON document
in the checkpoint folder; Optuna's own storage and pickles are not used.

The first trial takes the project's own values, as far as the space holds them: a search should not
end worse than what it began with. Trials train for half the epochs, enough to rank them; and one
whose best loss lies above the median of the earlier trials' at the same epoch stops there.

Here: the space, the order of trials, what is kept of them. Not here: what a trial does (train.py).
"""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from shared import documents
from shared.errors import CheckpointError, KitError, ProjectError, TrainingError
from shared.hyperparameters import Choice, Hyperparameters, Range
from shared.problem import Tuning
from training.checkpoints import Checkpoints

STRATEGIES = ("random", "bayesian")
TRIALS_BEFORE_PRUNING = 3
EPOCHS_BEFORE_PRUNING = 3


@dataclass(frozen=True)
class Trial:
    """One finished trial.

    Args:
        number: from 0.
        values: what was tried, by hyperparameter.
        state: finished; pruned (stopped early, as it fell behind); or failed.
        losses: validation loss by epoch.
        error: why it failed.
    """

    number: int
    values: Mapping[str, bool | int | float | str]
    state: Literal["finished", "pruned", "failed"]
    losses: tuple[float, ...]
    error: str | None = None

    @property
    def loss(self) -> float:
        """The lowest validation loss; infinite for a failed trial."""
        return min(self.losses) if self.losses and self.state != "failed" else math.inf


GoOn = Callable[[Sequence[float]], bool]
Objective = Callable[[Hyperparameters, GoOn], Sequence[float]]


def wanted(tuning: Tuning) -> bool:
    """Whether there is something to search inside the job."""
    return bool(tuning.trials and tuning.space) and tuning.where == "job"


def search(
    tuning: Tuning,
    start: Hyperparameters,
    objective: Objective,
    kept: Checkpoints,
    report: Callable[[Trial, Trial], None],
) -> list[Trial]:
    """Run the trials that are not yet done.

    Args:
        tuning: strategy, number of trials, space, seed.
        start: the values of everything that is not searched, and of the first trial.
        objective: (hyperparameters, go_on) → validation loss by epoch. It calls go_on with the
            losses so far after each epoch and stops when the answer is False. A TrainingError
            fails the trial, not the search.
        kept: where finished trials are kept.
        report: told of each trial as it ends, and of the best so far.

    Returns:
        All trials, in order.

    Raises:
        TrainingError: every trial failed.
        ProjectError: the strategy is not one of this version's.
    """
    if tuning.strategy not in STRATEGIES or tuning.folds != 1:
        raise ProjectError(
            f"strategy {tuning.strategy!r} with folds = {tuning.folds} cannot be run",
            where="tuning",
            cure=f"Use one of {', '.join(STRATEGIES)}, with folds = 1",
        )
    trials: list[Trial] = []
    for number in range(tuning.trials):
        trial = _kept(kept, number)
        if trial is None:
            trial = _run(number, tuning, start, objective, trials)
            kept.write_document(_name(number), trial)
        trials.append(trial)
        report(trial, best(trials))
    if best(trials).state == "failed":
        raise TrainingError(
            f"all {len(trials)} trials failed; the last one: {trials[-1].error}",
            where="tuning",
            cure="Narrow the space: a lower learning_rate is the usual cure",
        )
    return trials


def best(trials: Sequence[Trial]) -> Trial:
    """The trial of the lowest loss; the earliest of equals."""
    return min(trials, key=lambda trial: trial.loss)


def with_values(
    start: Hyperparameters, values: Mapping[str, bool | int | float | str]
) -> Hyperparameters:
    """The hyperparameters with a trial's values in place."""
    return dataclasses.replace(start, **values)  # type: ignore[arg-type]


def _run(
    number: int,
    tuning: Tuning,
    start: Hyperparameters,
    objective: Objective,
    earlier: Sequence[Trial],
) -> Trial:
    values = _propose(number, tuning, start, earlier)
    losses: list[float] = []
    pruned = False

    def go_on(so_far: Sequence[float]) -> bool:
        nonlocal pruned
        losses[:] = so_far
        pruned = _behind(so_far, earlier)
        return not pruned

    try:
        losses[:] = objective(with_values(start, values), go_on)
    except TrainingError as exception:
        return Trial(number, values, "failed", tuple(losses), str(exception))
    return Trial(number, values, "pruned" if pruned else "finished", tuple(losses))


def _behind(losses: Sequence[float], earlier: Sequence[Trial]) -> bool:
    """The median rule: its best so far is worse than half of the earlier trials' at this epoch."""
    epoch = len(losses)
    rivals = [min(trial.losses[:epoch]) for trial in earlier if len(trial.losses) >= epoch]
    if epoch < EPOCHS_BEFORE_PRUNING or len(rivals) < TRIALS_BEFORE_PRUNING:
        return False
    return min(losses) > statistics.median(rivals)


def _propose(
    number: int, tuning: Tuning, start: Hyperparameters, earlier: Sequence[Trial]
) -> dict[str, bool | int | float | str]:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    seed = int(np.random.SeedSequence([tuning.seed, number]).generate_state(1)[0])
    if tuning.strategy == "random":
        sampler: Any = optuna.samplers.RandomSampler(seed=seed)
    else:
        startup = max(2, min(10, tuning.trials // 4))
        sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=startup)
    study = optuna.create_study(direction="minimize", sampler=sampler)
    space = {name: _distribution(dimension) for name, dimension in sorted(tuning.space.items())}
    for trial in earlier:
        failed = trial.state == "failed"
        study.add_trial(
            optuna.trial.create_trial(
                state=optuna.trial.TrialState.FAIL if failed else optuna.trial.TrialState.COMPLETE,
                params=dict(trial.values),
                distributions=space,
                value=None if failed else trial.loss,
            )
        )
    if number == 0:
        own = {name: _held(tuning.space[name], getattr(start, name)) for name in space}
        study.enqueue_trial({name: value for name, value in own.items() if value is not None})
    asked = study.ask(space)
    return {name: asked.params[name] for name in space}


def _held(
    dimension: Range | Choice, value: bool | int | float | str
) -> bool | int | float | str | None:
    """The value as the dimension has it (0 may stand there for 0.0), or None if it has it not."""
    if isinstance(dimension, Choice):
        alike = (
            choice
            for choice in dimension.values
            if choice == value and isinstance(choice, bool) == isinstance(value, bool)
        )
        return next(alike, None)
    if isinstance(value, str | bool):
        return None
    return value if dimension.min <= value <= dimension.max else None


def _distribution(dimension: Range | Choice) -> Any:
    import optuna.distributions as d

    if isinstance(dimension, Choice):
        return d.CategoricalDistribution(dimension.values)
    log = dimension.scale == "log"
    if dimension.integer:
        return d.IntDistribution(int(dimension.min), int(dimension.max), log=log)
    return d.FloatDistribution(dimension.min, dimension.max, log=log)


def _name(number: int) -> str:
    return f"trial-{number:04d}"


def _kept(kept: Checkpoints, number: int) -> Trial | None:
    body = kept.read_document(_name(number))
    if body is None:
        return None
    try:
        return documents.decode(Trial, body, _name(number), CheckpointError)
    except KitError:
        return None
