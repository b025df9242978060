from __future__ import annotations

import collections
import os
import signal
import threading
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.support.local_cloud import BUCKET, ROLE, Bench, archive, is_gone, until

pytestmark = pytest.mark.slow


def code_of(error: pytest.ExceptionInfo[ClientError]) -> str:
    return str(error.value.response["Error"]["Code"])


@pytest.fixture(scope="module")
def echo(bench: Bench) -> str:
    """An endpoint that answers with what it is sent."""
    return bench.deploy({"NAME": "echo"})


def test_an_endpoint_is_created_from_a_model_and_answers(bench: Bench) -> None:
    data = bench.put("models/plain.tar.gz", archive({"weights": "w", "code/x.py": ""}))
    model = bench.model({"NAME": "fresh"}, ModelDataUrl=data)
    config = bench.config(bench.variant(model))
    name = bench.name("endpoint")
    bench.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=config)
    assert bench.sagemaker.describe_endpoint(EndpointName=name)["EndpointStatus"] == "Creating"
    settled = bench.settled(name)
    assert settled["EndpointStatus"] == "InService", settled.get("FailureReason")
    assert settled["EndpointConfigName"] == config
    assert settled["ProductionVariants"][0]["CurrentInstanceCount"] == 1
    about = bench.about(name)
    assert about["model"] == ["code", "weights"]
    assert about["modes"] == "0o555"
    bench.delete(name)


def test_the_server_gets_its_port_its_address_and_the_models_environment(bench: Bench) -> None:
    name = bench.deploy({"COLOUR": "green", "PLACE": "/opt/ml/model/x"})
    variables = bench.about(name)["environment"]
    assert variables["COLOUR"] == "green"
    assert variables["SERVER_ADDRESS"] == "127.0.0.1"
    assert variables["SAGEMAKER_BIND_TO_PORT"].isdigit()
    assert variables["PLACE"] == f"{variables['SM_MODEL_DIR']}/x"
    assert variables["AWS_ENDPOINT_URL"] == bench.cloud.url
    bench.delete(name)


def test_any_bytes_go_there_and_back(bench: Bench, echo: str) -> None:
    content = bytes(range(256)) * 100
    assert bench.invoke(echo, content, ContentType="application/x-npy") == content


def test_headers_reach_the_server_and_the_client(bench: Bench, echo: str) -> None:
    answer = bench.runtime.invoke_endpoint(
        EndpointName=echo,
        Body=b"about",
        ContentType="text/csv",
        Accept="application/x-test",
        CustomAttributes="trace=1",
        InferenceId="id-1",
    )
    assert answer["ContentType"] == "application/x-test"
    assert answer["CustomAttributes"] == "from=echo"
    assert answer["InvokedProductionVariant"] == "AllTraffic"
    sent = bench.about(echo, ContentType="text/csv", InferenceId="id-1", CustomAttributes="t=1")
    headers = {name.lower(): value for name, value in sent["headers"].items()}
    assert headers["content-type"] == "text/csv"
    assert headers["x-amzn-sagemaker-inference-id"] == "id-1"
    assert headers["x-amzn-sagemaker-custom-attributes"] == "t=1"


@pytest.mark.parametrize(("status", "side"), [(400, "client"), (415, "client"), (500, "server")])
def test_a_models_own_error_is_a_model_error(
    bench: Bench, echo: str, status: int, side: str
) -> None:
    with pytest.raises(bench.runtime.exceptions.ModelError) as error:
        bench.invoke(echo, f"status {status}".encode())
    response = error.value.response
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 424
    assert response["OriginalStatusCode"] == status
    assert response["OriginalMessage"] == "the model says no"
    assert f":log-group:/aws/sagemaker/Endpoints/{echo}" in response["LogStreamArn"]
    assert f"Received {side} error ({status}) from primary" in response["Error"]["Message"]


def test_seven_megabytes_are_refused_and_the_next_request_is_answered(
    bench: Bench, echo: str
) -> None:
    with pytest.raises(ClientError, match="exceeded 6291456 bytes") as error:
        bench.invoke(echo, b"x" * 7_000_000)
    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 413
    assert len(bench.invoke(echo, b"x" * 6_291_456)) == 6_291_456


def test_an_endpoint_that_does_not_exist_is_a_validation_error(bench: Bench) -> None:
    with pytest.raises(bench.runtime.exceptions.ValidationError, match="nobody of account"):
        bench.invoke("nobody", b"{}")


def test_what_the_servers_print_reaches_the_endpoints_log_group(bench: Bench, echo: str) -> None:
    lines = until(lambda: bench.lines(f"/aws/sagemaker/Endpoints/{echo}", "AllTraffic/i-"), bool)
    assert lines == ["echo is ready"]


