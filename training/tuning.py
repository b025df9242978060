"""The search for hyperparameters: five strategies, resumable, in the job's own process.

    manual      the candidates, in their order
    grid        every combination of the space's lists, the last one varying fastest
    random      drawn from the space
    bayesian    drawn where the earlier trials did well
    hyperband   drawn at random; most get few epochs, the best of them more

What is drawn, Optuna proposes (proposals.py). What a finished trial found lies as one small JSON
document in the checkpoint folder; Optuna's own storage and pickles are not used.

Trials run side by side where there is room (workers.py). What a trial draws and when it is pruned
follow from the study's seed, the trial's number and the results of the trials up to a fixed number
before its own, never from which of the later ones happens to have ended. So a search that was
stopped ends as one never stopped, trial for trial, one at a time or many.

A random or bayesian trial whose best loss lies above the median of the earlier trials' after 5, 10,
20, … epochs stops there: successive halving that waits for nobody. What is listed is tried to the
end, as scikit-learn's GridSearchCV does.

Here: the order of trials, when one ends, what is kept of them. Not here: what a trial does
(trials.py).
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import statistics
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from shared import documents
from shared.errors import CheckpointError, KitError, TrainingError
from shared.hyperparameters import Hyperparameters
from shared.problem import LISTED, Tuning
from training import proposals
from training.checkpoints import Checkpoints
from training.workers import Crash, Crew

TRIALS_BEFORE_PRUNING = 3
FIRST_LOOK = 5
REDUCTION = 3
TRIALS_FOR_IMPORTANCE = 8
ROUNDS = 4
"""Where the project leaves it open, what is drawn is drawn in about so many rounds, or more."""

Values = Mapping[str, bool | int | float | str]
Losses = Sequence[Sequence[float]]
GoOn = Callable[[Losses], bool]
Objective = Callable[[Hyperparameters, GoOn], Losses]


@dataclass(frozen=True)
class Trial:
    """One finished trial.

    Args:
        number: from 0.
        values: what was tried, by hyperparameter.
        state: finished; pruned (stopped early, as it fell behind); or failed.
        losses: validation loss by epoch and, within an epoch, by fold.
        error: why it failed.
    """

    number: int
    values: Values
    state: Literal["finished", "pruned", "failed"]
    losses: tuple[tuple[float, ...], ...]
    error: str | None = None

    @property
    def curve(self) -> list[float]:
        """The folds' mean loss by epoch."""
        return _means(self.losses)

    @property
    def loss(self) -> float:
        """The lowest mean validation loss; infinite for a failed trial."""
        return min(self.curve) if self.losses and self.state != "failed" else math.inf

    @property
    def spread(self) -> float:
        """The standard deviation of the folds' losses at that epoch."""
        return statistics.pstdev(min(self.losses, key=statistics.fmean)) if self.losses else 0.0


@dataclass(frozen=True)
class Task:
    """One trial to run.

    Args:
        number, values: the trial's.
        bars: by epoch, from the first on: the loss above which the trial ends there, if any.
    """

    number: int
    values: Values
    bars: tuple[float | None, ...]


@dataclass(frozen=True)
class Side:
    """How trials run side by side.

    Args:
        trials: at a time. It decides which earlier results a trial knows of, and so the study.
        processes: as many as there is room for; with 1 the trials run one by one in this process.
        begin: what a worker process does first.
    """

    trials: int = 1
    processes: int = 1
    begin: Callable[[], None] = lambda: None


def wanted(tuning: Tuning) -> bool:
    """Whether there is something to search inside the job."""
    return bool(tuning.count) and tuning.where == "job"


def complete(losses: Losses, most: int, patience: int) -> bool:
    """Whether a trial has run all its epochs, or its last `patience` brought no better mean."""
    curve = _means(losses)
    return len(curve) >= most or len(curve) - 1 - curve.index(min(curve)) >= max(patience, 1)


def at_a_time(tuning: Tuning, cores: int) -> int:
    """How many trials run at a time: as the project says, or else by the cores that there are."""
    if tuning.parallel != "auto":
        return tuning.parallel
    # One that learns from earlier trials needs some that are earlier.
    rounds = 1 if tuning.strategy in LISTED else ROUNDS
    return max(1, min(cores, tuning.count, max(2, math.ceil(tuning.count / rounds))))


