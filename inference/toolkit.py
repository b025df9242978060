"""The handler's four functions as SageMaker's inference toolkit calls them: model_fn to output_fn.

The toolkit answers every exception but its own with 500, so ours are translated here, and nowhere
else. Status and first line of an error are those of our own server; below it the toolkit puts a
traceback. Only a worker of the toolkit imports this module.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

from sagemaker_inference import content_types
from sagemaker_inference.errors import BaseInferenceToolkitError

from inference import codecs, environment, errors, handler, limits
from inference.handler import model_fn
from shared.errors import InputError

__all__ = ["input_fn", "model_fn", "output_fn", "predict_fn"]

LONGEST = environment.read().body_bytes
limits.ROWS = environment.read().rows

log = logging.getLogger("inference")

# The toolkit decodes bodies of these types before it calls anybody, and answers 500 where they are
# not UTF-8. Our codecs take bytes and say which byte is wrong.
content_types.UTF8_TYPES = ()


def input_fn(body: bytes | None, content_type: str | None, context: Any) -> codecs.Request:
    """The rows in `body`."""
    with _translated(context):
        if body is not None and len(body) > LONGEST:
            raise limits.too_large(LONGEST)
        return handler.input_fn(body or b"", content_type)


def predict_fn(request: codecs.Request, model: handler.Model, context: Any) -> handler.Answer:
    """One prediction per row of `request`."""
    with _translated(context):
        return handler.predict_fn(request, model)


def output_fn(answer: handler.Answer, accept: str | None, context: Any) -> tuple[bytes, str]:
    """The body of the answer and its content type."""
    with _translated(context):
        return handler.output_fn(answer, accept)


@contextmanager
def _translated(context: Any) -> Iterator[None]:
    """Raises the toolkit's own error, with our body, for whatever goes wrong inside."""
    try:
        yield
    except Exception as error:
        status = errors.status(error)
        request_id = _request_id(context)
        if not isinstance(error, InputError):
            log.exception("failed, request_id %s", request_id)
        body = errors.body(request_id, error).decode()
        raise BaseInferenceToolkitError(status, body, HTTPStatus(status).phrase) from None


def _request_id(context: Any) -> str:
    """The caller's id, or the one that Model Server gave the request and answers as a header."""
    sent = context.request_processor[0].get_request_properties()
    named = {name.lower(): value for name, value in sent.items() if isinstance(value, str)}
    return errors.request_id({"x-amzn-requestid": context.get_request_id(), **named})
