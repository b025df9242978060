"""What invoke prints to be copied: which operation asks which kind of endpoint, and whom it names.

That the programs work is shown against a real local cloud (test_commands.py).
"""

from __future__ import annotations

import io
import json
from types import SimpleNamespace
from typing import Any

import pytest

from infra.client import Client
from infra.commands.invoke import _variants
from infra.examples import Request, boto3_lines, curl_lines
from tests.support.fake_cloud import FakeCloud

ROW = {"distance": 5, "carrier": "it's"}
INPUTS = "s3://bucket/small/async/in"


class Placed(FakeCloud):
    """A cloud that says where S3 is."""

    def client(self, service: str) -> Any:
        return SimpleNamespace(meta=SimpleNamespace(endpoint_url="https://s3.test"))


@pytest.fixture
def cloud() -> Placed:
    return Placed(local=False)


@pytest.mark.parametrize("inputs", [None, INPUTS])
@pytest.mark.parametrize("variant", [None, "Candidate"])
@pytest.mark.parametrize("profile", [None, 'it\'s "ours"'])
def test_the_lines_for_boto3_are_a_program(
    cloud: Placed, profile: str | None, variant: str | None, inputs: str | None
) -> None:
    asked = Request("small", ROW, variant, inputs, profile)
    compile(boto3_lines(cloud, asked), "printed", "exec")


@pytest.mark.parametrize("inputs", [None, INPUTS])
def test_a_profile_of_the_project_is_what_asks(cloud: Placed, inputs: str | None) -> None:
    asked = Request("small", ROW, inputs=inputs, profile="our team")
    python, shell = boto3_lines(cloud, asked), curl_lines(cloud, asked)
    assert "boto3.client(" not in python
    assert "boto3.Session(profile_name='our team').client(\"sagemaker-runtime\"" in python
    keys, _, rest = shell.partition("\n")
    assert keys.startswith('eval "$(aws configure export-credentials --profile ')
    assert "'our team' --format env" in keys
    assert rest == curl_lines(cloud, Request("small", ROW, inputs=inputs))


def test_a_synchronous_endpoint_gets_the_row_and_no_variant_is_named(cloud: Placed) -> None:
    asked = Request("small", ROW)
    python, shell = boto3_lines(cloud, asked), curl_lines(cloud, asked)
    assert "runtime.invoke_endpoint(" in python
    assert repr(ROW) in python
    assert " https://cloud.test/endpoints/small/invocations " in shell
    assert json.dumps(ROW).replace("'", "'\\''") in shell
    assert "Variant" not in python + shell


def test_of_two_versions_the_one_that_answered_is_named(cloud: Placed) -> None:
    asked = Request("small", ROW, "Candidate")
    assert 'TargetVariant="Candidate"' in boto3_lines(cloud, asked)
    assert "'X-Amzn-SageMaker-Target-Variant: Candidate'" in curl_lines(cloud, asked)


def test_an_asynchronous_endpoint_gets_the_place_of_the_row(cloud: Placed) -> None:
    asked = Request("small", ROW, inputs=INPUTS)
    python, shell = boto3_lines(cloud, asked), curl_lines(cloud, asked)
    assert "runtime.invoke_endpoint_async(" in python
    assert '"Bucket": "bucket", "Key": f"small/async/in/' in python
    assert 'told["OutputLocation"], told["FailureLocation"]' in python
    assert "/endpoints/small/async-invocations" in shell
    assert '"X-Amzn-SageMaker-InputLocation: s3://$rows"' in shell
    assert "https://s3.test/$rows" in shell
    assert '"$(at Output)"' in shell
    assert '"$(at Failure)"' in shell


def test_temporary_credentials_sign_too(cloud: Placed) -> None:
    assert '-H "X-Amz-Security-Token: $AWS_SESSION_TOKEN"' in curl_lines(
        cloud, Request("small", ROW)
    )


def test_an_answer_says_which_version_gave_it() -> None:
    answer = json.dumps({"predictions": [{"value": 1}], "model_version": "0"}).encode()
    runtime = SimpleNamespace(
        invoke_endpoint=lambda **_: {
            "Body": io.BytesIO(answer),
            "InvokedProductionVariant": "Candidate",
        }
    )
    assert Client("small", runtime).predict([ROW]).variant == "Candidate"


def test_versions_that_answer_are_told_with_their_shares(cloud: Placed) -> None:
    weights = {"AllTraffic": 0.8, "Candidate": 0.2}
    cloud.endpoints["small"] = {
        "EndpointStatus": "InService",
        "ProductionVariants": [
            {"VariantName": name, "CurrentWeight": weight} for name, weight in weights.items()
        ],
        "ShadowProductionVariants": [{"VariantName": "Copy", "CurrentWeight": 1.0}],
    }
    assert _variants(cloud, "small") == ["AllTraffic 80%", "Candidate 20%"]
