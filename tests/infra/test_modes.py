"""Serverless, asynchronous and scaled endpoints: what is refused, planned, and asked of AWS."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.validate import validate_parameters

from infra import project
from infra.async_client import AsyncClient
from infra.drift import split
from infra.observe import Observed, ObservedEndpoint
from infra.plan import Plan, plan
from infra.record import Entry, Record
from infra.resources import Desired
from infra.scaling import ObservedScaling, put_waking_policy
from infra.steps import Call, Step
from shared.errors import DeploymentError, ProjectError
from tests.support import projects
from tests.support.deployments import Clock, complete, wanted
from tests.support.fake_cloud import FakeCloud

SCHEDULE = '{ at = "cron(0 7 ? * MON-FRI *)", min = 2, max = 6, timezone = "Europe/Berlin" }'
SCALED = (
    "instances = 2\nscaling = { min = 1, max = 4, invocations_per_instance = 2000, "
    f"schedule = [{SCHEDULE}] }}"
)
TOPIC = "arn:aws:sns:eu-west-1:123456789012:e"
ASYNC = f'mode = "async"\nasync = {{ concurrency = 4, notify_error = "{TOPIC}" }}'
TO_ZERO = ASYNC + "\nscaling = { min = 0, max = 2, backlog_per_instance = 3 }"
SERVERLESS = 'mode = "serverless"\nserverless = { memory = "4GB", concurrency = 20 }'
VPC = '\n[aws]\nsubnets = ["subnet-12345678"]\nsecurity_groups = ["sg-12345678"]'
ISOLATED = "\n[aws]\nnetwork_isolation = true"

REFUSED = {
    "serverless in a VPC": (SERVERLESS + VPC, "aws.subnets", "no VPC"),
    "serverless and isolated": (SERVERLESS + ISOLATED, "aws.network_isolation", "isolated"),
    "serverless with instances": (
        SERVERLESS + "\ninstances = 2",
        "endpoint.instances",
        "takes none",
    ),
    "serverless with one instance": (
        SERVERLESS + "\ninstances = 1",
        "endpoint.instances",
        "no instances",
    ),
    "serverless and scaled": (
        SERVERLESS + "\nscaling = { max = 2 }",
        "endpoint.scaling",
        "scales by itself",
    ),
    "serverless with a canary": (SERVERLESS + "\nrollout = {}", "endpoint.rollout", "at once"),
    "serverless with a rolling rollout": (
        SERVERLESS + '\nrollout = { kind = "rolling" }',
        "endpoint.rollout",
        "Leave it out",
    ),
    "serverless with a shadow": (
        SERVERLESS + '\nshadow = { share = "10%" }',
        "endpoint.shadow",
        "one variant",
    ),
    "memory of no size": (
        'mode = "serverless"\nserverless = { memory = "1500MB" }',
        "endpoint.serverless.memory",
        "2048MB",
    ),
    "too much at once": (
        'mode = "serverless"\nserverless = { concurrency = 201 }',
        "endpoint.serverless.concurrency",
        "200",
    ),
    "serverless settings of another mode": ("serverless = {}", "endpoint.serverless", "realtime"),
    "async settings of another mode": ("async = {}", "endpoint.async", "realtime"),
    "no topic": ('mode = "async"\nasync = { notify_error = "me" }', "notify_error", "SNS"),
    "async beside another": (ASYNC + '\nab = { share = "10%" }', "endpoint.ab", "one version"),
    "async with a shadow": (
        ASYNC + '\nshadow = { share = "10%" }',
        "endpoint.shadow",
        "write rollout",
    ),
    "a topic of another region": (
        ASYNC + '\n[aws]\nregion = "us-east-1"',
        "endpoint.async.notify_error",
        "topic of us-east-1",
    ),
    "no instances at all": ("scaling = { min = 0, max = 2 }", "endpoint.scaling.min", "async"),
    "a maximum below": ("scaling = { min = 3, max = 2 }", "endpoint.scaling.max", "less than"),
    "a start outside": ("instances = 5\nscaling = { max = 2 }", "endpoint.instances", "not within"),
    "a burstable instance": (
        'instance = "ml.t2.large"\nscaling = { max = 2 }',
        "endpoint.scaling",
        "burstable",
    ),
    "a backlog without a queue": (
        "scaling = { max = 2, backlog_per_instance = 2 }",
        "endpoint.scaling.backlog_per_instance",
        "invocations_per_instance",
    ),
    "an unknown schedule": (
        'scaling = { max = 2, schedule = [{ at = "at noon", min = 1, max = 2 }] }',
        "schedule",
        "cron(0 7",
    ),
    "a time zone that there is not": (
        'scaling = { max = 2, schedule = [{ at = "rate(1 hour)", min = 1, max = 2, '
        'timezone = "Berlin" }] }',
        "schedule",
        "an IANA time zone",
    ),
    "a schedule without instances": (
        'scaling = { max = 2, schedule = [{ at = "rate(1 hour)", min = 0, max = 2 }] }',
        "endpoint.scaling.schedule[0]",
        "min is more",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_aws_would_refuse_is_refused_with_its_key(name: str, tmp_path: Path) -> None:
    settings, key, words = REFUSED[name]
    file = projects.make(tmp_path, f"{projects.TOML}\n[endpoint]\n{settings}\n")
    with pytest.raises(ProjectError) as refused:
        project.load(file)
    assert key in str(refused.value)
    assert words in str(refused.value)


def test_a_serverless_endpoint_may_name_what_its_batches_run_on(tmp_path: Path) -> None:
    want = desired(tmp_path, SERVERLESS + '\ninstance = "ml.c5.large"')
    assert [variant.instance for variant in want.serving(1).config.variants] == [None]


def desired(tmp_path: Path, settings: str) -> Desired:
    return wanted(tmp_path, toml=f"{projects.TOML}\n[endpoint]\n{settings}\n")


def calls(step: Step) -> list[Call]:
    assert step.call
    if step.call.operation != "put_waking_policy":
        return [step.call]
    cloud = _Recorder()
    put_waking_policy(cloud, **step.call.parameters)  # type: ignore[arg-type]
    return cloud.made


class _Recorder:
    def __init__(self) -> None:
        self.made: list[Call] = []

    def call(self, service: str, operation: str, parameters: Any) -> dict[str, str]:
        self.made.append(Call(service, operation, parameters))
        return {"PolicyARN": "arn:aws:autoscaling:eu-west-1:123456789012:scalingPolicy:x"}


def took(made: Plan) -> list[tuple[str, str]]:
    return [(step.action, step.kind) for step in made.steps]


@pytest.mark.parametrize("settings", [SCALED, ASYNC, TO_ZERO, SERVERLESS, "instances = 3"])
def test_every_call_is_one_that_aws_takes(settings: str, tmp_path: Path) -> None:
    made = plan(desired(tmp_path, settings), Observed())
    checked = []
    for step in (*made.of("endpoint"), *made.of("after")):
        for call in calls(step):
            if call.operation in ("publish_metrics",):
                continue
            client = boto3.client(
                call.service,
                region_name="us-east-1",
                aws_access_key_id="a",
                aws_secret_access_key="b",
            )
            operation = client.meta.method_to_api_mapping[call.operation]
            shape = client.meta.service_model.operation_model(operation).input_shape
            validate_parameters(call.parameters, shape)
            checked.append(call.operation)
    assert "create_endpoint" in checked
    assert ("register_scalable_target" in checked) == ("scaling" in settings)


def test_a_scaled_endpoint_gets_target_policy_and_schedule_once_it_serves(tmp_path: Path) -> None:
    want = desired(tmp_path, SCALED)
    made = plan(want, complete(want))
    kinds = ["scalable target", "scaling policy", "scheduled action"]
    assert took(made) == [("create", kind) for kind in kinds]
    names = [step.name for step in made.steps]
    seen = ObservedScaling((2, 6), frozenset({names[1]}), frozenset({names[2]}))
    assert plan(want, complete(want, scaling=seen)).steps == ()


def test_a_policy_whose_alarm_was_deleted_is_drift_and_is_put_again(tmp_path: Path) -> None:
    want = desired(tmp_path, TO_ZERO)
    made = plan(want, complete(want))
    record = Record("small", tuple(Entry(step.kind, step.name) for step in made.steps))
    backlog, wake = (step.name for step in made.steps if step.kind == "scaling policy")
    seen = ObservedScaling((0, 2), frozenset({backlog, wake}))
    assert plan(want, complete(want, scaling=seen)).steps == ()
    mended = plan(want, complete(want, scaling=replace(seen, deaf=frozenset({wake}))))
    assert [(step.action, step.name) for step in mended.steps] == [("update", wake)]
    assert [call.operation for call in calls(mended.steps[0])] == [
        "put_scaling_policy",
        "put_metric_alarm",
    ]
    found, pending = split(mended, record)
    assert [one.words for one in found] == [f"scaling policy {wake}: its alarm is gone"]
    assert pending == []


def test_other_bounds_are_registered_and_another_target_is_another_policy(tmp_path: Path) -> None:
    want = desired(tmp_path, "scaling = { max = 4, invocations_per_instance = 100 }")
    seen = ObservedScaling((1, 3), frozenset({"small-requests-012345", "theirs"}))
    assert took(plan(want, complete(want, scaling=seen))) == [
        ("delete", "scaling policy"),
        ("update", "scalable target"),
        ("create", "scaling policy"),
    ]


def test_scaling_that_is_not_asked_for_any_more_goes(tmp_path: Path) -> None:
    want = desired(tmp_path, "")
    seen = ObservedScaling(
        (1, 4), frozenset({"small-wake-012345", "by-hand"}), frozenset({"small-schedule-012345"})
    )
    made = plan(want, complete(want, scaling=seen))
    assert [(step.kind, step.name) for step in made.steps] == [
        ("scheduled action", "small-schedule-012345"),
        ("scaling policy", "small-wake-012345"),
        ("scaling policy", "small-wake-012345"),
        ("scalable target", "small"),
    ]
    assert {step.action for step in made.steps} == {"delete"}


def test_an_update_leaves_the_number_of_instances_that_scaling_made(tmp_path: Path) -> None:
    want = desired(tmp_path, SCALED)
    old = ObservedEndpoint("small", "InService", f"small-{'0' * 12}")
    made = plan(want, complete(want, endpoint=old, scaling=ObservedScaling((1, 4))))
    update = next(step for step in made.steps if step.kind == "endpoint")
    assert update.call
    assert update.undo
    for call in (update.call, update.undo):
        assert call.parameters["RetainAllVariantProperties"] is True
        assert call.parameters["ExcludeRetainedVariantProperties"] == [
            {"VariantPropertyType": "DesiredWeight"}
        ]


def test_from_serverless_to_real_time_traffic_moves_at_once_whatever_the_rollout(
    tmp_path: Path,
) -> None:
    want = desired(tmp_path, 'rollout = { percent = 10, alarms = "none" }')
    old = ObservedEndpoint("small", "InService", f"small-{'0' * 12}", mode="serverless")
    (update,) = plan(want, complete(want, endpoint=old)).steps
    assert update.call
    assert "DeploymentConfig" not in update.call.parameters
    assert "all at once" in update.reason


@pytest.mark.parametrize(
    ("before", "settings", "kept"),
    [
        ("realtime", SERVERLESS, False),
        ("realtime", ASYNC, False),
        ("async", "", False),
        ("serverless", ASYNC, False),
        ("serverless", "", True),
    ],
)
def test_another_mode_is_another_endpoint_where_sagemaker_converts_none(
    tmp_path: Path, before: str, settings: str, *, kept: bool
) -> None:
    want = desired(tmp_path, settings)
    old = ObservedEndpoint("small", "InService", f"small-{'0' * 12}", mode=before)
    made = plan(want, complete(want, endpoint=old))
    expected = (
        [("update", "endpoint")] if kept else [("replace", "endpoint"), ("create", "endpoint")]
    )
    assert took(made) == expected
    assert made.traffic


class _Runtime:
    """An asynchronous endpoint that answers when it was asked for some time."""

    def __init__(self, cloud: FakeCloud, answer: bytes | None, failure: bytes | None) -> None:
        self.cloud, self.answer, self.failure = cloud, answer, failure

    def invoke_endpoint_async(self, InputLocation: str, **rest: Any) -> dict[str, str]:  # noqa: N803
        assert InputLocation.partition("bucket/")[2] in self.cloud.objects
        return {"OutputLocation": "s3://bucket/out/1", "FailureLocation": "s3://bucket/failed/1"}

    def later(self, seconds: float) -> None:
        for key, body in (("out/1", self.answer), ("failed/1", self.failure)):
            if body is not None:
                self.cloud.objects[key] = body


def asynchronous(answer: bytes | None, failure: bytes | None = None) -> tuple[AsyncClient, Clock]:
    cloud, clock = FakeCloud(), Clock()
    cloud.buckets.add("bucket")
    runtime = _Runtime(cloud, answer, failure)
    cloud.client = lambda service: runtime  # type: ignore[method-assign]

    def sleep(seconds: float) -> None:
        clock.sleep(seconds)
        runtime.later(seconds)

    return AsyncClient("small", cloud, "s3://bucket/small/async/out", clock, sleep), clock


def test_an_answer_that_comes_later_is_waited_for() -> None:
    text = json.dumps({"predictions": [{"value": 1.5}], "model_version": "0123"})
    answer = asynchronous(text.encode())[0].predict([{"a": 1}])
    assert answer.predictions == ({"value": 1.5},)


def test_a_failure_is_told_and_an_answer_that_never_comes_ends_the_wait() -> None:
    with pytest.raises(DeploymentError, match="the model says no"):
        asynchronous(None, b"the model says no")[0].predict([{"a": 1}])
    client, clock = asynchronous(None)
    with pytest.raises(DeploymentError, match="no answer came after 20 min"):
        client.predict([{"a": 1}])
    assert clock.now > 1200
