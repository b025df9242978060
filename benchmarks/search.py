"""How soon our search is as good as an exhaustive grid: `make bench-search`.

grid.toml says what is searched, on examples/adult. The score is the validation loss, which is what
both minimise. The grid tries its 27 combinations, each to its early stopping, as GridSearchCV does;
ours is the bayesian search over the same values. The figure is the time from the start of our
search until a finished trial's recorded score is within 0.001 of the grid's best, against the whole
grid's time: the median of three seeds (of networks and proposals), each with a grid of its own.

Both run as many trials at a time as the machine's cores allow, which is GridSearchCV's n_jobs=-1;
the first seed's grid is also run one at a time (n_jobs=1), and the faster of the two counts for it.
Every search runs in a process of its own that has TensorFlow and the rows in memory: what is timed
is searching.
"""

from __future__ import annotations

import contextlib
import dataclasses
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.figures import Figure, report
from infra import project
from shared import documents
from shared.hyperparameters import Choice, Hyperparameters
from shared.problem import Tuning
from training import data, environment, trials
from training.checkpoints import Checkpoints
from training.preparation import Prepared, prepare
from training.tuning import Trial

HERE = Path(__file__).parent
ADULT = HERE.parent / "examples/adult"
SEEDS = (0, 1, 2)
NEAR = 0.001
POLL = 0.5
"""Seconds between looks whether a search may end; when a trial ended, its file says."""
Found = list[tuple[float, Trial]]
"""Seconds from the start, and the trial that ended then."""


def figures() -> Iterator[Figure]:
    """Measures and prints seed by seed, then yields the median."""
    wanted = tomllib.loads((HERE / "grid.toml").read_text())
    grid = {name: Choice(tuple(values)) for name, values in wanted["grid"].items()}
    prepared = adult(Hyperparameters(**wanted["hyperparameters"]))
    shares = []
    for seed in SEEDS:
        exhaustive = Tuning(strategy="grid", space=grid, seed=seed)
        tried = search(prepared, exhaustive)
        show(f"seed {seed}, the grid", tried)
        whole, best = tried[-1][0], min(trial.loss for _, trial in tried)
        if seed == SEEDS[0]:
            alone = search(prepared, dataclasses.replace(exhaustive, parallel=1))
            show(f"seed {seed}, the grid, one at a time", alone)
            whole = min(whole, alone[-1][0])
        ours = Tuning(strategy="bayesian", trials=exhaustive.count, space=grid, seed=seed)

        def near(trial: Trial, best: float = best) -> bool:
            return trial.loss <= best + NEAR

        found = search(prepared, ours, until=near)
        show(f"seed {seed}, ours", found)
        shares.append(found[-1][0] / whole if near(found[-1][1]) else float("inf"))
        print(f"seed {seed}, ours against the grid: {shares[-1]:.3f}", flush=True)
    name = f"tuning, time to within {NEAR} of the grid's best"
    yield Figure(name, statistics.median(shares), "x", "<=", 1 / 3, 0.1)


def adult(start: Hyperparameters) -> Prepared:
    """examples/adult, read and encoded; TensorFlow is imported and has run nothing."""
    arguments = ["--channel", f"train={ADULT / 'data'}"]
    job = environment.read(arguments, {})
    problem = project.load(ADULT).problem
    return prepare(job, problem, data.read(job, problem), start)


def search(
    prepared: Prepared, tuning: Tuning, until: Callable[[Trial], bool] | None = None
) -> Found:
    """Run a search, to its end or to the first trial that will do."""
    with tempfile.TemporaryDirectory() as folder:
        mine = dataclasses.replace(
            prepared,
            problem=dataclasses.replace(prepared.problem, tuning=tuning),
            start=dataclasses.replace(prepared.start, seed=tuning.seed),
            job=dataclasses.replace(prepared.job, checkpoints=folder),
        )
        process = multiprocessing.get_context("fork").Process(target=quietly, args=(mine,))
        started = time.time()
        process.start()
        while until and process.is_alive():
            process.join(POLL)
            if any(until(trial) for _, trial in ended(Path(folder), started)):
                process.kill()
        process.join()
        found = ended(Path(folder), started)
    if not until and len(found) < tuning.count:
        sys.exit(f"the search ended after {len(found)} of {tuning.count} trials")
    last = next((n for n, (_, trial) in enumerate(found) if until and until(trial)), len(found))
    return found[: last + 1]


def quietly(prepared: Prepared) -> None:
    """The search, its lines not shown."""
    with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere):
        trials.tune(prepared)


def ended(folder: Path, started: float) -> Found:
    """The trials that have been kept, in the order in which they ended."""
    found = []
    for file in folder.glob("*/trial-*.json"):
        kept = Checkpoints(str(folder), file.parent.name, print)
        trial = documents.decode(Trial, kept.read_document(file.stem), file.name)
        found.append((file.stat().st_mtime - started, trial))
    return sorted(found, key=lambda one: one[0])


def show(name: str, found: Found) -> None:
    """One line: how many trials, how long, and the best."""
    best = min((trial for _, trial in found), key=lambda trial: trial.loss)
    values = ", ".join(f"{key}={value:.4g}" for key, value in best.values.items())
    print(
        f"{name}: {len(found)} trials in {found[-1][0]:.1f} s, best val_loss {best.loss:.5f} "
        f"(trial {best.number + 1}: {values})",
        flush=True,
    )


def main() -> int:
    """Measures and prints."""
    return report(figures())


if __name__ == "__main__":
    sys.exit(main())