def test_instances_are_processes_and_share_the_requests(bench: Bench) -> None:
    model = bench.model()
    name = bench.endpoint(bench.config(bench.variant(model, InitialInstanceCount=2)))
    pids = [bench.about(name)["pid"] for _ in range(4)]
    described = bench.sagemaker.describe_endpoint(EndpointName=name)
    assert described["ProductionVariants"][0]["CurrentInstanceCount"] == 2
    streams = bench.logs.describe_log_streams(logGroupName=f"/aws/sagemaker/Endpoints/{name}")
    assert len(streams["logStreams"]) == 2
    assert pids[:2] == pids[2:]
    assert pids[0] != pids[1]
    bench.delete(name)
    for pid in pids:
        until(lambda pid=pid: is_gone(pid), bool)


def test_variants_get_their_share_and_can_be_asked_for_by_name(bench: Bench) -> None:
    heavy, light = (bench.model({"NAME": name}) for name in ("heavy", "light"))
    name = bench.endpoint(
        bench.config(
            bench.variant(heavy, VariantName="heavy", InitialVariantWeight=3),
            bench.variant(light, VariantName="light", InitialVariantWeight=1),
        )
    )
    share = collections.Counter(bench.invoke(name, b"who") for _ in range(20))
    assert share == {b"heavy": 15, b"light": 5}
    assert bench.invoke(name, b"who", TargetVariant="light") == b"light"
    with pytest.raises(bench.runtime.exceptions.ValidationError, match="Variant none not found"):
        bench.invoke(name, b"who", TargetVariant="none")
    bench.delete(name)


def test_an_update_switches_to_the_new_configuration_without_a_failed_request(
    bench: Bench,
) -> None:
    name = bench.deploy({"NAME": "old"})
    old_pid = bench.about(name)["pid"]
    config = bench.config(bench.variant(bench.model({"NAME": "new"})))
    answers: list[bytes] = []
    failures: list[Exception] = []
    enough = threading.Event()

    def ask() -> None:
        client = bench.cloud.session().client("sagemaker-runtime")
        while not enough.is_set():
            try:
                answer = client.invoke_endpoint(EndpointName=name, Body=b"who")
                answers.append(answer["Body"].read())
            except Exception as error:
                failures.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    until(lambda: len(answers), lambda count: count > 3)
    bench.sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=config)
    updating = bench.sagemaker.describe_endpoint(EndpointName=name)
    settled = bench.settled(name)
    count = len(answers)
    until(lambda: len(answers), lambda now: now > count + 3)
    enough.set()
    asking.join()
    assert updating["EndpointStatus"] == "Updating"
    assert updating["PendingDeploymentSummary"]["EndpointConfigName"] == config
    assert (settled["EndpointStatus"], settled["EndpointConfigName"]) == ("InService", config)
    assert failures == []
    assert answers[0] == b"old"
    assert answers[-1] == b"new"
    assert answers == sorted(answers, reverse=True)
    until(lambda: is_gone(old_pid), bool)
    bench.delete(name)


@pytest.mark.parametrize(
    ("environment", "words"),
    [({"BROKEN": "1"}, "ended with exit code 3"), ({"UNHEALTHY": "1"}, "within 3 seconds")],
)
def test_an_update_that_fails_leaves_the_old_configuration_in_service(
    bench: Bench, environment: dict[str, str], words: str
) -> None:
    name = bench.deploy({"NAME": "old"})
    before = bench.sagemaker.describe_endpoint(EndpointName=name)
    config = bench.config(bench.variant(bench.model(environment)))
    bench.sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=config)
    settled = bench.settled(name)
    assert settled["EndpointStatus"] == "InService"
    assert settled["EndpointConfigName"] == before["EndpointConfigName"]
    assert "did not pass the ping health check" in settled["FailureReason"]
    assert words in settled["FailureReason"]
    assert bench.invoke(name, b"who") == b"old"
    bench.delete(name)


def test_a_server_that_cannot_start_fails_the_endpoint_and_its_last_words_are_logged(
    bench: Bench,
) -> None:
    name = bench.deploy({"BROKEN": "1"})
    found = bench.sagemaker.describe_endpoint(EndpointName=name)
    assert found["EndpointStatus"] == "Failed"
    assert "variant AllTraffic did not pass the ping health check" in found["FailureReason"]
    assert bench.lines(f"/aws/sagemaker/Endpoints/{name}", "AllTraffic/") == [
        "this server refuses to start"
    ]
    with pytest.raises(bench.runtime.exceptions.ValidationError):
        bench.invoke(name, b"who")
    with pytest.raises(ClientError, match="DeleteEndpoint is the only operation"):
        bench.sagemaker.update_endpoint(
            EndpointName=name, EndpointConfigName=found["EndpointConfigName"]
        )
    bench.delete(name)


