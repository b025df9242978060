"""Whether the network over-fits or under-fits, in words, from the curves; what L1 zeroed.

A network over-fits where it goes on learning its training rows while it gets worse on others. So
the diagnosis looks at how the curves move, not only at their distance: with a split by time the
two may lie apart from the first epoch, because the months differ. Nor is every rise one: a mean
over few rows moves by chance, so a rise or a wider gap counts only where it is more than the
standard error of the mean loss over the validation rows.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from shared.hyperparameters import Hyperparameters, resolve

WORSE = 0.01
WIDER = 0.05
FEW_ROWS = 100
MOST_DROPOUT, LEAST_WIDTH = 0.6, 8
USUAL_RATE, LEAST_TO_LEARN = 1e-3, 64
AS_GOOD_AS_ZERO = 1e-3

Array = npt.NDArray[Any]
History = Sequence[Mapping[str, float]]


@dataclass(frozen=True)
class Diagnosis:
    """What the curves say.

    Args:
        verdict: over-fitting, under-fitting or sound.
        best_epoch: the epoch of the lowest validation loss, from 1; its weights were kept.
        from_epoch: over-fitting: the first epoch of it.
        gap: validation loss minus training loss at the best epoch.
        text: all of it in words, with the settings to change.
    """

    verdict: Literal["over-fitting", "under-fitting", "sound"]
    best_epoch: int
    from_epoch: int | None
    gap: float
    text: str


def diagnose(
    history: History,
    hyperparameters: Hyperparameters,
    n_inputs: int,
    noise: float = 0.0,
    nothing: float = math.inf,
) -> Diagnosis:
    """Judge the curves of a fit.

    The validation loss rises, or its gap to the training loss widens, where that is more than 1 %
    (5 %) of the lowest validation loss and more than `noise`.

    Args:
        history: `train_loss` and `val_loss` of each epoch, measured alike (without dropout).
        hyperparameters: what the fit used; the cures name their present values.
        n_inputs: as for the rules of thumb.
        noise: the standard error of the lowest validation loss; 0 where nobody knows.
        nothing: the validation loss of always giving the same answer, where it compares.
    """
    train = [record["train_loss"] for record in history]
    val = [record["val_loss"] for record in history]
    at = int(np.argmin(val))
    best_epoch, last = at + 1, len(history)
    gap, risen = val[at] - train[at], val[-1] - val[at]
    kept, differ = f"The weights of epoch {best_epoch} were kept.", ""
    if gap < 0:
        differ = (
            " The validation loss lies below the training loss, so the two sets differ (for "
            "instance another season), and the distance of the curves is not over-fitting."
        )
    wider = max(WIDER * abs(val[at]), noise)
    rises = risen > max(WORSE * abs(val[at]), noise) and train[-1] < train[at]
    widens = gap > 0 and gap - (val[0] - train[0]) > wider
    cures = _cures(hyperparameters, n_inputs)
    futile = val[at] > nothing - noise
    if futile:
        kept += f" Even they are no better than always giving the same answer ({nothing:.4g})."
    if futile and not rises and not widens:
        text = (
            f"The network has learnt next to nothing: its lowest validation loss ({val[at]:.4g}, "
            f"epoch {best_epoch}) is not below that of always giving the same answer "
            f"({nothing:.4g}), chance (± {noise:.2g}) allowed for. If the inputs say anything "
            f"about the target: {_stimulants(hyperparameters, n_inputs)}.{differ}"
        )
        return Diagnosis("under-fitting", best_epoch, None, gap, text)
    if rises:
        text = (
            f"The network over-fits from epoch {best_epoch + 1} on: to epoch {last} the training "
            f"loss falls further ({train[at]:.4g} to {train[-1]:.4g}) while the validation loss "
            f"rises ({val[at]:.4g} to {val[-1]:.4g}). {kept}{differ} To get further: {cures}."
        )
        return Diagnosis("over-fitting", best_epoch, best_epoch + 1, gap, text)
    if widens:
        start = next(
            epoch
            for epoch, (t, v) in enumerate(zip(train, val, strict=True), start=1)
            if (v - t) - (val[0] - train[0]) > wider
        )
        text = (
            f"The network begins to over-fit at epoch {start}: the gap between validation and "
            f"training loss has grown from {val[0] - train[0]:.4g} to {gap:.4g}, although the "
            f"validation loss still falls. {kept} To narrow the gap: {cures}."
        )
        return Diagnosis("over-fitting", best_epoch, start, gap, text)
    if last > 1 and best_epoch == hyperparameters.epochs < _highest("epochs"):
        text = (
            f"The network could learn more: the validation loss was still falling in the last "
            f"epoch ({val[-2]:.4g} to {val[-1]:.4g}). Raise epochs (now {hyperparameters.epochs}; "
            f"try {min(2 * hyperparameters.epochs, round(_highest('epochs')))})."
        )
        return Diagnosis("under-fitting", best_epoch, None, gap, text + differ)
    after = "the validation loss hardly rises after it"
    if 0 < risen <= noise:
        after = f"the validation loss rises after it by {risen:.2g}, within chance (± {noise:.2g})"
    text = (
        f"No over-fitting to speak of: the gap between validation and training loss is {gap:.4g} "
        f"at the best epoch and {after}. {kept}{differ}"
    )
    return Diagnosis("sound", best_epoch, None, gap, text)


def few_rows(counts: Mapping[str, int]) -> str | None:
    """What to say where scores stand on too few rows to tell much; None where there are enough.

    Args:
        counts: rows by split.
    """
    few = [f"{rows} {split}" for split, rows in counts.items() if rows < FEW_ROWS]
    return f"Scores on {' and '.join(few)} rows say little: chance moves them far." if few else None


def zeroed(kernels: Sequence[Array]) -> tuple[int, int]:
    """How many of the regularized weights are as good as zero (below 0.001), of how many.

    Keras applies L1 as a gradient, so a weight that it drives to zero swings around it within
    about the learning rate instead of resting there.
    """
    small = sum(int(np.count_nonzero(np.abs(kernel) < AS_GOOD_AS_ZERO)) for kernel in kernels)
    return small, sum(kernel.size for kernel in kernels)


def _cures(hyperparameters: Hyperparameters, n_inputs: int) -> str:
    """Settings against over-fitting, those that their knobs still allow."""
    plan = resolve(hyperparameters, n_inputs)
    l2, dropout, width = hyperparameters.l2, plan.dropout, plan.widths[0]
    more, drop = min(max(10 * l2, 1e-5), _highest("l2")), min(dropout + 0.2, MOST_DROPOUT)
    cures = []
    if more > l2:
        cures.append(f"raise l2 (now {l2:.2g}; try {more:.2g})")
    if drop > dropout:
        cures.append(f"raise dropout (now {dropout:.2g}; try {drop:.2g})")
    if width > LEAST_WIDTH:
        cures.append(f"lower units (now {width}; try {max(width // 2, LEAST_WIDTH)})")
    return ", or ".join(cures) or "bring more training rows"


def _stimulants(hyperparameters: Hyperparameters, n_inputs: int) -> str:
    """Settings against learning too little."""
    plan = resolve(hyperparameters, n_inputs)
    l1, l2, rate = hyperparameters.l1, hyperparameters.l2, hyperparameters.learning_rate
    cures = [
        f"lower {name} (now {value:.2g}; try {value / 10:.2g})"
        for name, value in (("l1", l1), ("l2", l2))
        if value > 0
    ]
    if plan.dropout > 0.1:
        cures.append(f"lower dropout (now {plan.dropout:.2g}; try {plan.dropout / 2:.2g})")
    # A rate that is too high learns as little as one that is too low.
    other = 3 * rate if rate <= USUAL_RATE else USUAL_RATE
    cures.append(
        f"{'raise' if other > rate else 'lower'} learning_rate (now {rate:.2g}; try {other:.2g})"
    )
    if (units := plan.widths[0]) < LEAST_TO_LEARN:
        cures.append(f"raise units (now {units}; try {2 * units})")
    return ", or ".join(cures)


def _highest(knob: str) -> float:
    fields = {field.name: field for field in dataclasses.fields(Hyperparameters)}
    return float(fields[knob].metadata["high"])
