"""A training job's metrics, found in its log lines by the regular expressions it was given."""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from infra.local.state import log_exception, now
from infra.local.wire import invalid

NAMESPACE = "/aws/sagemaker/TrainingJobs"
BATCH = 500


class JobMetrics:
    """Reads lines, remembers each metric's values, sends every value to CloudWatch.

    Args:
        definitions: SageMaker's MetricDefinitions (Name, Regex; the first group is the number).
        job: the dimension TrainingJobName.
    """

    def __init__(self, definitions: Sequence[Mapping[str, str]], job: str) -> None:
        self._patterns = [(each["Name"], compiled(each)) for each in definitions]
        self._job = job
        self._lock = threading.Lock()
        self._last: dict[str, tuple[float, datetime]] = {}
        self._values: dict[str, list[float]] = {}
        self._unsent: list[dict[str, Any]] = []

    def read(self, line: str) -> None:
        """Take in one log line."""
        for name, pattern in self._patterns:
            match = pattern.search(line)
            if not match or not match.groups():
                continue
            try:
                value = float(match[1])
            except (TypeError, ValueError):
                continue
            if math.isfinite(value):
                self._add(name, value)

    def _add(self, name: str, value: float) -> None:
        moment = now()
        with self._lock:
            self._last[name] = (value, moment)
            self._values.setdefault(name, []).append(value)
            self._unsent.append(
                {
                    "MetricName": name,
                    "Dimensions": [{"Name": "TrainingJobName", "Value": self._job}],
                    "Timestamp": moment,
                    "Value": value,
                }
            )

    def final(self) -> list[dict[str, Any]]:
        """SageMaker's FinalMetricDataList so far."""
        with self._lock:
            return [
                {"MetricName": name, "Value": value, "Timestamp": moment}
                for name, (value, moment) in self._last.items()
            ]

    def values(self, name: str) -> list[float]:
        """Every value of a metric so far, in the order of the log."""
        with self._lock:
            return list(self._values.get(name, []))

    def send(self, cloudwatch: Any) -> None:
        """Pass on what was found since the last time."""
        with self._lock:
            values, self._unsent = self._unsent, []
        for start in range(0, len(values), BATCH):
            batch = values[start : start + BATCH]
            try:
                cloudwatch.put_metric_data(Namespace=NAMESPACE, MetricData=batch)
            except Exception:  # a figure for a graph must not end a job
                log_exception()


def compiled(definition: Mapping[str, str]) -> re.Pattern[str]:
    """A definition's expression.

    Raises:
        RefusalError: it is not a regular expression.
    """
    try:
        return re.compile(definition["Regex"])
    except re.error as error:
        raise invalid(
            f"Invalid regex for metric definition {definition['Name']}: {error}"
        ) from None
