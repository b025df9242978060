"""Invocations: a request passed on to a server of an endpoint, and its answer in AWS's words."""

from __future__ import annotations

from collections.abc import Mapping
from email.message import Message
from typing import Any

from infra.local.environment import ACCOUNT, REGION
from infra.local.fleets import log_group
from infra.local.instances import Answer, Instance, UnreachableError
from infra.local.routing import Router
from infra.local.wire import RefusalError

FORWARDED = {
    "ContentType": "Content-Type",
    "Accept": "Accept",
    "CustomAttributes": "X-Amzn-SageMaker-Custom-Attributes",
    "InferenceId": "X-Amzn-SageMaker-Inference-Id",
    "TargetVariant": "X-Amzn-SageMaker-Target-Variant",
}
TIMED_OUT = (
    "Your invocation timed out while waiting for a response from container primary. Review the "
    "latency metrics for each container in Amazon CloudWatch, resolve the issue, and try again."
)


def invoke(
    endpoint: str, router: Router, request: Mapping[str, Any], body: bytes
) -> tuple[dict[str, str], bytes]:
    """Pass a request on to a server; its headers for the client, and its body.

    Raises:
        RefusalError: no such variant, no server up, or the model's own error.
    """
    target = request.get("TargetVariant")
    choice = router.choose(target)
    if choice is None:
        raise RefusalError(
            "ValidationError",
            f"Variant {target} not found for Endpoint {endpoint} of account {ACCOUNT}.",
        )
    if choice.instance is None:
        raise RefusalError(
            "ServiceUnavailable", f"No server of endpoint {endpoint} is up; try again.", 503
        )
    headers = {FORWARDED[key]: request[key] for key in FORWARDED if key in request}
    status, answered, content = _ask(endpoint, choice.instance, headers, body)
    if not 200 <= status < 300:
        raise _model_error(endpoint, status, content.decode("utf-8", "replace"))
    kept = {
        "Content-Type": answered.get("Content-Type", "application/octet-stream"),
        "x-Amzn-Invoked-Production-Variant": choice.variant.name,
    }
    attributes = answered.get("X-Amzn-SageMaker-Custom-Attributes")
    if attributes:
        kept["X-Amzn-SageMaker-Custom-Attributes"] = attributes
    return kept, content


def _ask(endpoint: str, instance: Instance, headers: Mapping[str, str], body: bytes) -> Answer:
    try:
        return instance.call("/invocations", headers, body)
    except TimeoutError:
        return 0, Message(), TIMED_OUT.encode()
    except UnreachableError:
        reason = f"Amazon SageMaker could not get a response from the {endpoint} endpoint."
        return 0, Message(), reason.encode()
    finally:
        instance.release()


def _model_error(endpoint: str, status: int, message: str) -> RefusalError:
    side = "client" if 400 <= status < 500 else "server"
    group = log_group(endpoint)
    return RefusalError(
        "ModelError",
        f'Received {side} error ({status}) from primary with message "{message}". See '
        f"https://{REGION}.console.aws.amazon.com/cloudwatch/home?region={REGION}"
        f"#logEventViewer:group={group} in account {ACCOUNT} for more information.",
        424,
        {
            "OriginalStatusCode": status,
            "OriginalMessage": message,
            "LogStreamArn": f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{group}",
        },
    )