def search(
    tuning: Tuning,
    start: Hyperparameters,
    objective: Objective,
    kept: Checkpoints,
    *,
    report: Callable[[Trial, Trial], None],
    side: Side = Side(),
) -> list[Trial]:
    """Run the trials that are not yet done.

    Args:
        tuning: strategy, number of trials, space, seed.
        start: the values of everything that is not searched, and of the first trial drawn.
        objective: (hyperparameters, go_on) → validation losses by epoch and fold. It calls go_on
            with the losses so far after each epoch but the last and stops when the answer is
            False. What it raises fails the trial, not the search.
        kept: where finished trials are kept.
        report: told of each trial as it ends, and of the best so far.
        side: how many run at a time.

    Returns:
        All trials, in order.

    Raises:
        TrainingError: every trial failed.
    """
    listed = _listed(tuning, start)
    done: dict[int, Trial] = {}
    for number in range(tuning.count):
        trial = _kept(kept, number)
        if trial is not None:
            done[number] = trial
            report(trial, best(done.values()))
    tried = {number: trial.values for number, trial in done.items()}
    left = deque(number for number in range(tuning.count) if number not in done)

    def known(number: int) -> range:
        """The trials whose results this one may know, so that all of `side` can be busy."""
        return range(0 if listed else max(0, number - 2 * (side.trials - 1)))

    def task(number: int) -> Task:
        if listed:
            return Task(number, listed[number], ())
        earlier = [done[n] for n in known(number)]
        pending = [tried[n] for n in range(len(earlier), number)]
        values = proposals.propose(number, tuning, start, earlier, pending)
        return Task(number, values, _bars(tuning, number, start.epochs, earlier))

    def work(given: bytes) -> bytes:
        told = documents.decode(Task, documents.loads(given, "task"), "task")
        return documents.dumps(_run(told, start, objective)).encode()

    with Crew(min(side.trials, side.processes), work, side.begin) as crew:
        while len(done) < tuning.count:
            while left and crew.idle and all(n in done for n in known(left[0])):
                next_one = task(left.popleft())
                tried[next_one.number] = next_one.values
                crew.start(next_one.number, documents.dumps(next_one).encode())
            number, result = crew.finished()
            if isinstance(result, Crash):
                trial = Trial(number, tried[number], "failed", (), str(result))
            else:
                trial = documents.decode(Trial, documents.loads(result, "trial"), "trial")
            kept.write_document(_name(number), trial)
            done[number] = trial
            report(trial, best(done.values()))
    trials = [done[number] for number in range(tuning.count)]
    if best(trials).state == "failed":
        raise TrainingError(
            f"all {len(trials)} trials failed; the last one: {trials[-1].error}",
            where="tuning",
            cure="Narrow the space: a lower learning_rate is the usual cure",
        )
    return trials


def best(trials: Iterable[Trial]) -> Trial:
    """The trial of the lowest loss; the earliest of equals."""
    return min(trials, key=lambda trial: (trial.loss, trial.number))


def with_values(start: Hyperparameters, values: Values) -> Hyperparameters:
    """The hyperparameters with a trial's values in place."""
    return dataclasses.replace(start, **values)  # type: ignore[arg-type]


