"""The handler in AWS's TensorFlow Serving image: ours up to the matrices, theirs for the network.

The image starts TensorFlow Serving with the SavedModel in ``1/``, waits until it is ready, and then
imports ``code/inference.py`` into its Python service, which is to define `handler`. (It also knows
``input_handler`` and ``output_handler``; one function sees errors and large requests whole.)

There is no ONNX Runtime in the image. What goes wrong must leave as a ``falcon.HTTPError``: the
service makes a 500 of everything else. Only that service imports this module.
"""

from __future__ import annotations

import copy
import http.client
import logging
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, BinaryIO
from urllib.parse import urlsplit

import falcon
import numpy as np
import numpy.typing as npt
import orjson

from inference import environment, errors, limits
from inference import handler as core
from shared import bundle as bundles
from shared.errors import InputError
from shared.transforms import Encoded

Handler = Callable[[BinaryIO, Any], tuple[bytes, str]]

log = logging.getLogger("inference")

SECONDS = 60
"""How long TensorFlow Serving may take, as the image itself has it."""


class ReplyError(Exception):
    """TensorFlow Serving answered with another status than 200."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(f"TensorFlow Serving answered {status}: {body[:500]!r}")


class Refusal(falcon.HTTPError):  # type: ignore[misc]
    """An error with the body that our own server gives it.

    falcon sends it to callers that accept JSON or XML; others get the status alone.
    """

    def __init__(self, error: Exception, request_id: str) -> None:
        status = HTTPStatus(errors.status(error))
        super().__init__(f"{status.value} {status.phrase}")
        self._body = errors.body(request_id, error)

    def to_json(self, handler: object = None) -> bytes:
        """The body, whatever would write JSON here."""
        return self._body


def start() -> Handler:
    """What the image calls for every request, with the bundle that it was started with.

    Raises:
        KitError: TensorFlow Serving does not answer the golden rows as training computed them, or
            the bundle cannot be trusted. The image then does not come up.
    """
    settings = environment.read()
    run = network(environment.tensorflow_serving())
    return handler(core.Model(bundles.load(settings.model_dir), run), settings.body_bytes)


def handler(model: core.Model, longest: int) -> Handler:
    """The image's `handler` for one model, and bodies of at most `longest` bytes.

    Its result is the body of the answer and its content type. It raises a Refusal.
    """

    def handle(data: BinaryIO, context: Any) -> tuple[bytes, str]:
        # The image chooses one of its servers for each request, and a caller may name a version.
        asked = copy.copy(model)
        asked.run = network(context.rest_uri)
        try:
            body = data.read(longest + 1)
            if len(body) > longest:
                raise limits.too_large(longest)
            request = core.input_fn(body, context.request_content_type)
            return core.output_fn(core.predict_fn(request, asked), context.accept_header)
        except Exception as error:
            raise _refusal(error, context) from None

    return handle


def network(uri: str) -> core.Run:
    """What asks TensorFlow Serving at `uri` for the network's outputs."""
    parts = urlsplit(uri)

    def run(encoded: Encoded) -> npt.NDArray[np.float32]:
        inputs = {"numeric": encoded.numeric, "codes": encoded.codes}
        given = {
            name: np.ascontiguousarray(matrix) for name, matrix in inputs.items() if matrix.shape[1]
        }
        body = orjson.dumps({"inputs": given}, option=orjson.OPT_SERIALIZE_NUMPY)
        connection = http.client.HTTPConnection(parts.netloc, timeout=SECONDS)
        try:
            connection.request("POST", parts.path, body, {"Content-Type": "application/json"})
            reply = connection.getresponse()
            answer = reply.read()
        finally:
            connection.close()
        if reply.status != 200:
            raise ReplyError(reply.status, answer)
        return np.array(orjson.loads(answer)["outputs"], dtype=np.float32)

    return run


def _refusal(error: Exception, context: Any) -> Refusal:
    request_id = errors.request_id({})
    if isinstance(error, ReplyError) and "tfs-" in (context.custom_attributes or ""):
        error = InputError(
            "not_served",
            "TensorFlow Serving does not predict under the model, version or method asked for",
            cure="Leave tfs-… out of X-Amzn-SageMaker-Custom-Attributes",
        )
    if isinstance(error, InputError):
        log.info("refused, code %s, request_id %s", error.code, request_id)
    else:
        log.error("failed, request_id %s", request_id, exc_info=error)
    return Refusal(error, request_id)
