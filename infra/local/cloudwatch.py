"""CloudWatch: metrics told and asked for, alarms, their tags.

Moto's CloudWatch knows no percentiles and never evaluates an alarm, so it only keeps the
dashboards; everything that has to do with metrics is answered here.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from infra.local import figures, wire
from infra.local.alarms import Alarms
from infra.local.figures import dimensions
from infra.local.series import SIMPLE, Bucket, Metric
from infra.local.state import Answer, Cloud, Operation
from infra.local.wire import RefusalError

TARGET = "GraniteServiceVersion20100801."
DASHBOARDS = ("PutDashboard", "GetDashboard", "ListDashboards", "DeleteDashboards")
MOST_POINTS = 1440
PAGE = 500


class CloudWatch:
    """The service.

    Args:
        cloud: the cloud.
        alarms: its alarms.
    """

    def __init__(self, cloud: Cloud, alarms: Alarms) -> None:
        self._cloud = cloud
        self._operations: dict[str, Operation] = {
            "PutMetricData": self.put,
            "GetMetricStatistics": self.statistics,
            "GetMetricData": self.data,
            "ListMetrics": self.list,
            "TagResource": self.tag,
            "UntagResource": self.untag,
            "ListTagsForResource": self.tags,
            **alarms.operations(),
        }

    def answer(self, target: str, body: bytes) -> bytes | None:
        """The answer to a request in CloudWatch's JSON protocol; None: it is for moto.

        Raises:
            RefusalError: the request is wrong, or nobody offers what it asks for.
        """
        name = target.removeprefix(TARGET)
        if name in DASHBOARDS:
            return None
        if name not in self._operations:
            raise RefusalError(
                "InvalidAction",
                f"The local cloud does not offer CloudWatch's {name}."
                if target
                else "The local cloud's CloudWatch speaks JSON only, as boto3 does.",
            )
        model = wire.service("cloudwatch").operation_model(name)
        try:
            request = wire.read(model.input_shape, json.loads(body or b"{}"))
        except ValueError:
            raise RefusalError("SerializationException", "The request is not JSON.") from None
        except RefusalError as refusal:
            raise RefusalError("ValidationError", refusal.message) from None
        found = self._operations[name](request)
        if model.output_shape is None:
            return b"{}"
        return json.dumps(wire.render(model.output_shape, found or {})).encode()

    def put(self, request: dict[str, Any]) -> None:
        """Take in values."""
        if "EntityMetricData" in request:
            raise RefusalError(
                "ValidationError", "The local cloud does not offer EntityMetricData."
            )
        data = request.get("MetricData", [])
        if request["Namespace"].startswith("AWS/"):
            message = "The value AWS/ for parameter Namespace is invalid."
            raise RefusalError("InvalidParameterValue", message)
        read = [_datum(each, number) for number, each in enumerate(data, 1)]
        now = datetime.now(UTC).timestamp()
        for each, bucket in zip(data, read, strict=True):
            metric = Metric.of(request["Namespace"], each["MetricName"], dimensions(each))
            self._cloud.metrics.merge(
                metric, bucket, each.get("Unit", "None"), each.get("Timestamp", now)
            )

    def statistics(self, request: dict[str, Any]) -> Answer:
        """One metric's statistics, by period."""
        names = [*request.get("Statistics", []), *request.get("ExtendedStatistics", [])]
        if not names:
            raise RefusalError(
                "InvalidParameterCombination",
                "Must specify either Statistics or ExtendedStatistics",
            )
        for name in names:
            figures.check_statistic(name)
        metric = Metric.of(request["Namespace"], request["MetricName"], dimensions(request))
        found = self._periods(metric, request, request["Period"], request.get("Unit"))
        unit = request.get("Unit") or self._cloud.metrics.unit(metric)
        points = []
        for begin, bucket in found:
            values = {name: bucket.statistic(name) for name in names}
            extended = {name: values[name] for name in request.get("ExtendedStatistics", [])}
            told: dict[str, Any] = {name: value for name, value in values.items() if name in SIMPLE}
            if extended:
                told["ExtendedStatistics"] = {
                    name: value for name, value in extended.items() if value is not None
                }
            points.append({"Timestamp": _time(begin), "Unit": unit, **told})
        return {"Label": request["MetricName"], "Datapoints": points}

    def data(self, request: dict[str, Any]) -> Answer:
        """Several metrics' statistics."""
        for name in ("NextToken", "MaxDatapoints", "LabelOptions"):
            if name in request:
                raise RefusalError("ValidationError", f"The local cloud does not offer {name}.")
        queries = request["MetricDataQueries"]
        figures.check(queries)
        start, end = _span(request)
        found = figures.compute(self._cloud.metrics, queries, start, end)
        newest_first = request.get("ScanBy", "TimestampDescending") == "TimestampDescending"
        results = []
        for query in queries:
            pairs = sorted(found[query["Id"]].items(), reverse=newest_first)
            name = query.get("MetricStat", {}).get("Metric", {}).get("MetricName", query["Id"])
            if query.get("ReturnData", True):
                results.append(
                    {
                        "Id": query["Id"],
                        "Label": query.get("Label", name),
                        "Timestamps": [_time(begin) for begin, _ in pairs],
                        "Values": [value for _, value in pairs],
                        "StatusCode": "Complete",
                    }
                )
        return {"MetricDataResults": results, "Messages": []}

    def _periods(
        self, metric: Metric, request: Mapping[str, Any], period: int, unit: str | None
    ) -> list[tuple[int, Bucket]]:
        if period not in (1, 5, 10, 20, 30) and period % 60:
            message = f"The parameter Period must be 1, 5, 10, 20, 30 or a multiple of 60: {period}"
            raise RefusalError("InvalidParameterValue", message)
        start, end = _span(request)
        found = self._cloud.metrics.periods(metric, start - start % period, end, period, unit)
        if len(found) > MOST_POINTS:
            raise RefusalError(
                "InvalidParameterCombination",
                f"You have requested up to {len(found)} datapoints, which exceeds the limit of "
                f"{MOST_POINTS}.",
            )
        return found

    def list(self, request: dict[str, Any]) -> Answer:
        """Which metrics there are, a page of them."""
        for name in ("RecentlyActive", "IncludeLinkedAccounts", "OwningAccount"):
            if name in request:
                raise RefusalError("ValidationError", f"The local cloud does not offer {name}.")
        wanted = [(each["Name"], each.get("Value")) for each in request.get("Dimensions", [])]
        found = [
            each
            for each in self._cloud.metrics.metrics()
            if request.get("Namespace", each.namespace) == each.namespace
            and request.get("MetricName", each.name) == each.name
            and all(
                any(name == one and value in (None, other) for one, other in each.dimensions)
                for name, value in wanted
            )
        ]
        start = int(request.get("NextToken", "0"))
        token = str(start + PAGE) if len(found) > start + PAGE else None
        described = [
            {
                "Namespace": each.namespace,
                "MetricName": each.name,
                "Dimensions": [
                    {"Name": name, "Value": value} for name, value in sorted(each.dimensions)
                ],
            }
            for each in found[start : start + PAGE]
        ]
        return {"Metrics": described, "NextToken": token}

    def tag(self, request: dict[str, Any]) -> None:
        """Set tags of an alarm."""
        own = self._tags(request["ResourceARN"])
        own.update({each["Key"]: each["Value"] for each in request["Tags"]})

    def untag(self, request: dict[str, Any]) -> None:
        """Remove tags of an alarm."""
        own = self._tags(request["ResourceARN"])
        for key in request["TagKeys"]:
            own.pop(key, None)

    def tags(self, request: dict[str, Any]) -> Answer:
        """The tags of an alarm."""
        own = self._tags(request["ResourceARN"])
        return {"Tags": [{"Key": key, "Value": value} for key, value in own.items()]}

    def _tags(self, resource: str) -> dict[str, str]:
        found = self._cloud.tags.get(resource)
        if found is None:
            raise RefusalError("ResourceNotFoundException", "Unknown", 404)
        return found


