"""What differs between the record, what a project asks for, and what is in the cloud.

Drift is what somebody else changed: recorded but gone, or otherwise than it was made. What the
project itself asks for anew is no drift: it is pending, until it is deployed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from infra.alarms import judges
from infra.aws import Cloud
from infra.kinds import KINDS
from infra.observe import describe
from infra.plan import Plan
from infra.record import Entry, Record

# These have no name of their own in a record: they are parts of what has.
_PARTS = {"role policy": "role", "bucket setting": "bucket"}
GONE = "recorded but gone"


@dataclass(frozen=True)
class Difference:
    """One thing that is not as it was made.

    Attributes:
        mended: whether a deployment puts it right.
    """

    kind: str
    name: str
    what: str
    mended: bool = True

    @property
    def words(self) -> str:
        """The difference in a line."""
        return f"{self.kind} {self.name}: {self.what}"


def gone(cloud: Cloud, record: Record, entries: Iterable[Entry]) -> list[Difference]:
    """Which of these are recorded, but not in the cloud."""
    recorded = set(record.entries)
    return [
        # Alarms judge a rollout, and each rollout makes its own.
        Difference(entry.kind, entry.name, GONE, mended=entry.kind != "alarm")
        for entry in dict.fromkeys(entries)
        if entry in recorded and not _there(cloud, entry)
    ]


def needed(record: Record, config: str | None) -> list[Entry]:
    """The recorded things that an endpoint on that config needs, and the endpoint itself."""
    wanted = [entry for entry in record.entries if entry.kind in ("endpoint", "role")]
    if config:
        wanted += [
            entry
            for entry in record.entries
            if (entry.kind in ("endpoint config", "model") and entry.name == config)
            or (entry.kind == "alarm" and judges(entry.name, config))
        ]
    return wanted


def of_endpoint(record: Record, endpoint: dict[str, Any] | None) -> list[Difference]:
    """How the endpoint differs from the last release, and its instances from what is asked."""
    if endpoint is None:
        return []
    name, config = endpoint["EndpointName"], endpoint.get("EndpointConfigName", "")
    found = []
    if record.live and config != record.live.config:
        found.append(
            Difference(
                "endpoint",
                name,
                f"runs on {config or 'nothing'}, and the last release was {record.live.config}",
            )
        )
    for variant in endpoint.get("ProductionVariants", ()):
        has, wants = variant.get("CurrentInstanceCount"), variant.get("DesiredInstanceCount")
        if endpoint["EndpointStatus"] == "InService" and None not in (has, wants) and has != wants:
            what = f"has {has} of {wants} instances"
            found.append(Difference("endpoint", name, what, mended=False))
    return found


def split(plan: Plan, record: Record) -> tuple[list[Difference], list[str]]:
    """What a plan would put right, and what it would do because the project asks for it anew."""
    recorded = set(record.entries)
    drift, pending = [], []
    for step in plan.steps:
        entry = Entry(_PARTS.get(step.kind, step.kind), step.name)
        moved = step.kind in ("endpoint", "scalable target") and step.action == "update"
        if entry in recorded and step.action in ("create", "update") and not moved:
            whole = step.action == "create" and step.kind == entry.kind
            what = GONE if whole else step.reason
            drift.append(Difference(step.kind, step.name, what))
        else:
            pending.append(step.title)
    if plan.waits:
        pending.append("wait for an approval (make approve)")
    return drift, pending


def _there(cloud: Cloud, entry: Entry) -> bool:
    kind = KINDS[entry.kind]
    if kind.look is None:
        return True
    look = kind.look(entry.name)
    found = describe(cloud, look.service, look.operation, look.parameters)
    return found is not None and kind.found(found)
