from __future__ import annotations

import errno
import http.client
import json
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import ClientError

from infra.local.app import Application
from infra.local.processes import Ledger
from infra.local.session import LocalSession
from infra.local.state import Cloud, Settings, now, page
from tests.support.local_cloud import BUCKET, Bench

pytestmark = pytest.mark.slow


def signed(key: str) -> dict[str, str]:
    scope = f"{key}/20260101/us-east-1/sagemaker/aws4_request"
    return {"Authorization": f"AWS4-HMAC-SHA256 Credential={scope}, Signature=x"}


def ask(
    bench: Bench, method: str, path: str, body: bytes = b"", **headers: str
) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection(urlsplit(bench.cloud.url).netloc, timeout=30)
    key = bench.cloud.access_key
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body=body, headers={**signed(key), **named})
    response = connection.getresponse()
    answer = response.status, dict(response.headers), response.read()
    connection.close()
    return answer


def test_an_operation_that_is_not_offered_is_refused_and_never_faked(bench: Bench) -> None:
    for operation, parameters in (
        ("list_pipelines", {}),
        ("describe_pipeline", {"PipelineName": "x"}),
        ("describe_inference_component", {"InferenceComponentName": "x"}),
    ):
        with pytest.raises(ClientError, match="does not offer") as error:
            getattr(bench.sagemaker, operation)(**parameters)
        response = error.value.response
        assert response["Error"]["Code"] == "UnknownOperationException"
        assert response["ResponseMetadata"]["HTTPStatusCode"] == 400


def test_a_web_page_is_refused_whatever_it_asks_for(bench: Bench) -> None:
    target = {"X_Amz_Target": "SageMaker.ListTrainingJobs"}
    assert ask(bench, "POST", "/", b"{}", **target)[0] == 200
    for method in ("POST", "OPTIONS"):
        status, headers, body = ask(bench, method, "/", b"{}", Origin="https://page.test", **target)
        assert status == 403
        assert not any(name.startswith("Access-Control") for name in headers)
        assert b"does not answer web pages" in body


@pytest.mark.parametrize(
    ("service", "operation"),
    [
        ("s3", "list_buckets"),
        ("sagemaker", "list_training_jobs"),
        ("sts", "get_caller_identity"),
        ("logs", "describe_log_groups"),
    ],
)
def test_who_does_not_know_the_key_of_this_start_is_refused(
    bench: Bench, service: str, operation: str
) -> None:
    stranger = LocalSession(bench.cloud.url, bench.cloud.region, "LOCAL").client(service)
    with pytest.raises(ClientError) as error:
        getattr(stranger, operation)()
    assert error.value.response["Error"]["Code"] == "InvalidAccessKeyId"
    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


def test_unsigned_requests_are_refused_and_presigned_ones_are_not(bench: Bench) -> None:
    bench.put("presigned", "hello")
    parameters = {"Bucket": BUCKET, "Key": "presigned"}
    link = bench.s3.generate_presigned_url("get_object", Params=parameters)
    with urllib.request.urlopen(link, timeout=30) as answer:
        assert answer.read() == b"hello"
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(link.partition("?")[0], timeout=30)


def test_runtime_requests_that_are_not_offered_are_refused(bench: Bench) -> None:
    with pytest.raises(ClientError, match="does not offer"):
        bench.runtime.invoke_endpoint_with_response_stream(EndpointName="x", Body=b"")
    features = bench.cloud.session().client("sagemaker-featurestore-runtime")
    with pytest.raises(ClientError, match="does not offer"):
        features.get_record(FeatureGroupName="x", RecordIdentifierValueAsString="1")
    with pytest.raises(ClientError, match="does not offer TargetModel"):
        bench.runtime.invoke_endpoint(EndpointName="x", Body=b"", TargetModel="a.tar.gz")


def test_an_operation_that_moto_lacks_is_a_clean_refusal(bench: Bench) -> None:
    session = bench.cloud.session()
    with pytest.raises(ClientError) as error:
        session.client("iam").generate_service_last_accessed_details(
            Arn="arn:aws:iam::123456789012:role/x"
        )
    assert error.value.response["Error"]["Code"] == "UnknownOperationException"
    with pytest.raises(ClientError) as error:
        session.client("logs").list_anomalies()
    assert error.value.response["Error"]["Code"] == "UnknownOperationException"


