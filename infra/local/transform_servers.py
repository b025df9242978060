"""The servers of a batch transform job: with which environment they start, what they ask for, and
what becomes of a request that they refuse.

The words for refusals are those that users have quoted of SageMaker's logs.
"""

from __future__ import annotations

import http.client
import json
import threading
import time
from typing import Any

from infra.local.instances import ADDRESS, Instance
from infra.local.state import Cloud
from infra.local.transform_checks import MOST_MEGABYTES
from infra.local.transform_state import TransformJob
from infra.local.variants import Variant

LOG_GROUP = "/aws/sagemaker/TransformJobs"
STRATEGIES = {"MultiRecord": "MULTI_RECORD", "SingleRecord": "SINGLE_RECORD"}
RECOVERY = 10.0
POLL = 0.05
SEE_LOGS = "See job logs for more information"
INTERNAL = "InternalServerError: We encountered an internal error. Please try again."


class AnswerError(Exception):
    """A server refused a request, or never answered.

    Args:
        status: what it answered; None for nothing.
        content: its body.
    """

    def __init__(self, status: int | None, content: bytes = b"") -> None:
        super().__init__(str(status))
        self.status = status
        self.content = content

    @property
    def reason(self) -> str:
        """What becomes of the job's FailureReason."""
        if self.status is None:
            return INTERNAL
        return f"{'ClientError' if self.status < 500 else 'AlgorithmError'}: {SEE_LOGS}"

    def lines(self) -> list[str]:
        """What the job's log says of it."""
        if self.status is None:
            return ["Unable to get response from algorithm"]
        kind = "ClientError" if self.status < 500 else "Bad HTTP status received from algorithm"
        text = self.content.decode("utf-8", "replace").strip()
        return [f"{kind}: {self.status}", "", "Message:", *text.splitlines()]


def servers(cloud: Cloud, job: TransformJob) -> Variant:
    """The job's instances: a variant of no endpoint, with batch transform's own environment."""
    request = job.request
    environment = {**request.get("Environment", {}), "SAGEMAKER_BATCH": "true"}
    if "MaxPayloadInMB" in request:
        environment["SAGEMAKER_MAX_PAYLOAD_IN_MB"] = str(request["MaxPayloadInMB"])
    if "BatchStrategy" in request:
        environment["SAGEMAKER_BATCH_STRATEGY"] = STRATEGIES[request["BatchStrategy"]]
    if "MaxConcurrentTransforms" in request:
        count = str(request["MaxConcurrentTransforms"])
        environment["SAGEMAKER_MAX_CONCURRENT_TRANSFORMS"] = count
    return Variant(
        cloud,
        {
            "VariantName": job.name,
            "InitialVariantWeight": 1.0,
            "InitialInstanceCount": request["TransformResources"]["InstanceCount"],
        },
        job.model,
        place=cloud.work / "transform-jobs" / job.name,
        log_group=LOG_GROUP,
        environment=environment,
    )


def wait_until_up(instance: Instance, stop: threading.Event) -> None:
    """Give a server that ended the time to be started again."""
    deadline = time.monotonic() + RECOVERY
    while not instance.ready and time.monotonic() < deadline and not stop.wait(POLL):
        pass


def execution_parameters(instance: Instance) -> dict[str, Any]:
    """What the server asks for itself; nothing where it does not, or not in the form of the docs"""
    connection = http.client.HTTPConnection(ADDRESS, instance.port, timeout=5)
    try:
        connection.request("GET", "/execution-parameters")
        answer = connection.getresponse()
        wanted = json.loads(answer.read()) if answer.status == 200 else None
    except (OSError, http.client.HTTPException, ValueError):
        return {}
    finally:
        connection.close()
    if not isinstance(wanted, dict):
        return {}
    kept: dict[str, Any] = {}
    count, megabytes = wanted.get("MaxConcurrentTransforms"), wanted.get("MaxPayloadInMB")
    if type(count) is int and 0 < count <= MOST_MEGABYTES:
        kept["MaxConcurrentTransforms"] = count
    if type(megabytes) is int and 0 <= megabytes <= MOST_MEGABYTES:
        kept["MaxPayloadInMB"] = megabytes
    if wanted.get("BatchStrategy") in STRATEGIES.values():
        kept["BatchStrategy"] = wanted["BatchStrategy"]
    return kept
