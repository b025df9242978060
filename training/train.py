"""The training job, in the order of the chapter that it comes from.

    read → split → fit transforms → (tune) → fit → diagnose → evaluate → export → bundle

SageMaker's launchers start it through the two-line train.py at the root of the code archive; by
hand it is `python -m training.train --help`. What it prints is for people, for SageMaker's metric
definitions and for whoever shows progress: one plain line each, `[stage]`, `[trial]`, `[metric]`,
and `[result]` last. A job that fails writes why to the failure file and exits with 1.

TensorFlow is imported after the data has been read and encoded: a mistake in the data shows in a
second, not after an import of ten.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import signal
import sys
import tempfile
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from shared import bundle, documents, files, golden, hyperparameters
from shared.errors import DataError, KitError
from shared.hyperparameters import Hyperparameters, metric_line
from shared.problem import Problem
from shared.transforms import Encoded, TargetTransform, Transforms
from training import checkpoints, data, environment, evaluation, report, tuning
from training.checkpoints import Checkpoints
from training.data import Data
from training.environment import Environment

if TYPE_CHECKING:
    from training.fit import Rows, Trainer
    from training.network import Shape

FAILURE_LIMIT = 1024
PARITY_ROWS = 2000
STOPPED = 143
LIBRARIES = (
    "tensorflow-cpu", "tensorflow", "keras", "numpy", "scikit-learn", "optuna",
    "onnx", "tf2onnx", "onnxruntime",
)  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one training job; a failure is explained in the failure file and ends it with 1."""
    given = sys.argv[1:] if arguments is None else arguments
    signal.signal(signal.SIGTERM, _stop)
    try:
        train(environment.read(given))
    except KitError as error:
        _fail(given, f"{error}")
    except KeyboardInterrupt:
        _fail(
            given,
            "The job was stopped. Run it again with the same checkpoints and it goes on after the "
            "last epoch and the last trial that it finished.",
            STOPPED,
        )
    except OSError as error:
        traceback.print_exc()
        _fail(given, f"{files.disk_error(error, error.filename or 'the disk')}")
    except Exception as error:
        traceback.print_exc()
        _fail(
            given,
            f"This is a bug in the training code, not in your data: {type(error).__name__}: "
            f"{error}. The traceback is in the job's log.",
        )


def train(job: Environment) -> None:
    """Read, split, fit transforms, tune, fit, diagnose, evaluate, export, bundle.

    Raises:
        KitError: whatever is wrong with the data, the settings, the training or the disk.
    """
    say("stage", "read")
    start = hyperparameters.decode(job.hyperparameters)
    problem = _problem(job)
    found = data.read(job, problem)
    say("stage", f"split {_counts(found)}")
    caution = evaluation.few_rows({s: len(found.parts[s]) for s in ("validation", "test")})
    if caution:
        warn(caution)
    say("stage", "transforms")
    prepared = prepare(job, problem, found, start)
    trials = tune(prepared)
    chosen = tuning.with_values(start, tuning.best(trials).values) if trials else start
    say("stage", "fit")
    trainer = fit_final(prepared, chosen)
    say("stage", "evaluate")
    measured = {split: trainer.measure(prepared.rows[split]) for split in ("validation", "test")}
    diagnosis = evaluation.diagnose(
        trainer.history,
        chosen,
        prepared.shape.n_inputs,
        evaluation.standard_error(
            found.schema.target.task, prepared.rows["validation"].target, measured["validation"][1]
        ),
    )
    say("diagnosis", diagnosis.text)
    scores = evaluate(prepared, trainer, measured)
    constant = baseline(found)
    content = report.Content(
        title=problem.name,
        facts=facts(prepared, trainer, chosen),
        scores=scores,
        baseline=constant,
        caution=caution,
        history=trainer.history,
        diagnosis=diagnosis,
        trials=trials,
        importance=tuning.importance(problem.tuning, trials),
        hyperparameters=dataclasses.asdict(chosen),
        resolved=resolved(chosen, prepared.shape),
    )
    report.write(job.output, content)
    kept = {**scores, "baseline": constant["test"]}
    written = export_bundle(prepared, trainer, chosen, kept)
    _result(written, content)


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """All that trials, final fit and export have in common.

    Args:
        job, problem, found: where, what and with which rows.
        start: the project's hyperparameters.
        transforms, target_transform: as fitted.
        encoded, rows: each split as the network reads it, without and with its target.
        shape: what a network for it must fit.
        identity: a digest of all that decides the result: checkpoints of another job are never
            used.
    """

    job: Environment
    problem: Problem
    found: Data
    start: Hyperparameters
    transforms: Transforms
    target_transform: TargetTransform
    encoded: Mapping[str, Encoded]
    rows: Mapping[str, Rows]
    shape: Shape
    identity: str

    def trainer(self, chosen: Hyperparameters) -> Trainer:
        """A new network for these hyperparameters, with nothing learnt yet."""
        from training import fit, network

        target, truth = self.found.schema.target, self.found.validation.target

        def score(outputs: Any) -> dict[str, float]:
            return evaluation.headline(target, self.target_transform, truth, outputs)

        return fit.Trainer(
            network.build(chosen, self.shape),
            chosen,
            self.shape,
            train=self.rows["training"],
            validation=self.rows["validation"],
            score=score,
        )


