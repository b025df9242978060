"""The WSGI application: which service a request is for, by its signature, and who answers it.

SageMaker's requests are answered here, and only here: what is not offered is refused, and never
passed on. CloudWatch's metrics and alarms are answered by `cloudwatch`, IAM's missing operation by
`neighbours`. Everything else is moto's; an operation that moto lacks becomes an AWS error instead
of a page of HTML.
"""

from __future__ import annotations

import errno
import functools
import io
import json
import os
import re
import secrets
import uuid
import zlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from xml.sax.saxutils import escape

from infra.local import control, neighbours, wire
from infra.local.alarms import Alarms
from infra.local.application_autoscaling import ApplicationAutoScaling
from infra.local.async_inference import AsyncInference
from infra.local.cloudwatch import CloudWatch
from infra.local.endpoints import Endpoints
from infra.local.model_packages import ModelPackages
from infra.local.models import Models
from infra.local.record import HEALTH
from infra.local.runtime import Runtime
from infra.local.scaler import Scaler
from infra.local.state import Cloud, Operation, log_exception
from infra.local.tags import Tags
from infra.local.training_jobs import TrainingJobs
from infra.local.transform_jobs import TransformJobs
from infra.local.tuning_jobs import TuningJobs
from infra.local.wire import RefusalError

Environ = dict[str, Any]
StartResponse = Callable[..., Any]

STRANGER = RefusalError(
    "InvalidAccessKeyId",
    "The AWS Access Key Id you provided does not exist in our records. "
    "`.venv/bin/python -m infra.local status` shows the one of the local cloud's present start.",
    403,
)
LARGEST_METRICS = 1 << 24
_CREDENTIAL = re.compile(r"Credential=(?P<key>[^/,]+)/\d+/[^/,]+/(?P<service>[^/,]+)/aws4_request")
_PRESIGNED = re.compile(r"(?:X-Amz-Credential=|AWSAccessKeyId=)(?P<key>[A-Z2-7]+)(?:%2F|/|&|$)")
_REASONS = {
    200: "OK",
    202: "Accepted",
    400: "Bad Request",
    403: "Forbidden",
    413: "Payload Too Large",
    424: "Failed Dependency",
    429: "Too Many Requests",
}


