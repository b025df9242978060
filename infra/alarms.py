"""The CloudWatch alarms at which SageMaker takes a new version back: ours, on the new fleet alone.

Each carries the dimension EndpointConfigName, so that the old fleet's errors are not laid at the
new one's door; names carry the config and a digest of the rest. Here: what an alarm looks at, pure.
Not here: which calls are needed (endpoint_steps.py).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from infra.package import digest_of
from infra.requests import Request, Tags, tagged
from infra.rollout import Thresholds

# What the container writes, see docs/operating.md; SageMaker's own is AWS/SageMaker.
NAMESPACE = "SageMakerKerasKit"
KINDS = ("errors", "latency", "unusual")
_UNUSUAL = ("MissingValues", "UnknownCategories", "OutOfRange")
# Unusual values a row of the new fleet, less those of the old one; as if this many rows like the
# old one's had come on top, so that a handful of rows proves nothing.
_CALM_ROWS = 50
_MORE = f"(n1 + n2 + n3 - n0 * (o1 + o2 + o3) / o0) / (n0 + {_CALM_ROWS})"
_MICROSECONDS = 1_000_000


@dataclass(frozen=True)
class Fleet:
    """Whose figures an alarm looks at."""

    endpoint: str
    variant: str
    config: str

    @property
    def dimensions(self) -> list[dict[str, str]]:
        """The dimensions of its metrics."""
        return [
            {"Name": "EndpointName", "Value": self.endpoint},
            {"Name": "VariantName", "Value": self.variant},
            {"Name": "EndpointConfigName", "Value": self.config},
        ]


@dataclass(frozen=True)
class Alarm:
    """One alarm.

    Attributes:
        name: carries the config's name, what it looks at and a digest of how.
        why: it goes off, in words.
        watches: what is measured and compared, as PutMetricAlarm takes it.
    """

    name: str
    why: str
    watches: Request
    tags: Tags = ()

    def request(self) -> Request:
        """Parameters of PutMetricAlarm."""
        return {
            "AlarmName": self.name,
            "AlarmDescription": self.why,
            **self.watches,
            **tagged(self.tags),
        }


def alarms(new: Fleet, old: Fleet, thresholds: Thresholds, tags: Tags = ()) -> tuple[Alarm, ...]:
    """The default alarms on the new fleet of an endpoint.

    Args:
        new: the fleet that is judged.
        old: the one that serves the same traffic meanwhile.
        thresholds: when the new one counts as broken.
        tags: of each alarm.
    """
    period = thresholds.period
    own = {"Dimensions": new.dimensions, "Namespace": "AWS/SageMaker", "Period": period}
    values = "missing, of unknown categories or out of range"
    watched: list[tuple[str, str, Request]] = [
        (
            "errors",
            f"More than {thresholds.errors:.2%} of the requests to {new.config} failed (5xx)",
            # 1 for a request that failed and 0 for the others, so that the average is a share.
            {
                **own,
                "MetricName": "Invocation5XXErrors",
                "Statistic": "Average",
                "Threshold": thresholds.errors,
            },
        ),
        (
            "latency",
            f"{new.config} takes more than {thresholds.latency:g} s for 1 of 100 requests",
            {
                **own,
                "MetricName": "ModelLatency",
                "ExtendedStatistic": "p99",
                "Threshold": thresholds.latency * _MICROSECONDS,
            },
        ),
        (
            "unusual",
            f"In the rows of {new.config}, more than {thresholds.unusual:g} values a row are "
            f"{values} beyond those in the rows of {old.config}",
            {
                "Metrics": [
                    *_unusual("n", new, period),
                    *_unusual("o", old, period),
                    {
                        "Id": "more",
                        "Label": f"values a row that are {values}, new less old",
                        "Expression": _MORE,
                        "ReturnData": True,
                    },
                ],
                "Threshold": thresholds.unusual,
            },
        ),
    ]
    common: Request = {
        "ComparisonOperator": "GreaterThanThreshold",
        "EvaluationPeriods": 1,
        "DatapointsToAlarm": 1,
        # A fleet that nobody asks is not broken.
        "TreatMissingData": "notBreaching",
    }
    return tuple(
        Alarm(_name(new.config, kind, {**common, **watches}), why, {**common, **watches}, tags)
        for kind, why, watches in watched
    )


def is_alarm_of(project: str, name: str) -> bool:
    """Whether an alarm of that name was made for the project."""
    pattern = rf"{re.escape(project)}-[0-9a-f]{{12}}-({'|'.join(KINDS)})-[0-9a-f]{{6}}"
    return re.fullmatch(pattern, name) is not None


def judges(name: str, config: str) -> bool:
    """Whether an alarm of ours looks at the fleet of that config."""
    return name.startswith(f"{config}-")


def _name(config: str, kind: str, watches: Request) -> str:
    digest = digest_of(json.dumps(watches, sort_keys=True).encode())
    return f"{config}-{kind}-{digest[:6]}"


def _unusual(letter: str, fleet: Fleet, period: int) -> list[Request]:
    """Rows that were looked at, and their unusual values, as numbered figures of an expression."""
    return [
        {
            "Id": f"{letter}{number}",
            "MetricStat": {
                "Metric": {
                    "Namespace": NAMESPACE,
                    "MetricName": metric,
                    "Dimensions": fleet.dimensions,
                },
                "Period": period,
                "Stat": "Sum",
            },
            "ReturnData": False,
        }
        for number, metric in enumerate(("QualityRows", *_UNUSUAL))
    ]