def _time(second: int) -> datetime:
    return datetime.fromtimestamp(second, UTC)


def _span(request: Mapping[str, Any]) -> tuple[int, int]:
    """StartTime and EndTime as whole seconds."""
    start, end = request["StartTime"], request["EndTime"]
    if start >= end:
        raise RefusalError(
            "InvalidParameterValue",
            "The parameter StartTime must be less than the parameter EndTime.",
        )
    return int(start), math.ceil(end)


def _datum(each: Mapping[str, Any], number: int) -> Bucket:
    """What one MetricDatum tells.

    Raises:
        RefusalError: it tells nothing, or two things.
    """
    kinds = [name for name in ("Value", "Values", "StatisticValues") if name in each]
    if len(kinds) != 1:
        raise RefusalError(
            "InvalidParameterCombination",
            f"Exactly one of Value, Values and StatisticValues must be specified for "
            f"MetricData.member.{number}.",
        )
    if "StatisticValues" in each:
        told = each["StatisticValues"]
        names = ("SampleCount", "Sum", "Minimum", "Maximum")
        count, total, low, high = (float(told[name]) for name in names)
        return Bucket(count, total, low, high, None)
    values = each.get("Values", [each.get("Value")])
    counts = each.get("Counts", [1.0] * len(values))
    if len(counts) != len(values):
        raise RefusalError(
            "InvalidParameterValue",
            f"The parameters MetricData.member.{number}.Values and MetricData.member.{number}."
            "Counts must be of the same size.",
        )
    bucket = Bucket()
    for value, count in zip(values, counts, strict=True):
        bucket.add(float(value), float(count))
    return bucket
