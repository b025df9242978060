from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any, cast

import pytest

from infra.local.alarms import Alarms
from infra.local.cloudwatch import TARGET, CloudWatch
from infra.local.series import Metric, Store
from infra.local.state import Cloud
from infra.local.wire import RefusalError

NAMES = {"EndpointName": "e", "VariantName": "v", "EndpointConfigName": "new"}
DIMENSIONS = [{"Name": name, "Value": value} for name, value in NAMES.items()]
ALARM = {
    "AlarmName": "errors",
    "Namespace": "AWS/SageMaker",
    "MetricName": "Invocation5XXErrors",
    "Dimensions": DIMENSIONS,
    "Statistic": "Average",
    "Period": 10,
    "EvaluationPeriods": 1,
    "Threshold": 0.05,
    "ComparisonOperator": "GreaterThanThreshold",
    "TreatMissingData": "notBreaching",
}


class Desk:
    """A CloudWatch with a clock that the test moves."""

    def __init__(self) -> None:
        self.time = 1000.0
        self.published: list[dict[str, Any]] = []
        sns = SimpleNamespace(publish=lambda **message: self.published.append(message))
        self.store = Store()
        cloud = SimpleNamespace(metrics=self.store, tags={}, client=lambda _: sns)
        self.alarms = Alarms(cast(Cloud, cloud), lambda: self.time)
        self._cloudwatch = CloudWatch(cast(Cloud, cloud), self.alarms)

    def call(self, operation: str, **request: Any) -> Any:
        answer = self._cloudwatch.answer(TARGET + operation, json.dumps(request).encode())
        return json.loads(answer or b"null")

    def told(self, value: float, name: str = "Invocation5XXErrors") -> None:
        metric = Metric.of("AWS/SageMaker", name, NAMES)
        self.store.add([(metric, value, "None")], self.time)

    def state(self) -> str:
        found = self.call("DescribeAlarms", AlarmNames=["errors"])["MetricAlarms"]
        return str(found[0]["StateValue"])

    def pass_by(self, seconds: float) -> None:
        self.time += seconds
        self.alarms.judge()


def test_an_alarm_begins_without_data_sounds_when_a_period_is_bad_and_is_quiet_again() -> None:
    desk = Desk()
    desk.call("PutMetricAlarm", **ALARM)
    assert desk.state() == "INSUFFICIENT_DATA"
    desk.pass_by(0)
    assert desk.state() == "OK"
    desk.told(1.0)
    desk.told(0.0)
    desk.pass_by(5)
    assert desk.state() == "OK", "the period has not ended"
    desk.pass_by(5)
    assert desk.state() == "ALARM"
    [described] = desk.call("DescribeAlarms", StateValue="ALARM")["MetricAlarms"]
    assert (
        "[0.5 (01/01/70 00:16:40)] was greater than the threshold (0.05)"
        in (described["StateReason"])
    )
    assert [each.name for each in desk.alarms.sounding(["errors"], since=0)] == ["errors"]
    for _ in range(3):
        desk.pass_by(10)
    assert desk.state() == "OK"
    assert desk.alarms.sounding(["errors"], since=1035) == []
    assert desk.alarms.sounding(["errors"], since=1005) != []


def test_an_alarm_on_a_percentile_is_judged_by_it() -> None:
    desk = Desk()
    changes = {"ExtendedStatistic": "p90", "MetricName": "ModelLatency", "Threshold": 1000}
    slow = {name: value for name, value in ALARM.items() if name != "Statistic"} | changes
    desk.call("PutMetricAlarm", **slow)
    for latency in [500] * 8 + [5000] * 2:
        desk.told(latency, "ModelLatency")
    desk.pass_by(10)
    assert desk.state() == "ALARM"
    desk.call("PutMetricAlarm", **slow, EvaluateLowSampleCountPercentile="ignore")
    desk.pass_by(10)
    desk.pass_by(10)
    assert desk.state() == "ALARM", "fewer than a hundred values decide nothing"


