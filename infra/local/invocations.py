"""Invocations: a request passed on to a server of an endpoint, and its answer in AWS's words."""

from __future__ import annotations

import functools
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from typing import Any

from infra.local.environment import ACCOUNT, REGION
from infra.local.fleets import log_group
from infra.local.instances import Answer, Instance, NotTakenError, UnreachableError
from infra.local.meter import Meter
from infra.local.routing import Router
from infra.local.variants import Variant
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


@dataclass(frozen=True)
class Served:
    """By what a request was served: the names that its metrics carry."""

    endpoint: str
    variant: Variant
    config: str


class Invocations:
    """Passes requests on, and counts them.

    Args:
        meter: counts them.
    """

    def __init__(self, meter: Meter) -> None:
        self._meter = meter

    def invoke(
        self, endpoint: str, router: Router, request: Mapping[str, Any], body: bytes
    ) -> tuple[dict[str, str], bytes]:
        """Pass a request on to a server; its headers for the client, and its body.

        Raises:
            RefusalError: no such variant, no server up, or the model's own error.
        """
        begun = time.perf_counter()
        target = request.get("TargetVariant")
        headers = {FORWARDED[key]: request[key] for key in FORWARDED if key in request}
        deaf: set[Instance] = set()
        while True:
            choice = router.choose(target, deaf)
            if choice is None:
                raise RefusalError(
                    "ValidationError",
                    f"Variant {target} not found for Endpoint {endpoint} of account {ACCOUNT}.",
                )
            fleet, variant = choice.fleet, choice.variant
            served = Served(endpoint, variant, fleet.config)
            if choice.instance is None:
                self._count(served, 503, None, begun)
                raise RefusalError(
                    "ServiceUnavailable", f"No server of endpoint {endpoint} is up; try again.", 503
                )
            if fleet.mirror:
                shadow = Served(endpoint, fleet.mirror.shadow, fleet.config)
                fleet.mirror.offer(headers, body, functools.partial(self._copy, shadow))
            try:
                status, answered, content = self._ask(served, choice.instance, headers, body, begun)
                break
            except NotTakenError:
                deaf.add(choice.instance)
        if not 200 <= status < 300:
            raise _model_error(endpoint, status, content.decode("utf-8", "replace"))
        kept = {
            "Content-Type": answered.get("Content-Type", "application/octet-stream"),
            "x-Amzn-Invoked-Production-Variant": variant.name,
        }
        attributes = answered.get("X-Amzn-SageMaker-Custom-Attributes")
        if attributes:
            kept["X-Amzn-SageMaker-Custom-Attributes"] = attributes
        return kept, content

    def _copy(
        self, served: Served, instance: Instance | None, headers: Mapping[str, str], body: bytes
    ) -> None:
        """Send a copy of a request to a shadow's instance, and forget the answer."""
        begun = time.perf_counter()
        if instance is not None:
            try:
                self._ask(served, instance, headers, body, begun)
            except NotTakenError:
                instance = None
        if instance is None:
            self._count(served, 503, None, begun)

    def _ask(
        self,
        served: Served,
        instance: Instance,
        headers: Mapping[str, str],
        body: bytes,
        begun: float,
    ) -> Answer:
        """A server's answer, counted; status 0 when there is none.

        Raises:
            NotTakenError: it has not seen the request, which is not counted.
        """
        asked = time.perf_counter()
        try:
            answer = instance.call("/invocations", headers, body)
        except NotTakenError:
            raise
        except TimeoutError:
            answer = 0, Message(), TIMED_OUT.encode()
        except UnreachableError:
            reason = f"Amazon SageMaker could not get a response from the {served.endpoint}"
            answer = 0, Message(), f"{reason} endpoint.".encode()
        finally:
            instance.release()
        self._count(served, answer[0], time.perf_counter() - asked, begun)
        return answer

    def _count(self, served: Served, status: int, model: float | None, begun: float) -> None:
        names = (served.endpoint, served.variant.name, served.config)
        overhead = time.perf_counter() - begun - (model or 0.0)
        self._meter.count(names, len(served.variant.instances), status, model, overhead)


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