@pytest.mark.parametrize(
    ("body", "code", "words"),
    [
        (b"{not json", "SerializationException", "not JSON"),
        (b"[]", "SerializationException", "LIST_VALUE can not be converted to structure"),
        (b'{"TrainingJobName": 5}', "SerializationException", "INT_VALUE"),
        (b"{}", "ValidationException", "Value null at 'trainingJobName' failed to satisfy"),
    ],
)
def test_a_malformed_request_gets_an_aws_error(
    bench: Bench, body: bytes, code: str, words: str
) -> None:
    target = {"X_Amz_Target": "SageMaker.DescribeTrainingJob"}
    status, _, answer = ask(bench, "POST", "/", body, **target)
    assert status == 400
    error = json.loads(answer)
    assert error["__type"] == code
    assert words in error["message"]


def test_every_mistake_of_a_request_is_named_at_once(bench: Bench) -> None:
    target = {"X_Amz_Target": "SageMaker.CreateTrainingJob"}
    _, _, answer = ask(bench, "POST", "/", b'{"TrainingJobName": "a_b"}', **target)
    message = json.loads(answer)["message"]
    assert message.startswith("3 validation errors detected: ")
    for place in ("trainingJobName", "roleArn", "outputDataConfig"):
        assert f"at '{place}' failed to satisfy constraint" in message


def test_a_request_id_comes_with_every_answer(bench: Bench) -> None:
    for path in ("/", "/endpoints/x/invocations", "/nothing"):
        _, headers, _ = ask(bench, "POST", path, b"{}")
        assert len(headers["x-amzn-RequestId"]) == 36


def test_one_connection_serves_many_requests_even_after_a_refused_one(bench: Bench) -> None:
    connection = http.client.HTTPConnection(urlsplit(bench.cloud.url).netloc, timeout=30)
    socket = None
    for size in (10, 7_000_000, 10):
        connection.request(
            "POST", "/endpoints/x/invocations", b"x" * size, signed(bench.cloud.access_key)
        )
        response = connection.getresponse()
        response.read()
        socket = socket or connection.sock
        assert response.status in (400, 413)
        assert connection.sock is socket
    connection.close()


def test_s3_keeps_names_with_underscores_and_large_objects(bench: Bench) -> None:
    content = b"0123456789abcdef" * 700_000
    bench.s3.put_object(
        Bucket=BUCKET, Key="large/ä b", Body=content, Metadata={"under_score": "1", "da-sh": "2"}
    )
    found = bench.s3.get_object(Bucket=BUCKET, Key="large/ä b")
    assert found["Body"].read() == content
    assert found["Metadata"] == {"under_score": "1", "da-sh": "2"}
    assert bench.s3.head_object(Bucket=BUCKET, Key="large/ä b")["ContentLength"] == len(content)
    part = bench.s3.get_object(Bucket=BUCKET, Key="large/ä b", Range="bytes=16-31")
    assert part["Body"].read() == b"0123456789abcdef"


def test_s3_refuses_a_second_writer_that_wants_to_be_the_first(bench: Bench) -> None:
    bench.s3.put_object(Bucket=BUCKET, Key="once", Body=b"1", IfNoneMatch="*")
    with pytest.raises(ClientError) as error:
        bench.s3.put_object(Bucket=BUCKET, Key="once", Body=b"2", IfNoneMatch="*")
    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 412


def test_every_policy_simulation_allows(bench: Bench) -> None:
    results = (
        bench.cloud.session()
        .client("iam")
        .simulate_principal_policy(
            PolicySourceArn="arn:aws:iam::123456789012:role/x",
            ActionNames=["s3:PutObject", "s3:GetObject"],
            ResourceArns=["arn:aws:s3:::bucket/*"],
        )["EvaluationResults"]
    )
    assert [(each["EvalActionName"], each["EvalDecision"]) for each in results] == [
        ("s3:PutObject", "allowed"),
        ("s3:GetObject", "allowed"),
    ]


