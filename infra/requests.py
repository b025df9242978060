"""Parameters of AWS calls, and the tags that every creating call of ours carries."""

from __future__ import annotations

Request = dict[str, object]
Tags = tuple[tuple[str, str], ...]


def tagged(tags: Tags) -> Request:
    """The Tags parameter, where there are any."""
    return {"Tags": [{"Key": key, "Value": value} for key, value in tags]} if tags else {}
