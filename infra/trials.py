"""The trials of a search as they go: from a job's log, or from the children of a tuning job.

Here: what a trial is for whoever watches one, and where it is read. Not here: how trials are shown
(table.py, history.py).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from infra.aws import Cloud

State = Literal["runs", "finished", "pruned", "failed"]

_STATES: Mapping[str, State] = {
    "InProgress": "runs",
    "Stopping": "runs",
    "Completed": "finished",
    "Stopped": "pruned",
}
_LINE = re.compile(r"^\[trial\] (?P<number>\d+)/(?P<total>\d+)\s(?P<rest>.*)$")
_LOSS = re.compile(r"\bval_loss=(\S+)")
_VALUES = re.compile(r"\{(.*)\}")


@dataclass(frozen=True)
class Trial:
    """One trial.

    Attributes:
        number: from 1, in the order in which they began.
        job: the training job that it is; empty for one inside a job.
        values: what was tried, by hyperparameter, as texts without quotes.
        loss: the validation loss; None where there is none (yet).
        seconds: how long it has trained; None where nobody says.
        reason: why it failed.
    """

    number: int
    state: State
    values: Mapping[str, str]
    loss: float | None = None
    job: str = ""
    seconds: float | None = None
    reason: str | None = None


def ranked(trials: Iterable[Trial]) -> list[Trial]:
    """The finished trials that have a loss, the lowest first; the earlier of equals first."""
    finished = [trial for trial in trials if trial.state == "finished" and trial.loss is not None]
    return sorted(finished, key=lambda trial: (trial.loss, trial.number))


def best(trials: Iterable[Trial]) -> Trial | None:
    """The first of the ranked ones."""
    return next(iter(ranked(trials)), None)


def counted(trials: Sequence[Trial]) -> str:
    """How many there are of each state: "5 finished, 1 failed"."""
    found = {state: sum(trial.state == state for trial in trials) for state in _ORDER}
    return ", ".join(f"{count} {_WORDS[state]}" for state, count in found.items() if count)


_ORDER: tuple[State, ...] = ("finished", "pruned", "failed", "runs")
_WORDS: Mapping[State, str] = {
    "finished": "finished",
    "pruned": "stopped early",
    "failed": "failed",
    "runs": "running",
}


def word(state: State) -> str:
    """A state as people say it."""
    return _WORDS[state]


def asked_for(config: Mapping[str, Any]) -> int:
    """How many children a tuning job will have at most; a grid has one for each combination."""
    if wanted := config["ResourceLimits"].get("MaxNumberOfTrainingJobs"):
        return int(wanted)
    lists = config["ParameterRanges"].get("CategoricalParameterRanges", [])
    return math.prod(len(one["Values"]) for one in lists)


def children(cloud: Cloud, names: Iterable[str], now: datetime | None = None) -> tuple[Trial, ...]:
    """The children of tuning jobs, in the order in which they began.

    Args:
        cloud: where they are.
        names: of the tuning jobs.
        now: the time up to which those that run have trained.
    """
    summaries: list[dict[str, Any]] = []
    for name in names:
        place: dict[str, object] = {
            "HyperParameterTuningJobName": name,
            "SortBy": "CreationTime",
            "SortOrder": "Ascending",
            "MaxResults": 100,
        }
        while True:
            answer = cloud.call(
                "sagemaker", "list_training_jobs_for_hyper_parameter_tuning_job", place
            )
            summaries += answer["TrainingJobSummaries"]
            if not answer.get("NextToken"):
                break
            place["NextToken"] = answer["NextToken"]
    moment = now or datetime.now(UTC)
    return tuple(
        _child(number, summary, moment) for number, summary in enumerate(summaries, start=1)
    )


def _child(number: int, summary: Mapping[str, Any], now: datetime) -> Trial:
    objective = summary.get("FinalHyperParameterTuningJobObjectiveMetric") or {}
    begun, ended = summary.get("TrainingStartTime"), summary.get("TrainingEndTime")
    return Trial(
        number=number,
        state=_STATES.get(summary["TrainingJobStatus"], "failed"),
        values={
            name: _plain(text)
            for name, text in sorted(summary["TunedHyperParameters"].items())
            if not name.startswith("_")
        },
        loss=objective.get("Value"),
        job=summary["TrainingJobName"],
        seconds=((ended or now) - begun).total_seconds() if begun else None,
        reason=summary.get("FailureReason"),
    )


def from_line(line: str) -> Trial | None:
    """The trial that a line of a job's log tells of, if it tells of one."""
    found = _LINE.match(line)
    if not found:
        return None
    rest = found["rest"]
    listed = _VALUES.search(rest)
    values = dict(
        pair.split("=", 1) for pair in (listed[1].split(", ") if listed else []) if "=" in pair
    )
    outside = _VALUES.sub("", rest).split()
    state: State = next((known for known in ("pruned", "failed") if known in outside), "finished")
    loss = _LOSS.search(rest)
    return Trial(
        number=int(found["number"]),
        state=state,
        values=values,
        loss=_finite(loss[1]) if loss else None,
    )


def total(line: str) -> int | None:
    """How many trials there will be, as such a line has it."""
    found = _LINE.match(line)
    return int(found["total"]) if found else None


def from_lines(lines: Iterable[str]) -> tuple[Trial, ...]:
    """The trials that the lines of a job's log tell of, each once."""
    found = {trial.number: trial for line in lines if (trial := from_line(line))}
    return tuple(found[number] for number in sorted(found))


def why_failed(trials: Iterable[Trial]) -> str | None:
    """The reason of the first trial that gave one."""
    reasons = [(trial.job, trial.reason) for trial in trials if trial.reason]
    return f"{reasons[0][0]} says: {reasons[0][1]}" if reasons else None


def varied(trials: Sequence[Trial]) -> list[str]:
    """The hyperparameters of which not every trial has the same value."""
    names = dict.fromkeys(name for trial in trials for name in trial.values)
    seen = {name: {trial.values.get(name) for trial in trials} for name in names}
    return [name for name in names if len(trials) < 2 or len(seen[name]) > 1]


def _plain(text: str) -> str:
    """A hyperparameter as a tuning job has it, JSON mostly, for a person."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    if isinstance(value, float):
        return f"{value:.4g}"
    return value if isinstance(value, str) else text


def _finite(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
