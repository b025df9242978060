"""What CloudWatch counted of fleets' real traffic: requests, failures, latency."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from infra.alarms import Fleet
from infra.aws import Cloud
from infra.serving import Variant

_WANTED = {"Invocations": "Sum", "Invocation5XXErrors": "Sum", "ModelLatency": "p99"}


@dataclass(frozen=True)
class Traffic:
    """What one fleet did; p99 is its worst minute's, in milliseconds, None without requests."""

    config: str
    requests: int
    failed: int
    p99: float | None

    def told(self) -> str:
        """In a few words."""
        slow = f", p99 {self.p99:.1f} ms" if self.p99 is not None else ""
        return f"{self.requests} requests, {self.failed} failed{slow}"


def traffic(
    cloud: Cloud, fleets: Sequence[Fleet], since: datetime, until: datetime
) -> list[Traffic]:
    """Of each fleet, by whole minutes, as far as CloudWatch knows by now."""
    queries = [
        {
            "Id": f"m{number}_{metric.lower()}",
            "MetricStat": {
                "Metric": {
                    "Namespace": "AWS/SageMaker",
                    "MetricName": metric,
                    "Dimensions": fleet.dimensions,
                },
                "Period": 60,
                "Stat": statistic,
            },
        }
        for number, fleet in enumerate(fleets)
        for metric, statistic in _WANTED.items()
    ]
    answer = cloud.call(
        "cloudwatch",
        "get_metric_data",
        {
            "MetricDataQueries": queries,
            "StartTime": since.replace(second=0, microsecond=0),
            "EndTime": until + timedelta(minutes=1),
        },
    )
    found = {one["Id"]: one["Values"] for one in answer.get("MetricDataResults", [])}
    return [_counted(fleet.config, f"m{number}", found) for number, fleet in enumerate(fleets)]


def _counted(config: str, letter: str, found: Mapping[str, list[float]]) -> Traffic:
    slow = found.get(f"{letter}_modellatency", [])
    return Traffic(
        config,
        round(sum(found.get(f"{letter}_invocations", []))),
        round(sum(found.get(f"{letter}_invocation5xxerrors", []))),
        max(slow) / 1000 if slow else None,
    )


def shares(
    cloud: Cloud, endpoint: str, config: str, variants: Sequence[Variant], now: datetime
) -> list[tuple[str, str]]:
    """Of versions that serve beside each other: model, weight, and the traffic of an hour."""
    total = sum(one.weight for one in variants if not one.shadow) or 1.0
    fleets = [Fleet(endpoint, one.name, config) for one in variants]
    counted = traffic(cloud, fleets, now - timedelta(hours=1), now)
    return [
        (
            one.name,
            f"{one.model}: "
            + (
                f"copies of {one.weight / total:.0%} of the requests"
                if one.shadow
                else f"{one.weight / total:.0%} of the answers"
            )
            + f"; in the last hour {seen.told()}",
        )
        for one, seen in zip(variants, counted, strict=True)
    ]
