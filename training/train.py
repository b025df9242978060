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
import json
import sys
import traceback
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

from shared import bundle, documents, files, hyperparameters
from shared.errors import KitError, ProjectError
from shared.hyperparameters import Hyperparameters, metric_line
from shared.problem import Problem
from training import data, environment, identity, report, retrain, stopping, tuning
from training.checkpoints import Checkpoint, Checkpoints
from training.console import say, warn
from training.delivery import export_bundle
from training.environment import Environment
from training.outcome import assess, cautions, diagnose, facts, resolved, with_threshold
from training.preparation import Prepared, prepare
from training.trials import tune

if TYPE_CHECKING:
    from training.cluster import Cluster
    from training.fit import Trainer

FAILURE_LIMIT = 1024
STOPPED = (
    "The job was stopped. Run it again with the same checkpoints and it goes on after the last "
    "epoch and the last trial that it finished."
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one training job; a failure is explained in the failure file and ends it with 1."""
    given = sys.argv[1:] if arguments is None else arguments
    try:
        with stopping.heard(lambda _: _explain(given, STOPPED)):
            train(environment.read(given))
    except KitError as error:
        _fail(given, f"{error}")
    except stopping.Stopped as stop:
        _fail(given, STOPPED, stop.code)
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

    A job with a channel `model` goes on from the model there instead.

    Raises:
        KitError: whatever is wrong with the data, the settings, the training or the disk.
    """
    if retrain.CHANNEL in job.channels:
        retrain.retrain(job, _problem(job), fit_final)
        return
    say("stage", "read")
    start = hyperparameters.decode(job.hyperparameters)
    problem = _problem(job)
    _refuse_alone(job, problem, start)
    found = data.read(job, problem)
    say("stage", f"split {found.counts}")
    warned = cautions(found)
    say("stage", "transforms")
    prepared = prepare(job, problem, found, start)
    identity.announce(job.checkpoints, prepared.identity, warn, writes=job.leads)
    trials = tune(prepared)
    chosen = tuning.with_values(start, tuning.best(trials).values) if trials else start
    say("stage", "fit")
    trainer = fit_final(prepared, chosen)
    if not job.leads:
        say("stage", f"done here; {job.hosts[0]} evaluates and exports")
        return
    say("stage", "evaluate")
    measured = {split: trainer.measure(prepared.rows[split]) for split in ("validation", "test")}
    prepared = with_threshold(prepared, measured)
    assessment = assess(prepared, trainer, measured)
    content = report.Content(
        title=problem.name,
        facts=facts(prepared, trainer, chosen),
        assessment=assessment,
        diagnosis=diagnose(prepared, trainer, chosen, measured, assessment.baseline),
        cautions=warned,
        history=trainer.history,
        trials=trials,
        importance=tuning.importance(problem.tuning, trials),
        hyperparameters=dataclasses.asdict(chosen),
        resolved=resolved(chosen, prepared.shape),
    )
    report.write(job.output, content)
    scores = {**assessment.scores, "baseline": assessment.baseline["test"]}
    written = export_bundle(prepared, trainer, chosen, scores)
    _result(written, content)


def fit_final(prepared: Prepared, chosen: Hyperparameters) -> Trainer:
    """Fit with a checkpoint after each epoch, going on from the newest one that there is.

    Raises:
        TrainingError: training diverges.
        CheckpointError: the first checkpoint cannot be written.
        StorageError: what there is cannot be read now.
    """
    from training import fit

    for rule in hyperparameters.broken_rules(chosen, prepared.shape.n_inputs):
        warn(rule)
    trainer = prepared.trainer(chosen)
    name = f"{prepared.identity}-fit-{identity.digest(chosen)}"
    kept = Checkpoints(prepared.job.checkpoints, name, warn, writes=prepared.job.leads)
    checkpoint = _newest_of_all(kept, prepared.cluster)
    if checkpoint is not None:
        trainer.restore(checkpoint)
        say("checkpoint", f"going on after epoch {trainer.epochs} ({kept.location})")

    def after_epoch(trainer: Trainer) -> bool:
        kept.save(trainer.state(), trainer.best_epoch, trainer.history[-1]["val_loss"])
        if prepared.job.leads:
            say(None, metric_line(trainer.epochs, trainer.history[-1]))
        return True

    fit.fit(trainer, chosen.epochs, chosen.patience, after_epoch)
    kept.settle(trainer.best_epoch)
    return trainer


def _newest_of_all(kept: Checkpoints, cluster: Cluster) -> Checkpoint | None:
    """The newest checkpoint that every host of the job has; all go on from the same one."""
    newest = kept.latest()
    epoch = cluster.least(newest.epoch if newest else 0)
    if newest is not None and newest.epoch != epoch:
        newest = kept.at(epoch)
    return newest if cluster.least(int(newest is not None)) else None


def _refuse_alone(job: Environment, problem: Problem, start: Hyperparameters) -> None:
    """What several instances cannot do together.

    Raises:
        ProjectError: a search, whose trials are small and many, or batch normalization, whose
            statistics would be each host's own.
    """
    if len(job.hosts) == 1:
        return
    if tuning.wanted(problem.tuning) and not job.tuned_by_service:
        raise ProjectError(
            f"a search inside the job runs on one instance, not on {len(job.hosts)}",
            where="training.instance_count and tuning.where",
            cure='Set instance_count = 1 or tuning.trials = 0, or search with where = "service"',
        )
    if start.batch_norm:
        raise ProjectError(
            "batch_norm works on one instance only: each host would have statistics of its own",
            where="training.instance_count and hyperparameter 'batch_norm'",
            cure="Set instance_count = 1 or batch_norm = false",
        )


def _problem(job: Environment) -> Problem:
    place = job.channel("project")
    file = place / "project.json" if place.is_dir() else place
    if not file.is_file():
        raise KitError("the channel `project` holds no project.json", where=str(place))
    return Problem.from_json(file.read_bytes(), str(file))


def _result(written: bundle.Bundle, content: report.Content) -> None:
    result = {
        "bundle": written.manifest.digest,
        "validation": content.assessment.scores["validation"],
        "test": content.assessment.scores["test"],
        "baseline": content.assessment.baseline["test"],
        "threshold": content.assessment.threshold,
        "best_epoch": content.diagnosis.best_epoch,
        "diagnosis": content.diagnosis.verdict,
        "trials": len(content.trials),
        "failed_trials": sum(trial.state == "failed" for trial in content.trials),
        "hyperparameters": content.hyperparameters,
    }
    say("result", json.dumps(documents.plain(result), allow_nan=False))


def _fail(arguments: Sequence[str], text: str, code: int = 1) -> NoReturn:
    """Say why, where the service looks for it, and end."""
    _explain(arguments, text)
    raise SystemExit(code)


def _explain(arguments: Sequence[str], text: str) -> None:
    print(f"[failure] {text}", file=sys.stderr, flush=True)
    with contextlib.suppress(KitError):
        whole = text.encode()[:FAILURE_LIMIT].decode(errors="ignore")
        files.write(environment.failure_file(arguments), whole.encode())


if __name__ == "__main__":
    main()
