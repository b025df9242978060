"""The trials of a search: what one does with a network and the rows.

Not here: which hyperparameters are tried, in which order, and what is kept of them (tuning.py).
"""

from __future__ import annotations

from collections.abc import Sequence

from shared.hyperparameters import Hyperparameters
from shared.problem import Tuning
from training import tuning, workers
from training.checkpoints import Checkpoints
from training.console import say, warn
from training.preparation import Prepared, cross_validation
from training.rows import WINDOW

OWN_MEMORY = 512 * 2**20
"""Bytes that a worker takes for itself: TensorFlow's graphs, and a network with its optimizer."""


def tune(prepared: Prepared) -> list[tuning.Trial]:
    """Search, if the project asks for it; finished trials of an interrupted job are kept."""
    wanted, start = prepared.problem.tuning, prepared.start
    if prepared.job.tuned_by_service or not tuning.wanted(wanted):
        return []
    parts = cross_validation(prepared) if wanted.folds > 1 else [prepared]
    side = _side(wanted, parts)
    folds = f", {wanted.folds} folds each" if wanted.folds > 1 else ""
    beside = f", {side.processes} at a time" if side.processes > 1 else ""
    say("stage", f"tune {wanted.count} trials, {wanted.strategy}{folds}{beside}")

    def objective(chosen: Hyperparameters, go_on: tuning.GoOn) -> tuning.Losses:
        trainers = [part.trainer(chosen) for part in parts]
        losses: list[list[float]] = []
        while True:
            losses.append([trainer.run_epoch()["val_loss"] for trainer in trainers])
            if tuning.complete(losses, chosen.epochs, chosen.patience) or not go_on(losses):
                return losses

    def show(trial: tuning.Trial, best: tuning.Trial) -> None:
        tried = ", ".join(f"{name}={_short(value)}" for name, value in trial.values.items())
        state = "" if trial.state == "finished" else f" {trial.state}"
        scores = f"val_loss={trial.loss:.4f} best={best.loss:.4f}"
        say("trial", f"{trial.number + 1}/{wanted.count} {scores} {{{tried}}}{state}")

    kept = Checkpoints(prepared.job.checkpoints, f"{prepared.identity}-trials", warn)
    return tuning.search(wanted, start, objective, kept, report=show, side=side)


def _side(wanted: Tuning, parts: Sequence[Prepared]) -> tuning.Side:
    """How many trials run at a time: as many as there are cores, unless the project says.

    Memory may allow fewer, and another amount after a restart; the study does not depend on it.
    """
    # The rows are shared; what an epoch copies of a window, and TensorFlow of that, is not.
    arrays = [
        array
        for part in parts
        for split in ("training", "validation")
        for array in part.rows[split].cut(0, WINDOW).arrays
    ]
    room = workers.most(OWN_MEMORY + 2 * sum(array.nbytes for array in arrays))
    trials = tuning.at_a_time(wanted, workers.cores())
    processes = min(trials, room, wanted.count) if forkable() else 1

    def begin() -> None:
        import tensorflow as tf

        threads = max(1, workers.cores() // processes)
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)

    return tuning.Side(trials, processes, begin)


def forkable() -> bool:
    """Whether TensorFlow has run no operation in this process: its threads survive no fork."""
    import tensorflow as tf

    threading = tf.config.threading
    before = threading.get_intra_op_parallelism_threads()
    try:
        for threads in (before + 1, before):  # a change is refused once it has begun
            threading.set_intra_op_parallelism_threads(threads)
    except RuntimeError:
        return False
    return True


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
