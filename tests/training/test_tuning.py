"""The search finds, goes on where it was stopped, and survives trials that fail."""

import itertools
import statistics
from collections import Counter
from pathlib import Path

import pytest

from shared.errors import TrainingError
from shared.hyperparameters import Choice, Hyperparameters, Range
from shared.problem import Tuning
from training import tuning
from training.checkpoints import Checkpoints
from training.tuning import GoOn, Losses, Side, Trial

SPACE = {
    "learning_rate": Range(1e-4, 1e-1, scale="log"),
    "layers": Range(1, 5, integer=True),
    "activation": Choice(("relu", "tanh", "gelu")),
}
LISTS = {"dropout": Choice((0.0, 0.2)), "layers": Choice((1, 2, 3))}
CANDIDATES = ({"learning_rate": 0.01}, {"learning_rate": 0.1, "layers": 3}, {})
STRATEGIES = {
    "random": {"trials": 8},
    "bayesian": {"trials": 8},
    "hyperband": {"trials": 12},
    "grid": {"space": LISTS},
    "manual": {"space": {}, "candidates": CANDIDATES},
}
DRAWN = ("random", "bayesian", "hyperband")
START = Hyperparameters(learning_rate=0.003, activation="tanh", epochs=20)


class Stopped(BaseException):
    """What ends the process in the middle of a search."""


class Bench:
    """A search over an objective that is cheap and known."""

    def __init__(self, folder: Path) -> None:
        self.kept = Checkpoints(str(folder), "job", print)
        self.ran: list[Hyperparameters] = []
        self.reported: list[tuple[Trial, Trial]] = []
        self.stop_at = -1
        self.epochs = 4
        self.folds = 1
        self.side = Side()

    def objective(self, chosen: Hyperparameters, go_on: GoOn) -> Losses:
        if len(self.ran) == self.stop_at:
            raise Stopped
        self.ran.append(chosen)
        layers = 2 if chosen.layers == "auto" else chosen.layers
        far = abs(chosen.learning_rate - 0.01) + abs(layers - 3)
        losses: list[list[float]] = []
        for epoch in range(self.epochs):
            losses.append([far + 1 / (epoch + 1) + 0.1 * fold for fold in range(self.folds)])
            if len(losses) < self.epochs and not go_on(losses):
                break
        return losses

    def search(self, **settings: object) -> list[Trial]:
        wanted = Tuning(**{"trials": 6, "space": SPACE, **settings})  # type: ignore[arg-type]
        return tuning.search(
            wanted,
            START,
            self.objective,
            self.kept,
            report=lambda *told: self.reported.append(told),
            side=self.side,
        )


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.mark.parametrize("strategy", DRAWN)
def test_every_trial_drawn_is_of_the_space_and_reported(bench: Bench, strategy: str) -> None:
    trials = bench.search(strategy=strategy)
    assert [trial.number for trial in trials] == list(range(6))
    for trial in trials:
        assert 1e-4 <= trial.values["learning_rate"] <= 1e-1  # type: ignore[operator]
        assert trial.values["layers"] in range(1, 6)
        assert trial.values["activation"] in ("relu", "tanh", "gelu")
    assert [told[0] for told in bench.reported] == trials
    assert bench.reported[-1][1] == tuning.best(trials)


@pytest.mark.parametrize("strategy", DRAWN)
@pytest.mark.parametrize("side", [Side(), Side(trials=3)])
def test_a_space_of_lists_is_tried_whole_and_nothing_twice(
    bench: Bench, strategy: str, side: Side
) -> None:
    bench.side = side
    found = bench.search(strategy=strategy, space=LISTS, trials=50)
    points = {(trial.values["dropout"], trial.values["layers"]) for trial in found}
    assert len(found) == len(points) == 6


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


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("folds", [1, 3])
def test_a_stopped_search_goes_on_and_ends_the_same(
    tmp_path: Path, strategy: str, folds: int
) -> None:
    settings = {"strategy": strategy, "folds": folds, **STRATEGIES[strategy]}
    whole, stopped, again = (Bench(tmp_path / name) for name in ("whole", "stopped", "stopped"))
    for bench in (whole, stopped, again):
        bench.folds = folds
    expected = whole.search(**settings)
    stopped.stop_at = len(expected) // 2
    with pytest.raises(Stopped):
        stopped.search(**settings)
    assert again.search(**settings) == expected
    assert len(again.ran) == len(expected) - len(expected) // 2


def test_a_grid_tries_every_combination_the_last_list_varying_fastest(bench: Bench) -> None:
    trials = bench.search(strategy="grid", space=LISTS)
    found = [(trial.values["dropout"], trial.values["layers"]) for trial in trials]
    assert found == list(itertools.product((0.0, 0.2), (1, 2, 3)))
    assert tuning.best(trials).number == 2


def test_candidates_are_tried_in_their_order_with_the_projects_own_values_for_the_rest(
    bench: Bench,
) -> None:
    trials = bench.search(strategy="manual", space={}, candidates=CANDIDATES)
    assert [dict(trial.values) for trial in trials] == [
        {"learning_rate": 0.01, "layers": "auto"},
        {"learning_rate": 0.1, "layers": 3},
        {"learning_rate": 0.003, "layers": "auto"},
    ]
    assert [ran.activation for ran in bench.ran] == ["tanh"] * 3


@pytest.mark.parametrize("strategy", ["grid", "manual"])
def test_what_is_listed_is_tried_to_the_end(bench: Bench, strategy: str) -> None:
    trials = bench.search(strategy=strategy, **STRATEGIES[strategy])
    assert {(trial.state, len(trial.losses)) for trial in trials} == {("finished", 4)}


