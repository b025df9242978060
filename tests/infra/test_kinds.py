"""The table of kinds: every call in it is one that boto3 knows, with parameters that it takes."""

from __future__ import annotations

import boto3
import pytest
from botocore.validate import validate_parameters

from infra.kinds import KINDS, TABLE
from infra.steps import Call

CALLS = [
    call
    for kind in TABLE
    for call in (*kind.delete("a-name"), *([kind.look("a-name")] if kind.look else []))
]


def test_a_kind_is_there_once() -> None:
    assert len(KINDS) == len(TABLE)


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.operation)
def test_its_calls_are_ones_that_the_service_takes(call: Call) -> None:
    client = boto3.client(
        call.service, region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b"
    )
    operation = client.meta.method_to_api_mapping[call.operation]
    validate_parameters(
        call.parameters, client.meta.service_model.operation_model(operation).input_shape
    )
