"""Champion against challenger: who answers better on rows that neither learnt from.

Both answer the same rows, so what is judged is their difference, and its standard error comes from
a paired bootstrap: the rows are drawn again, with replacement, for both alike. The challenger
takes the place only where it wins by the margin and by more than chance.

Here: the figure, its chance and the verdict in words. Not here: other figures (evaluation.py).
"""

from __future__ import annotations

from collections.abc import Callable
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from shared import predictions
from shared.errors import DataError
from shared.predictions import Predictions
from shared.retraining import Decision, Retraining
from shared.schema import Target, Task
from shared.transforms import TargetTransform

DRAWS = 200
# The error of a mean over more rows follows from that over these.
ENOUGH_ROWS = 20_000

Array = npt.NDArray[Any]
Figure = Callable[[Predictions, Array], float]


def _auc(answer: Predictions, truth: Array) -> float:
    from sklearn import metrics

    return float(metrics.roc_auc_score(truth, answer.scores[:, 0]))


def _accuracy(answer: Predictions, truth: Array) -> float:
    return float(np.mean(answer.choice == truth))


def _rmse(answer: Predictions, truth: Array) -> float:
    return float(np.sqrt(np.mean(np.square(answer.values - truth))))


FIGURES: dict[Task, tuple[str, Figure]] = {
    "binary": ("auc", _auc),
    "multiclass": ("accuracy", _accuracy),
    "regression": ("rmse", _rmse),
}


def refuse_unjudgeable(target: Target, truth: Array) -> None:
    """Refuse held-out rows on which no model can be told from another.

    Raises:
        DataError: the task is binary and all are of one class, so that there is no AUC.
    """
    if target.task == "binary" and len(np.unique(truth)) < 2:
        raise DataError(
            f"all {len(truth)} new rows held out are of class {target.classes[int(truth[0])]!r}, "
            "on which champion and challenger cannot be compared",
            where=f"target {target.name!r}",
            cure="Bring more new rows",
        )


def decide(
    target: Target,
    transform: TargetTransform,
    truth: Array,
    *,
    champion: Array,
    challenger: Array,
    settings: Retraining,
    seed: int = 0,
) -> Decision:
    """Compare the two on the held-out rows.

    Args:
        target: with its classes.
        transform: as fitted.
        truth: int64 class numbers [n]; regression: float64 in the target's unit.
        champion: its network's raw outputs [n, …].
        challenger: likewise.
        settings: margin and confidence are read.
        seed: of the bootstrap.

    Raises:
        DataError: the rows cannot tell the two apart.
    """
    refuse_unjudgeable(target, truth)
    metric, figure = FIGURES[target.task]
    rows = len(truth)

    def scored(part: Array) -> tuple[float, float]:
        old, new = (
            figure(predictions.decode(outputs[part], target, transform), truth[part])
            for outputs in (champion, challenger)
        )
        return old, new

    def gain(part: Array) -> float:
        old, new = scored(part)
        return new - old if metric != "rmse" else (old - new) / max(old, np.finfo(float).tiny)

    everything = np.arange(rows)
    random = np.random.Generator(np.random.Philox(key=seed))
    some = random.permutation(rows)[:ENOUGH_ROWS]
    draws = [some[random.integers(len(some), size=len(some))] for _ in range(DRAWS)]
    if target.task == "binary":  # a draw of one class has no AUC
        draws = [draw for draw in draws if len(np.unique(truth[draw])) == 2]
    chance = float(np.std([gain(draw) for draw in draws]) * np.sqrt(len(some) / rows))
    old, new = scored(everything)
    won = gain(everything)
    needed = NormalDist().inv_cdf(settings.confidence) * chance
    deploy = won >= settings.margin and won > needed
    head = (
        f"challenger {_NAMES[metric]} {new:.5g} against champion {old:.5g} on {rows:,} held-out "
        f"new rows"
    )
    return Decision(
        metric=metric,
        champion=old,
        challenger=new,
        gain=won,
        chance=chance,
        rows=rows,
        deploy=deploy,
        words=f"{head}; {_verdict(won, chance, needed, settings, relative=metric == 'rmse')}",
    )


_NAMES = {"auc": "AUC", "accuracy": "accuracy", "rmse": "RMSE"}


def _verdict(
    won: float, chance: float, needed: float, settings: Retraining, *, relative: bool
) -> str:
    def shown(value: float) -> str:
        return f"{100 * value:.2g} %" if relative else f"{value:.2g}"

    margin = f"margin {shown(settings.margin)}"
    if won <= 0:
        return f"{f'loses by {shown(-won)}' if won else 'no difference'}: the champion stays"
    if won < settings.margin:
        return f"wins by {shown(won)} < {margin}: the champion stays"
    if won <= needed:
        return (
            f"wins by {shown(won)} ≥ {margin}, but chance alone may do that (± {shown(chance)}; "
            f"more than {shown(needed)} would convince): the champion stays"
        )
    return f"wins by {shown(won)} ≥ {margin} (chance: ± {shown(chance)}): the challenger serves"
