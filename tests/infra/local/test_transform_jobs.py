"""Batch transform through boto3, with a server that answers with what it is sent."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.support.local_cloud import BUCKET, Bench, until

pytestmark = pytest.mark.slow

GROUP = "/aws/sagemaker/TransformJobs"
LINES = {"SplitType": "Line", "ContentType": "text/csv"}
SINGLE = {"BatchStrategy": "SingleRecord"}


@pytest.fixture(scope="module")
def model(bench: Bench) -> str:
    return bench.model({"COLOUR": "red", "WANTED": '{"MaxConcurrentTransforms": 3}'})


def request_for(bench: Bench, model: str, source: str, **changes: Any) -> dict[str, Any]:
    name = bench.name("transform")
    into = {"S3DataSource": {"S3DataType": changes.pop("kind", "S3Prefix"), "S3Uri": source}}
    return {
        "TransformJobName": name,
        "ModelName": model,
        "TransformInput": {"DataSource": into, **changes.pop("input", {})},
        "TransformOutput": {
            "S3OutputPath": f"s3://{BUCKET}/out/{name}",
            **changes.pop("output", {}),
        },
        "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 1},
        **changes,
    }


def described(bench: Bench, name: str) -> dict[str, Any]:
    found: dict[str, Any] = bench.sagemaker.describe_transform_job(TransformJobName=name)
    return found


def ended(bench: Bench, name: str) -> dict[str, Any]:
    found: dict[str, Any] = until(
        lambda: described(bench, name),
        lambda job: job["TransformJobStatus"] not in ("InProgress", "Stopping"),
    )
    return found


def run(bench: Bench, *args: Any, **changes: Any) -> tuple[dict[str, Any], dict[str, bytes]]:
    """A job at its end, and the objects that it stored."""
    request = request_for(bench, *args, **changes)
    bench.sagemaker.create_transform_job(**request)
    name = request["TransformJobName"]
    job = ended(bench, name)
    prefix = f"out/{name}/"
    return job, {key: bench.get(f"s3://{BUCKET}/{prefix}{key}") for key in bench.keys(prefix)}


def data_log(bench: Bench, name: str) -> list[str]:
    lines = bench.lines(GROUP, f"{name}/")
    return [
        line.partition(":[sagemaker logs]: ")[2] for line in lines if "[sagemaker logs]" in line
    ]


def test_every_file_below_the_prefix_gets_its_output(bench: Bench, model: str) -> None:
    bench.put("in/many/a.csv", "sleep 0.3\n2\n3\n")  # the first answer is the last to come
    bench.put("in/many/deep/b.csv", "about")
    job, found = run(
        bench,
        model,
        f"s3://{BUCKET}/in/many",
        input=LINES,
        output={"AssembleWith": "Line", "Accept": "text/csv"},
        BatchStrategy="SingleRecord",
        Environment={"COLOUR": "blue"},
        MaxPayloadInMB=2,
        TransformResources={"InstanceType": "ml.m5.large", "InstanceCount": 2},
    )
    assert job["TransformJobStatus"] == "Completed", job.get("FailureReason")
    assert job["CreationTime"] <= job["TransformStartTime"] <= job["TransformEndTime"]
    assert sorted(found) == ["a.csv.out", "deep/b.csv.out"]
    assert found["a.csv.out"] == b"echo\n2\n3\n"
    about = json.loads(found["deep/b.csv.out"])
    variables = about["environment"]
    assert variables["COLOUR"] == "blue"
    assert variables["SAGEMAKER_BATCH"] == "true"
    assert variables["SAGEMAKER_MAX_PAYLOAD_IN_MB"] == "2"
    assert variables["SAGEMAKER_BATCH_STRATEGY"] == "SINGLE_RECORD"
    assert "SAGEMAKER_MAX_CONCURRENT_TRANSFORMS" not in variables
    assert about["headers"]["Content-Type"] == about["headers"]["Accept"] == "text/csv"
    name = job["TransformJobName"]
    assert "echo is ready" in bench.lines(GROUP, f"{name}/i-")
    wanted = "MaxConcurrentTransforms=3, MaxPayloadInMB=2, BatchStrategy=SINGLE_RECORD"
    assert data_log(bench, name) == [wanted]
    listed = bench.sagemaker.list_transform_jobs(NameContains=name)["TransformJobSummaries"]
    assert [each["TransformJobStatus"] for each in listed] == ["Completed"]


def test_a_manifest_of_packed_files_is_read_and_joined(bench: Bench, model: str) -> None:
    bench.put("in/packed/a.csv.gz", gzip.compress(b"7,1\n8,2\n"))
    manifest = [{"prefix": f"s3://{BUCKET}/in/"}, "packed/a.csv.gz"]
    job, found = run(
        bench,
        model,
        bench.put("in/list.manifest", json.dumps(manifest)),
        kind="ManifestFile",
        input={**LINES, "CompressionType": "Gzip"},
        output={"AssembleWith": "Line", "Accept": "text/csv", "KmsKeyId": "alias/own"},
        DataProcessing={"InputFilter": "$[1:]", "JoinSource": "Input", "OutputFilter": "$[0,-1]"},
    )
    assert job["TransformJobStatus"] == "Completed", job.get("FailureReason")
    assert found == {"packed/a.csv.gz.out": b"7,1\n8,2\n"}
    key = f"out/{job['TransformJobName']}/packed/a.csv.gz.out"
    assert bench.s3.head_object(Bucket=BUCKET, Key=key)["SSEKMSKeyId"].endswith("alias/own")


def test_a_payload_of_0_is_sent_in_chunks(bench: Bench, model: str) -> None:
    content = bytes(range(256)) * 1000
    source = bench.put("in/bytes.bin", content)
    job, found = run(bench, model, source, MaxPayloadInMB=0)
    assert job["TransformJobStatus"] == "Completed", job.get("FailureReason")
    assert found == {"bytes.bin.out": content}


@pytest.mark.parametrize(
    ("record", "reason", "said"),
    [
        (
            "status 400",
            "ClientError: See job logs for more information",
            ["ClientError: 400", "", "Message:", "the model says no"],
        ),
        (
            "status 500",
            "AlgorithmError: See job logs for more information",
            [
                *("Bad HTTP status received from algorithm: 500", "", "Message:"),
                "the model says no",
            ],
        ),
        (
            "sleep 20",
            "InternalServerError: We encountered an internal error. Please try again.",
            ["Unable to get response from algorithm"],
        ),
    ],
)
def test_a_refused_record_fails_its_file_and_no_other(
    bench: Bench, model: str, record: str, reason: str, said: list[str]
) -> None:
    folder = bench.name("mixed")
    bench.put(f"in/{folder}/bad.csv", f"1\n{record}\n3\n")
    bench.put(f"in/{folder}/good.csv", "4\n5\n")
    job, found = run(
        bench,
        model,
        f"s3://{BUCKET}/in/{folder}/",
        input=LINES,
        output={"AssembleWith": "Line"},
        BatchStrategy="SingleRecord",
        ModelClientConfig={"InvocationsTimeoutInSeconds": 1, "InvocationsMaxRetries": 0},
    )
    assert job["TransformJobStatus"] == "Failed"
    assert job["FailureReason"] == reason
    assert found == {"good.csv.out": b"4\n5\n"}
    place = f"{BUCKET}/in/{folder}/bad.csv"
    assert data_log(bench, job["TransformJobName"])[1:] == [f"{place}: {each}" for each in said]


def test_a_stopped_job_stores_nothing_more(bench: Bench, model: str) -> None:
    source = bench.put("in/slow.csv", "1\nsleep 30\n")
    request = request_for(bench, model, source, input=LINES, **SINGLE)
    bench.sagemaker.create_transform_job(**request)
    name = request["TransformJobName"]
    until(lambda: data_log(bench, name), bool)
    bench.sagemaker.stop_transform_job(TransformJobName=name)
    job = ended(bench, name)
    assert job["TransformJobStatus"] == "Stopped"
    assert bench.keys(f"out/{name}/") == []
    with pytest.raises(ClientError, match="is in status Stopped"):
        bench.sagemaker.stop_transform_job(TransformJobName=name)


def test_a_job_without_input_or_without_a_server_fails_and_says_why(bench: Bench) -> None:
    broken = bench.model({"BROKEN": "1"})
    job, _ = run(bench, broken, f"s3://{BUCKET}/in/nothing-here/")
    assert "No S3 objects found" in job["FailureReason"]
    job, _ = run(bench, broken, bench.put("in/one.csv", "1\n"))
    assert job["FailureReason"].startswith("AlgorithmError: The primary container")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"input": {"SplitType": "TFRecord"}}, "does not offer SplitType TFRecord"),
        ({"MaxPayloadInMB": 101}, "cannot be greater than 100 MB"),
        ({"MaxConcurrentTransforms": 17}, "must not exceed 100 MB"),
        ({"MaxConcurrentTransforms": 51, "MaxPayloadInMB": 2}, "must not exceed 100 MB"),
        ({"kind": "AugmentedManifestFile"}, "not compatible"),
        ({"BatchStrategy": "Both"}, "enum value set"),
        ({"ModelClientConfig": {"InvocationsMaxRetries": 4}}, "less than or equal to 3"),
        ({"DataProcessing": {"InputFilter": "$..a"}}, "not supported"),
        ({"DataProcessing": {"JoinSource": "Input"}}, "needs the ContentType"),
        (
            {
                "DataProcessing": {"JoinSource": "Input"},
                "input": LINES,
                "output": {"Accept": "application/json"},
            },
            "same format",
        ),
        (
            {
                "DataProcessing": {"JoinSource": "Input"},
                "input": {"ContentType": "text/csv"},
                "output": {"Accept": "text/csv"},
            },
            "needs SplitType Line",
        ),
        (
            {
                "DataProcessing": {"InputFilter": "$.a"},
                "input": LINES,
                "output": {"Accept": "text/csv", "AssembleWith": "Line"},
            },
            "Only JSONPaths of indexes",
        ),
        ({"DataCaptureConfig": {"DestinationS3Uri": "s3://a/b"}}, "does not offer DataCapture"),
        ({"ModelName": "nobody"}, "Could not find model"),
    ],
)
def test_what_aws_refuses_is_refused(
    bench: Bench, model: str, changes: dict[str, Any], words: str
) -> None:
    request = request_for(bench, model, f"s3://{BUCKET}/in/", **changes)
    with pytest.raises(ClientError, match=words) as error:
        bench.sagemaker.create_transform_job(**request)
    assert error.value.response["Error"]["Code"] == "ValidationException"


def test_a_name_is_taken_once_and_an_unknown_one_is_not_found(bench: Bench, model: str) -> None:
    request = request_for(bench, model, f"s3://{BUCKET}/in/nothing-here/")
    bench.sagemaker.create_transform_job(**request)
    with pytest.raises(bench.sagemaker.exceptions.ResourceInUse):
        bench.sagemaker.create_transform_job(**request)
    with pytest.raises(bench.sagemaker.exceptions.ResourceNotFound):
        described(bench, "nobody")
