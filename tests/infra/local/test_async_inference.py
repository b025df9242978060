"""Asynchronous endpoints through boto3: answers and failures in S3, notifications in a queue."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.support.local_cloud import BUCKET, Bench, until

pytestmark = pytest.mark.slow

Messages = Callable[[], list[dict[str, Any]]]


@pytest.fixture(scope="module")
def messages(bench: Bench) -> tuple[str, Messages]:
    """A topic, and what has come through it."""
    session = bench.cloud.session()
    sns, sqs = session.client("sns"), session.client("sqs")
    topic = sns.create_topic(Name="answers")["TopicArn"]
    url = sqs.create_queue(QueueName="answers")["QueueUrl"]
    queue = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue["Attributes"]["QueueArn"])
    seen: list[dict[str, Any]] = []

    def read() -> list[dict[str, Any]]:
        found = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
        for each in found:
            seen.append(json.loads(json.loads(each["Body"])["Message"]))
            sqs.delete_message(QueueUrl=url, ReceiptHandle=each["ReceiptHandle"])
        return seen

    return topic, read


@pytest.fixture(scope="module")
def endpoint(bench: Bench, messages: tuple[str, Messages]) -> str:
    name = bench.name("config")
    topic = messages[0]
    bench.sagemaker.create_endpoint_config(
        EndpointConfigName=name,
        ProductionVariants=[bench.variant(bench.model())],
        AsyncInferenceConfig={
            "OutputConfig": {
                "S3OutputPath": f"s3://{BUCKET}/async/out",
                "S3FailurePath": f"s3://{BUCKET}/async/bad/",
                "KmsKeyId": "alias/own",
                "NotificationConfig": {
                    "SuccessTopic": topic,
                    "ErrorTopic": topic,
                    "IncludeInferenceResponseIn": ["SUCCESS_NOTIFICATION_TOPIC"],
                },
            },
            "ClientConfig": {"MaxConcurrentInvocationsPerInstance": 2},
        },
    )
    return bench.endpoint(name)


def ask(bench: Bench, endpoint: str, content: bytes, **options: Any) -> dict[str, Any]:
    source = bench.put(f"async/in/{bench.name('input')}", content)
    found: dict[str, Any] = bench.runtime.invoke_endpoint_async(
        EndpointName=endpoint, InputLocation=source, **options
    )
    return found


def content_of(bench: Bench, uri: str) -> bytes:
    """An object, once it is there."""

    def look() -> bytes | None:
        try:
            return bench.get(uri)
        except bench.s3.exceptions.NoSuchKey:
            return None

    found: bytes = until(look, lambda each: each is not None)
    return found


def scale(bench: Bench, endpoint: str, count: int) -> None:
    bench.sagemaker.update_endpoint_weights_and_capacities(
        EndpointName=endpoint,
        DesiredWeightsAndCapacities=[{"VariantName": "AllTraffic", "DesiredInstanceCount": count}],
    )
    bench.settled(endpoint)


def test_an_answer_comes_to_s3_and_to_the_topic(
    bench: Bench, endpoint: str, messages: tuple[str, Messages]
) -> None:
    answer = ask(
        bench,
        endpoint,
        b"about",
        ContentType="text/csv",
        Accept="application/x-test",
        CustomAttributes="trace=1",
        InferenceId="mine",
    )
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 202
    assert answer["InferenceId"] == "mine"
    assert answer["OutputLocation"].startswith(f"s3://{BUCKET}/async/out/")
    assert answer["FailureLocation"].endswith("-error.out")
    body = content_of(bench, answer["OutputLocation"])
    key = answer["OutputLocation"].removeprefix(f"s3://{BUCKET}/")
    assert bench.s3.head_object(Bucket=BUCKET, Key=key)["SSEKMSKeyId"].endswith("alias/own")
    headers = {name.lower(): each for name, each in json.loads(body)["headers"].items()}
    assert headers["content-type"] == "text/csv"
    assert headers["accept"] == "application/x-test"
    assert headers["x-amzn-sagemaker-custom-attributes"] == "trace=1"
    assert headers["x-amzn-sagemaker-inference-id"] == "mine"

    def told() -> list[dict[str, Any]]:
        return [each for each in messages[1]() if each["inferenceId"] == "mine"]

    (notice,) = until(told, bool)
    assert notice["invocationStatus"] == "Completed"
    assert notice["eventName"] == "InferenceResult"
    assert notice["requestParameters"]["endpointName"] == endpoint
    assert notice["requestParameters"]["contentType"] == "text/csv"
    assert notice["responseParameters"] == {
        "contentType": "application/x-test",
        "outputLocation": answer["OutputLocation"],
    }
    assert base64.b64decode(notice["responseBody"]["content"]) == body


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"status 500", "Received server error (500) from model"),
        (b"status 400", "Received client error (400) from model"),
        (b"sleep 9", "no response within 1 seconds"),
    ],
)
def test_a_failure_comes_to_s3_and_to_the_topic(
    bench: Bench, endpoint: str, messages: tuple[str, Messages], content: bytes, words: str
) -> None:
    name = bench.name("failing")
    answer = ask(bench, endpoint, content, InferenceId=name, InvocationTimeoutSeconds=1)
    assert words.encode() in content_of(bench, answer["FailureLocation"])
    (notice,) = until(lambda: [each for each in messages[1]() if each["inferenceId"] == name], bool)
    assert notice["invocationStatus"] == "Failed"
    assert words in notice["failureReason"]
    assert "responseBody" not in notice


def test_an_input_that_is_not_there_is_a_failure(bench: Bench, endpoint: str) -> None:
    answer = bench.runtime.invoke_endpoint_async(
        EndpointName=endpoint, InputLocation=f"s3://{BUCKET}/async/nothing"
    )
    assert b"Unable to download" in content_of(bench, answer["FailureLocation"])


def test_a_small_input_may_come_with_the_request(bench: Bench, endpoint: str) -> None:
    answer = bench.runtime.invoke_endpoint_async(EndpointName=endpoint, Body=b"inline")
    assert content_of(bench, answer["OutputLocation"]) == b"inline"


def test_requests_wait_for_the_first_instance(bench: Bench, endpoint: str) -> None:
    scale(bench, endpoint, 0)
    answers = [ask(bench, endpoint, b"waited %d" % number) for number in range(5)]
    end = datetime.now(UTC)

    def told() -> list[float]:
        found = (
            bench.cloud.session()
            .client("cloudwatch")
            .get_metric_statistics(
                Namespace="AWS/SageMaker",
                MetricName="HasBacklogWithoutCapacity",
                Dimensions=[{"Name": "EndpointName", "Value": endpoint}],
                StartTime=end - timedelta(seconds=60),
                EndTime=end + timedelta(seconds=60),
                Period=60,
                Statistics=["Maximum"],
            )
        )
        return [each["Maximum"] for each in found["Datapoints"] if each["Maximum"] > 0]

    assert set(until(told, bool)) == {1.0}  # a minute may end in between
    scale(bench, endpoint, 1)
    found = [content_of(bench, each["OutputLocation"]) for each in answers]
    assert found == [b"waited %d" % number for number in range(5)]


def test_what_aws_refuses_is_refused(bench: Bench, endpoint: str) -> None:
    invoke = bench.runtime.invoke_endpoint_async
    with pytest.raises(ClientError, match="use InvokeEndpointAsync"):
        bench.invoke(endpoint, b"x")
    with pytest.raises(ClientError, match="Exactly one of InputLocation and Body"):
        invoke(EndpointName=endpoint, InputLocation="s3://b/k", Body=b"x")
    with pytest.raises(ClientError, match="Exactly one of InputLocation and Body"):
        invoke(EndpointName=endpoint)
    with pytest.raises(ClientError, match="does not offer Filename"):
        invoke(EndpointName=endpoint, Body=b"x", Filename="name")
    with pytest.raises(ClientError, match="not found"):
        invoke(EndpointName="nobody", Body=b"x")
    with pytest.raises(ClientError, match="exceeded 128000"):
        invoke(EndpointName=endpoint, Body=b"x" * 128_001)
    plain = bench.config(bench.variant(bench.model()))
    with pytest.raises(ClientError, match="make an endpoint asynchronous"):
        bench.sagemaker.update_endpoint(EndpointName=endpoint, EndpointConfigName=plain)


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ({}, "S3OutputPath is required"),
        ({"S3OutputPath": "https://b/k"}, "other than s3://"),
        (
            {
                "S3OutputPath": "s3://b/k",
                "NotificationConfig": {"IncludeInferenceResponseIn": ["ALL"]},
            },
            "ALL",
        ),
    ],
)
def test_a_config_without_a_place_for_answers_is_refused(
    bench: Bench, output: dict[str, Any], words: str
) -> None:
    with pytest.raises(ClientError, match=words):
        bench.sagemaker.create_endpoint_config(
            EndpointConfigName=bench.name("config"),
            ProductionVariants=[bench.variant(bench.model())],
            AsyncInferenceConfig={"OutputConfig": output},
        )
