"""What came of a training: scores, baseline and the facts that the report states.

Here: gathering them from the job. Not here: the measures themselves (evaluation.py), nor how the
report looks (report.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from shared import hyperparameters
from shared.hyperparameters import Hyperparameters, metric_line
from training import evaluation
from training.console import say
from training.data import Data
from training.preparation import Prepared

if TYPE_CHECKING:
    from training.fit import Trainer
    from training.network import Shape


def evaluate(
    prepared: Prepared, trainer: Trainer, measured: Mapping[str, tuple[float, Any]]
) -> dict[str, dict[str, float]]:
    """Scores by split and metric; the last metric line is that of the weights kept.

    Args:
        prepared: the job.
        trainer: the network that was measured.
        measured: loss and outputs of each split.
    """
    scores: dict[str, dict[str, float]] = {}
    line: dict[str, float] = {}
    for split, short in (("validation", "val"), ("test", "test")):
        loss, outputs = measured[split]
        found = evaluation.metrics(
            prepared.found.schema.target,
            prepared.target_transform,
            prepared.found.parts[split].target,
            outputs,
        )
        scores[split] = found
        line |= {f"{short}_{name}": value for name, value in {"loss": loss, **found}.items()}
    known = {name: value for name, value in line.items() if name in hyperparameters.METRICS}
    say(None, metric_line(trainer.best_epoch, known))
    return scores


def baseline(found: Data) -> dict[str, dict[str, float]]:
    """Scores, by split and metric, of always giving the answer that suits the training rows."""
    target, learnt = found.schema.target, found.train.target
    return {
        split: evaluation.baseline(target, learnt, found.parts[split].target)
        for split in ("validation", "test")
    }


def facts(prepared: Prepared, trainer: Trainer, chosen: Hyperparameters) -> dict[str, object]:
    """What the report states besides scores and curves."""
    from training.network import kernels

    stated: dict[str, object] = {
        "rows": prepared.found.counts,
        "inputs (numeric columns and category slots)": prepared.shape.n_inputs,
        "weights": int(trainer.model.count_params()),
        "epochs trained": trainer.epochs,
        "training job": prepared.job.job,
    }
    if chosen.l1:
        zero, total = evaluation.zeroed(kernels(trainer.model))
        stated["weights that L1 drove to zero"] = f"{zero:,} of {total:,} ({zero / total:.0%})"
    return stated


def resolved(chosen: Hyperparameters, shape: Shape) -> dict[str, object]:
    """What "auto" became, by hyperparameter; an embedding's width is each category's own."""
    plan = hyperparameters.resolve(chosen, shape.n_inputs)
    became: dict[str, object] = {
        "layers": len(plan.widths),
        "units": plan.widths[0],
        "taper": plan.widths[-1] < plan.widths[0],
        "dropout": plan.dropout,
        "batch_size": plan.batch_size,
        "warmup": plan.warmup,
    }
    if shape.numeric and chosen.numeric_embedding == "piecewise_linear":
        became["numeric_bins"] = hyperparameters.bin_count(shape.numeric)
    return {name: value for name, value in became.items() if getattr(chosen, name) == "auto"}