def rungs(number: int, most: int) -> tuple[int, ...]:
    """The epochs at which Hyperband looks whether a trial goes on.

    Hyperband (Li et al. 2018) hedges between many short and few long trials: its first bracket
    looks after most/3ⁿ, …, most/3 epochs, the next one first after most/3ⁿ⁻¹, and so on to the
    last one, whose trials all get `most`. The brackets are filled in this order, each with as many
    trials as costs about the same; then it begins again.

    Args:
        number: of the trial, from 0.
        most: epochs that a trial gets at most.
    """
    longest = 0
    while REDUCTION ** (longest + 1) <= most:
        longest += 1
    brackets = range(longest, -1, -1)
    sizes = [math.ceil((longest + 1) * REDUCTION**cuts / (cuts + 1)) for cuts in brackets]
    ends = list(itertools.accumulate(sizes))
    place = number % ends[-1]
    cuts = next(cuts for cuts, end in zip(brackets, ends, strict=True) if place < end)
    return tuple(most // REDUCTION**cut for cut in range(cuts, 0, -1))


def importance(tuning: Tuning, trials: Sequence[Trial]) -> dict[str, float]:
    """Each hyperparameter's share of what made the finished trials' losses differ (fANOVA).

    Empty for fewer than 8 finished trials, for losses that do not differ, and for candidates: they
    are no sample of a space.
    """
    finished = [trial for trial in trials if trial.state == "finished"]
    differ = len({trial.loss for trial in finished}) > 1
    if tuning.strategy == "manual" or len(finished) < TRIALS_FOR_IMPORTANCE or not differ:
        return {}
    import optuna

    study = proposals.study(tuning, finished, optuna.samplers.RandomSampler(seed=tuning.seed))
    judge = optuna.importance.FanovaImportanceEvaluator(max_depth=8, seed=tuning.seed)
    shares = optuna.importance.get_param_importances(study, evaluator=judge)
    return {name: float(share) for name, share in shares.items()}


def _listed(tuning: Tuning, start: Hyperparameters) -> list[Values]:
    """The values of every trial, where they are known beforehand."""
    if tuning.strategy == "grid":
        return list(proposals.combinations(tuning.space))
    names = dict.fromkeys(name for candidate in tuning.candidates for name in candidate)
    own = {name: getattr(start, name) for name in names}
    return [own | dict(candidate) for candidate in tuning.candidates]


def _run(task: Task, start: Hyperparameters, objective: Objective) -> Trial:
    losses: Losses = ()
    pruned = False

    def go_on(so_far: Losses) -> bool:
        nonlocal losses, pruned
        losses = so_far
        bar = task.bars[len(so_far) - 1] if len(so_far) <= len(task.bars) else None
        pruned = bar is not None and min(_means(so_far)) > bar
        return not pruned

    def ended(state: Literal["finished", "pruned", "failed"], error: str | None = None) -> Trial:
        curves = tuple(tuple(folds) for folds in losses)
        return Trial(task.number, task.values, state, curves, error)

    try:
        losses = objective(with_values(start, task.values), go_on)
    except KitError as exception:
        return ended("failed", str(exception))
    except Exception as exception:
        traceback.print_exc()
        first = f"{exception}".partition("\n")[0]
        return ended("failed", f"{type(exception).__name__}: {first}")
    return ended("pruned" if pruned else "finished")


def _bars(
    tuning: Tuning, number: int, most: int, earlier: Sequence[Trial]
) -> tuple[float | None, ...]:
    """By epoch: the loss above which a trial is not worth another one, given the earlier ones."""
    longest = max((len(trial.losses) for trial in earlier), default=0)
    if tuning.strategy == "hyperband":
        looks = rungs(number, most)
        peers = [trial for trial in earlier if rungs(trial.number, most) == looks]
        bars = {epoch: _third(_best_by(epoch, peers)) for epoch in looks}
    else:
        doubling = (FIRST_LOOK * 2**times for times in range(longest.bit_length()))
        bars = {epoch: _median(_best_by(epoch, earlier)) for epoch in doubling}
    return tuple(bars.get(epoch) for epoch in range(1, longest + 1))


def _third(losses: Sequence[float]) -> float | None:
    """What the best third of these and of one more has at most; it alone is always among them."""
    passing = max(1, (len(losses) + 1) // REDUCTION)
    return sorted(losses)[passing - 1] if losses else None


def _median(losses: Sequence[float]) -> float | None:
    return statistics.median(losses) if len(losses) >= TRIALS_BEFORE_PRUNING else None


def _best_by(epoch: int, trials: Sequence[Trial]) -> list[float]:
    """The lowest losses up to an epoch, of the trials that reached it."""
    return [min(trial.curve[:epoch]) for trial in trials if len(trial.losses) >= epoch]


def _means(losses: Losses) -> list[float]:
    return [statistics.fmean(folds) for folds in losses]


def _name(number: int) -> str:
    return f"trial-{number:04d}"


def _kept(kept: Checkpoints, number: int) -> Trial | None:
    body = kept.read_document(_name(number))
    if body is None:
        return None
    try:
        return documents.decode(Trial, body, _name(number), CheckpointError)
    except KitError:
        return None
