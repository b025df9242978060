"""Asynchronous inference: InvokeEndpointAsync, the queue behind it, answers in S3, notifications.

Each endpoint has a queue, which waits while there are no instances. Every instance gets as many
requests at once as ``MaxConcurrentInvocationsPerInstance`` says; AWS chooses where nothing is said,
here it is `CONCURRENT`. A request that no server has seen goes back to the front; any other failure
is told, in the failure object and to the error topic, and not tried again.

Names of objects and the words of a model's failure are those of messages that users published.
An endpoint of the other kind is refused in our own words, since AWS's are not documented. The
metrics are those of the developer guide's "Monitor asynchronous endpoint", told once a second.
"""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Mapping
from typing import Any

from infra.local import async_notices
from infra.local.backlogs import Backlog, Ticket
from infra.local.buckets import Location
from infra.local.endpoint_state import Endpoint
from infra.local.endpoints import Endpoints
from infra.local.environment import ACCOUNT
from infra.local.instances import Instance, NotTakenError, UnreachableError
from infra.local.invocations import FORWARDED
from infra.local.meter import NAMESPACE
from infra.local.series import Metric
from infra.local.state import Cloud, log_exception
from infra.local.wire import RefusalError

CONCURRENT = 4
LARGEST_INLINE = 128_000
LARGEST_INPUT = 1 << 30
DEFAULT_PATIENCE = 21_600
DEFAULT_TIMEOUT = 900
POLL = 0.05
INTERVAL = 1.0
OFFERED = {
    *("EndpointName", "ContentType", "Accept", "CustomAttributes", "InferenceId"),
    *("InputLocation", "RequestTTLSeconds", "InvocationTimeoutSeconds"),
}


class _Failed(Exception):  # noqa: N818 - a verdict, told and not raised further
    """A request has no answer; the text is its failureReason."""

    def __init__(self, reason: str, counted: str = "InvocationFailures") -> None:
        super().__init__(reason)
        self.counted = counted


