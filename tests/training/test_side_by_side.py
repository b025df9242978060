"""A search whose trials run side by side ends in one study, whatever ends first or is killed."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shared import documents
from shared.errors import TrainingError
from shared.hyperparameters import Choice, Hyperparameters, Range
from shared.problem import Tuning
from training import proposals, tuning
from training.checkpoints import Checkpoints
from training.tuning import GoOn, Losses, Side, Trial

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="workers are forked on Linux only")
PATIENCE = 60
"""Seconds after which a child is given up; none takes a fifth of it."""

SPACE = {"learning_rate": Range(1e-4, 1e-1, scale="log"), "layers": Range(1, 5, integer=True)}
GRID = {"dropout": Choice((0.0, 0.2, 0.3)), "layers": Choice((1, 2, 3))}
START = Hyperparameters(learning_rate=0.003, layers=2, epochs=9)
SEARCHES: dict[str, dict[str, Any]] = {
    "random": {"trials": 14, "space": SPACE},
    "bayesian": {"trials": 14, "space": SPACE},
    "hyperband": {"trials": 14, "space": SPACE},
    "grid": {"space": GRID},
}


def objective(chosen: Hyperparameters, go_on: GoOn) -> Losses:
    """Cheap and known; how long an epoch takes is chance."""
    far = abs(np.log10(chosen.learning_rate) + 2) + abs(int(chosen.layers) - 3)
    losses: list[list[float]] = []
    while True:
        time.sleep(random.random() * 0.004)
        losses.append([float(far) + 1 / (len(losses) + 1)])
        if len(losses) == chosen.epochs or not go_on(losses):
            return losses


def search(
    folder: Path, strategy: str, side: Side, work: tuning.Objective = objective
) -> tuple[list[Trial], list[int]]:
    """All trials, and their numbers in the order in which they were reported."""
    reported: list[int] = []
    trials = tuning.search(
        Tuning(strategy=strategy, **SEARCHES[strategy]),  # type: ignore[arg-type]
        START,
        work,
        Checkpoints(str(folder), "job", print),
        report=lambda trial, _: reported.append(trial.number),
        side=side,
    )
    return trials, reported


@pytest.mark.parametrize("strategy", SEARCHES)
def test_the_study_does_not_depend_on_which_trial_ends_first(tmp_path: Path, strategy: str) -> None:
    studies = []
    for number, processes in enumerate((1, 2, 3, 3)):
        trials, reported = search(tmp_path / str(number), strategy, Side(3, processes))
        assert sorted(reported) == [trial.number for trial in trials] == list(range(len(trials)))
        studies.append(trials)
    assert studies[0] == studies[1] == studies[2] == studies[3]
    assert {trial.state for trial in studies[0]} >= {"finished"}


def test_trials_at_a_time_learn_from_fewer_results_than_one_after_another(tmp_path: Path) -> None:
    alone, _ = search(tmp_path / "alone", "bayesian", Side())
    beside, _ = search(tmp_path / "beside", "bayesian", Side(3, 3))
    assert alone[:3] == beside[:3]  # these are drawn before anything is learnt
    assert alone != beside


def test_what_runs_is_kept_apart_from_what_is_proposed() -> None:
    wanted = Tuning(strategy="bayesian", **SEARCHES["bayesian"])
    values = [{"learning_rate": 10 ** (-1 - n / 2), "layers": 1 + n % 5} for n in range(6)]
    earlier = [Trial(n, v, "finished", ((0.1 * n,),)) for n, v in enumerate(values)]

    def proposed(pending: Sequence[tuning.Values]) -> tuning.Values:
        return proposals.propose(8, wanted, START, earlier, pending)

    lonely = proposed([])
    crowded = proposed([lonely] * 3)
    assert lonely == proposed([])
    assert crowded != lonely


def test_the_proposals_of_one_round_differ(tmp_path: Path) -> None:
    trials, _ = search(tmp_path, "bayesian", Side(4, 2))
    assert len({tuple(trial.values.items()) for trial in trials}) == len(trials)


def dies(chosen: Hyperparameters, go_on: GoOn) -> Losses:
    """As `objective`, but that two of the grid's nine end their process."""
    if chosen.layers == 2 and chosen.dropout != 0.2:
        os.kill(os.getpid(), signal.SIGKILL)
    return objective(chosen, go_on)


def test_a_trial_that_ends_its_process_is_counted_and_the_search_goes_on(tmp_path: Path) -> None:
    trials, _ = search(tmp_path, "grid", Side(2, 2), dies)
    failed = [trial for trial in trials if trial.state == "failed"]
    assert [trial.number for trial in failed] == [1, 7]
    assert failed[0].error == "its process was killed by SIGKILL: memory may have run out"
    assert len(trials) == 9
    assert tuning.best(trials).state == "finished"
    again, _ = search(tmp_path, "grid", Side(2, 2), lambda *_: pytest.fail("a trial ran again"))
    assert again == trials


