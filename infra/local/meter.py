"""What SageMaker counts of an endpoint's requests, and what a container's log lines tell.

The metrics are those of "SageMaker AI endpoint invocation metrics" in the developer guide; each is
told of the variant, and again of the variant under one endpoint configuration, which is what an
alarm on a new fleet alone watches.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from infra.local.series import Bucket, Metric, Store

NAMESPACE = "AWS/SageMaker"
MARK = '"_aws"'


class Meter:
    """Counts requests.

    Args:
        store: where metrics are kept.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[tuple[str, str, str, str], list[Metric]] = {}

    def count(
        self,
        served: tuple[str, str, str],
        instances: int,
        status: int,
        model: float | None,
        overhead: float,
    ) -> None:
        """One request.

        Args:
            served: endpoint, variant, endpoint configuration.
            instances: how many the variant has.
            status: of the model's answer; 0 when there was none.
            model: seconds that the model took; None when it was not asked.
            overhead: seconds that the cloud took besides.
        """
        values = {
            "Invocations": (1.0, "None"),
            "Invocation4XXErrors": (float(400 <= status < 500), "None"),
            "Invocation5XXErrors": (float(status >= 500 or status == 0), "None"),
            "InvocationModelErrors": (float(not 200 <= status < 300), "None"),
            "OverheadLatency": (overhead * 1e6, "Microseconds"),
        }
        if instances:
            values["InvocationsPerInstance"] = (1 / instances, "None")
        if model is not None:
            values["ModelLatency"] = (model * 1e6, "Microseconds")
        self._store.add(
            (metric, value, unit)
            for name, (value, unit) in values.items()
            for metric in self._metrics(served, name)
        )

    def _metrics(self, served: tuple[str, str, str], name: str) -> list[Metric]:
        found = self._known.get((*served, name))
        if found is None:
            endpoint, variant, config = served
            names = {"EndpointName": endpoint, "VariantName": variant}
            found = [
                Metric.of(NAMESPACE, name, names),
                Metric.of(NAMESPACE, name, {**names, "EndpointConfigName": config}),
            ]
            self._known[(*served, name)] = found
        return found


def read_line(store: Store, line: str) -> None:
    """Take a log line's metrics, if it is one in CloudWatch's embedded metric format.

    A line that is not, or only nearly, is just a line, as in CloudWatch Logs.
    """
    if MARK not in line or not line.startswith("{"):
        return
    try:
        content = json.loads(line)
        told = list(_told(content))
        moment = float(content["_aws"]["Timestamp"]) / 1000
    except (ValueError, KeyError, TypeError, AttributeError):
        return
    for metric, bucket, unit in told:
        store.merge(metric, bucket, unit, moment)


def _told(content: Mapping[str, Any]) -> Iterator[tuple[Metric, Bucket, str]]:
    for directive in content["_aws"]["CloudWatchMetrics"]:
        for names in directive["Dimensions"]:
            dimensions = {name: str(content[name]) for name in names}
            for each in directive["Metrics"]:
                if each["Name"] in content:
                    bucket = _bucket(content[each["Name"]])
                    metric = Metric.of(directive["Namespace"], each["Name"], dimensions)
                    yield metric, bucket, each.get("Unit", "None")


def _bucket(told: Any) -> Bucket:
    """A value, a list of them, or values with how often each occurred.

    Raises:
        ValueError, TypeError, KeyError: it is none of these.
    """
    if isinstance(told, Mapping):
        values, counts = told["Values"], told["Counts"]
    else:
        values = told if isinstance(told, list) else [told]
        counts = [1] * len(values)
    bucket = Bucket()
    for value, count in zip(values, counts, strict=True):
        if not math.isfinite(value):
            raise ValueError("not a number")
        bucket.add(float(value), float(count))
    return bucket
