"""Which hyperparameters mattered in a search by the service (fANOVA)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from infra.trials import Trial, ranked
from shared.hyperparameters import Choice, Range

FEWEST = 8


def importance(space: Mapping[str, Range | Choice], trials: Sequence[Trial]) -> dict[str, float]:
    """Each hyperparameter's share of what made the losses differ, the largest first.

    Empty for fewer than 8 finished trials, for losses that do not differ, and where Optuna is not
    installed.

    Args:
        space: what was searched.
        trials: what came of it.
    """
    finished = ranked(trials)
    if len(finished) < FEWEST or len({trial.loss for trial in finished}) == 1:
        return {}
    try:
        import optuna
    except ImportError:
        return {}
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    kinds = {
        name: _distribution(dimension, [trial.values[name] for trial in finished])
        for name, dimension in space.items()
    }
    study = optuna.create_study()
    for trial in finished:
        values = {name: _value(space[name], trial.values[name]) for name in space}
        study.add_trial(
            optuna.trial.create_trial(params=values, distributions=kinds, value=trial.loss)
        )
    judge = optuna.importance.FanovaImportanceEvaluator(max_depth=8, seed=0)
    shares = optuna.importance.get_param_importances(study, evaluator=judge)
    return {name: float(share) for name, share in shares.items()}


def _value(dimension: Range | Choice, text: str) -> Any:
    if isinstance(dimension, Choice):
        return text
    return int(text) if dimension.integer else float(text)


def _distribution(dimension: Range | Choice, texts: Sequence[str]) -> Any:
    import optuna.distributions as d

    if isinstance(dimension, Choice):
        return d.CategoricalDistribution(sorted(set(texts)))
    # A trial's number is rounded for people, and may so lie just beyond the range.
    numbers = [_value(dimension, text) for text in texts]
    low, high = min(*numbers, dimension.min), max(*numbers, dimension.max)
    log = dimension.scale == "log"
    if dimension.integer:
        return d.IntDistribution(int(low), int(high), log=log)
    return d.FloatDistribution(low, high, log=log)
