"""CloudWatch through boto3: what is answered here, and what moto keeps."""

from __future__ import annotations

import http.client
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import ClientError

from tests.support.local_cloud import Bench

pytestmark = pytest.mark.slow


@pytest.fixture
def cloudwatch(bench: Bench) -> Any:
    return bench.cloud.session().client("cloudwatch")


def test_what_is_told_is_answered_with_percentiles(bench: Bench, cloudwatch: Any) -> None:
    name = bench.name("metric")
    values = [float(each) for each in range(150)]
    data = [{"MetricName": name, "Values": values, "Unit": "Count"} for _ in range(30)]
    cloudwatch.put_metric_data(Namespace="Tests", MetricData=data)  # boto3 compresses this much
    now = datetime.now(UTC)
    answer = cloudwatch.get_metric_statistics(
        Namespace="Tests",
        MetricName=name,
        StartTime=now - timedelta(minutes=5),
        EndTime=now + timedelta(minutes=1),
        Period=600,
        Statistics=["SampleCount"],
        ExtendedStatistics=["p99"],
    )
    found = [(each["SampleCount"], each["ExtendedStatistics"]) for each in answer["Datapoints"]]
    assert found == [(4500, {"p99": 148})]
    [metric] = cloudwatch.list_metrics(Namespace="Tests", MetricName=name)["Metrics"]
    assert metric["Dimensions"] == []


def test_alarms_and_their_errors_are_boto3s(bench: Bench, cloudwatch: Any) -> None:
    name = bench.name("alarm")
    cloudwatch.put_metric_alarm(
        AlarmName=name,
        Namespace="Tests",
        MetricName="m",
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=1,
        ComparisonOperator="GreaterThanThreshold",
        Tags=[{"Key": "a", "Value": "b"}],
    )
    [alarm] = cloudwatch.describe_alarms(AlarmNames=[name])["MetricAlarms"]
    assert alarm["StateValue"] == "INSUFFICIENT_DATA"
    tags = cloudwatch.list_tags_for_resource(ResourceARN=alarm["AlarmArn"])["Tags"]
    assert tags == [{"Key": "a", "Value": "b"}]
    cloudwatch.delete_alarms(AlarmNames=[name])
    with pytest.raises(cloudwatch.exceptions.ResourceNotFound):
        cloudwatch.set_alarm_state(AlarmName=name, StateValue="OK", StateReason="x")
    with pytest.raises(ClientError, match="does not offer CloudWatch's PutCompositeAlarm"):
        cloudwatch.put_composite_alarm(AlarmName="x", AlarmRule="ALARM(y)")


def test_dashboards_are_motos_and_other_protocols_are_refused(
    bench: Bench, cloudwatch: Any
) -> None:
    cloudwatch.put_dashboard(DashboardName="d", DashboardBody="{}")
    assert cloudwatch.get_dashboard(DashboardName="d")["DashboardBody"] == "{}"
    scope = f"{bench.cloud.access_key}/20260101/us-east-1/monitoring/aws4_request"
    headers = {
        "Authorization": f"AWS4-HMAC-SHA256 Credential={scope}, Signature=x",
        "Content-Type": "application/x-www-form-urlencoded",
    }
    connection = http.client.HTTPConnection(urlsplit(bench.cloud.url).netloc, timeout=30)
    connection.request("POST", "/", b"Action=DescribeAlarms&Version=2010-08-01", headers)
    answer = connection.getresponse()
    assert answer.status == 400
    assert b"speaks JSON only" in answer.read()
    connection.close()