def test_a_state_that_was_set_lasts_until_the_next_judgement() -> None:
    desk = Desk()
    desk.call("PutMetricAlarm", **ALARM, AlarmActions=["arn:aws:sns:us-east-1:123456789012:t"])
    desk.pass_by(0)
    desk.call("SetAlarmState", AlarmName="errors", StateValue="ALARM", StateReason="a test")
    assert desk.state() == "ALARM"
    assert json.loads(desk.published[0]["Message"])["NewStateReason"] == "a test"
    desk.pass_by(9)
    assert desk.state() == "ALARM"
    desk.pass_by(1)
    assert desk.state() == "OK"
    assert len(desk.published) == 1


def test_an_alarm_that_is_put_again_keeps_its_state() -> None:
    desk = Desk()
    desk.call("PutMetricAlarm", **ALARM)
    desk.pass_by(0)
    desk.call("PutMetricAlarm", **{**ALARM, "Threshold": 7})
    [described] = desk.call("DescribeAlarms")["MetricAlarms"]
    assert (described["StateValue"], described["Threshold"]) == ("OK", 7)
    desk.call("DeleteAlarms", AlarmNames=["errors"])
    assert desk.call("DescribeAlarms")["MetricAlarms"] == []


def test_alarms_are_found_by_name_prefix_metric_and_page() -> None:
    desk = Desk()
    for name in ("b", "a1", "a2"):
        desk.call("PutMetricAlarm", **{**ALARM, "AlarmName": name})
    names = [
        [each["AlarmName"] for each in desk.call("DescribeAlarms", **request)["MetricAlarms"]]
        for request in (
            {"AlarmNamePrefix": "a"},
            {"MaxRecords": 1},
            {"MaxRecords": 2, "NextToken": "a1"},
        )
    ]
    assert names == [["a1", "a2"], ["a1"], ["a2", "b"]]
    asked = {"Namespace": "AWS/SageMaker", "MetricName": "Invocation5XXErrors"}
    assert (
        len(desk.call("DescribeAlarmsForMetric", **asked, Dimensions=DIMENSIONS)["MetricAlarms"])
        == 3
    )
    assert desk.call("DescribeAlarmsForMetric", **asked)["MetricAlarms"] == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"Period": 15}, "Period 15 must be 10, 20, 30 or a multiple of 60"),
        ({"Period": 60, "EvaluationPeriods": 1441}, "more than a day"),
        ({"DatapointsToAlarm": 2}, "DatapointsToAlarm must not be greater"),
        ({"ExtendedStatistic": "p99"}, "Exactly one of Statistic and ExtendedStatistic"),
        ({"Statistic": "Median"}, "failed to satisfy constraint"),
        ({"TreatMissingData": "bad"}, "Option bad is not supported"),
        ({"ComparisonOperator": "GreaterThanUpperThreshold"}, "does not offer"),
        ({"Metrics": [{"Id": "a", "Expression": "1"}]}, "MetricName cannot be specified together"),
        ({"AlarmActions": ["arn:aws:lambda:us-east-1:123456789012:function:f"]}, "the action"),
        ({"Threshold": None}, "Threshold is required"),
        ({"EvaluationPeriods": None}, "EvaluationPeriods is required"),
    ],
)
def test_a_wrong_alarm_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(RefusalError, match=words) as error:
        Desk().call("PutMetricAlarm", **{**ALARM, **changes})
    assert error.value.code == "ValidationError"


def test_statistics_and_percentiles_are_answered() -> None:
    desk = Desk()
    for value in range(1, 101):
        desk.told(float(value))
    asked = {"Namespace": "AWS/SageMaker", "MetricName": "Invocation5XXErrors", "Period": 60}
    when = {"StartTime": 900, "EndTime": 1100}
    [point] = desk.call(
        "GetMetricStatistics", **asked, **when, Dimensions=DIMENSIONS,
        Statistics=["Sum"], ExtendedStatistics=["p99", "p50"],
    )["Datapoints"]  # fmt: skip
    assert (point["Timestamp"], point["Sum"]) == (960, 5050)
    assert point["ExtendedStatistics"] == {"p99": 99, "p50": 50}
    named = {"Namespace": "AWS/SageMaker", "MetricName": "Invocation5XXErrors"}
    stat = {"Metric": {**named, "Dimensions": DIMENSIONS}, "Period": 10, "Stat": "p99"}
    queries = [{"Id": "q", "MetricStat": stat}]
    [result] = desk.call("GetMetricData", **when, MetricDataQueries=queries)["MetricDataResults"]
    assert (result["Values"], result["Timestamps"]) == ([99], [1000])
    [metric] = desk.call("ListMetrics", Dimensions=DIMENSIONS[:1])["Metrics"]
    assert sorted(metric["Dimensions"], key=str) == sorted(DIMENSIONS, key=str)


