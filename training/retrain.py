"""Retraining with new data: the deployed model goes on learning, and has to win to be replaced.

    read → compare → split → fit → evaluate both → decide → export → bundle

A training job with a channel `model` is a retraining. Its channels: `model` (the deployed
model.tar.gz, the champion), `new` (the new rows), `train` (the project's data, of which some rows
are learnt again, so that what they taught is not forgotten), `project` (project.json, and
retraining.json with the settings).

The champion's schema, transforms, source tables and target transform are kept. A new network of its
hyperparameters takes its weights and learns a few epochs at a lower rate: the challenger. Both are
scored on new rows held out by the project's own rule, which decides, and on the old test rows,
which shows what was forgotten.

Here: the order of it, and which rows are for what. Not here: the champion (champion.py), how the
rows differ (drift.py), who wins (duel.py), who deploys it.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from shared import documents, hyperparameters
from shared.bundle import Bundle
from shared.errors import HyperparameterError, KitError, ProjectError
from shared.hyperparameters import Hyperparameters
from shared.problem import Problem
from shared.retraining import OUTCOME, SETTINGS, Decision, Outcome, Retraining, Shift
from shared.transforms import Encoded
from training import champion, drift, duel, evaluation, outcome, report
from training.champion import Champion
from training.console import say, warn
from training.data import Data, Part
from training.delivery import export_bundle
from training.environment import Environment
from training.identity import announce, identify
from training.material import Material, read
from training.preparation import Prepared, as_learnt, digests, libraries, tensorflow_ready

if TYPE_CHECKING:
    from training.fit import Trainer
    from training.rows import Rows

CHANNEL = "model"

Fit = Callable[[Prepared, Hyperparameters], "Trainer"]


@dataclass(frozen=True, kw_only=True)
class Continued(Prepared):
    """What a fit starts from when it goes on from a champion."""

    champion: Champion

    def trainer(self, chosen: Hyperparameters) -> Trainer:
        """A network with the champion's weights, proved to be its equal."""
        trainer = super().trainer(chosen)
        self.champion.load(trainer.model)
        return trainer


def retrain(job: Environment, problem: Problem, fit: Fit) -> None:
    """Go on from the deployed model on the new rows, and decide which of the two serves.

    Args:
        job: with the channels `model`, `new` and `train`.
        problem: the project's; its split is obeyed.
        fit: fits with checkpoints, as every training does.

    Raises:
        KitError: whatever is wrong with the bundle, the rows, the training or the disk.
    """
    if len(job.hosts) > 1:
        raise ProjectError(
            f"a retraining runs on one instance, not on {len(job.hosts)}",
            where="the training job",
            cure="Start it with InstanceCount = 1",
        )
    if hyperparameters.decode(job.hyperparameters) != Hyperparameters():
        raise HyperparameterError(
            "a retraining takes its hyperparameters from the deployed model",
            where="the training job",
            cure=f"Leave them out; what may be set stands in {SETTINGS}",
        )
    settings = _settings(job)
    deployed = champion.open_champion(job.channel(CHANNEL))
    say("stage", f"go on from bundle {deployed.digest[:12]}")
    material = read(
        job,
        problem,
        deployed.bundle,
        old_share=settings.old_share,
        seed=deployed.hyperparameters.seed,
    )
    say("stage", f"split {material.counts}")
    found = material.data(deployed.bundle)
    warned = outcome.cautions(found)
    shifts = compare(material, deployed.bundle)
    prepared = _prepared(job, problem, found, deployed)
    announce(job.checkpoints, prepared.identity, warn)
    chosen = dataclasses.replace(
        deployed.hyperparameters,
        epochs=settings.epochs,
        learning_rate=deployed.hyperparameters.learning_rate * settings.learning_rate_factor,
    )
    say("stage", f"fit {chosen.epochs} epochs at learning rate {chosen.learning_rate:.3g}")
    trainer = fit(prepared, chosen)
    say("stage", "evaluate champion and challenger")
    duelled, decision = judge(prepared, trainer, material, settings)
    say("decision", f"{decision.words}: {'deploy it' if decision.deploy else 'keep the champion'}")
    before, after = (duelled[who]["old"] for who in ("champion", "challenger"))
    memory = duel.remembered(decision, before, after, len(material.old["test"]))
    say("memory", memory)
    came = Outcome(
        champion=deployed.digest,
        settings=settings,
        rows={name: len(part) for name, part in material.parts.items()}
        | {"rehearsed": len(material.rehearsed), "old test": len(material.old["test"])},
        scores=duelled,
        shifts=shifts,
        decision=decision,
        memory=memory,
    )
    scores = _reported(prepared, trainer, chosen, warned, came)
    # The champion's own hyperparameters, so that the next retraining starts from its learning rate.
    written = export_bundle(
        prepared,
        trainer,
        deployed.hyperparameters,
        scores,
        parent=deployed.digest,
        documents={OUTCOME: came.to_json()},
    )
    result = {
        "bundle": written.manifest.digest,
        "parent": deployed.digest,
        "decision": decision,
        "scores": duelled,
    }
    say("result", json.dumps(documents.plain(result), allow_nan=False))


