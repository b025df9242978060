from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.support.local_cloud import Bench, until

pytestmark = pytest.mark.slow


class Load:
    """Requests, one after the other, and what became of them."""

    def __init__(self) -> None:
        self.answers: Counter[str] = Counter()
        self.failures: list[Exception] = []
        self.count = 0

    def go_on(self, more: int) -> None:
        """Wait for so many more answers."""
        count = self.count
        until(lambda: self.count, lambda now: now >= count + more)


@contextmanager
def load(bench: Bench, name: str) -> Iterator[Load]:
    found, enough = Load(), threading.Event()

    def ask() -> None:
        client = bench.cloud.session().client("sagemaker-runtime")
        while not enough.is_set():
            try:
                answer = client.invoke_endpoint(EndpointName=name, Body=b"who")["Body"].read()
                found.answers[answer.decode()] += 1
            except client.exceptions.ModelError as error:
                found.answers[error.response["OriginalMessage"]] += 1
            except Exception as error:
                found.failures.append(error)
            found.count += 1

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        found.go_on(3)
        yield found
    finally:
        enough.set()
        thread.join()


def canary(percent: int, wait: int, *alarms: str, **policy: Any) -> dict[str, Any]:
    routing = {
        "Type": "CANARY",
        "CanarySize": {"Type": "CAPACITY_PERCENT", "Value": percent},
        "WaitIntervalInSeconds": wait,
    }
    config: dict[str, Any] = {
        "BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": routing, **policy}
    }
    if alarms:
        config["AutoRollbackConfiguration"] = {"Alarms": [{"AlarmName": each} for each in alarms]}
    return config


def baking(bench: Bench, name: str) -> dict[str, Any]:
    """The endpoint when its new fleet has traffic."""
    return until(
        lambda: bench.sagemaker.describe_endpoint(EndpointName=name),
        lambda found: stage(found) == "Baking",
    )


def stage(found: dict[str, Any]) -> str | None:
    pending = found.get("PendingDeploymentSummary")
    statuses = pending["ProductionVariants"][0].get("VariantStatus") if pending else None
    return str(statuses[0]["Status"]) if statuses else None


def settled(bench: Bench, name: str) -> dict[str, Any]:
    return until(
        lambda: bench.sagemaker.describe_endpoint(EndpointName=name),
        lambda found: found["EndpointStatus"] not in ("Updating", "RollingBack"),
    )


def names(endpoint: str, config: str) -> list[dict[str, str]]:
    given = {"EndpointName": endpoint, "VariantName": "AllTraffic", "EndpointConfigName": config}
    return [{"Name": name, "Value": value} for name, value in given.items()]


def test_a_broken_version_is_caught_by_its_alarm_while_a_load_runs(bench: Bench) -> None:
    name = bench.deploy({"NAME": "good"})
    before = bench.sagemaker.describe_endpoint(EndpointName=name)["EndpointConfigName"]
    config = bench.config(bench.variant(bench.model({"NAME": "broken", "FAULTY": "1"})))
    cloudwatch = bench.cloud.session().client("cloudwatch")
    alarm = bench.name("alarm")
    cloudwatch.put_metric_alarm(
        AlarmName=alarm,
        Namespace="AWS/SageMaker",
        MetricName="Invocation5XXErrors",
        Dimensions=names(name, config),
        Statistic="Average",
        Period=10,
        EvaluationPeriods=1,
        Threshold=0.05,
        ComparisonOperator="GreaterThanThreshold",
        TreatMissingData="notBreaching",
    )
    begun = datetime.now(UTC)
    with load(bench, name) as found:
        bench.sagemaker.update_endpoint(
            EndpointName=name, EndpointConfigName=config, DeploymentConfig=canary(20, 60, alarm)
        )
        baked = baking(bench, name)
        for operation in (
            lambda: bench.sagemaker.delete_endpoint(EndpointName=name),
            lambda: bench.sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=config),
        ):
            with pytest.raises(ClientError, match="Cannot update in-progress endpoint"):
                operation()
        after = settled(bench, name)
        [described] = cloudwatch.describe_alarms(AlarmNames=[alarm])["MetricAlarms"]
        found.go_on(2)
        broken = found.answers["broken"]
        found.go_on(20)
    assert baked["EndpointStatus"] == "Updating"
    assert baked["EndpointConfigName"] == before
    assert baked["PendingDeploymentSummary"]["EndpointConfigName"] == config
    assert (after["EndpointStatus"], after["EndpointConfigName"]) == ("InService", before)
    assert f"went into ALARM: {alarm}" in after["FailureReason"]
    assert after["LastDeploymentConfig"] == canary(20, 60, alarm)
    assert "was greater than the threshold (0.05)" in described["StateReason"]
    assert found.failures == []
    assert found.answers["broken"] == broken, "nothing reached the broken fleet any more"
    assert 0 < broken <= found.answers["good"]
    statistics = cloudwatch.get_metric_statistics(
        Namespace="AWS/SageMaker",
        MetricName="Invocations",
        Dimensions=names(name, config),
        StartTime=begun - timedelta(minutes=1),
        EndTime=begun + timedelta(minutes=5),
        Period=60,
        Statistics=["Sum"],
    )
    assert sum(each["Sum"] for each in statistics["Datapoints"]) == broken
    bench.delete(name)