def test_when_every_trial_ends_its_process_the_job_fails(tmp_path: Path) -> None:
    def always(*_: object) -> Losses:
        os._exit(7)

    with pytest.raises(TrainingError, match=r"all 9 trials failed; .* its process ended with code"):
        search(tmp_path, "grid", Side(2, 2), always)


@pytest.mark.parametrize("processes", [1, 2])
def test_a_trial_that_raises_something_unforeseen_fails_alone(
    tmp_path: Path, processes: int, capfd: pytest.CaptureFixture[str]
) -> None:
    def sometimes(chosen: Hyperparameters, go_on: GoOn) -> Losses:
        if chosen.layers == 1:
            raise MemoryError("OOM when allocating\na tensor")
        return objective(chosen, go_on)

    trials, _ = search(tmp_path, "grid", Side(2, processes), sometimes)
    errors = [trial.error for trial in trials if trial.state == "failed"]
    assert errors == ["MemoryError: OOM when allocating"] * 3
    assert "Traceback" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("settings", "cores", "expected"),
    [
        ({"trials": 12}, 8, 3),
        ({"trials": 30}, 8, 8),
        ({"trials": 30}, 2, 2),
        ({"trials": 3}, 8, 2),
        ({"trials": 1}, 8, 1),
        ({"trials": 12, "parallel": 5}, 2, 5),
        ({"trials": 12, "parallel": 1}, 8, 1),
        ({"strategy": "grid", "space": GRID}, 64, 9),
        ({"strategy": "grid", "space": GRID}, 4, 4),
    ],
)
def test_as_many_trials_at_a_time_as_there_are_cores_and_as_learn_from_each_other(
    settings: dict[str, Any], cores: int, expected: int
) -> None:
    assert tuning.at_a_time(Tuning(**{"space": SPACE, **settings}), cores) == expected


def started(folder: Path, strategy: str) -> multiprocessing.Process:
    """A process of its own with the search; it writes a line for each trial that begins."""

    def run() -> None:
        log = os.open(folder / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

        def work(chosen: Hyperparameters, go_on: GoOn) -> Losses:
            os.write(log, f"{os.getpid()} {chosen.learning_rate!r}\n".encode())
            return objective(chosen, go_on)

        search(folder, strategy, Side(3, 3), work)

    folder.mkdir(exist_ok=True)
    (folder / "log").write_text("")
    process = multiprocessing.get_context("fork").Process(target=run)
    process.start()
    return process  # type: ignore[return-value]


def begun(folder: Path) -> list[tuple[int, float]]:
    """Process and learning rate of each trial that has begun."""
    lines = (folder / "log").read_text().splitlines()
    return [(int(process), float(rate)) for process, rate in (line.split() for line in lines)]


def until(process: multiprocessing.Process, condition: Callable[[], bool]) -> None:
    """Wait for the condition, or the end of the process."""
    deadline = time.monotonic() + PATIENCE
    while process.is_alive() and not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def kept(folder: Path) -> dict[int, Trial]:
    """The trials that have ended, by number."""
    place = Checkpoints(str(folder), "job", print)
    found = {n: place.read_document(f"trial-{n:04d}") for n in range(14)}
    return {n: documents.decode(Trial, body, "trial") for n, body in found.items() if body}


@pytest.mark.parametrize("strategy", ["random", "bayesian", "hyperband"])
def test_a_search_killed_again_and_again_loses_and_repeats_no_trial(
    tmp_path: Path, strategy: str
) -> None:
    expected, _ = search(tmp_path / "whole", strategy, Side(3, 3))
    folder, chance, kills = tmp_path / "broken", random.Random(strategy), 0
    while True:
        before = {trial.values["learning_rate"] for trial in kept(folder).values()}
        process, moment = started(folder, strategy), chance.randint(1, 4)
        if kills < 6:
            until(process, lambda: len(begun(folder)) >= moment)  # noqa: B023
            time.sleep(chance.random() * 0.02)
            process.kill()
            kills += 1
        process.join(PATIENCE)
        assert not before & {rate for _, rate in begun(folder)}
        if process.exitcode == 0:
            break
        assert process.exitcode == -signal.SIGKILL
    assert search(folder, strategy, Side(3, 3), lambda *_: pytest.fail("not kept"))[0] == expected


def test_a_search_whose_workers_are_killed_has_every_trial_once(tmp_path: Path) -> None:
    process = started(tmp_path, "random")
    for number in range(3):
        until(process, lambda: len(begun(tmp_path)) > 3 * number + 2)  # noqa: B023
        os.kill(begun(tmp_path)[-1][0], signal.SIGKILL)
    process.join(PATIENCE)
    assert process.exitcode == 0
    trials = kept(tmp_path)
    assert sorted(trials) == list(range(14))
    states = [trial.state for trial in trials.values()]
    assert states.count("failed") <= 3
    assert "finished" in states
