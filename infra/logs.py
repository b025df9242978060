"""CloudWatch Logs of a training job or an endpoint: the last lines, and what is new since.

A group or stream that does not exist yet is empty, not an error. Lines that are metrics, made for
CloudWatch, are left out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from infra.aws import Cloud
from infra.observe import describe

_PAGE = 10_000
_METRICS = 500
"""So many lines of metrics may stand between those that are wanted."""


@dataclass
class LogTail:
    """Reads a job's or an endpoint's log streams as they grow; each line is given once."""

    cloud: Cloud
    group: str
    prefix: str = ""
    _tokens: dict[str, str] = field(default_factory=dict)

    def new_lines(self) -> list[str]:
        """The lines written since the last call, in order within each stream."""
        lines: list[str] = []
        for stream in streams(self.cloud, self.group, self.prefix):
            lines += self._read(stream)
        return lines

    def _read(self, stream: str) -> list[str]:
        lines: list[str] = []
        while True:
            place: dict[str, object] = {
                "logGroupName": self.group,
                "logStreamName": stream,
                "startFromHead": True,
                "limit": _PAGE,
            }
            if stream in self._tokens:
                place["nextToken"] = self._tokens[stream]
            answer = describe(self.cloud, "logs", "get_log_events", place)
            if answer is None:
                return lines
            lines += _said(answer)
            token = answer.get("nextForwardToken")
            if not token or token == self._tokens.get(stream):  # a page may be empty before the end
                return lines
            self._tokens[stream] = token


def last_lines(
    cloud: Cloud, group: str, prefix: str, count: int, since: datetime | None = None
) -> list[str]:
    """The last lines of the newest streams of a group.

    Args:
        cloud: where it is.
        group: its name.
        prefix: of the streams' names.
        count: how many lines.
        since: when the streams must have begun, at the earliest.
    """
    lines: list[str] = []
    if count < 1:
        return lines
    for stream in reversed(streams(cloud, group, prefix, since)):
        answer = describe(
            cloud,
            "logs",
            "get_log_events",
            {
                "logGroupName": group,
                "logStreamName": stream,
                "startFromHead": False,
                "limit": min(count + _METRICS, _PAGE),
            },
        )
        lines = (_said(answer) if answer else []) + lines
        if len(lines) >= count:
            break
    return lines[-count:]


def _said(answer: dict[str, Any]) -> list[str]:
    """What stands in a page of events, for people."""
    lines = [event["message"].rstrip("\n") for event in answer["events"]]
    return [line for line in lines if not line.startswith('{"_aws":')]


def streams(cloud: Cloud, group: str, prefix: str, since: datetime | None = None) -> list[str]:
    """Names of the streams of a group that begin with `prefix`, oldest first; see `last_lines`."""
    place: dict[str, object] = {"logGroupName": group}
    if prefix:
        place["logStreamNamePrefix"] = prefix
    found: list[dict[str, Any]] = []
    while answer := describe(cloud, "logs", "describe_log_streams", place):
        found += answer["logStreams"]
        if not answer.get("nextToken"):
            break
        place["nextToken"] = answer["nextToken"]
    found.sort(key=lambda stream: stream.get("creationTime", 0))
    earliest = since.timestamp() * 1000 if since else 0
    young = [one for one in found if one.get("creationTime", earliest) >= earliest]
    return [stream["logStreamName"] for stream in young]