def test_log_events_are_filtered_by_a_prefix_of_their_stream(bench: Bench) -> None:
    group = bench.name("group")
    bench.logs.create_log_group(logGroupName=group)
    for number, stream in enumerate(("a/1", "a/2", "b/1")):
        bench.logs.create_log_stream(logGroupName=group, logStreamName=stream)
        event = {"timestamp": int(time.time() - number) * 1000, "message": stream}
        bench.logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=[event])

    def found(prefix: str) -> list[str]:
        answer = bench.logs.filter_log_events(logGroupName=group, logStreamNamePrefix=prefix)
        return [event["message"] for event in answer["events"]]

    assert found("a/") == ["a/2", "a/1"]
    assert found("c/") == []


def test_numbers_out_of_bounds_are_refused(bench: Bench) -> None:
    target = {"X_Amz_Target": "SageMaker.ListTrainingJobs"}
    _, _, answer = ask(bench, "POST", "/", b'{"MaxResults": 0}', **target)
    assert json.loads(answer)["message"] == (
        "1 validation error detected: Value '0' at 'maxResults' failed to satisfy constraint: "
        "Member must have value greater than or equal to 1"
    )


@pytest.mark.parametrize(
    "service", ["sts", "iam", "ecr", "logs", "cloudwatch", "dynamodb", "sns", "events"]
)
def test_its_neighbours_answer(bench: Bench, service: str) -> None:
    client = bench.cloud.session().client(service)
    calls = {
        "sts": lambda: client.get_caller_identity()["Account"] == bench.cloud.account,
        "iam": lambda: client.list_roles()["Roles"] == [],
        "ecr": lambda: client.describe_repositories()["repositories"] is not None,
        "logs": lambda: client.describe_log_groups()["logGroups"] is not None,
        "cloudwatch": lambda: client.describe_alarms()["MetricAlarms"] is not None,
        "dynamodb": lambda: client.list_tables()["TableNames"] == [],
        "sns": lambda: client.list_topics()["Topics"] is not None,
        "events": lambda: client.list_rules()["Rules"] == [],
    }
    assert calls[service]()


def test_builds_are_accepted_by_codebuild_and_told_of(bench: Bench) -> None:
    client = bench.cloud.session().client("codebuild")
    client.create_project(
        name="images",
        source={"type": "S3", "location": "bucket/source.zip"},
        artifacts={"type": "NO_ARTIFACTS"},
        environment={
            "type": "LINUX_CONTAINER",
            "image": "aws/codebuild/standard:7.0",
            "computeType": "BUILD_GENERAL1_SMALL",
        },
        serviceRole="arn:aws:iam::123456789012:role/builder",
    )
    assert client.list_projects()["projects"] == ["images"]
    build = client.start_build(projectName="images")["build"]["id"]
    (found,) = client.batch_get_builds(ids=[build])["builds"]
    assert found["buildStatus"] == "SUCCEEDED"


def test_a_full_disk_is_an_error_that_names_the_disk_and_is_not_retried(tmp_path: Path) -> None:
    def moto(environ: object, start_response: object) -> list[bytes]:
        raise OSError(errno.ENOSPC, "No space left on device")

    ledger = Ledger(tmp_path / "processes")
    cloud = Cloud(tmp_path, tmp_path, "http://127.0.0.1:1", "KEY", Settings(), {}, ledger)
    answers: list[str] = []
    environ = {
        "PATH_INFO": "/bucket/key",
        "REQUEST_METHOD": "PUT",
        "HTTP_AUTHORIZATION": signed("KEY")["Authorization"].replace("sagemaker", "s3"),
    }
    body = Application(cloud, moto)(environ, lambda status, headers: answers.append(status))
    assert answers[0].startswith("507")
    assert f"the disk that holds {tmp_path} is full".encode() in b"".join(body)


def test_of_two_resources_of_the_same_millisecond_the_later_one_is_the_newest() -> None:
    moment = now()
    first, second = (SimpleNamespace(name=name, created=moment) for name in ("first", "second"))
    assert page([first, second], {})[0] == [second, first]