class Application:
    """The whole local cloud as one WSGI callable."""

    def __init__(
        self, cloud: Cloud, moto: Callable[[Environ, StartResponse], Iterable[bytes]]
    ) -> None:
        self._cloud = cloud
        self._moto = moto
        packages, training = ModelPackages(cloud), TrainingJobs(cloud)
        models, alarms = Models(cloud, packages), Alarms(cloud)
        alarms.watch()
        self._cloudwatch = CloudWatch(cloud, alarms)
        self._endpoints = Endpoints(cloud, models, alarms)
        queues = AsyncInference(cloud, self._endpoints)
        queues.watch()
        self._scaling = ApplicationAutoScaling(cloud, self._endpoints, alarms)
        Scaler(cloud, self._scaling, self._endpoints, alarms).watch()
        self._runtime = Runtime(self._endpoints, queues)
        self._operations: dict[str, Operation] = {
            **training.operations(),
            **TuningJobs(cloud, training).operations(),
            **packages.operations(),
            **models.operations(),
            **TransformJobs(cloud, models).operations(),
            **self._endpoints.operations(),
            **Tags(cloud).operations(),
        }

        self._own: dict[str, Operation] = {
            f"{control.PREFIX}InterruptTrainingJob": training.interrupt
        }

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        request_id = str(uuid.uuid4())
        if "HTTP_ORIGIN" in environ:
            # Only browsers send it: a web page must not run programs here, or read what is stored.
            body = b'{"message": "The local cloud does not answer web pages."}'
            return _send(start_response, 403, {"Content-Type": "application/json"}, body)
        match = _CREDENTIAL.search(environ.get("HTTP_AUTHORIZATION", ""))
        service = match["service"] if match else None
        if service is None and environ.get("PATH_INFO") == HEALTH:
            return _send(start_response, 200, {}, json.dumps({"pid": os.getpid()}).encode())
        match = match or _PRESIGNED.search(environ.get("QUERY_STRING", ""))
        key = self._cloud.access_key.encode()
        if not match or not secrets.compare_digest(match["key"].encode(), key):
            return _refuse_in_kind(environ, start_response, request_id, STRANGER)
        if service == "sagemaker":
            return self._sagemaker(environ, start_response, request_id)
        if service == "monitoring":
            return self._monitoring(environ, start_response, request_id)
        if service == "application-autoscaling":
            return self._autoscaling(environ, start_response, request_id)
        if service == "iam":
            body = _body(environ)
            environ["wsgi.input"] = io.BytesIO(body)
            answer = neighbours.simulate_principal_policy(body, request_id)
            if answer is not None:
                return _send(start_response, 200, {"Content-Type": "text/xml"}, answer)
        if environ.get("HTTP_X_AMZ_TARGET") == "Logs_20140328.FilterLogEvents":
            body = neighbours.filter_log_events(_body(environ), self._cloud.client("logs"))
            environ["wsgi.input"] = io.BytesIO(body)
            environ["CONTENT_LENGTH"] = str(len(body))
        return self._pass_on(environ, start_response, request_id)

    def _sagemaker(
        self, environ: Environ, start_response: StartResponse, request_id: str
    ) -> Iterable[bytes]:
        target = environ.get("HTTP_X_AMZ_TARGET", "")
        headers = {"x-amzn-RequestId": request_id}
        try:
            if target:
                headers["Content-Type"] = "application/x-amz-json-1.1"
                answer = self._control(target, _body(environ))
                return _send(start_response, 200, headers, answer)
            read = functools.partial(_body, environ)
            status, found, body = self._runtime.answer(environ, read)
            return _send(start_response, status, {**headers, **found}, body)
        except RefusalError as refusal:
            return _refuse(start_response, headers, refusal, control=bool(target))
        except Exception as error:
            return _refuse(start_response, headers, _failure(error), control=bool(target))

    def _monitoring(
        self, environ: Environ, start_response: StartResponse, request_id: str
    ) -> Iterable[bytes]:
        target, body = environ.get("HTTP_X_AMZ_TARGET", ""), _body(environ)
        environ["wsgi.input"] = io.BytesIO(body)
        headers = {"x-amzn-RequestId": request_id, "Content-Type": "application/x-amz-json-1.0"}
        try:
            if environ.get("HTTP_CONTENT_ENCODING") == "gzip":
                body = zlib.decompressobj(31).decompress(body, LARGEST_METRICS)
            answer = self._cloudwatch.answer(target, body)
        except Exception as error:
            refusal = error if isinstance(error, RefusalError) else _failure(error)
            if not target:
                return _refuse_in_kind(environ, start_response, request_id, refusal)
            headers["x-amzn-query-error"] = f"{refusal.code};Sender"
            return _refuse(start_response, headers, refusal, control=True)
        if answer is None:
            return self._pass_on(environ, start_response, request_id)
        return _send(start_response, 200, headers, answer)

    def _autoscaling(
        self, environ: Environ, start_response: StartResponse, request_id: str
    ) -> Iterable[bytes]:
        headers = {"x-amzn-RequestId": request_id, "Content-Type": "application/x-amz-json-1.1"}
        target = environ.get("HTTP_X_AMZ_TARGET", "")
        try:
            answer = self._scaling.answer(target, _body(environ))
        except Exception as error:
            refusal = error if isinstance(error, RefusalError) else _failure(error)
            return _refuse(start_response, headers, refusal, control=True)
        return _send(start_response, 200, headers, answer)

    def _control(self, target: str, body: bytes) -> bytes:
        name = target.rpartition(".")[2]
        own = self._own.get(target)
        operation = self._operations.get(name)
        if own is None and operation is None:
            raise RefusalError(
                "UnknownOperationException", f"The local cloud does not offer SageMaker's {name}."
            )
        try:
            parameters = json.loads(body or b"{}")
        except ValueError:
            raise RefusalError("SerializationException", "The request is not JSON.") from None
        if own is not None:
            return json.dumps(own(parameters) or {}).encode()
        assert operation is not None
        model = wire.service("sagemaker").operation_model(name)
        answer = operation(wire.read(model.input_shape, parameters))
        if model.output_shape is None:
            return b""
        return json.dumps(wire.render(model.output_shape, answer or {})).encode()

    def _pass_on(
        self, environ: Environ, start_response: StartResponse, request_id: str
    ) -> Iterable[bytes]:
        try:
            return self._moto(environ, start_response)
        except NotImplementedError as error:
            refusal = RefusalError(
                "UnknownOperationException", f"The local cloud does not offer this: {error}"
            )
        except OSError as error:
            log_exception()
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            what = f"the disk that holds {self._cloud.root} is full" if full else str(error)
            refusal = RefusalError(
                "InsufficientStorage" if full else "InternalFailure",
                f"The local cloud failed: {what}",
                507 if full else 500,
            )
        except Exception as error:
            log_exception()
            refusal = RefusalError(
                "InternalFailure", f"The local cloud failed: {type(error).__name__}: {error}", 500
            )
        return _refuse_in_kind(environ, start_response, request_id, refusal)