@pytest.mark.parametrize(
    ("container", "reason"),
    [
        (
            {"ModelDataUrl": f"s3://{BUCKET}/models/none.tar.gz"},
            'Failed to download model data for container "container_1" from URL',
        ),
        (
            {"Image": "123456789012.dkr.ecr.us-east-1.amazonaws.com/none:1"},
            "The image '123456789012.dkr.ecr.us-east-1.amazonaws.com/none:1'",
        ),
        (
            {"Image": "763104351884.dkr.ecr.us-east-1.amazonaws.com/tensorflow-inference:2.20-cpu"},
            "does not exist",
        ),
    ],
)
def test_what_is_not_there_fails_the_endpoint_with_a_reason(
    bench: Bench, container: dict[str, Any], reason: str
) -> None:
    name = bench.deploy(**container)
    found = bench.sagemaker.describe_endpoint(EndpointName=name)
    assert found["EndpointStatus"] == "Failed"
    assert reason in found["FailureReason"]
    bench.delete(name)


def test_model_data_that_is_no_archive_fails_the_endpoint(bench: Bench) -> None:
    uri = bench.put("models/text.tar.gz", "not an archive")
    name = bench.deploy(ModelDataUrl=uri)
    found = bench.sagemaker.describe_endpoint(EndpointName=name)
    assert "Failed to extract model data archive" in found["FailureReason"]
    bench.delete(name)


def test_a_server_that_dies_is_started_again(bench: Bench) -> None:
    name = bench.deploy()
    first = bench.about(name)["pid"]
    os.kill(first, signal.SIGKILL)

    def ask() -> int | None:
        try:
            return int(bench.about(name)["pid"])
        except (bench.runtime.exceptions.ServiceUnavailable, bench.runtime.exceptions.ModelError):
            return None

    second = until(ask, lambda pid: pid not in (None, first))
    assert second != first
    lines = bench.lines(f"/aws/sagemaker/Endpoints/{name}", "AllTraffic/")
    assert "[local cloud] the server ended with exit code -9; starting again" in lines
    bench.delete(name)


def test_a_server_that_dies_while_it_answers_is_a_model_error(bench: Bench) -> None:
    name = bench.deploy()
    with pytest.raises(bench.runtime.exceptions.ModelError, match="could not get a response"):
        bench.invoke(name, b"crash")
    bench.delete(name)


def test_a_model_can_be_given_as_uncompressed_objects(bench: Bench) -> None:
    bench.put("models/flat/weights", "w")
    source = {
        "S3Uri": f"s3://{BUCKET}/models/flat/",
        "S3DataType": "S3Prefix",
        "CompressionType": "None",
    }
    name = bench.deploy(ModelDataSource={"S3DataSource": source})
    assert bench.about(name)["model"] == ["weights"]
    bench.delete(name)


def test_models_configurations_and_endpoints_are_described_as_they_were_given(
    bench: Bench, echo: str
) -> None:
    endpoint = bench.sagemaker.describe_endpoint(EndpointName=echo)
    config = bench.sagemaker.describe_endpoint_config(
        EndpointConfigName=endpoint["EndpointConfigName"]
    )
    variant = config["ProductionVariants"][0]
    model = bench.sagemaker.describe_model(ModelName=variant["ModelName"])
    assert variant["InitialVariantWeight"] == 1.0
    assert model["ExecutionRoleArn"] == ROLE
    assert model["PrimaryContainer"]["Environment"] == {"NAME": "echo"}
    assert "VpcConfig" not in model
    for found, arn in (
        (endpoint, "EndpointArn"),
        (config, "EndpointConfigArn"),
        (model, "ModelArn"),
    ):
        assert found[arn].startswith("arn:aws:sagemaker:us-east-1:123456789012:")


def test_names_are_taken_once(bench: Bench, echo: str) -> None:
    endpoint = bench.sagemaker.describe_endpoint(EndpointName=echo)
    config = endpoint["EndpointConfigName"]
    described = bench.sagemaker.describe_endpoint_config(EndpointConfigName=config)
    model = described["ProductionVariants"][0]["ModelName"]
    with pytest.raises(ClientError, match="Cannot create already existing endpoint ") as error:
        bench.sagemaker.create_endpoint(EndpointName=echo, EndpointConfigName=config)
    assert code_of(error) == "ValidationException"
    with pytest.raises(ClientError, match="already existing endpoint configuration"):
        bench.sagemaker.create_endpoint_config(
            EndpointConfigName=config, ProductionVariants=[bench.variant(model)]
        )
    with pytest.raises(ClientError, match="Cannot create already existing model"):
        bench.sagemaker.create_model(
            ModelName=model, ExecutionRoleArn=ROLE, PrimaryContainer={"Image": "x"}
        )


