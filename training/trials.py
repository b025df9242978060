"""The trials of a search: what one does with a network and the rows.

Not here: which hyperparameters are tried, in which order, and what is kept of them (tuning.py).
"""

from __future__ import annotations

import dataclasses

from shared.hyperparameters import Hyperparameters
from training import tuning
from training.checkpoints import Checkpoints
from training.console import say, warn
from training.preparation import Prepared, cross_validation


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


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