def _failure(error: Exception) -> RefusalError:
    """What a client is told of an exception that nobody foresaw; the log has all of it."""
    log_exception()
    return RefusalError("InternalFailure", f"The local cloud failed: {error}", 500)


def _refuse_in_kind(
    environ: Environ, start_response: StartResponse, request_id: str, refusal: RefusalError
) -> Iterable[bytes]:
    """An error in the format of the protocol that the request speaks."""
    if "HTTP_X_AMZ_TARGET" in environ:
        headers = {"Content-Type": "application/x-amz-json-1.1"}
        return _refuse(start_response, headers, refusal, control=True)
    detail = f"<Code>{refusal.code}</Code><Message>{escape(refusal.message)}</Message>"
    tail = f"<RequestId>{request_id}</RequestId>"
    s3 = not environ.get("CONTENT_TYPE", "").startswith("application/x-www-form-urlencoded")
    text = (
        f"<Error>{detail}{tail}</Error>"
        if s3
        else f"<ErrorResponse><Error>{detail}</Error>{tail}</ErrorResponse>"
    )
    xml = {"Content-Type": "application/xml"}
    return _send(start_response, refusal.status, xml, text.encode())


def _body(environ: Environ, largest: int | None = None) -> bytes:
    """The request's body.

    Raises:
        RefusalError: it has more than `largest` bytes.
    """
    length = environ.get("CONTENT_LENGTH")
    size = int(length) if length else (largest + 1 if largest is not None else -1)
    chunked = environ.get("wsgi.input_terminated", False)
    if largest is None or size <= largest or (chunked and not length):
        body: bytes = environ["wsgi.input"].read(size) if length or chunked else b""
        if largest is None or len(body) <= largest:
            return body
    raise RefusalError("", f"HTTP content length exceeded {largest} bytes.", 413)


def _refuse(
    start_response: StartResponse,
    headers: Mapping[str, str],
    refusal: RefusalError,
    *,
    control: bool,
) -> Iterable[bytes]:
    """An error as SageMaker's control plane or its runtime words it."""
    if not refusal.code:
        body = {"message": refusal.message}
    elif control:
        body = wire.error_body(refusal, declared=refusal.code.startswith("Resource"))
    else:
        body = {"Message": refusal.message, **refusal.fields}
        headers = {**headers, "x-amzn-ErrorType": refusal.code, "Content-Type": "application/json"}
    return _send(start_response, refusal.status, headers, json.dumps(body).encode())


def _send(
    start_response: StartResponse, status: int, headers: Mapping[str, str], body: bytes
) -> Iterable[bytes]:
    pairs = [*headers.items(), ("Content-Length", str(len(body)))]
    start_response(f"{status} {_REASONS.get(status, 'Error')}", pairs)
    return [body]
