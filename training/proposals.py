"""What Optuna proposes to try next.

Optuna is asked, never left in charge: each trial's sampler is made anew, seeded from the study's
seed and the trial's number, and shown the earlier trials. So trial 5 of a resumed search is trial 5
of one never stopped.

The first trial drawn takes the project's own values, as far as the space holds them: a search
should not end worse than what it began with. Trials that still run are shown, too, by what they
try: the bayesian sampler keeps its distance from them. Nothing is proposed twice: what was tried
before is drawn again, and at last the first combination left is taken.

Here: the space as Optuna has it, and proposals. Not here: the order of trials and what is kept of
them (tuning.py).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from shared.hyperparameters import Choice, Hyperparameters, Range
from shared.problem import Tuning

if TYPE_CHECKING:
    from training.tuning import Trial, Values

DRAWS = 20


def propose(
    number: int,
    tuning: Tuning,
    start: Hyperparameters,
    earlier: Sequence[Trial],
    pending: Sequence[Values],
) -> Values:
    """The values that a trial tries.

    Args:
        number: of the trial, from 0.
        tuning: strategy, space, seed.
        start: the project's own values.
        earlier: the trials that have ended, in order.
        pending: what the trials between these and this one try.
    """
    own = {}
    if number == 0:
        held = {name: _held(space, getattr(start, name)) for name, space in tuning.space.items()}
        own = {name: value for name, value in held.items() if value is not None}
    if own.keys() == tuning.space.keys():
        return {name: own[name] for name in sorted(own)}
    tried = [*(trial.values for trial in earlier), *pending]
    seeds = np.random.SeedSequence([tuning.seed, number]).generate_state(DRAWS)
    for seed in seeds.tolist():
        sampler = _sampler(tuning, seed)
        asked = study(tuning, earlier, sampler, pending).ask(_distributions(tuning))
        values = {name: own.get(name, asked.params[name]) for name in sorted(tuning.space)}
        if values not in tried:
            return values
    if not all(isinstance(dimension, Choice) for dimension in tuning.space.values()):
        return values
    points = combinations(dict(sorted(tuning.space.items())))
    return next((point for point in points if point not in tried), values)


def combinations(space: Mapping[str, Range | Choice]) -> Iterator[Values]:
    """All points of a space of lists, the last list varying fastest."""
    lists = [choice.values for choice in space.values() if isinstance(choice, Choice)]
    for values in itertools.product(*lists):
        yield dict(zip(space, values, strict=True))


def _sampler(tuning: Tuning, seed: int) -> Any:
    import optuna

    if tuning.strategy == "bayesian":
        startup = max(2, min(10, tuning.trials // 4))
        return optuna.samplers.TPESampler(seed=seed, n_startup_trials=startup)
    return optuna.samplers.RandomSampler(seed=seed)


def study(
    tuning: Tuning, trials: Sequence[Trial], sampler: Any, pending: Sequence[Values] = ()
) -> Any:
    """An Optuna study in memory that knows these trials, and what the pending ones try."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    made = optuna.create_study(direction="minimize", sampler=sampler)
    space = _distributions(tuning)
    state = optuna.trial.TrialState
    for trial in trials:
        failed = trial.state == "failed"
        made.add_trial(
            optuna.trial.create_trial(
                state=state.FAIL if failed else state.COMPLETE,
                params=dict(trial.values),
                distributions=space,
                value=None if failed else trial.loss,
            )
        )
    for values in pending:
        made.add_trial(
            optuna.trial.create_trial(state=state.RUNNING, params=dict(values), distributions=space)
        )
    return made


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
