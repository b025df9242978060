"""The client: answers as values, refusals with row and column, failures with a cure."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from infra.client import Client, NoEndpointError
from infra.smoke import differs, verify
from shared.errors import DeploymentError, InputError

GOOD = {"predictions": [{"label": True, "score": 0.75}], "model_version": "0123456789ab"}


class Runtime:
    """A sagemaker-runtime client that answers or raises what it is told."""

    def __init__(self, answer: object) -> None:
        self.answer = answer
        self.requests: list[dict[str, Any]] = []

    def invoke_endpoint(self, **request: Any) -> dict[str, Any]:
        self.requests.append(request)
        if isinstance(self.answer, Exception):
            raise self.answer
        text = self.answer if isinstance(self.answer, bytes) else json.dumps(self.answer).encode()
        return {"Body": io.BytesIO(text)}


def model_error(status: int, body: object) -> ClientError:
    message = body if isinstance(body, str) else json.dumps(body)
    response: Any = {
        "Error": {"Code": "ModelError", "Message": "Received client error"},
        "OriginalStatusCode": status,
        "OriginalMessage": message,
    }
    return ClientError(response, "InvokeEndpoint")


def test_records_go_as_instances_and_predictions_come_back() -> None:
    runtime = Runtime(GOOD)
    answer = Client("small", runtime).predict([{"distance": 1.5}])
    assert answer.predictions == ({"label": True, "score": 0.75},)
    assert answer.model_version == "0123456789ab"
    assert json.loads(runtime.requests[0]["Body"]) == {"instances": [{"distance": 1.5}]}


def test_a_refused_row_is_an_input_error_with_row_and_column() -> None:
    detail = {"code": "wrong_type", "message": "row 3, column 'age': a number", "row": 3}
    runtime = Runtime(model_error(400, {"error": {**detail, "column": "age"}}))
    with pytest.raises(InputError) as caught:
        Client("small", runtime).predict([{}])
    assert (caught.value.row, caught.value.column, caught.value.status) == (3, "age", 400)
    assert str(caught.value) == "row 3, column 'age': a number"


def test_further_mistakes_of_a_request_are_told_too() -> None:
    first = {"code": "wrong_type", "message": "row 3, column 'age': a number", "row": 3}
    second = {"code": "null", "message": "row 5, column 'job': a value", "row": 5, "column": "job"}
    told = {**first, "column": "age", "details": [first, second]}
    with pytest.raises(InputError) as caught:
        Client("small", Runtime(model_error(400, {"error": told}))).predict([{}])
    assert [str(other) for other in caught.value.others] == ["row 5, column 'job': a value"]


@pytest.mark.parametrize("body", ["not json", "[]", '{"error": "text"}', "{}", ""])
def test_a_refusal_in_another_shape_is_still_told(body: str) -> None:
    with pytest.raises(InputError):
        Client("small", Runtime(model_error(415, body))).predict([{}])


def test_a_failing_container_is_told_with_the_request_and_the_log() -> None:
    error = model_error(500, {"error": {"message": "internal error", "request_id": "r-1"}})
    with pytest.raises(DeploymentError, match=r"500: internal error \(request r-1\).*logs"):
        Client("small", Runtime(error)).predict([{}])


@pytest.mark.parametrize("answer", [b"", b"[]", b'{"predictions": 3}', {"predictions": []}])
def test_an_answer_in_another_shape_is_told(answer: object) -> None:
    with pytest.raises(DeploymentError, match="not what was expected"):
        Client("small", Runtime(answer)).predict([{}])


def test_an_endpoint_that_is_not_there_is_an_error_of_its_own() -> None:
    message = "Endpoint small of account 123456789012 not found."
    response: Any = {"Error": {"Code": "ValidationError", "Message": message}}
    with pytest.raises(NoEndpointError):
        Client("small", Runtime(ClientError(response, "InvokeEndpoint"))).predict([{}])


def test_an_endpoint_that_cannot_be_reached_is_told() -> None:
    error = EndpointConnectionError(endpoint_url="https://runtime.test")
    with pytest.raises(DeploymentError, match="network"):
        Client("small", Runtime(error)).predict([{}])


def test_golden_rows_that_come_back_alike_are_counted() -> None:
    expected = [{"label": True, "score": 0.750009}]
    assert verify(Client("small", Runtime(GOOD)), [{}], expected) == 1


@pytest.mark.parametrize(
    "expected",
    [
        [{"label": True, "score": 0.7502}],
        [{"label": False, "score": 0.75}],
        [{"label": 1, "score": 0.75}],
        [{"label": True}],
        [{"label": True, "score": 0.75}] * 2,
    ],
)
def test_golden_rows_that_come_back_different_are_a_failure(expected: list[Any]) -> None:
    with pytest.raises(DeploymentError, match="golden row"):
        verify(Client("small", Runtime(GOOD)), [{}], expected)


def test_a_golden_row_that_is_refused_is_a_failure_of_the_deployment() -> None:
    error = model_error(400, {"error": {"code": "null", "message": "a value is needed"}})
    with pytest.raises(DeploymentError, match="own golden rows"):
        verify(Client("small", Runtime(error)), [{}], [{}])


def test_large_numbers_may_differ_by_their_size_and_nan_is_a_difference() -> None:
    assert differs({"value": 1_000_000.0}, {"value": 1_000_001.0}) is None
    assert differs({"value": 100.0}, {"value": 100.1}) == "value is 100.0, not 100.1"
    assert differs({"value": float("nan")}, {"value": 1.0}) is not None


def test_a_number_that_json_does_not_have_is_told_before_anything_is_sent() -> None:
    with pytest.raises(InputError, match="not finite"):
        Client("small", None).predict([{"x": float("inf")}])
