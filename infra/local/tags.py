"""Tags of SageMaker resources: AddTags, ListTags, DeleteTags."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from infra.local.state import Answer, Cloud, Operation
from infra.local.wire import invalid


def as_pairs(tags: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """AWS's list of Key and Value as a dictionary."""
    return {tag["Key"]: tag["Value"] for tag in tags}


class Tags:
    """The tags of every resource, by its ARN."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def operations(self) -> dict[str, Operation]:
        """What this answers, by the operation's name."""
        return {"AddTags": self.add, "ListTags": self.list, "DeleteTags": self.delete}

    def add(self, request: dict[str, Any]) -> Answer:
        """Set tags; those of the same key are replaced."""
        with self._cloud.lock:
            tags = self._find(request)
            tags.update(as_pairs(request["Tags"]))
        return {"Tags": request["Tags"]}

    def list(self, request: dict[str, Any]) -> Answer:
        """All tags of a resource."""
        with self._cloud.lock:
            tags = self._find(request)
            return {"Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}

    def delete(self, request: dict[str, Any]) -> Answer:
        """Remove tags by key; those that are not there are fine."""
        with self._cloud.lock:
            tags = self._find(request)
            for key in request["TagKeys"]:
                tags.pop(key, None)
        return {}

    def _find(self, request: Mapping[str, Any]) -> dict[str, str]:
        tags = self._cloud.tags.get(request["ResourceArn"])
        if tags is None:
            raise invalid(f'Could not find resource "{request["ResourceArn"]}".')
        return tags