class AsyncInference:
    """The queues of every asynchronous endpoint."""

    def __init__(self, cloud: Cloud, endpoints: Endpoints) -> None:
        self._cloud = cloud
        self._endpoints = endpoints
        self._backlogs: dict[str, tuple[Endpoint, Backlog]] = {}
        self._lock = threading.Lock()

    def watch(self) -> None:
        """Tell the queues' metrics from now on."""
        threading.Thread(target=self._tell, daemon=True).start()

    def invoke(
        self, name: str, request: Mapping[str, Any], body: bytes
    ) -> tuple[dict[str, str], bytes]:
        """Put a request into an endpoint's queue; the headers and the body for the client.

        Raises:
            RefusalError: no such endpoint, not an asynchronous one, or not exactly one input.
        """
        endpoint = self._endpoints.get(name)
        fleet = endpoint.fleet if endpoint else None
        if endpoint is None or fleet is None:
            raise RefusalError(
                "ValidationError", f"Endpoint {name} of account {ACCOUNT} not found."
            )
        config = fleet.asynchronous
        if config is None:
            message = f"Endpoint {name} is not asynchronous; use InvokeEndpoint."
            raise RefusalError("ValidationError", message)
        if bool(body) == ("InputLocation" in request):
            message = "Exactly one of InputLocation and Body must be provided."
            raise RefusalError("ValidationError", message)
        if not request.get("InputLocation", "s3://").startswith("s3://"):
            message = "The local cloud does not offer input locations other than s3://."
            raise RefusalError("ValidationError", message)
        ticket = _ticket(request, body, config)
        self._backlog(endpoint).add(ticket)
        headers = {
            "Content-Type": "application/json",
            "X-Amzn-SageMaker-OutputLocation": ticket.output,
        }
        if ticket.failure:
            headers["X-Amzn-SageMaker-FailureLocation"] = ticket.failure
        return headers, json.dumps({"InferenceId": ticket.inference_id}).encode()

    def _backlog(self, endpoint: Endpoint) -> Backlog:
        """An endpoint's queue, with a thread that works it off; made when it is first needed."""
        with self._lock:
            owner, backlog = self._backlogs.get(endpoint.name, (None, Backlog()))
            if owner is not endpoint:
                backlog = Backlog()
                self._backlogs[endpoint.name] = (endpoint, backlog)
                work = threading.Thread(target=self._serve, args=(endpoint, backlog), daemon=True)
                work.start()
            return backlog

    def _serve(self, endpoint: Endpoint, backlog: Backlog) -> None:
        """Hand out requests to instances until the endpoint is gone."""
        while self._endpoints.get(endpoint.name) is endpoint:
            if not backlog.wait(INTERVAL):
                continue
            for late in backlog.expired(time.time()):
                self._fail(
                    endpoint,
                    late,
                    _Failed("ClientError: Request expired in the queue.", "ExpiredRequests"),
                )
            instance = _free_instance(endpoint)
            if instance is None:
                time.sleep(POLL)
                continue
            ticket = backlog.take()
            if ticket is None:
                instance.release()
                continue
            work = (endpoint, backlog, instance, ticket)
            threading.Thread(target=self._process, args=work, daemon=True).start()
        with self._lock:
            if self._backlogs.get(endpoint.name, (None,))[0] is endpoint:
                del self._backlogs[endpoint.name]

    def _process(
        self, endpoint: Endpoint, backlog: Backlog, instance: Instance, ticket: Ticket
    ) -> None:
        begun = time.time()
        try:
            content_type, content = self._answer(endpoint, instance, ticket)
            self._store(ticket.output, content, ticket, content_type)
        except NotTakenError:
            backlog.give_back(ticket)
            return
        except _Failed as failure:
            self._fail(endpoint, ticket, failure)
        except Exception as error:
            log_exception()
            self._fail(endpoint, ticket, _Failed(f"InternalServerError: {error}"))
        else:
            place = {"contentType": content_type, "outputLocation": ticket.output}
            self._notify(endpoint, ticket, "Completed", {"responseParameters": place}, content)
        finally:
            instance.release()
        backlog.done()
        self._count(endpoint, "InvocationsProcessed", 1.0, "Count")
        self._count(endpoint, "TimeInBacklog", (begun - ticket.received) * 1e6, "Microseconds")
        spent = (time.time() - ticket.received) * 1e3
        self._count(endpoint, "TotalProcessingTime", spent, "Milliseconds")

    def _answer(self, endpoint: Endpoint, instance: Instance, ticket: Ticket) -> tuple[str, bytes]:
        """What the model answers: media type and content.

        Raises:
            NotTakenError: its server has not seen the request.
            _Failed: there is no answer.
        """
        content = self._input(ticket)
        members = {**ticket.request, "InferenceId": ticket.inference_id}
        headers = {FORWARDED[key]: members[key] for key in FORWARDED if key in members}
        timeout = float(ticket.request.get("InvocationTimeoutSeconds", DEFAULT_TIMEOUT))
        asked = time.perf_counter()
        try:
            status, answered, found = instance.call("/invocations", headers, content, timeout)
        except TimeoutError:
            reason = f"no response within {timeout:g} seconds"
            raise _Failed(f"ClientError: The model gave {reason}.") from None
        except NotTakenError:
            raise
        except UnreachableError:
            raise _Failed("ClientError: Could not get a response from the model.") from None
        latency = (time.perf_counter() - asked) * 1e6
        self._count(endpoint, "ModelLatency", latency, "Microseconds")
        self._count(endpoint, "Invocation4XXErrors", float(400 <= status < 500), "None")
        self._count(endpoint, "Invocation5XXErrors", float(status >= 500), "None")
        if not 200 <= status < 300:
            side = "client" if status < 500 else "server"
            raise _Failed(
                f"ClientError: Received {side} error ({status}) from model. See the SageMaker "
                "Endpoint logs in your account for more information."
            )
        return answered.get("Content-Type", "application/octet-stream"), found

    def _input(self, ticket: Ticket) -> bytes:
        if ticket.body is not None:
            return ticket.body
        place = Location.parse(ticket.request["InputLocation"])
        try:
            found = self._cloud.client("s3").get_object(Bucket=place.bucket, Key=place.key)
            size = found["ContentLength"]
            if size > LARGEST_INPUT:
                raise ValueError(f"its {size} bytes are more than {LARGEST_INPUT}")
            content: bytes = found["Body"].read()
        except Exception as error:
            raise _Failed(
                f"ClientError: Unable to download the input from {place}: {error}",
                "RequestDownloadFailures",
            ) from None
        return content

    def _store(self, uri: str, content: bytes, ticket: Ticket, content_type: str) -> None:
        place = Location.parse(uri)
        key = ticket.config["OutputConfig"].get("KmsKeyId")
        secret = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key} if key else {}
        try:
            self._cloud.client("s3").put_object(
                Bucket=place.bucket,
                Key=place.key,
                Body=content,
                ContentType=content_type,
                **secret,
            )
        except Exception as error:
            raise _Failed(
                f"ClientError: Unable to upload the output to {place}: {error}",
                "ResponseUploadFailures",
            ) from None

    def _fail(self, endpoint: Endpoint, ticket: Ticket, failure: _Failed) -> None:
        """Tell what became of a request that has no answer."""
        self._count(endpoint, "InvocationFailures", 1.0, "Count")
        if failure.counted != "InvocationFailures":
            self._count(endpoint, failure.counted, 1.0, "Count")
        reason = str(failure)
        if ticket.failure:
            try:
                self._store(ticket.failure, reason.encode(), ticket, "text/plain")
            except _Failed as again:
                reason = f"{reason} {again}"
        self._notify(endpoint, ticket, "Failed", {"failureReason": reason}, reason.encode())

    def _notify(
        self, endpoint: Endpoint, ticket: Ticket, status: str, more: Mapping[str, Any], body: bytes
    ) -> None:
        notice = async_notices.notice(endpoint.name, ticket, status, more, body)
        if notice is None:
            return
        topic, message = notice
        try:
            self._cloud.client("sns").publish(TopicArn=topic, Message=message)
        except Exception:  # the answer is stored; a topic that is gone must not undo it
            log_exception()
            self._count(endpoint, "NotificationFailures", 1.0, "Count")

    def _count(self, endpoint: Endpoint, name: str, value: float, unit: str) -> None:
        fleet = endpoint.fleet
        if fleet is not None:
            names = {"EndpointName": endpoint.name, "VariantName": fleet.variants[0].name}
            self._cloud.metrics.add([(Metric.of(NAMESPACE, name, names), value, unit)])

    def _tell(self) -> None:
        """Every queue's metrics, once a second."""
        while True:
            time.sleep(INTERVAL)
            for endpoint in self._endpoints.all():
                fleet = endpoint.fleet
                if fleet is not None and fleet.asynchronous is not None:
                    with self._lock:
                        owner, backlog = self._backlogs.get(endpoint.name, (None, None))
                    mine = backlog if owner is endpoint and backlog else Backlog()
                    told = measures(mine, fleet.variants[0].running, time.time())
                    names = {"EndpointName": endpoint.name}
                    self._cloud.metrics.add(
                        (Metric.of(NAMESPACE, name, names), value, unit)
                        for name, (value, unit) in told.items()
                    )


