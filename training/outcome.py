"""What came of a training: scores, threshold, slices, importance and the report's other facts.

Here: gathering them from the job. Not here: the measures themselves (evaluation/), nor how the
report looks (report/).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from shared import hyperparameters, predictions
from shared.hyperparameters import Hyperparameters, metric_line
from shared.schema import Task
from shared.transforms import Encoded
from shared.values import text_of
from training import evaluation
from training.console import say, warn
from training.data import Data
from training.evaluation import calibration, curves, leakage, model_quality, permutation, slices
from training.evaluation import threshold as thresholds
from training.evaluation.calibration import Bin
from training.evaluation.curves import Points, Residuals
from training.evaluation.diagnosis import Diagnosis
from training.evaluation.measures import HEADLINES, headline_of
from training.evaluation.permutation import Importance
from training.evaluation.slices import Slice
from training.preparation import Prepared

if TYPE_CHECKING:
    from training.fit import Trainer
    from training.network import Shape

SCORED = ("validation", "test")
Measured = Mapping[str, tuple[float, npt.NDArray[Any]]]
Scores = dict[str, dict[str, float]]


@dataclass(frozen=True, kw_only=True)
class Assessment:
    """How good the network is, where, and by what. All of the test rows, but for the importance.

    Args:
        task: of the target.
        classes: of the target, as text.
        threshold: binary: what the answers were made with.
        threshold_rule: what it was chosen for, if it was.
        scores: by split, by metric.
        baseline: likewise, of an answer that is always the same.
        reliability, roc, precision_recall: binary; the last two are empty where the test rows are
            all of one class.
        confusion: classes: rows by true class and answered class.
        residuals: regression.
        slices: the worst beyond chance first.
        importance: of the inputs, by the loss of the headline on validation rows.
        quality: SageMaker's statistics document.
        constraints: SageMaker's constraints document.
    """

    task: Task
    classes: tuple[str, ...]
    threshold: float | None
    threshold_rule: str | None
    scores: Scores
    baseline: Scores
    reliability: tuple[Bin, ...] = ()
    roc: Points = ()
    precision_recall: Points = ()
    confusion: tuple[tuple[int, ...], ...] = ()
    residuals: Residuals | None = None
    slices: Sequence[Slice] = ()
    importance: Sequence[Importance] = ()
    quality: Mapping[str, Any]
    constraints: Mapping[str, Any]


def cautions(found: Data) -> list[str]:
    """What to hold against the data, or against scores on it; each is printed, too."""
    few = evaluation.few_rows({split: len(found.parts[split]) for split in SCORED})
    schema = found.schema
    columns = leakage.check(
        schema.features,
        schema.target,
        found.train,
        found.validation,
        sampled=found.stream is not None,
    )
    said = [*([few] if few else []), *(_sentence(one.text) for one in columns)]
    for text in said:
        warn(text)
    return said


def with_threshold(prepared: Prepared, measured: Measured) -> Prepared:
    """The job with the threshold that its rule takes for best on the validation rows.

    From here on it is the target's, as if the project had given it: scores, golden rows and the
    bundle's schema have it.
    """
    rule, found = prepared.problem.threshold_rule, prepared.found
    if rule is None:
        return prepared
    chosen = thresholds.choose(rule, found.validation.target, measured["validation"][1][:, 0])
    say("diagnosis", f"The threshold is {chosen:.4g}, the best {rule} on the validation rows.")
    target = dataclasses.replace(found.schema.target, threshold=chosen)
    schema = dataclasses.replace(found.schema, target=target)
    return dataclasses.replace(prepared, found=dataclasses.replace(found, schema=schema))


def diagnose(
    prepared: Prepared,
    trainer: Trainer,
    chosen: Hyperparameters,
    measured: Measured,
    constant: Scores,
) -> Diagnosis:
    """Whether it over-fits or under-fits; it is printed, too.

    Args:
        prepared: the job.
        trainer: the network, trained.
        chosen: its hyperparameters.
        measured: loss and outputs of each split.
        constant: the scores of always giving the same answer, by split.
    """
    rows, task = prepared.rows["validation"], prepared.found.schema.target.task
    if task == "regression":
        nothing = float(np.mean(np.square(rows.target, dtype=np.float64)))  # scaled: its mean is 0
    else:
        nothing = constant["validation"]["log_loss"]
    found = evaluation.diagnose(
        trainer.history,
        chosen,
        prepared.shape.n_inputs,
        evaluation.standard_error(task, rows.target, measured["validation"][1]),
        # With balanced classes scores are no shares, and their loss does not compare.
        nothing if chosen.class_weights == "none" else math.inf,
    )
    say("diagnosis", found.text)
    return found


def assess(prepared: Prepared, trainer: Trainer, measured: Measured) -> Assessment:
    """Judge the network that was measured; the last metric line is that of the weights kept.

    Args:
        prepared: the job, its threshold chosen.
        trainer: the network.
        measured: loss and outputs of each split.
    """
    found, target = prepared.found, prepared.found.schema.target
    test = predictions.decode(measured["test"][1], target, prepared.target_transform)
    truth = found.parts["test"].target
    binary = target.task == "binary"
    both = binary and 0 < np.count_nonzero(truth) < len(truth)
    schema = found.schema
    return Assessment(
        task=target.task,
        classes=tuple(map(text_of, target.classes)),
        threshold=target.threshold if binary else None,
        threshold_rule=prepared.problem.threshold_rule,
        scores=_scores(prepared, trainer, measured),
        baseline=baseline(found),
        reliability=calibration.reliability(truth, test.scores[:, 0]) if binary else (),
        roc=curves.roc(truth, test.scores[:, 0]) if both else (),
        precision_recall=curves.precision_recall(truth, test.scores[:, 0]) if both else (),
        confusion=(
            curves.confusion(truth, test.choice, len(target.classes)) if target.classes else ()
        ),
        residuals=None if target.classes else curves.residuals(truth, test.values),
        slices=slices.find(schema.all_columns, found.parts["test"].columns, truth, test),
        importance=_importance(prepared, trainer),
        quality=model_quality.statistics(test, truth),
        constraints=model_quality.constraints(test, truth),
    )


def baseline(found: Data) -> Scores:
    """Scores, by split and metric, of always giving the answer that suits the training rows."""
    target, learnt = found.schema.target, found.train.target
    return {
        split: evaluation.baseline(target, learnt, found.parts[split].target) for split in SCORED
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
        "ensemble": plan.members,
        "taper": plan.widths[-1] < plan.widths[0],
        "dropout": plan.dropout,
        "batch_size": plan.batch_size,
        "warmup": plan.warmup,
    }
    if shape.numeric and chosen.numeric_embedding == "piecewise_linear":
        became["numeric_bins"] = hyperparameters.bin_count(shape.numeric)
    return {name: value for name, value in became.items() if getattr(chosen, name) == "auto"}


def _scores(prepared: Prepared, trainer: Trainer, measured: Measured) -> Scores:
    scores: Scores = {}
    line: dict[str, float] = {}
    for split, short in zip(SCORED, ("val", "test"), strict=True):
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


def _importance(prepared: Prepared, trainer: Trainer) -> list[Importance]:
    found, target = prepared.found, prepared.found.schema.target
    where = permutation.places(found.schema, prepared.transforms)
    some = permutation.sample(len(found.validation), len(where))
    rows, truth = prepared.rows["validation"].take(some), found.validation.target[some]
    if target.task == "binary" and len(np.unique(truth)) < 2:
        return []

    def score(changed: Encoded) -> float:
        _, outputs = trainer.measure(
            dataclasses.replace(rows, numeric=changed.numeric, codes=changed.codes)
        )
        answer = predictions.decode(outputs, target, prepared.target_transform)
        return headline_of(answer, truth) or 0.0

    return permutation.importance(
        where,
        Encoded(rows.numeric, rows.codes),
        score,
        higher_is_better=HEADLINES[target.task].higher_is_better,
    )


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:] + "."
