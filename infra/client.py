"""A small client of an endpoint: records in, predictions out, mistakes with row and column.

It knows the answer's shape and nothing of how the endpoint was made.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from infra.failures import code_of, explain, text_of
from shared.errors import DeploymentError, InputError

CONTENT_TYPE = "application/json"
_NO_ENDPOINT = re.compile(r"Endpoint \S+ of account \S+ not found")


class ContainerError(DeploymentError):
    """The container itself failed, or answered what cannot be understood."""


class NoEndpointError(DeploymentError):
    """There is no endpoint of that name."""


@dataclass(frozen=True)
class Answer:
    """What an endpoint said.

    Attributes:
        predictions: one for each record, in order: ``{"label", "score"}`` or ``{"value"}``.
        model_version: the first 12 hex digits of the bundle's digest.
        seconds: from sending to having the whole answer.
        variant: that answered, where the endpoint says so.
    """

    predictions: tuple[Mapping[str, Any], ...]
    model_version: str
    seconds: float
    variant: str | None = None


class Client:
    """Predicts through one endpoint.

    Args:
        endpoint: its name.
        runtime: a boto3 ``sagemaker-runtime`` client.
        variant: the one that is to answer; None: whose turn it is.
    """

    def __init__(self, endpoint: str, runtime: Any, variant: str | None = None) -> None:
        self.endpoint = endpoint
        self._runtime = runtime
        self._target = {"TargetVariant": variant} if variant else {}

    def predict(self, records: Sequence[Mapping[str, object]]) -> Answer:
        """Predict each record.

        Raises:
            InputError: the endpoint refused the request; row and column are those it named.
            ContainerError: the container failed.
            NoEndpointError: the endpoint does not exist.
            DeploymentError: it cannot be reached.
        """
        try:
            body = json.dumps({"instances": list(records)}, allow_nan=False).encode()
        except ValueError:
            raise InputError(
                "not_finite", "a number is not finite", cure="Write null for what is missing."
            ) from None
        return self.send(body)

    def send(self, body: bytes) -> Answer:
        """Send a JSON request as it is; see `predict`."""
        started = time.perf_counter()
        try:
            answer = self._runtime.invoke_endpoint(
                EndpointName=self.endpoint,
                ContentType=CONTENT_TYPE,
                Accept=CONTENT_TYPE,
                Body=body,
                **self._target,
            )
            with answer["Body"] as stream:
                text = stream.read()
        except Exception as error:
            raise self._meaning(error) from error
        seconds = time.perf_counter() - started
        return self._understood(text, seconds, answer.get("InvokedProductionVariant"))

    def _understood(self, text: bytes, seconds: float, variant: str | None = None) -> Answer:
        try:
            document = json.loads(text)
            predictions = tuple(dict(one) for one in document["predictions"])
            return Answer(predictions, str(document["model_version"]), seconds, variant)
        except (ValueError, KeyError, TypeError) as error:
            raise ContainerError(
                f"the answer is not what was expected: {text[:200]!r}",
                where=f"endpoint {self.endpoint}",
                cure="Another container may be serving under this name: see `make status`.",
            ) from error

    def _meaning(self, error: Exception) -> Exception:
        if code_of(error) == "ValidationError" and _NO_ENDPOINT.match(text_of(error)):
            return NoEndpointError("there is no such endpoint", where=f"endpoint {self.endpoint}")
        if code_of(error) != "ModelError":
            return explain(error, f"Invoking endpoint {self.endpoint}")
        response: Mapping[str, Any] = getattr(error, "response", {})
        status = int(response.get("OriginalStatusCode", 500))
        detail = _detail(response.get("OriginalMessage", ""))
        message = str(detail.get("message", "")) or "the container gave no reason"
        if 400 <= status < 500:
            return _refusal(detail, message, status)
        request = detail.get("request_id")
        return ContainerError(
            f"the container answered {status}: {message}"
            + (f" (request {request})" if request else ""),
            where=f"endpoint {self.endpoint}",
            cure="Its log says more: `make logs`, with the same PROJECT and TARGET",
        )


def _detail(body: str) -> Mapping[str, Any]:
    try:
        detail = json.loads(body)["error"]
    except (ValueError, KeyError, TypeError):
        return {"message": body[:500]}
    return detail if isinstance(detail, dict) else {"message": str(detail)}


def _refusal(detail: Mapping[str, Any], message: str, status: int) -> InputError:
    row, column, further = detail.get("row"), detail.get("column"), detail.get("details")
    error = InputError(
        str(detail.get("code", "refused")),
        message,
        row=row if isinstance(row, int) else None,
        column=column if isinstance(column, str) else None,
        status=status,
        others=tuple(
            _refusal(each, str(each.get("message", "")), status)
            for each in (further[1:] if isinstance(further, list) else ())
            if isinstance(each, dict)
        ),
    )
    # The server's sentence may begin with the place, which the error says by itself.
    error.message = message.removeprefix(f"{error.where}: ")
    return error