def measures(backlog: Backlog, instances: int, moment: float) -> dict[str, tuple[float, str]]:
    """What CloudWatch is told of a queue: values with their units, by the metric's name.

    Without instances there is no backlog for each, so that metric is left out; that is what
    HasBacklogWithoutCapacity is for.
    """
    size = backlog.size
    told = {
        "ApproximateBacklogSize": (float(size), "Count"),
        "ApproximateAgeOfOldestRequest": (backlog.age(moment), "Seconds"),
        "HasBacklogWithoutCapacity": (float(size > 0 and instances == 0), "Count"),
    }
    if instances:
        told["ApproximateBacklogSizePerInstance"] = (size / instances, "Count")
    return told


def _ticket(request: Mapping[str, Any], body: bytes, config: Mapping[str, Any]) -> Ticket:
    name = str(uuid.uuid4())
    output = config["OutputConfig"]
    failures = output.get("S3FailurePath")
    return Ticket(
        request=request,
        body=body or None,
        config=config,
        inference_id=request.get("InferenceId") or str(uuid.uuid4()),
        output=f"{output['S3OutputPath'].rstrip('/')}/{name}.out",
        failure=f"{failures.rstrip('/')}/{name}-error.out" if failures else None,
        received=time.time(),
        patience=float(request.get("RequestTTLSeconds", DEFAULT_PATIENCE)),
    )


def _free_instance(endpoint: Endpoint) -> Instance | None:
    """An instance that has counted a request in; None when all have enough to do."""
    fleet = endpoint.fleet
    if fleet is None or fleet.asynchronous is None:
        return None
    client = fleet.asynchronous.get("ClientConfig", {})
    most = client.get("MaxConcurrentInvocationsPerInstance", CONCURRENT)
    choice = endpoint.router.choose(None)
    instance = choice.instance if choice else None
    if instance is not None and instance.busy > most:
        instance.release()
        return None
    return instance
