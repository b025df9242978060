"""Serverless endpoints through boto3: nothing runs until somebody asks, and not for long after."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.support.local_cloud import ROLE, Bench, is_gone, until

pytestmark = pytest.mark.slow


def serverless(model: str, **changes: Any) -> dict[str, Any]:
    size = {"MemorySizeInMB": 2048, "MaxConcurrency": 2, **changes.pop("size", {})}
    return {"VariantName": "AllTraffic", "ModelName": model, "ServerlessConfig": size, **changes}


@pytest.fixture(scope="module")
def endpoint(bench: Bench) -> str:
    return bench.endpoint(bench.config(serverless(bench.model({"NAME": "cold"}))))


def test_a_server_comes_with_the_first_request_and_goes_when_it_is_idle(
    bench: Bench, endpoint: str
) -> None:
    group = f"/aws/sagemaker/Endpoints/{endpoint}"
    assert bench.lines(group, "AllTraffic/") == []
    described = bench.sagemaker.describe_endpoint(EndpointName=endpoint)
    variant = described["ProductionVariants"][0]
    assert variant["CurrentServerlessConfig"]["MaxConcurrency"] == 2
    first = bench.about(endpoint)["pid"]
    assert bench.about(endpoint)["pid"] == first
    until(lambda: is_gone(first), bool)
    assert bench.about(endpoint)["pid"] != first


def test_one_request_too_many_at_once_is_throttled(bench: Bench, endpoint: str) -> None:
    client = bench.cloud.session().client(
        "sagemaker-runtime", config=Config(retries={"total_max_attempts": 1})
    )

    def ask(body: bytes) -> str:
        try:
            client.invoke_endpoint(EndpointName=endpoint, Body=body)
        except ClientError as error:
            return f"{error.response['Error']['Code']} {_status(error)}"
        return "answered"

    throttled = "ThrottlingException 429"
    with ThreadPoolExecutor(2) as pool:
        slow = [
            pool.submit(until, lambda: ask(b"sleep 2"), lambda found: found == "answered")
            for _ in range(2)
        ]
        until(lambda: ask(b"who"), lambda found: found == throttled)
        assert [each.result() for each in slow] == ["answered", "answered"]


def test_four_megabytes_are_the_most(bench: Bench, endpoint: str) -> None:
    assert len(bench.invoke(endpoint, b"x" * (4 << 20))) == 4 << 20
    with pytest.raises(ClientError, match="exceeded 4194304 bytes"):
        bench.invoke(endpoint, b"x" * ((4 << 20) + 1))


def test_instances_can_follow_and_never_come_before(bench: Bench) -> None:
    model = bench.model({"NAME": "both"})
    bare, placed = bench.config(serverless(model)), bench.config(bench.variant(model))
    name = bench.endpoint(bare)
    with pytest.raises(ClientError, match="has no DesiredInstanceCount"):
        bench.sagemaker.update_endpoint_weights_and_capacities(
            EndpointName=name,
            DesiredWeightsAndCapacities=[{"VariantName": "AllTraffic", "DesiredInstanceCount": 1}],
        )
    bench.sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=placed)
    settled = bench.settled(name)
    assert settled["ProductionVariants"][0]["CurrentInstanceCount"] == 1
    assert bench.invoke(name, b"who") == b"both"
    with pytest.raises(ClientError, match="cannot be converted to a serverless"):
        bench.sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=bare)
    bench.delete(name)


def test_a_server_that_does_not_start_is_no_answer(bench: Bench) -> None:
    name = bench.endpoint(bench.config(serverless(bench.model({"BROKEN": "1"}))))
    with pytest.raises(ClientError, match="No server of endpoint") as error:
        bench.invoke(name, b"who")
    assert _status(error.value) == 503
    bench.delete(name)


@pytest.mark.parametrize(
    ("variant", "request_", "words"),
    [
        ({"size": {"MemorySizeInMB": 1536}}, {}, "must be 1024, 2048"),
        ({"size": {"MemorySizeInMB": 8192}}, {}, "less than or equal to 6144"),
        ({"size": {"MaxConcurrency": 201}}, {}, "less than or equal to 200"),
        ({"size": {"ProvisionedConcurrency": 1}}, {}, "does not offer ProvisionedConcurrency"),
        ({"InstanceType": "ml.m5.large"}, {}, "must not both be given"),
        (
            {},
            {"VpcConfig": {"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1"]}},
            "do not support a VPC",
        ),
        ({}, {"EnableNetworkIsolation": True}, "do not support network isolation"),
        (
            {},
            {
                "DataCaptureConfig": {
                    "EnableCapture": True,
                    "InitialSamplingPercentage": 1,
                    "DestinationS3Uri": "s3://b/k",
                    "CaptureOptions": [{"CaptureMode": "Input"}],
                }
            },
            "data capture",
        ),
        (
            {},
            {"AsyncInferenceConfig": {"OutputConfig": {"S3OutputPath": "s3://b/k"}}},
            "do not support asynchronous",
        ),
    ],
)
def test_what_aws_excludes_is_refused(
    bench: Bench, variant: dict[str, Any], request_: dict[str, Any], words: str
) -> None:
    with pytest.raises(ClientError, match=words):
        bench.sagemaker.create_endpoint_config(
            EndpointConfigName=bench.name("config"),
            ProductionVariants=[serverless(bench.model(), **variant)],
            **request_,
        )


@pytest.mark.parametrize(
    ("network", "words"),
    [
        ({"EnableNetworkIsolation": True}, "network isolation"),
        ({"VpcConfig": {"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1"]}}, "a VPC"),
    ],
)
def test_a_model_in_a_network_is_not_served_without_instances(
    bench: Bench, network: dict[str, Any], words: str
) -> None:
    name = bench.name("walled")
    bench.sagemaker.create_model(
        ModelName=name,
        ExecutionRoleArn=ROLE,
        PrimaryContainer={"Image": bench.image()},
        **network,
    )
    with pytest.raises(ClientError, match=f"do not support {words}"):
        bench.config(serverless(name))


def test_a_serverless_endpoint_has_one_variant(bench: Bench) -> None:
    model = bench.model()
    with pytest.raises(ClientError, match="exactly one production variant"):
        bench.config(serverless(model), bench.variant(model, VariantName="other"))


def _status(error: ClientError) -> int:
    return int(error.response["ResponseMetadata"]["HTTPStatusCode"])