def test_what_clients_tell_is_kept() -> None:
    desk = Desk()
    summary = {"SampleCount": 2, "Sum": 6, "Minimum": 1, "Maximum": 5}
    data = [
        {"MetricName": "m", "Value": 1, "Timestamp": 1000},
        {"MetricName": "m", "Values": [2, 3], "Counts": [1, 2], "Timestamp": 1001, "Unit": "Count"},
        {"MetricName": "n", "StatisticValues": summary, "Timestamp": 1000},
    ]
    desk.call("PutMetricData", Namespace="own", MetricData=data)
    m, n = (desk.store.periods(Metric.of("own", name, {}), 0, 2000, 60) for name in "mn")
    assert (m[0][1].total, m[0][1].count, n[0][1].total, n[0][1].count) == (9, 4, 6, 2)
    for wrong in ({"MetricName": "m"}, {"MetricName": "m", "Value": 1, "Values": [1]}):
        with pytest.raises(RefusalError, match="Exactly one of Value"):
            desk.call("PutMetricData", Namespace="own", MetricData=[wrong])
    with pytest.raises(RefusalError, match="Namespace is invalid"):
        desk.call("PutMetricData", Namespace="AWS/SageMaker", MetricData=data)


def query(name: str, metric: str, *, period: int = 10) -> dict[str, Any]:
    named = {"Namespace": "AWS/SageMaker", "MetricName": metric, "Dimensions": DIMENSIONS}
    stat = {"Metric": named, "Period": period, "Stat": "Sum"}
    return {"Id": name, "MetricStat": stat, "ReturnData": False}


def computed(text: str, *queries: dict[str, Any], **more: Any) -> dict[str, Any]:
    without = ("Namespace", "MetricName", "Dimensions", "Statistic", "Period")
    return {
        **{name: value for name, value in ALARM.items() if name not in without},
        "Metrics": [*queries, {"Id": "e", "Expression": text, **more}],
    }


BOTH = (query("n1", "Invocation5XXErrors"), query("n0", "Invocations"))


def test_an_alarm_on_a_computed_figure() -> None:
    desk = Desk()
    desk.call("PutMetricAlarm", **computed("-(0 - n1) / (n0 + 2^3) * 100 - 1", *BOTH))
    desk.told(1.0)
    desk.pass_by(10)
    assert desk.state() == "OK", "there is no value where one of the metrics has none"
    desk.told(1.0)
    desk.told(2.0, "Invocations")
    desk.pass_by(10)
    assert desk.state() == "ALARM"
    [described] = desk.call("DescribeAlarms")["MetricAlarms"]
    assert (
        "[9.0 (01/01/70 00:16:50)] was greater than the threshold (0.05)"
        in (described["StateReason"])
    )
    assert [each["Id"] for each in described["Metrics"]] == ["n1", "n0", "e"]


def test_a_division_by_zero_is_no_value() -> None:
    desk = Desk()
    desk.call("PutMetricAlarm", **computed("n1 / n0", *BOTH))
    desk.told(1.0)
    desk.told(0.0, "Invocations")
    desk.pass_by(10)
    assert desk.state() == "OK"


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (computed("n1 / x", *BOTH), "unknown id, or a circle"),
        (computed("e + n1", *BOTH), "unknown id, or a circle"),
        (computed("SUM(METRICS())", *BOTH), "does not offer this in an expression: Call"),
        (computed("n1 > n0", *BOTH), "does not offer this in an expression: Compare"),
        (computed("n1 +", *BOTH), "cannot read"),
        (computed("n1.real", *BOTH), "Attribute"),
        (computed("n1", *BOTH, ReturnData=False), "Exactly one element of the metrics list"),
        (computed("n1 + n2", BOTH[0], query("n2", "Invocations", period=60)), "same period"),
        (computed("n1", BOTH[0], BOTH[0]), "used more than once"),
    ],
)
def test_an_expression_that_is_not_offered_is_refused(request_: dict[str, Any], words: str) -> None:
    with pytest.raises(RefusalError, match=words.replace("(", r"\(")):
        Desk().call("PutMetricAlarm", **request_)
