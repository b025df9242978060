"""The search for hyperparameters: five strategies, resumable, in the job's own process.

    manual      the candidates, in their order
    grid        every combination of the space's lists, the last one varying fastest
    random      drawn from the space
    bayesian    drawn where the earlier trials did well
    hyperband   drawn at random; most get few epochs, the best of them more

What is drawn, Optuna proposes (ask); we train and report (tell). Each trial's sampler is made anew,
seeded from the study's seed and the trial's number, and shown the earlier trials; so trial 5 of a
resumed search is trial 5 of one never stopped. What a finished trial found lies as one small JSON
document in the checkpoint folder; Optuna's own storage and pickles are not used.

The first trial drawn takes the project's own values, as far as the space holds them: a search
should not end worse than what it began with. Random and bayesian trials train for half the epochs,
enough to rank them, and one whose best loss lies above the median of the earlier trials' at the
same epoch stops there. What is listed is tried to the end, as scikit-learn's GridSearchCV does.

Here: the space, the order of trials, what is kept of them. Not here: what a trial does (train.py).
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from shared import documents
from shared.errors import CheckpointError, KitError, TrainingError
from shared.hyperparameters import Choice, Hyperparameters, Range
from shared.problem import LISTED, Tuning
from training.checkpoints import Checkpoints

HALF = ("random", "bayesian")
TRIALS_BEFORE_PRUNING = 3
EPOCHS_BEFORE_PRUNING = 3
REDUCTION = 3
TRIALS_FOR_IMPORTANCE = 8

Values = Mapping[str, bool | int | float | str]
Losses = Sequence[Sequence[float]]
GoOn = Callable[[Losses], bool]
Objective = Callable[[Hyperparameters, GoOn], Losses]


@dataclass(frozen=True)
class Trial:
    """One finished trial.

    Args:
        number: from 0.
        values: what was tried, by hyperparameter.
        state: finished; pruned (stopped early, as it fell behind); or failed.
        losses: validation loss by epoch and, within an epoch, by fold.
        error: why it failed.
    """

    number: int
    values: Values
    state: Literal["finished", "pruned", "failed"]
    losses: tuple[tuple[float, ...], ...]
    error: str | None = None

    @property
    def curve(self) -> list[float]:
        """The folds' mean loss by epoch."""
        return _means(self.losses)

    @property
    def loss(self) -> float:
        """The lowest mean validation loss; infinite for a failed trial."""
        return min(self.curve) if self.losses and self.state != "failed" else math.inf

    @property
    def spread(self) -> float:
        """The standard deviation of the folds' losses at that epoch."""
        return statistics.pstdev(min(self.losses, key=statistics.fmean)) if self.losses else 0.0


def wanted(tuning: Tuning) -> bool:
    """Whether there is something to search inside the job."""
    return bool(tuning.count) and tuning.where == "job"


def epochs(tuning: Tuning, chosen: Hyperparameters) -> int:
    """How many epochs a trial trains at most."""
    return math.ceil(chosen.epochs / 2) if tuning.strategy in HALF else chosen.epochs


def complete(losses: Losses, most: int, patience: int) -> bool:
    """Whether a trial has run all its epochs, or its last `patience` brought no better mean."""
    curve = _means(losses)
    return len(curve) >= most or len(curve) - 1 - curve.index(min(curve)) >= max(patience, 1)


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
        start: the values of everything that is not searched, and of the first trial drawn.
        objective: (hyperparameters, go_on) → validation losses by epoch and fold. It calls go_on
            with the losses so far after each epoch but the last and stops when the answer is
            False. A TrainingError fails the trial, not the search.
        kept: where finished trials are kept.
        report: told of each trial as it ends, and of the best so far.

    Returns:
        All trials, in order.

    Raises:
        TrainingError: every trial failed.
    """
    listed = _listed(tuning, start)
    trials: list[Trial] = []
    for number in range(tuning.count):
        trial = _kept(kept, number)
        if trial is None:
            values = listed[number] if listed else _propose(number, tuning, start, trials)
            trial = _run(number, values, tuning, start=start, objective=objective, earlier=trials)
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


def with_values(start: Hyperparameters, values: Values) -> Hyperparameters:
    """The hyperparameters with a trial's values in place."""
    return dataclasses.replace(start, **values)  # type: ignore[arg-type]