def test_what_is_missing_is_named_with_its_arn(bench: Bench, echo: str) -> None:
    client = bench.sagemaker
    place = "arn:aws:sagemaker:us-east-1:123456789012"
    cases = [
        (
            client.describe_endpoint,
            {"EndpointName": "nobody"},
            f'endpoint "{place}:endpoint/nobody"',
        ),
        (client.delete_endpoint, {"EndpointName": "nobody"}, f'endpoint "{place}:endpoint/nobody"'),
        (
            client.update_endpoint,
            {"EndpointName": echo, "EndpointConfigName": "none"},
            f'endpoint configuration "{place}:endpoint-config/none"',
        ),
        (
            client.create_endpoint,
            {"EndpointName": "x", "EndpointConfigName": "none"},
            f'endpoint configuration "{place}:endpoint-config/none"',
        ),
        (
            client.create_endpoint_config,
            {"EndpointConfigName": "x", "ProductionVariants": [bench.variant("none")]},
            f'model "{place}:model/none"',
        ),
        (client.describe_model, {"ModelName": "none"}, f'model "{place}:model/none"'),
        (client.delete_model, {"ModelName": "none"}, f'model "{place}:model/none"'),
    ]
    for operation, parameters, words in cases:
        with pytest.raises(ClientError) as error:
            operation(**parameters)
        assert code_of(error) == "ValidationException"
        assert f"Could not find {words}." in str(error.value)


def test_an_endpoint_in_progress_is_neither_updated_nor_deleted(bench: Bench) -> None:
    config = bench.config(bench.variant(bench.model({"UNHEALTHY": "1"})))
    name = bench.name("endpoint")
    bench.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=config)
    for operation in (
        lambda: bench.sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=config),
        lambda: bench.sagemaker.delete_endpoint(EndpointName=name),
    ):
        with pytest.raises(ClientError, match="Cannot update in-progress endpoint"):
            operation()
    bench.settled(name)
    bench.delete(name)


def test_an_endpoint_outlives_its_model_and_configuration(bench: Bench) -> None:
    model = bench.model({"NAME": "orphan"})
    config = bench.config(bench.variant(model))
    name = bench.endpoint(config)
    bench.sagemaker.delete_endpoint_config(EndpointConfigName=config)
    bench.sagemaker.delete_model(ModelName=model)
    assert bench.invoke(name, b"who") == b"orphan"
    with pytest.raises(ClientError, match="Could not find model"):
        bench.sagemaker.describe_model(ModelName=model)
    bench.delete(name)


def test_lists_are_sorted_filtered_and_paged(bench: Bench) -> None:
    mark = bench.name("sorted")
    model = bench.model()
    for letter in "bac":
        bench.sagemaker.create_endpoint_config(
            EndpointConfigName=f"{mark}-{letter}", ProductionVariants=[bench.variant(model)]
        )
    pages = bench.sagemaker.get_paginator("list_endpoint_configs").paginate(
        NameContains=mark, SortBy="Name", SortOrder="Ascending", PaginationConfig={"PageSize": 2}
    )
    names = [each["EndpointConfigName"] for page in pages for each in page["EndpointConfigs"]]
    assert names == [f"{mark}-{letter}" for letter in "abc"]
    newest = bench.sagemaker.list_endpoint_configs(NameContains=mark, MaxResults=1)
    assert newest["EndpointConfigs"][0]["EndpointConfigName"] == f"{mark}-c"
    assert bench.sagemaker.list_models(NameContains=model)["Models"][0]["ModelName"] == model


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"InstanceType": "ml.none.large"}, "at 'productionVariants.1.member.instanceType' failed"),
        ({"InitialVariantWeight": 0.0}, "weight greater than 0"),
        ({"VariantName": "under_score"}, "productionVariants.1.member.variantName"),
        ({"ServerlessConfig": {"MemorySizeInMB": 2048, "MaxConcurrency": 1}}, "not both be given"),
    ],
)
def test_a_wrong_variant_is_refused_in_awss_words(
    bench: Bench, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(ClientError) as error:
        bench.config(bench.variant(bench.model(), **changes))
    assert code_of(error) == "ValidationException"
    assert words in str(error.value)
