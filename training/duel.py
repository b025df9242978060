"""Champion against challenger: who answers better on rows that neither learnt from.

Both answer the same rows, so what is judged is their difference, and its standard error comes from
a paired bootstrap: the rows are drawn again, with replacement, for both alike. The challenger
takes the place only where it wins by the margin and by more than chance, and answers better than
one that always says the same: on rows whose target is wrong the worse model may be ahead.

Here: chance, the verdict and its words. Not here: the score that decides (evaluation/measures.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from shared import predictions
from shared.errors import DataError
from shared.retraining import Decision, Retraining
from shared.schema import Target
from shared.transforms import TargetTransform
from training.evaluation.measures import HEADLINES, headline_of

DRAWS = 100
# The error of a mean over more rows follows from that over these.
ENOUGH_ROWS = 20_000

Array = npt.NDArray[Any]
Scores = Mapping[str, float]

_NAMES = {"auc": "AUC", "accuracy": "accuracy", "rmse": "RMSE"}


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
    """Compare the two by the headline on the held-out rows.

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
    by, rows = HEADLINES[target.task], len(truth)

    def scored(outputs: Array, part: Array) -> float | None:
        return headline_of(predictions.decode(outputs[part], target, transform), truth[part])

    def gain(part: Array) -> float | None:
        old, new = scored(champion, part), scored(challenger, part)
        if old is None or new is None:  # all of one class
            return None
        return new - old if by.higher_is_better else (old - new) / max(old, np.finfo(float).tiny)

    random = np.random.Generator(np.random.Philox(key=seed))
    some = random.permutation(rows)[:ENOUGH_ROWS]
    drawn = (gain(some[random.integers(len(some), size=len(some))]) for _ in range(DRAWS))
    gains = [value for value in drawn if value is not None]
    chance = float(np.std(gains) * np.sqrt(len(some) / rows))
    everything = np.arange(rows)
    old, new, won = scored(champion, everything), scored(challenger, everything), gain(everything)
    assert old is not None
    assert new is not None
    assert won is not None
    needed = NormalDist().inv_cdf(settings.confidence) * chance
    head = (
        f"challenger {_NAMES[by.name]} {new:.5g} against champion {old:.5g} on {rows:,} held-out "
        "new rows"
    )
    verdict = _verdict(won, chance, needed, settings.margin, relative=not by.higher_is_better)
    wins = won >= settings.margin and won > needed
    same = _of_one_answer(target, truth)
    useful = new > same if by.higher_is_better else new < same
    if wins and not useful:
        verdict += (
            f", but always the same answer would do as well ({_NAMES[by.name]} {same:.5g}): look "
            "whether the new rows' target is right"
        )
    return Decision(
        metric=by.name,
        champion=old,
        challenger=new,
        gain=won,
        chance=chance,
        rows=rows,
        deploy=wins and useful,
        words=f"{head}; {verdict}",
    )


def _of_one_answer(target: Target, truth: Array) -> float:
    """The headline of the best answer that is the same for all rows."""
    if target.task == "binary":
        return 0.5
    if target.task == "multiclass":
        return float(np.bincount(truth).max() / len(truth))
    return float(np.std(truth))


def remembered(decision: Decision, champion: Scores, challenger: Scores, rows: int) -> str:
    """What became of what the champion knew, in a sentence.

    Args:
        decision: names the score.
        champion: its scores on old rows.
        challenger: its scores on the same.
        rows: how many.
    """
    if decision.metric not in champion or decision.metric not in challenger:
        return f"the {rows:,} old test rows are all of one class: they tell nothing"
    old, new = champion[decision.metric], challenger[decision.metric]
    worse = new > old if decision.metric == "rmse" else new < old
    return (
        f"challenger {_NAMES[decision.metric]} {new:.5g} against champion {old:.5g} on {rows:,} "
        f"old test rows: {'it has forgotten some' if worse else 'it has forgotten nothing'}"
    )


def _verdict(won: float, chance: float, needed: float, margin: float, *, relative: bool) -> str:
    def shown(value: float) -> str:
        return f"{100 * value:.2g} %" if relative else f"{value:.2g}"

    asked = f"margin {shown(margin)}"
    if won <= 0:
        return f"loses by {shown(-won)}" if won else "there is no difference"
    if won < margin:
        return f"wins by {shown(won)} < {asked}"
    if won <= needed:
        return (
            f"wins by {shown(won)} ≥ {asked}, but chance alone may do that (± {shown(chance)}; "
            f"more than {shown(needed)} would convince)"
        )
    return f"wins by {shown(won)} ≥ {asked} (chance: ± {shown(chance)})"
