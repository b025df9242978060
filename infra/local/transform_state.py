"""What is known of a batch transform job, and how it is described."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from infra.local.hosts import LONGEST_REASON
from infra.local.models import Model
from infra.local.state import now


@dataclass
class TransformJob:
    """One job, described and running; `stop` asks it to end."""

    request: Mapping[str, Any]
    arn: str
    model: Model
    created: datetime
    modified: datetime
    status: str = "InProgress"
    failure_reason: str | None = None
    started: datetime | None = None
    ended: datetime | None = None
    stop: threading.Event = field(default_factory=threading.Event)

    @property
    def name(self) -> str:
        """TransformJobName."""
        return str(self.request["TransformJobName"])

    def end(self, status: str, reason: str | None = None) -> None:
        """Go to the last state."""
        self.status = status
        self.failure_reason = reason[:LONGEST_REASON] if reason else None
        self.ended = self.modified = now()

    def describe(self) -> dict[str, Any]:
        """DescribeTransformJob's answer."""
        return {
            **self.request,
            "TransformJobArn": self.arn,
            "TransformJobStatus": self.status,
            "FailureReason": self.failure_reason,
            "CreationTime": self.created,
            "TransformStartTime": self.started,
            "TransformEndTime": self.ended,
        }