def rungs(number: int, most: int) -> tuple[int, ...]:
    """The epochs at which Hyperband looks whether a trial goes on.

    Hyperband (Li et al. 2018) hedges between many short and few long trials: its first bracket
    looks after most/3ⁿ, …, most/3 epochs, the next one first after most/3ⁿ⁻¹, and so on to the
    last one, whose trials all get `most`. The brackets are filled in this order, each with as many
    trials as costs about the same; then it begins again.

    Args:
        number: of the trial, from 0.
        most: epochs that a trial gets at most.
    """
    longest = 0
    while REDUCTION ** (longest + 1) <= most:
        longest += 1
    brackets = range(longest, -1, -1)
    sizes = [math.ceil((longest + 1) * REDUCTION**cuts / (cuts + 1)) for cuts in brackets]
    ends = list(itertools.accumulate(sizes))
    place = number % ends[-1]
    cuts = next(cuts for cuts, end in zip(brackets, ends, strict=True) if place < end)
    return tuple(most // REDUCTION**cut for cut in range(cuts, 0, -1))


def importance(tuning: Tuning, trials: Sequence[Trial]) -> dict[str, float]:
    """Each hyperparameter's share of what made the finished trials' losses differ (fANOVA).

    Empty for fewer than 8 finished trials, for losses that do not differ, and for candidates: they
    are no sample of a space.
    """
    finished = [trial for trial in trials if trial.state == "finished"]
    differ = len({trial.loss for trial in finished}) > 1
    if tuning.strategy == "manual" or len(finished) < TRIALS_FOR_IMPORTANCE or not differ:
        return {}
    import optuna

    study = _study(tuning, finished, optuna.samplers.RandomSampler(seed=tuning.seed))
    judge = optuna.importance.FanovaImportanceEvaluator(max_depth=8, seed=tuning.seed)
    shares = optuna.importance.get_param_importances(study, evaluator=judge)
    return {name: float(share) for name, share in shares.items()}


def _listed(tuning: Tuning, start: Hyperparameters) -> list[Values]:
    """The values of every trial, where they are known beforehand."""
    if tuning.strategy == "grid":
        lists = [choice.values for choice in tuning.space.values() if isinstance(choice, Choice)]
        return [
            dict(zip(tuning.space, values, strict=True)) for values in itertools.product(*lists)
        ]
    names = dict.fromkeys(name for candidate in tuning.candidates for name in candidate)
    own = {name: getattr(start, name) for name in names}
    return [own | dict(candidate) for candidate in tuning.candidates]


def _run(
    number: int,
    values: Values,
    tuning: Tuning,
    *,
    start: Hyperparameters,
    objective: Objective,
    earlier: Sequence[Trial],
) -> Trial:
    losses: Losses = ()
    pruned = False

    def go_on(so_far: Losses) -> bool:
        nonlocal losses, pruned
        losses = so_far
        pruned = _behind(tuning, number, _means(so_far), start.epochs, earlier)
        return not pruned

    def ended(state: Literal["finished", "pruned", "failed"], error: str | None = None) -> Trial:
        return Trial(number, values, state, tuple(tuple(folds) for folds in losses), error)

    try:
        losses = objective(with_values(start, values), go_on)
    except TrainingError as exception:
        return ended("failed", str(exception))
    return ended("pruned" if pruned else "finished")


def _behind(
    tuning: Tuning, number: int, curve: Sequence[float], most: int, earlier: Sequence[Trial]
) -> bool:
    """Whether a trial with these mean losses by epoch is not worth another one."""
    if tuning.strategy in LISTED:
        return False
    epoch = len(curve)
    if tuning.strategy == "hyperband":
        looks = rungs(number, most)
        peers = [trial for trial in earlier if rungs(trial.number, most) == looks]
        losses = sorted([min(curve), *_best_by(epoch, peers)])
        passing = losses[max(1, len(losses) // REDUCTION) - 1]
        return epoch in looks and min(curve) > passing
    rivals = _best_by(epoch, earlier)
    if epoch < EPOCHS_BEFORE_PRUNING or len(rivals) < TRIALS_BEFORE_PRUNING:
        return False
    return min(curve) > statistics.median(rivals)


def _best_by(epoch: int, trials: Sequence[Trial]) -> list[float]:
    """The lowest losses up to an epoch, of the trials that reached it."""
    return [min(trial.curve[:epoch]) for trial in trials if len(trial.losses) >= epoch]


def _means(losses: Losses) -> list[float]:
    return [statistics.fmean(folds) for folds in losses]


def _propose(
    number: int, tuning: Tuning, start: Hyperparameters, earlier: Sequence[Trial]
) -> Values:
    import optuna

    seed = int(np.random.SeedSequence([tuning.seed, number]).generate_state(1)[0])
    if tuning.strategy == "bayesian":
        startup = max(2, min(10, tuning.trials // 4))
        sampler: Any = optuna.samplers.TPESampler(seed=seed, n_startup_trials=startup)
    else:
        sampler = optuna.samplers.RandomSampler(seed=seed)
    study = _study(tuning, earlier, sampler)
    if number == 0:
        own = {name: _held(space, getattr(start, name)) for name, space in tuning.space.items()}
        study.enqueue_trial({name: value for name, value in own.items() if value is not None})
    asked = study.ask(_distributions(tuning))
    return {name: asked.params[name] for name in sorted(tuning.space)}


def _study(tuning: Tuning, trials: Sequence[Trial], sampler: Any) -> Any:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(direction="minimize", sampler=sampler)
    space = _distributions(tuning)
    for trial in trials:
        failed = trial.state == "failed"
        study.add_trial(
            optuna.trial.create_trial(
                state=optuna.trial.TrialState.FAIL if failed else optuna.trial.TrialState.COMPLETE,
                params=dict(trial.values),
                distributions=space,
                value=None if failed else trial.loss,
            )
        )
    return study


def _distributions(tuning: Tuning) -> dict[str, Any]:
    return {name: _distribution(dimension) for name, dimension in sorted(tuning.space.items())}


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
