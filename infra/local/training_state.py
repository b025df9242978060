"""What is known of a training job, and how it is described."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from infra.local.metrics import JobMetrics
from infra.local.state import now

SPOT_PRICE = 0.3
OUTLASTED = ("MaxRuntimeExceeded", "MaxWaitTimeExceeded")
MESSAGES = {
    "Starting": "Starting the training job",
    "Downloading": "Downloading input data",
    "Training": "Training image download completed. Training in progress.",
    "Uploading": "Uploading generated training model",
    "Completed": "Training job completed",
    "Interrupted": "The managed spot instances were reclaimed; waiting for others",
    "Failed": "Training job failed",
    "Stopping": "Stopping the training job",
    "Stopped": "Training job stopped",
    "MaxRuntimeExceeded": "Training job runtime exceeded MaxRuntimeInSeconds provided",
    "MaxWaitTimeExceeded": "Training job wait time exceeded MaxWaitTimeInSeconds provided",
}


@dataclass
class TrainingJob:
    """One job, described and running.

    `stop` asks it to end, `reclaimed` takes its spot instances away, for `away` seconds.
    """

    request: Mapping[str, Any]
    created: datetime
    modified: datetime
    status: str = "InProgress"
    secondary: str = "Starting"
    transitions: list[dict[str, Any]] = field(default_factory=list)
    failure_reason: str | None = None
    artifacts: str | None = None
    started: datetime | None = None
    ended: datetime | None = None
    metrics: JobMetrics | None = None
    trained: float = 0.0
    instance_started: datetime | None = None
    stop: threading.Event = field(default_factory=threading.Event)
    reclaimed: threading.Event = field(default_factory=threading.Event)
    away: float = 0.0

    @property
    def name(self) -> str:
        """TrainingJobName."""
        return str(self.request["TrainingJobName"])

    @property
    def arn(self) -> str:
        """TrainingJobArn."""
        return str(self.request["TrainingJobArn"])

    def enter(self, secondary: str, status: str | None = None) -> None:
        """Go to the next state."""
        moment = now()
        if self.transitions:
            self.transitions[-1].setdefault("EndTime", moment)
        entry = {"Status": secondary, "StartTime": moment, "StatusMessage": MESSAGES[secondary]}
        self.transitions.append(entry)
        self.secondary = secondary
        self.modified = moment
        if status:
            self.status = status
        if self.status in ("Completed", "Failed", "Stopped"):
            entry["EndTime"] = moment
            if secondary == "Failed" and self.failure_reason:
                entry["StatusMessage"] = self.failure_reason

    def end(self, status: str, secondary: str) -> None:
        """Go to the last state; one that a limit has led to is there already."""
        self.ended = now()
        if secondary == self.secondary:
            self.status = status
            self.transitions[-1]["EndTime"] = self.ended
            self.modified = self.ended
        else:
            self.enter(secondary, status)

    def count_instance(self) -> None:
        """An instance has ended: what it trained counts."""
        if self.instance_started:
            self.trained += (now() - self.instance_started).total_seconds()
            self.instance_started = None

    def seconds(self) -> int | None:
        """How long it trained, without what it waited for instances."""
        return None if self.ended is None or not self.trained else max(1, round(self.trained))

    def billable(self) -> int | None:
        """What of it is paid for; a spot instance's price stands in for the market's."""
        seconds = self.seconds()
        spot = self.request.get("EnableManagedSpotTraining", False)
        return int(seconds * SPOT_PRICE) if seconds and spot else seconds

    def describe(self) -> dict[str, Any]:
        """DescribeTrainingJob's answer."""
        return {
            "EnableNetworkIsolation": False,
            "EnableInterContainerTrafficEncryption": False,
            "EnableManagedSpotTraining": False,
            **self.request,
            "ModelArtifacts": {"S3ModelArtifacts": self.artifacts} if self.artifacts else None,
            "TrainingJobStatus": self.status,
            "SecondaryStatus": self.secondary,
            "SecondaryStatusTransitions": list(self.transitions),
            "FailureReason": self.failure_reason,
            "CreationTime": self.created,
            "LastModifiedTime": self.modified,
            "TrainingStartTime": self.started,
            "TrainingEndTime": self.ended,
            "TrainingTimeInSeconds": self.seconds(),
            "BillableTimeInSeconds": self.billable(),
            "FinalMetricDataList": (self.metrics.final() if self.metrics else None) or None,
        }
