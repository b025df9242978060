"""What a policy allows, with the reason of each action in one line, and the document of it.

Here: the values. Not here: whose policy allows what (policy.py, permissions.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

VERSION = "2012-10-17"


@dataclass(frozen=True)
class Grant:
    """One Allow statement.

    Attributes:
        sid: its name.
        actions: each action and why it is needed.
        resources: ARNs, or "*" where the service knows none for these actions.
        condition: IAM's own form.
    """

    sid: str
    actions: Mapping[str, str]
    resources: tuple[str, ...]
    condition: Mapping[str, Mapping[str, object]] = field(default_factory=dict)

    def statement(self) -> dict[str, object]:
        """The statement of a policy document."""
        made: dict[str, object] = {
            "Sid": self.sid,
            "Effect": "Allow",
            "Action": _one(sorted(self.actions)),
            "Resource": _one(self.resources),
        }
        return {**made, "Condition": self.condition} if self.condition else made


def document(grants: Iterable[Grant]) -> dict[str, object]:
    """A policy document, as IAM takes it."""
    return {"Version": VERSION, "Statement": [grant.statement() for grant in grants]}


def reasons(grants: Iterable[Grant]) -> dict[str, str]:
    """Why each action is allowed."""
    return {action: why for grant in grants for action, why in sorted(grant.actions.items())}


def _one(values: Iterable[str]) -> str | list[str]:
    """IAM takes one value without a list."""
    listed = list(values)
    return listed[0] if len(listed) == 1 else listed