def prepare(
    job: Environment,
    problem: Problem,
    found: Data,
    start: Hyperparameters,
    target_transform: TargetTransform | None = None,
) -> Prepared:
    """Fit the transforms on the training rows, encode all rows, import TensorFlow.

    The target's own transform is fitted, too, unless it is given.
    """
    transforms = Transforms.fit(found.train.columns, found.schema.features)
    target = found.schema.target
    if target_transform is None:
        target_transform = TargetTransform.fit(found.train.target, target, log="auto")
    encoded = {split: transforms.encode(part.columns) for split, part in found.parts.items()}
    dtype = np.int32 if target.task == "multiclass" else np.float32
    truth = {
        split: target_transform.encode(part.target).astype(dtype)
        for split, part in found.parts.items()
    }

    tensorflow_ready()
    from training.fit import Rows
    from training.network import Shape, quantiles, seen_slots

    rows = {split: Rows(e.numeric, e.codes, truth[split]) for split, e in encoded.items()}
    slots = [cardinality for _, cardinality in transforms.categories]
    shape = Shape(
        numeric=len(transforms.numeric_names),
        seen=seen_slots(encoded["training"].codes, slots),
        outputs=len(target.classes) if target.task == "multiclass" else 1,
        task=target.task,
        quantiles=quantiles(encoded["training"].numeric),
    )
    return Prepared(
        job=job,
        problem=problem,
        found=found,
        start=start,
        transforms=transforms,
        target_transform=target_transform,
        encoded=encoded,
        rows=rows,
        shape=shape,
        identity=checkpoints.identity(problem, start, _digests(rows), _libraries()),
    )


def cross_validation(prepared: Prepared) -> list[Prepared]:
    """The folds of the search, each with transforms fitted on its own training rows.

    The target is scaled as it is for the final fit: the folds' losses have to be in one unit.

    Raises:
        DataError: a fold has too few rows, or a column that it cannot be fitted on.
    """
    found, count = prepared.found, prepared.problem.tuning.folds
    folds = []
    for number, fold in enumerate(data.folds(found, prepared.problem.split, count), start=1):
        try:
            folds.append(
                prepare(
                    prepared.job,
                    prepared.problem,
                    fold,
                    prepared.start,
                    prepared.target_transform,
                )
            )
        except DataError as error:
            raise DataError(
                f"fold {number} of {count}: {error.message}",
                where=error.where,
                cure="Leave the column out, or use fewer folds",
            ) from error
    return folds


def tune(prepared: Prepared) -> list[tuning.Trial]:
    """Search, if the project asks for it; finished trials of an interrupted job are kept."""
    wanted, start = prepared.problem.tuning, prepared.start
    if prepared.job.tuned_by_service or not tuning.wanted(wanted):
        return []
    folds = f", {wanted.folds} folds each" if wanted.folds > 1 else ""
    say("stage", f"tune {wanted.count} trials, {wanted.strategy}{folds}")
    parts = cross_validation(prepared) if wanted.folds > 1 else [prepared]

    def objective(chosen: Hyperparameters, go_on: tuning.GoOn) -> tuning.Losses:
        most = tuning.epochs(wanted, chosen)
        # A trial has a schedule of its own length: its last epochs are as calm as the final fit's.
        own = dataclasses.replace(chosen, epochs=most)
        trainers = [part.trainer(own) for part in parts]
        losses: list[list[float]] = []
        while True:
            losses.append([trainer.run_epoch()["val_loss"] for trainer in trainers])
            if tuning.complete(losses, most, chosen.patience) or not go_on(losses):
                return losses

    def show(trial: tuning.Trial, best: tuning.Trial) -> None:
        tried = ", ".join(f"{name}={_short(value)}" for name, value in trial.values.items())
        state = "" if trial.state == "finished" else f" {trial.state}"
        scores = f"val_loss={trial.loss:.4f} best={best.loss:.4f}"
        say("trial", f"{trial.number + 1}/{wanted.count} {scores} {{{tried}}}{state}")

    kept = Checkpoints(prepared.job.checkpoints, f"{prepared.identity}-trials", warn)
    return tuning.search(wanted, start, objective, kept, show)


