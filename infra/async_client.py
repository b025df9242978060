"""A client of an asynchronous endpoint: the request goes through S3, and so does the answer."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from infra.client import CONTENT_TYPE, Answer, Client
from infra.failures import explain, is_missing
from infra.observe import describe
from infra.units import short_time
from shared import storage
from shared.errors import DeploymentError

if TYPE_CHECKING:
    from infra.aws import Cloud

# An endpoint without instances has to get one first.
PATIENCE = 1200.0
_PAUSE = {True: 0.2, False: 2.0}


def client_of(cloud: Cloud, endpoint: str) -> Client:
    """The client that fits the endpoint as it is now."""
    found = describe(cloud, "sagemaker", "describe_endpoint", {"EndpointName": endpoint}) or {}
    asynchronous = found.get("AsyncInferenceConfig")
    if not asynchronous:
        return Client(endpoint, cloud.client("sagemaker-runtime"))
    return AsyncClient(endpoint, cloud, asynchronous["OutputConfig"]["S3OutputPath"])


def address(cloud: Cloud, endpoint: str, *, asynchronous: bool) -> str:
    """The URL that requests are posted to."""
    url = cloud.address(endpoint)
    return f"{url.removesuffix('/invocations')}/async-invocations" if asynchronous else url


class AsyncClient(Client):
    """Predicts through an asynchronous endpoint, and waits for the answer.

    Args:
        endpoint: its name.
        cloud: where it is.
        output: s3:// location of its answers; requests are laid beside it.

    Attributes:
        inputs: s3:// location below which requests are laid.
    """

    def __init__(
        self,
        endpoint: str,
        cloud: Cloud,
        output: str,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__(endpoint, cloud.client("sagemaker-runtime"))
        self._cloud = cloud
        self.inputs = output.rstrip("/").rpartition("/")[0] + "/in"
        self._clock = clock
        self._sleep = sleep

    def send(self, body: bytes) -> Answer:
        """Lay the request into S3, have it answered, and read what comes; see `Client.send`.

        Raises:
            DeploymentError: there is no answer in time.
        """
        started = self._clock()
        bucket, key = storage.split(f"{self.inputs}/{uuid.uuid4().hex}.json")
        try:
            self._cloud.call("s3", "put_object", {"Bucket": bucket, "Key": key, "Body": body})
            told = self._runtime.invoke_endpoint_async(
                EndpointName=self.endpoint,
                ContentType=CONTENT_TYPE,
                Accept=CONTENT_TYPE,
                InputLocation=f"s3://{bucket}/{key}",
            )
        except Exception as error:
            raise self._meaning(error) from error
        failures = told.get("FailureLocation")
        while True:
            answer = self._read(told["OutputLocation"])
            if answer is not None:
                return self._understood(answer, self._clock() - started)
            failure = self._read(failures) if failures else None
            if failure is not None:
                raise DeploymentError(
                    failure.decode("utf-8", "replace")[:500],
                    where=f"endpoint {self.endpoint}",
                    cure="Its log says more: `make logs`, with the same PROJECT and TARGET",
                )
            if self._clock() - started > PATIENCE:
                raise DeploymentError(
                    f"no answer came after {short_time(PATIENCE)}",
                    where=f"endpoint {self.endpoint}",
                    cure=f"It may still come, to {told['OutputLocation']}.",
                )
            self._sleep(_PAUSE[self._cloud.account.local])

    def _read(self, location: str) -> bytes | None:
        bucket, key = storage.split(location)
        try:
            found: Any = self._cloud.call("s3", "get_object", {"Bucket": bucket, "Key": key})
        except Exception as error:
            if is_missing(error):
                return None
            raise explain(error, location) from error
        with found["Body"] as body:
            return bytes(body.read())
