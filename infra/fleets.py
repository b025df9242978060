"""What serves now: the mode, how many instances, what waits, and which version gets which share.

Read with describe calls and GetMetricData. What CloudWatch does not have is told as such: a metric
that is missing is not 0, and one that may not be asked for ends nothing. Not here: training,
releases, drift (commands/status.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from infra import scaling, traffic
from infra.alarms import Fleet
from infra.failures import explain
from infra.observe import as_variants, mode_of
from infra.traffic import Traffic

if TYPE_CHECKING:
    from infra.aws import Cloud
    from infra.record import Record, Release
    from infra.serving import Variant

_BACKLOG = "ApproximateBacklogSize"
_BACKLOG_MINUTES = 15
T = TypeVar("T")


@dataclass(frozen=True)
class Serves:
    """One variant, and what it serves.

    Attributes:
        has, wanted: instances now, and how many SageMaker is bringing about; None where it does not
            say, as of a serverless one.
        weight: as it is now.
        share: of the answers; of a shadow, of the requests that it gets copies of.
        release: number of the release that its model is, as far as the record knows.
        traffic: what CloudWatch counted; None where it was not asked, or does not say.
    """

    variant: Variant
    has: int | None
    wanted: int | None
    weight: float
    share: float
    release: int | None
    traffic: Traffic | None = None

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        told = self.traffic
        return {
            "name": self.variant.name,
            "model": self.variant.model,
            "release": self.release,
            "instances": self.has,
            "wanted": self.wanted,
            "weight": self.weight,
            "share": self.share,
            "shadow": self.variant.shadow,
            "traffic": None
            if told is None
            else {"requests": told.requests, "failed": told.failed, "p99_ms": told.p99},
        }


@dataclass(frozen=True)
class Fleets:
    """How an endpoint serves.

    Attributes:
        mode: as [endpoint].mode has it.
        variants: production variants, then the shadow.
        output: of an asynchronous one: where it answers.
        bounds: least and most instances of its scaling; None: it has none.
        backlog: asynchronous requests that wait or are worked on, and when that was counted.
        since: from when on the traffic is counted, where versions serve beside each other.
        unknown: what could not be told, and why, by what it is about.
    """

    mode: str
    variants: tuple[Serves, ...]
    output: str | None = None
    bounds: tuple[int, int] | None = None
    backlog: tuple[int, datetime] | None = None
    since: datetime | None = None
    unknown: Mapping[str, str] | None = None

    def release(self, model: str) -> int | None:
        """The number of the release that serves a model."""
        return next((one.release for one in self.variants if one.variant.model == model), None)

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "mode": self.mode,
            "output": self.output,
            "scaling": None
            if self.bounds is None
            else {"min": self.bounds[0], "max": self.bounds[1]},
            "backlog": None
            if self.backlog is None
            else {"requests": self.backlog[0], "at": self.backlog[1].isoformat()},
            "counted_since": self.since.isoformat() if self.since else None,
            "variants": [one.to_json() for one in self.variants],
            "unknown": dict(self.unknown or {}),
        }

    def rows(self) -> list[tuple[str, str]]:
        """Names and values for the screen."""
        unknown = self.unknown or {}
        rows = [("mode", f"async, answers to {self.output}" if self.output else self.mode)]
        first = self.variants[0] if self.variants else None
        if first and not first.variant.serverless:
            scaled = unknown.get("scaling") or "fixed"
            if self.bounds:
                scaled = f"scaled within {self.bounds[0]} to {self.bounds[1]}"
            rows.append(("instances", f"{_instances(first)}, {scaled}"))
        if self.mode == "async":
            rows.append(("backlog", unknown.get("backlog") or self._backlog()))
        if len(self.variants) > 1:
            rows += [(one.variant.name, self._beside(one)) for one in self.variants]
        return rows

    def _backlog(self) -> str:
        if self.backlog is None:
            return f"CloudWatch has no {_BACKLOG} of the last {_BACKLOG_MINUTES} minutes"
        size, at = self.backlog
        return f"{size} requests wait or are worked on ({at:%H:%M} UTC)"

    def _beside(self, one: Serves) -> str:
        variant = one.variant
        share = "copies of {:.0%} of the requests" if variant.shadow else "{:.0%} of the answers"
        release = f" (release {one.release})" if one.release else ""
        fleet = f"{variant.instance}, {_instances(one)}" if variant.instance else "serverless"
        if one.traffic:
            counted = one.traffic.told()
        else:
            counted = (self.unknown or {}).get("traffic", "not counted")
        since = f"since {self.since:%Y-%m-%d %H:%M} UTC " if self.since else ""
        return f"{variant.model}{release}: {share.format(one.share)}; {fleet}; {since}{counted}"


def look(cloud: Cloud, record: Record, endpoint: Mapping[str, Any], config: Any) -> Fleets:
    """How the endpoint of a record's project serves.

    Args:
        cloud: where it is.
        record: of the project.
        endpoint: what DescribeEndpoint says.
        config: what DescribeEndpointConfig says of the one it runs on.
    """
    unknown: dict[str, str] = {}

    def asked(what: str, about: str, ask: Callable[[], T]) -> T | None:
        try:
            return ask()
        except Exception as error:
            unknown[what] = f"{about} cannot be told: {explain(error, about)}"
            return None

    now = datetime.now(UTC)
    project, variants = record.project, as_variants(config)
    mode = mode_of(endpoint)
    bounds = backlog = since = None
    if record.of("scalable target"):
        found = asked("scaling", "the bounds of its scaling", lambda: scaling.look(cloud, project))
        bounds = found.bounds if found else None
    if mode == "async":
        backlog = asked("backlog", "the backlog", lambda: _backlog(cloud, project, now))
    counted: list[Traffic] | None = None
    if len(variants) > 1:
        name = str(endpoint["EndpointConfigName"])
        began = since = _began(record, name, config) or now - timedelta(hours=1)
        fleets = [Fleet(project, one.name, name) for one in variants]
        counted = asked(
            "traffic", "the traffic", lambda: traffic.traffic(cloud, fleets, began, now)
        )
    output = (endpoint.get("AsyncInferenceConfig") or {}).get("OutputConfig") or {}
    return Fleets(
        mode,
        _serve(record, endpoint, variants, counted),
        output.get("S3OutputPath"),
        bounds,
        backlog,
        since,
        unknown,
    )


def _serve(
    record: Record,
    endpoint: Mapping[str, Any],
    variants: tuple[Variant, ...],
    counted: list[Traffic] | None,
) -> tuple[Serves, ...]:
    actual = {
        one["VariantName"]: one
        for kind in ("ProductionVariants", "ShadowProductionVariants")
        for one in endpoint.get(kind) or []
    }

    def weight(one: Variant) -> float:
        now = actual.get(one.name, {}).get("CurrentWeight")
        return one.weight if now is None else float(now)

    whole = sum(weight(one) for one in variants if not one.shadow) or 1.0
    return tuple(
        Serves(
            one,
            actual.get(one.name, {}).get("CurrentInstanceCount"),
            actual.get(one.name, {}).get("DesiredInstanceCount"),
            weight(one),
            weight(one) / whole,
            _release(record, one.model),
            counted[number] if counted else None,
        )
        for number, one in enumerate(variants)
    )


def _release(record: Record, model: str) -> int | None:
    """The last release of a model that came to serve."""
    found = [one for one in record.releases if one.model == model and one.outcome == "live"]
    return found[-1].number if found else None


def _began(record: Record, config: str, described: Mapping[str, Any]) -> datetime | None:
    """When the newest version of a config came to serve; else when the config was made."""

    def live(one: Release) -> bool:
        return one.config == config and one.outcome == "live"

    found = [one.at for one in record.releases if live(one)]
    if found:
        return datetime.fromisoformat(found[-1]).astimezone(UTC)
    made = described.get("CreationTime")
    return made.astimezone(UTC) if made else None


def _backlog(cloud: Cloud, project: str, now: datetime) -> tuple[int, datetime] | None:
    """What CloudWatch was told last, and when."""
    metric = {
        "Namespace": "AWS/SageMaker",
        "MetricName": _BACKLOG,
        "Dimensions": [{"Name": "EndpointName", "Value": project}],
    }
    query = {"Id": "backlog", "MetricStat": {"Metric": metric, "Period": 60, "Stat": "Maximum"}}
    answer = cloud.call(
        "cloudwatch",
        "get_metric_data",
        {
            "MetricDataQueries": [query],
            "StartTime": now - timedelta(minutes=_BACKLOG_MINUTES),
            "EndTime": now + timedelta(minutes=1),
            "ScanBy": "TimestampDescending",
        },
    )
    for one in answer.get("MetricDataResults", []):
        if one["Values"]:
            return round(one["Values"][0]), one["Timestamps"][0].astimezone(UTC)
    return None


def _instances(one: Serves) -> str:
    """How many there are, and how many there are to be."""
    return "not told" if one.has is None else f"{one.has} of {one.wanted} wanted"