def compare(material: Material, deployed: Bundle) -> tuple[Shift, ...]:
    """How the new rows differ from the old ones; what moved far is told as a warning."""
    old = material.old["training"].columns
    shifts = drift.shifts(deployed.transforms, old, material.new)
    say("drift", drift.told(shifts))
    for shift in shifts:
        if shift.words:
            warn(shift.words)
    return shifts


def judge(
    prepared: Continued, trainer: Trainer, material: Material, settings: Retraining
) -> tuple[dict[str, dict[str, dict[str, float]]], Decision]:
    """Figures of champion and challenger on new rows held out and old test rows; and who serves."""
    deployed = prepared.champion.bundle
    target, transform = deployed.schema.target, deployed.target_transform
    parts = {"new": material.parts["test"], "old": material.old["test"]}
    encoded = {name: deployed.transforms.encode(part.columns) for name, part in parts.items()}
    answers = {
        "champion": {name: prepared.champion.answer(rows) for name, rows in encoded.items()},
        "challenger": {
            name: trainer.measure(_rows(deployed, parts[name], rows))[1]
            for name, rows in encoded.items()
        },
    }
    scores = {
        who: {
            name: evaluation.metrics(target, transform, parts[name].target, outputs)
            for name, outputs in given.items()
        }
        for who, given in answers.items()
    }
    decision = duel.decide(
        target,
        transform,
        parts["new"].target,
        champion=answers["champion"]["new"],
        challenger=answers["challenger"]["new"],
        settings=settings,
        seed=prepared.champion.hyperparameters.seed,
    )
    return scores, decision


def _reported(
    prepared: Continued,
    trainer: Trainer,
    chosen: Hyperparameters,
    warned: Sequence[str],
    came: Outcome,
) -> dict[str, Mapping[str, float]]:
    """Write the report; the scores for the manifest."""
    measured = {split: trainer.measure(prepared.rows[split]) for split in ("validation", "test")}
    assessment = outcome.assess(prepared, trainer, measured)
    diagnosis = outcome.diagnose(prepared, trainer, chosen, measured, assessment.baseline)
    content = report.Content(
        title=prepared.problem.name,
        facts={
            "decision": came.decision.words,
            "old rows": came.memory,
            "went on from": came.champion,
            **outcome.facts(prepared, trainer, chosen),
        },
        diagnosis=diagnosis,
        assessment=assessment,
        cautions=[*warned, *(shift.words for shift in came.shifts if shift.words)],
        history=trainer.history,
        trials=[],
        importance={},
        hyperparameters=dataclasses.asdict(chosen),
        resolved=outcome.resolved(chosen, prepared.shape),
    )
    report.write(prepared.job.output, content)
    return {**assessment.scores, "baseline": assessment.baseline["test"]}


def _prepared(job: Environment, problem: Problem, found: Data, deployed: Champion) -> Continued:
    """Encode all rows by the champion's transforms; import TensorFlow."""
    bundle = deployed.bundle
    encoded = {name: bundle.transforms.encode(part.columns) for name, part in found.parts.items()}
    tensorflow_ready()
    from training import cluster

    rows = {name: _rows(bundle, part, encoded[name]) for name, part in found.parts.items()}
    return Continued(
        job=job,
        problem=problem,
        found=found,
        start=deployed.hyperparameters,
        transforms=bundle.transforms,
        target_transform=bundle.target_transform,
        encoded=encoded,
        rows=rows,
        shape=deployed.shape(),
        cluster=cluster.connect(job.host, job.hosts),
        identity=identify(champion=deployed.digest, libraries=libraries(), rows=digests(rows)),
        champion=deployed,
    )


def _rows(deployed: Bundle, part: Part, encoded: Encoded) -> Rows:
    """The rows as a network learns them."""
    from training.rows import Rows

    target = as_learnt(part.target, deployed.schema.target, deployed.target_transform)
    return Rows(encoded.numeric, encoded.codes, target)


def _settings(job: Environment) -> Retraining:
    place: Path = job.channel("project")
    file = place / SETTINGS
    if not place.is_dir() or not file.is_file():
        return Retraining()
    try:
        return Retraining.from_json(file.read_bytes(), str(file))
    except OSError as error:
        raise KitError(f"cannot be read: {error.strerror}", where=str(file)) from None
