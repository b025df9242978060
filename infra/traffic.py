"""What CloudWatch counted of fleets' real traffic: requests, failures, latency."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from infra.alarms import Fleet
from infra.aws import Cloud

_WANTED = {"Invocations": "Sum", "Invocation5XXErrors": "Sum", "ModelLatency": "p99"}


@dataclass(frozen=True)
class Traffic:
    """What one fleet did. What CloudWatch does not have is None, which is not 0.

    Attributes:
        p99: of its worst minute, or longer period, in milliseconds.
    """

    config: str
    requests: int | None
    failed: int | None
    p99: float | None

    def told(self) -> str:
        """In a few words."""
        if self.requests is None:
            return "CloudWatch has counted no request"
        failed = "failures not told" if self.failed is None else f"{self.failed} failed"
        slow = f", p99 {self.p99:.1f} ms" if self.p99 is not None else ""
        return f"{self.requests} requests, {failed}{slow}"


def traffic(
    cloud: Cloud, fleets: Sequence[Fleet], since: datetime, until: datetime
) -> list[Traffic]:
    """Of each fleet, by whole minutes, as far as CloudWatch knows by now.

    After a day it is by five minutes, after five days by hours: CloudWatch keeps no minutes for
    more than 15 days, and an answer has no more than so many numbers.
    """
    period = _period(until - since)
    queries = [
        {
            "Id": f"m{number}_{metric.lower()}",
            "MetricStat": {
                "Metric": {
                    "Namespace": "AWS/SageMaker",
                    "MetricName": metric,
                    "Dimensions": fleet.dimensions,
                },
                "Period": period,
                "Stat": statistic,
            },
        }
        for number, fleet in enumerate(fleets)
        for metric, statistic in _WANTED.items()
    ]
    asked = {
        "MetricDataQueries": queries,
        "StartTime": since.replace(second=0, microsecond=0),
        "EndTime": until + timedelta(minutes=1),
    }
    found: dict[str, list[float]] = {}
    more: dict[str, str] = {}
    while True:
        answer = cloud.call("cloudwatch", "get_metric_data", {**asked, **more})
        for one in answer.get("MetricDataResults", []):
            found.setdefault(one["Id"], []).extend(one["Values"])
        if not answer.get("NextToken"):
            break
        more = {"NextToken": answer["NextToken"]}
    return [_counted(fleet.config, f"m{number}", found) for number, fleet in enumerate(fleets)]


def _period(span: timedelta) -> int:
    """Seconds of a period of CloudWatch's, a minute if it can be."""
    days = span / timedelta(days=1)
    return 60 if days <= 1 else 300 if days <= 5 else 3600


def _counted(config: str, letter: str, found: Mapping[str, list[float]]) -> Traffic:
    requests = found.get(f"{letter}_invocations")
    failed = found.get(f"{letter}_invocation5xxerrors")
    slow = found.get(f"{letter}_modellatency")
    return Traffic(
        config,
        round(sum(requests)) if requests else None,
        round(sum(failed)) if failed else None,
        max(slow) / 1000 if slow else None,
    )