def test_a_new_fleet_that_is_killed_while_it_bakes_costs_no_request_and_comes_back(
    bench: Bench,
) -> None:
    name = bench.deploy({"NAME": "old"})
    config = bench.config(bench.variant(bench.model({"NAME": "new"})))
    with load(bench, name) as found:
        bench.sagemaker.update_endpoint(
            EndpointName=name, EndpointConfigName=config, DeploymentConfig=canary(50, 3)
        )
        baking(bench, name)
        # The clients' requests take turns, too: which one is ours cannot be known.
        new = until(
            lambda: bench.about(name), lambda about: about["environment"].get("NAME") == "new"
        )
        os.kill(new["pid"], signal.SIGKILL)
        after = settled(bench, name)
    assert after["EndpointConfigName"] == config
    assert found.failures == []
    lost = [each for each in found.answers if each not in ("old", "new")]
    assert sum(found.answers[each] for each in lost) <= 1, "only what the killed server had begun"
    assert bench.invoke(name, b"who") == b"new"
    bench.delete(name)


def test_an_alarm_that_is_set_off_by_hand_rolls_back_a_rolling_update(bench: Bench) -> None:
    model = bench.model({"NAME": "old"})
    name = bench.endpoint(bench.config(bench.variant(model, InitialInstanceCount=2)))
    new = bench.model({"NAME": "new"})
    config = bench.config(bench.variant(new, InitialInstanceCount=2))
    cloudwatch = bench.cloud.session().client("cloudwatch")
    alarm = bench.name("alarm")
    cloudwatch.put_metric_alarm(
        AlarmName=alarm,
        Namespace="Kit",
        MetricName="OutOfRange",
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=1,
        ComparisonOperator="GreaterThanThreshold",
    )
    batch = {"Type": "INSTANCE_COUNT", "Value": 1}
    policy = {"MaximumBatchSize": batch, "WaitIntervalInSeconds": 60}
    rolling = {
        "RollingUpdatePolicy": policy,
        "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": alarm}]},
    }
    with load(bench, name) as found:
        bench.sagemaker.update_endpoint(
            EndpointName=name, EndpointConfigName=config, DeploymentConfig=rolling
        )
        baking(bench, name)
        share = Counter(bench.invoke(name, b"who").decode() for _ in range(30))
        cloudwatch.set_alarm_state(AlarmName=alarm, StateValue="ALARM", StateReason="by hand")
        after = settled(bench, name)
        assert after["FailureReason"].endswith(f"{alarm}.")
        policy["WaitIntervalInSeconds"] = 0
        del rolling["AutoRollbackConfiguration"]
        bench.sagemaker.update_endpoint(
            EndpointName=name, EndpointConfigName=config, DeploymentConfig=rolling
        )
        done = settled(bench, name)
    assert set(share) == {"old", "new"}
    assert done["EndpointConfigName"] == config
    assert done["ProductionVariants"][0]["CurrentInstanceCount"] == 2
    assert found.failures == []
    assert set(found.answers) == {"old", "new"}
    bench.delete(name)


def test_a_shadow_gets_copies_and_neither_its_errors_nor_its_slowness_reach_the_caller(
    bench: Bench,
) -> None:
    config = bench.name("config")
    shadow = bench.model({"NAME": "shadow", "FAULTY": "1"})
    bench.sagemaker.create_endpoint_config(
        EndpointConfigName=config,
        ProductionVariants=[bench.variant(bench.model({"NAME": "live"}))],
        ShadowProductionVariants=[
            bench.variant(shadow, VariantName="Shadow", InitialVariantWeight=0.5)
        ],
    )
    name = bench.endpoint(config)
    assert [bench.invoke(name, b"who") for _ in range(20)] == [b"live"] * 20
    described = bench.sagemaker.describe_endpoint(EndpointName=name)
    cloudwatch = bench.cloud.session().client("cloudwatch")

    def errors() -> float:
        now = datetime.now(UTC)
        found = cloudwatch.get_metric_statistics(
            Namespace="AWS/SageMaker",
            MetricName="Invocation5XXErrors",
            Dimensions=[
                {"Name": "EndpointName", "Value": name},
                {"Name": "VariantName", "Value": "Shadow"},
            ],
            StartTime=now - timedelta(minutes=2),
            EndTime=now + timedelta(minutes=1),
            Period=60,
            Statistics=["Sum"],
        )
        return float(sum(each["Sum"] for each in found["Datapoints"]))

    until(errors, lambda count: count == 10)
    assert described["ShadowProductionVariants"][0]["CurrentInstanceCount"] == 1
    with pytest.raises(bench.runtime.exceptions.ValidationError, match="Variant Shadow not found"):
        bench.invoke(name, b"who", TargetVariant="Shadow")
    bench.delete(name)
