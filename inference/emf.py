"""Counts as CloudWatch reads them: one JSON line a period in its Embedded Metric Format.

CloudWatch Logs makes metrics of such lines by itself: nothing is called and no permission is
needed. A distribution is told as values and how often each occurred, which keeps percentiles.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from inference.metrics import BOUNDS, STAGES

NAMESPACE = "SageMakerKerasKit"

# What stands for all times of a class: the middle between its bounds.
_MIDDLES = np.concatenate([BOUNDS[:1] / 2, (BOUNDS[1:] + BOUNDS[:-1]) / 2, BOUNDS[-1:]]) * 1e3

# What the rollout of a new version is judged by, so told of each fleet alone too.
_JUDGED = ("QualityRows", "MissingValues", "UnknownCategories", "OutOfRange")
_COUNTS = (
    "Requests", "Rows", "ClientErrors", "ServerErrors", "Refused",
    *_JUDGED,
)  # fmt: skip


class Periods:
    """Makes the lines of one worker.

    Args:
        endpoint, variant: names; "" where there is none.
        snapshot: what was counted before the first line (`Books.snapshot`).
        config: name of the endpoint config, "" where there is none.
        seconds: between two lines. Below 60 the metrics are of high resolution, or CloudWatch would
            gather those of a minute.
    """

    def __init__(
        self,
        endpoint: str,
        variant: str,
        snapshot: Mapping[str, Any],
        config: str = "",
        seconds: int = 60,
    ) -> None:
        self._names = {"EndpointName": endpoint, "VariantName": variant} if endpoint else {}
        self._config = {"EndpointConfigName": config} if endpoint and config else {}
        self._resolution = {"StorageResolution": 1} if seconds < 60 else {}
        self._counts = _counts(snapshot)
        self._times: npt.NDArray[np.int64] = np.array(snapshot["times"], np.int64)

    def line(self, snapshot: Mapping[str, Any], milliseconds: int) -> bytes | None:
        """What came since the last line; None when nothing did.

        Args:
            snapshot: `Books.snapshot`.
            milliseconds: since 1970.
        """
        counts, times = _counts(snapshot), np.array(snapshot["times"], np.int64)
        fresh = {name: count - self._counts[name] for name, count in counts.items()}
        classes = times - self._times
        self._counts, self._times = counts, times
        if not any(fresh.values()):
            return None
        values: dict[str, object] = dict(fresh)
        metrics: list[Mapping[str, object]] = [
            {"Name": name, "Unit": "Count", **self._resolution} for name in fresh
        ]
        for stage, row in zip(STAGES, classes, strict=True):
            name = "Latency" if stage == "total" else f"{stage.title()}Time"
            if row.any():
                values[name] = _distribution(row)
                metrics.append({"Name": name, "Unit": "Milliseconds", **self._resolution})
        dimensions = {**self._names, "ModelVersion": snapshot["version"]}
        sets: Sequence[Sequence[str]] = [list(dimensions)]
        if self._names:
            sets = [list(self._names), list(dimensions)]
        directives = [{"Namespace": NAMESPACE, "Dimensions": sets, "Metrics": metrics}]
        if self._config:
            own = [list({**self._names, **self._config})]
            judged = [metric for metric in metrics if metric["Name"] in _JUDGED]
            directives.append({"Namespace": NAMESPACE, "Dimensions": own, "Metrics": judged})
        return orjson.dumps(
            {
                "_aws": {"Timestamp": milliseconds, "CloudWatchMetrics": directives},
                **dimensions,
                **self._config,
                **values,
            }
        )


def _counts(snapshot: Mapping[str, Any]) -> dict[str, int]:
    errors, quality = snapshot["errors"], snapshot["quality"]
    client = sum(count for status, _, count in errors if status < 500)
    refused = sum(count for status, _, count in errors if status == 503)
    server = sum(count for status, _, count in errors if status >= 500) - refused
    requests = snapshot["answered"] + client + server + refused
    looked = [sum(quality[kind].values()) for kind in ("missing", "unknown", "outside")]
    numbers = (requests, snapshot["rows"], client, server, refused, quality["rows"], *looked)
    return dict(zip(_COUNTS, numbers, strict=True))


def _distribution(classes: npt.NDArray[np.int64]) -> dict[str, object]:
    """At most as many values as there are classes, 72; CloudWatch takes 100."""
    places = np.flatnonzero(classes)
    values, counts = _MIDDLES[places], classes[places]
    return {
        "Values": [round(value, 6) for value in values.tolist()],
        "Counts": counts.tolist(),
        "Min": float(values[0]),
        "Max": float(values[-1]),
        "Sum": float(values @ counts),
        "Count": int(counts.sum()),
    }
