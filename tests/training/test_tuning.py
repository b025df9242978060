"""The search finds, goes on where it was stopped, and survives trials that fail."""

import statistics
from collections.abc import Sequence
from pathlib import Path

import pytest

from shared.errors import ProjectError, TrainingError
from shared.hyperparameters import Choice, Hyperparameters, Range
from shared.problem import Tuning
from training import tuning
from training.checkpoints import Checkpoints
from training.tuning import GoOn, Trial

SPACE = {
    "learning_rate": Range(1e-4, 1e-1, scale="log"),
    "layers": Range(1, 5, integer=True),
    "activation": Choice(("relu", "tanh", "gelu")),
}
START = Hyperparameters(learning_rate=0.003, activation="tanh")


class Stopped(BaseException):
    """What ends the process in the middle of a search."""


class Bench:
    """A search over an objective that is cheap and known."""

    def __init__(self, folder: Path) -> None:
        self.kept = Checkpoints(str(folder), "job", print)
        self.ran: list[Hyperparameters] = []
        self.reported: list[tuple[Trial, Trial]] = []
        self.stop_at = -1

    def objective(self, chosen: Hyperparameters, go_on: GoOn) -> Sequence[float]:
        if len(self.ran) == self.stop_at:
            raise Stopped
        self.ran.append(chosen)
        far = abs(chosen.learning_rate - 0.01) + abs(float(chosen.layers) - 3)  # type: ignore[arg-type]
        losses: list[float] = []
        for epoch in range(4):
            losses.append(far + 1 / (epoch + 1))
            if not go_on(losses):
                break
        return losses

    def search(self, **settings: object) -> list[Trial]:
        wanted = Tuning(**{"trials": 6, "space": SPACE, **settings})  # type: ignore[arg-type]
        return tuning.search(
            wanted, START, self.objective, self.kept, lambda *told: self.reported.append(told)
        )


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.mark.parametrize("strategy", ["random", "bayesian"])
def test_every_trial_is_of_the_space_and_reported(bench: Bench, strategy: str) -> None:
    trials = bench.search(strategy=strategy)
    assert [trial.number for trial in trials] == list(range(6))
    for trial in trials:
        assert 1e-4 <= trial.values["learning_rate"] <= 1e-1  # type: ignore[operator]
        assert trial.values["layers"] in range(1, 6)
        assert trial.values["activation"] in ("relu", "tanh", "gelu")
    assert [told[0] for told in bench.reported] == trials
    assert bench.reported[-1][1] == tuning.best(trials)


def test_the_first_trial_takes_the_projects_own_values(bench: Bench) -> None:
    first = bench.search()[0].values
    assert first["learning_rate"] == 0.003
    assert first["activation"] == "tanh"


def test_a_choice_written_as_a_whole_number_is_the_projects_own_value_too(bench: Bench) -> None:
    space = {"l2": Choice((1, 0)), "batch_norm": Choice((True, False)), "layers": Choice((3,))}
    own = {"l2": 0, "batch_norm": False, "layers": 3}
    for seed in range(4):
        bench.kept = Checkpoints(bench.kept.location, f"job-{seed}", print)
        assert bench.search(trials=1, seed=seed, space=space)[0].values == own


@pytest.mark.parametrize("strategy", ["random", "bayesian"])
def test_a_stopped_search_goes_on_and_ends_the_same(tmp_path: Path, strategy: str) -> None:
    whole = Bench(tmp_path / "whole").search(strategy=strategy, trials=8)
    stopped = Bench(tmp_path / "stopped")
    stopped.stop_at = 5
    with pytest.raises(Stopped):
        stopped.search(strategy=strategy, trials=8)
    again = Bench(tmp_path / "stopped")
    assert again.search(strategy=strategy, trials=8) == whole
    assert len(again.ran) == 3


def test_a_damaged_trial_is_run_again_and_gives_the_same(bench: Bench) -> None:
    whole = bench.search()
    path = Path(bench.kept.location) / "trial-0002.json"
    path.write_text(path.read_text()[:-20])
    bench.ran.clear()
    assert bench.search() == whole
    assert len(bench.ran) == 1


def test_another_seed_searches_elsewhere(tmp_path: Path) -> None:
    first = Bench(tmp_path / "a").search(strategy="random", seed=1)
    second = Bench(tmp_path / "b").search(strategy="random", seed=2)
    assert [trial.values for trial in first[1:]] != [trial.values for trial in second[1:]]


def test_the_bayesian_search_learns_from_its_trials(bench: Bench) -> None:
    trials = bench.search(trials=24, strategy="bayesian")
    early, late = trials[:8], trials[-8:]
    assert statistics.median(t.loss for t in late) < statistics.median(t.loss for t in early)


def test_a_trial_that_falls_behind_is_pruned_and_never_best(bench: Bench) -> None:
    trials = bench.search(trials=12, strategy="random")
    pruned = [trial for trial in trials if trial.state == "pruned"]
    assert pruned
    assert all(len(trial.losses) < 4 for trial in pruned)
    assert tuning.best(trials).state == "finished"


def test_a_failed_trial_is_counted_and_the_search_goes_on(bench: Bench) -> None:
    objective = bench.objective

    def sometimes(chosen: Hyperparameters, go_on: GoOn) -> Sequence[float]:
        losses = objective(chosen, go_on)
        if len(bench.ran) in (2, 3):
            raise TrainingError("the loss is not finite after epoch 1")
        return losses

    bench.objective = sometimes  # type: ignore[method-assign]
    trials = bench.search()
    assert [trial.state for trial in trials].count("failed") == 2
    assert trials[1].error == "the loss is not finite after epoch 1"
    assert tuning.best(trials).state == "finished"


def test_when_every_trial_fails_the_job_fails(bench: Bench) -> None:
    def never(chosen: Hyperparameters, go_on: GoOn) -> Sequence[float]:
        raise TrainingError("the loss is not finite after epoch 1")

    bench.objective = never  # type: ignore[method-assign]
    with pytest.raises(TrainingError, match="all 6 trials failed; the last one: the loss"):
        bench.search()


def test_a_strategy_of_another_version_is_refused(bench: Bench) -> None:
    with pytest.raises(ProjectError, match="'grid' with folds = 1 cannot be run"):
        bench.search(strategy="grid")


def test_nothing_is_searched_without_trials_or_space_or_by_the_service() -> None:
    assert tuning.wanted(Tuning(trials=2, space=SPACE))
    assert not tuning.wanted(Tuning(trials=0, space=SPACE))
    assert not tuning.wanted(Tuning(trials=2))
    assert not tuning.wanted(Tuning(trials=2, space=SPACE, where="service"))