# 27 epochs: the table of Li et al. 2018, section 3.2, for a reduction of 3.
@pytest.mark.parametrize(
    ("number", "most", "looks"),
    [
        (0, 27, (1, 3, 9)),
        (26, 27, (1, 3, 9)),
        (27, 27, (3, 9)),
        (39, 27, (9,)),
        (45, 27, ()),
        (48, 27, ()),
        (49, 27, (1, 3, 9)),
        (0, 20, (2, 6)),
        (9, 20, (6,)),
        (14, 20, ()),
        (0, 2, ()),
    ],
)
def test_hyperband_hedges_between_many_short_and_few_long_trials(
    number: int, most: int, looks: tuple[int, ...]
) -> None:
    assert tuning.rungs(number, most) == looks


def test_hyperband_gives_most_trials_few_epochs_and_the_best_all(bench: Bench) -> None:
    bench.epochs = START.epochs
    trials = bench.search(strategy="hyperband", trials=17)
    lengths = Counter(len(trial.losses) for trial in trials[:9])
    assert lengths[2] >= 4
    assert lengths.keys() <= {2, 6, 20}
    assert [len(trial.losses) for trial in trials[14:]] == [20, 20, 20]
    assert len(tuning.best(trials).losses) == 20


@pytest.mark.parametrize(
    ("losses", "complete"),
    [
        ([[3.0], [2.0]], False),
        ([[3.0], [2.0], [2.0]], False),
        ([[3.0], [2.0], [2.0], [2.5]], True),
        ([[3.0, 1.0], [2.0, 2.5], [2.0, 2.5]], True),
        ([[5.0], [4.0], [3.0], [2.0], [1.0]], True),
    ],
)
def test_a_trial_ends_with_its_epochs_or_its_patience(
    losses: list[list[float]], complete: bool
) -> None:
    assert tuning.complete(losses, 5, 2) == complete


def test_a_trials_loss_is_the_folds_mean_where_it_is_lowest_and_its_spread_theirs_there() -> None:
    trial = Trial(0, {}, "finished", ((1.0, 2.0), (0.2, 0.6), (0.1, 0.9)))
    assert trial.curve == [1.5, 0.4, 0.5]
    assert trial.loss == 0.4
    assert trial.spread == pytest.approx(0.2)
    assert Trial(0, {}, "finished", ((0.5,), (0.4,))).spread == 0


def test_importance_finds_what_the_losses_depend_on() -> None:
    space = {"dropout": Choice((0.0, 0.2, 0.4)), "layers": Choice((1, 2, 3))}
    wanted = Tuning(strategy="grid", space=space)
    combinations = list(itertools.product((0.0, 0.2, 0.4), (1, 2, 3)))
    trials = [
        Trial(number, {"dropout": dropout, "layers": layers}, "finished", ((float(layers),),))
        for number, (dropout, layers) in enumerate(combinations)
    ]
    found = tuning.importance(wanted, trials)
    assert found["layers"] > 0.9
    assert sum(found.values()) == pytest.approx(1)
    assert tuning.importance(wanted, trials) == found


@pytest.mark.parametrize("case", ["too few", "none", "all the same"])
def test_importance_is_silent_where_trials_do_not_tell(case: str) -> None:
    number = {"too few": 7, "none": 0, "all the same": 9}[case]
    trials = [
        Trial(n, {"layers": 1 + n % 3}, "finished", ((1.0 if case == "all the same" else n,),))
        for n in range(number)
    ]
    wanted = Tuning(strategy="random", space={"layers": Choice((1, 2, 3))})
    assert tuning.importance(wanted, trials) == {}


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


@pytest.mark.parametrize("strategy", ["random", "bayesian"])
def test_a_trial_that_falls_behind_is_pruned_after_5_10_20_epochs_and_never_best(
    bench: Bench, strategy: str
) -> None:
    bench.epochs = 24
    trials = bench.search(trials=24, strategy=strategy)
    lengths = Counter(len(trial.losses) for trial in trials)
    assert {5, 24} <= lengths.keys() <= {5, 10, 20, 24}
    for trial in trials:
        assert (trial.state == "pruned") == (len(trial.losses) < 24)
        for look in (5, 10, 20):
            if len(trial.losses) >= look:
                rivals = [
                    min(t.curve[:look]) for t in trials[: trial.number] if len(t.losses) >= look
                ]
                behind = len(rivals) >= 3 and min(trial.curve[:look]) > statistics.median(rivals)
                assert behind == (len(trial.losses) == look)
    assert [trial.state for trial in trials[:3]] == ["finished"] * 3
    assert tuning.best(trials).state == "finished"


def test_a_failed_trial_is_counted_and_the_search_goes_on(bench: Bench) -> None:
    objective = bench.objective

    def sometimes(chosen: Hyperparameters, go_on: GoOn) -> Losses:
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
    def never(chosen: Hyperparameters, go_on: GoOn) -> Losses:
        raise TrainingError("the loss is not finite after epoch 1")

    bench.objective = never  # type: ignore[method-assign]
    with pytest.raises(TrainingError, match="all 6 trials failed; the last one: the loss"):
        bench.search()


def test_nothing_is_searched_without_trials_or_space_or_by_the_service() -> None:
    assert tuning.wanted(Tuning(trials=2, space=SPACE))
    assert not tuning.wanted(Tuning(trials=0, space=SPACE))
    assert not tuning.wanted(Tuning(trials=2))
    assert not tuning.wanted(Tuning(trials=2, space=SPACE, where="service"))
    assert not tuning.wanted(Tuning(strategy="grid"))
