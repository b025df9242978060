"""What is known of a tuning job and of the training jobs it launched, and how it is described."""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from infra.local.searches import Values
from infra.local.state import now
from infra.local.training_state import TrainingJob

WORTH = 0.01
ENDED = ("Completed", "Failed", "Stopped")
PASSED_ON = (
    *("AlgorithmSpecification", "RoleArn", "InputDataConfig", "VpcConfig", "OutputDataConfig"),
    *("ResourceConfig", "StoppingCondition", "EnableNetworkIsolation", "CheckpointConfig"),
    *("EnableInterContainerTrafficEncryption", "EnableManagedSpotTraining", "RetryStrategy"),
    "Environment",
)


@dataclass
class Child:
    """One training job of a tuning job."""

    number: int
    values: Values
    job: TrainingJob
    learnt: bool = False

    @property
    def has_ended(self) -> bool:
        """Whether its result is final."""
        return self.job.status in ENDED


@dataclass
class TuningJob:
    """One tuning job, described and running."""

    request: Mapping[str, Any]
    arn: str
    created: datetime
    modified: datetime
    status: str = "InProgress"
    children: list[Child] = field(default_factory=list)
    parents: Sequence[TuningJob] = ()
    ended: datetime | None = None
    failure_reason: str | None = None
    stop: threading.Event = field(default_factory=threading.Event)

    @property
    def name(self) -> str:
        """HyperParameterTuningJobName."""
        return str(self.request["HyperParameterTuningJobName"])

    @property
    def config(self) -> Mapping[str, Any]:
        """HyperParameterTuningJobConfig."""
        found: Mapping[str, Any] = self.request["HyperParameterTuningJobConfig"]
        return found

    @property
    def definition(self) -> Mapping[str, Any]:
        """TrainingJobDefinition."""
        found: Mapping[str, Any] = self.request["TrainingJobDefinition"]
        return found

    @property
    def metric(self) -> str:
        """The name of the objective."""
        return str(self.config["HyperParameterTuningJobObjective"]["MetricName"])

    @property
    def maximize(self) -> bool:
        """Whether more of it is better."""
        return bool(self.config["HyperParameterTuningJobObjective"]["Type"] == "Maximize")

    def enter(self, status: str) -> None:
        """Go to another status."""
        self.status = status
        self.modified = now()

    def trace(self, child: Child) -> list[float]:
        """The objective's values in a training job's log."""
        return child.job.metrics.values(self.metric) if child.job.metrics else []

    def objective(self, child: Child) -> float | None:
        """What an ended training job came to: the last value, unless it failed."""
        values = self.trace(child)
        usable = child.job.status in ("Completed", "Stopped")
        return values[-1] if usable and values else None

    def best(self) -> Child | None:
        """The training job with the best objective; of equals the first."""
        found = [each for each in self.children if self.objective(each) is not None]
        sign = 1.0 if self.maximize else -1.0
        return max(found, key=lambda each: sign * (self.objective(each) or 0.0), default=None)

    def results(self) -> list[tuple[Values, float]]:
        """What was tried so far, static hyperparameters included, and what it came to."""
        static = self.definition["StaticHyperParameters"]
        found = [(child.values, self.objective(child)) for child in self.children]
        return [({**static, **values}, value) for values, value in found if value is not None]

    def summary(self) -> dict[str, Any]:
        """Its entry in ListHyperParameterTuningJobs."""
        states = [each.job.status for each in self.children]
        found = [self.objective(each) is not None for each in self.children if each.has_ended]
        return {
            "HyperParameterTuningJobName": self.name,
            "HyperParameterTuningJobArn": self.arn,
            "HyperParameterTuningJobStatus": self.status,
            "Strategy": self.config["Strategy"],
            "CreationTime": self.created,
            "HyperParameterTuningEndTime": self.ended,
            "LastModifiedTime": self.modified,
            "TrainingJobStatusCounters": {
                "Completed": states.count("Completed"),
                "InProgress": states.count("InProgress") + states.count("Stopping"),
                "RetryableError": 0,
                "NonRetryableError": states.count("Failed"),
                "Stopped": states.count("Stopped"),
            },
            "ObjectiveStatusCounters": {
                "Succeeded": found.count(True),
                "Pending": len(states) - len(found),
                "Failed": found.count(False),
            },
            "ResourceLimits": self.config["ResourceLimits"],
        }

    def describe(self) -> dict[str, Any]:
        """DescribeHyperParameterTuningJob's answer."""
        best, overall = self.best(), self._overall_best()
        seconds = ((self.ended or now()) - self.created).total_seconds()
        return {
            **self.request,
            **self.summary(),
            "BestTrainingJob": self.child_summary(best) if best else None,
            "OverallBestTrainingJob": overall,
            "FailureReason": self.failure_reason,
            "TuningJobCompletionDetails": {
                "NumberOfTrainingJobsObjectiveNotImproving": self.not_improving()
            },
            "ConsumedResources": {"RuntimeInSeconds": int(seconds)},
        }

    def _overall_best(self) -> dict[str, Any] | None:
        """The best training job of a warm start, its parents' counted."""
        if not self.parents:
            return None
        found = [(job, best) for job in (self, *self.parents) if (best := job.best())]
        sign = 1.0 if self.maximize else -1.0
        found.sort(key=lambda each: sign * (each[0].objective(each[1]) or 0.0), reverse=True)
        return (
            {**found[0][0].child_summary(found[0][1]), "TuningJobName": found[0][0].name}
            if found
            else None
        )

    def child_summary(self, child: Child) -> dict[str, Any]:
        """A training job's entry in ListTrainingJobsForHyperParameterTuningJob."""
        objective = self.objective(child)
        found = "Failed" if objective is None else "Succeeded"
        return {
            "TrainingJobDefinitionName": self.definition.get("DefinitionName"),
            "TrainingJobName": child.job.name,
            "TrainingJobArn": child.job.arn,
            "CreationTime": child.job.created,
            "TrainingStartTime": child.job.started,
            "TrainingEndTime": child.job.ended,
            "TrainingJobStatus": child.job.status,
            "TunedHyperParameters": child.values,
            "FailureReason": child.job.failure_reason,
            "FinalHyperParameterTuningJobObjectiveMetric": None
            if objective is None
            else {
                "Type": self.config["HyperParameterTuningJobObjective"]["Type"],
                "MetricName": self.metric,
                "Value": objective,
            },
            "ObjectiveStatus": found if child.has_ended else "Pending",
        }

    def not_improving(self) -> int:
        """How many results in a row have not bettered the best one by a hundredth."""
        count, best = 0, math.inf
        for child in self.children:
            value = self.objective(child)
            if value is not None:
                loss = -value if self.maximize else value
                count = 0 if best - loss >= WORTH * abs(best) else count + 1
                best = min(best, loss)
        return count


def child_request(job: TuningJob, name: str, values: Values) -> dict[str, Any]:
    """The request of one training job."""
    definition = job.definition
    return {
        "TrainingJobName": name,
        "TuningJobArn": job.arn,
        "HyperParameters": {**definition["StaticHyperParameters"], **values},
        **{each: definition[each] for each in PASSED_ON if each in definition},
        "StoppingCondition": dict(definition["StoppingCondition"]),
        "Tags": job.request.get("Tags", []),
    }
