"""What a plan is made of: one AWS call as a value, what to wait for, and what needs nothing.

Here: the values. Not here: which of them a project needs (plan.py), nor their execution (apply.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Action = Literal["create", "update", "replace", "attach", "delete"]
Awaited = Literal[
    "training", "tuning", "ended", "tuning ended", "transform ended", "endpoint", "rest", "gone"
]
StageName = Literal["upload", "train", "endpoint", "after"]
# Those that come before an endpoint is verified; "after" is what follows when it was.
STAGES: tuple[StageName, ...] = ("upload", "train", "endpoint")
# What AWS may need on top of a job's own runtime or a container's own start: capacity, images.
MARGIN_SECONDS = 1800


@dataclass(frozen=True)
class Call:
    """One AWS call by its boto3 names."""

    service: str
    operation: str
    parameters: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """The call as plain data."""
        return {
            "service": self.service,
            "operation": self.operation,
            "parameters": dict(self.parameters),
        }


@dataclass(frozen=True)
class Wait:
    """What must be true before the next step, and the time it may take.

    Attributes:
        what: a training or a tuning job Completed, one ended in any way, an endpoint InService, an
            endpoint at rest in any way, or an endpoint gone.
        config: for an endpoint, the config it must run on to count as a success; None when it need
            only come to rest.
    """

    what: Awaited
    name: str
    seconds: float
    config: str | None = None


@dataclass(frozen=True)
class Step:
    """One thing to do.

    Attributes:
        call: None when there is only something to wait for.
        undo: what takes back what this step made when that proves to be no good; None where only
            AWS can refuse it, which leaves nothing.
    """

    stage: StageName
    action: Action
    kind: str
    name: str
    reason: str
    call: Call | None = None
    wait: Wait | None = None
    undo: Call | None = None
    traffic: bool = False

    @property
    def title(self) -> str:
        """The step in a few words."""
        return f"{self.action} {self.kind} {self.name}"


@dataclass(frozen=True)
class Unchanged:
    """One thing that is as it should be, and why."""

    kind: str
    name: str
    reason: str