def fit_final(prepared: Prepared, chosen: Hyperparameters) -> Trainer:
    """Fit with a checkpoint after each epoch, going on from the newest one that there is."""
    from training import fit

    for rule in hyperparameters.broken_rules(chosen, prepared.shape.n_inputs):
        warn(rule)
    trainer = prepared.trainer(chosen)
    name = checkpoints.identity(prepared.identity, chosen)
    kept = Checkpoints(prepared.job.checkpoints, f"{name}-fit", warn)
    checkpoint = kept.latest()
    if checkpoint is not None:
        trainer.restore(checkpoint)
        say("checkpoint", f"going on after epoch {trainer.epochs} ({kept.location})")

    def after_epoch(trainer: Trainer) -> bool:
        kept.save(trainer.state(), trainer.best_epoch)
        say(None, metric_line(trainer.epochs, trainer.history[-1]))
        return True

    fit.fit(trainer, chosen.epochs, chosen.patience, after_epoch)
    return trainer


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
        "rows": _counts(prepared.found),
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


def export_bundle(
    prepared: Prepared,
    trainer: Trainer,
    chosen: Hyperparameters,
    scores: Mapping[str, Mapping[str, float]],
) -> bundle.Bundle:
    """ONNX, proven equal to Keras; then the bundle, golden rows included."""
    from training import export

    say("stage", "export")
    model = trainer.model
    network = export.to_onnx(model)
    by_keras, by_onnx = export.run_keras(model), export.run_onnx(network)
    validation = prepared.encoded["validation"]
    some = Encoded(validation.numeric[:PARITY_ROWS], validation.codes[:PARITY_ROWS])
    edges = export.edge_rows(prepared.shape)
    export.check_parity(by_keras, by_onnx, some, "the validation rows")
    export.check_parity(by_keras, by_onnx, edges, "the edge rows")

    say("stage", "bundle")
    found, transforms = prepared.found, prepared.transforms
    rows = golden.make(
        found.schema, transforms, prepared.target_transform, found.tables, run=by_onnx
    )
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        (here / bundle.MODEL).write_bytes(network)
        model.save(here / bundle.KERAS_MODEL)
        export.save_weights(model, here / export.WEIGHTS)
        written = bundle.write(
            prepared.job.model,
            project=prepared.problem.name,
            schema=found.schema,
            transforms=transforms,
            target_transform=prepared.target_transform,
            sources=found.tables,
            golden=rows,
            model_files={path.name: path for path in sorted(here.iterdir())},
            hyperparameters=dataclasses.asdict(chosen),
            metrics=scores,
            libraries=_libraries(),
            training_job=prepared.job.job,
        )
    written.verify(by_onnx)
    return written


def tensorflow_ready() -> None:
    """Import TensorFlow: quiet, and every operation giving the same bits each time."""
    environment.prepare_tensorflow()
    import tensorflow as tf

    tf.get_logger().setLevel("ERROR")
    tf.config.experimental.enable_op_determinism()


def say(kind: str | None, text: str) -> None:
    """Print one plain line at once."""
    print(f"[{kind}] {text}" if kind else text, flush=True)


def warn(text: str) -> None:
    """Print a warning; the job goes on."""
    say("warning", text)


def _problem(job: Environment) -> Problem:
    place = job.channel("project")
    file = place / "project.json" if place.is_dir() else place
    if not file.is_file():
        raise KitError("the channel `project` holds no project.json", where=str(place))
    return Problem.from_json(file.read_bytes(), str(file))


def _digests(rows: Mapping[str, Rows]) -> str:
    digest = hashlib.sha256()
    for split in rows.values():
        for array in (split.numeric, split.codes, split.target):
            digest.update(array.tobytes())
    return digest.hexdigest()


def _counts(found: Data) -> str:
    counts = ", ".join(f"{len(part):,} {name}" for name, part in found.parts.items())
    return counts + (f"; {found.dropped:,} without a target dropped" if found.dropped else "")


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _libraries() -> dict[str, str]:
    versions = {}
    for name in LIBRARIES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return versions


def _result(written: bundle.Bundle, content: report.Content) -> None:
    result = {
        "bundle": written.manifest.digest,
        "validation": content.scores["validation"],
        "test": content.scores["test"],
        "baseline": content.baseline["test"],
        "best_epoch": content.diagnosis.best_epoch,
        "diagnosis": content.diagnosis.verdict,
        "trials": len(content.trials),
        "failed_trials": sum(trial.state == "failed" for trial in content.trials),
        "hyperparameters": content.hyperparameters,
    }
    say("result", json.dumps(documents.plain(result), allow_nan=False))


def _stop(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def _fail(arguments: Sequence[str], text: str, code: int = 1) -> NoReturn:
    """Say why, where the service looks for it, and end."""
    print(f"[failure] {text}", file=sys.stderr, flush=True)
    with contextlib.suppress(KitError):
        whole = text.encode()[:FAILURE_LIMIT].decode(errors="ignore")
        files.write(environment.failure_file(arguments), whole.encode())
    raise SystemExit(code)


if __name__ == "__main__":
    main()
