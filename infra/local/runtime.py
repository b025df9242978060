"""SageMaker's runtime: REST requests for an endpoint, read into the members of their operation."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from infra.local import async_inference, wire
from infra.local.async_inference import AsyncInference
from infra.local.endpoints import Endpoints
from infra.local.invocations import FORWARDED
from infra.local.wire import RefusalError

LARGEST_INVOCATION = 6_291_456
_PATH = re.compile(r"/endpoints/(?P<name>[^/]+)/(?P<what>invocations|async-invocations)")

Read = Callable[[int], bytes]
Answer = tuple[int, dict[str, str], bytes]


@dataclass(frozen=True)
class _Route:
    operation: str
    offered: Collection[str]
    largest: int
    status: int
    invoke: Callable[[str, Mapping[str, Any], bytes], tuple[dict[str, str], bytes]]


class Runtime:
    """The operations of the runtime.

    Args:
        endpoints: every endpoint.
        queues: of the asynchronous ones.
    """

    def __init__(self, endpoints: Endpoints, queues: AsyncInference) -> None:
        self._routes = {
            "invocations": _Route(
                "InvokeEndpoint", FORWARDED, LARGEST_INVOCATION, 200, endpoints.invoke
            ),
            "async-invocations": _Route(
                "InvokeEndpointAsync",
                async_inference.OFFERED,
                async_inference.LARGEST_INLINE,
                202,
                queues.invoke,
            ),
        }

    def answer(self, environ: Mapping[str, Any], read: Read) -> Answer:
        """Status, headers and body for a request.

        Args:
            environ: WSGI's.
            read: gives the body, if it has no more bytes than it is told.

        Raises:
            RefusalError: it is refused.
        """
        match = _PATH.fullmatch(environ.get("PATH_INFO", ""))
        if not match or environ["REQUEST_METHOD"] != "POST":
            raise RefusalError(
                "UnknownOperationException",
                f"The local cloud does not offer {environ['REQUEST_METHOD']} "
                f"{environ.get('PATH_INFO', '')} of SageMaker.",
            )
        route = self._routes[match["what"]]
        body = read(route.largest)
        request = {"EndpointName": match["name"], "Body": ""}
        for name, key, kind in _headers(route.operation):
            value = environ.get(key)
            if value is not None:
                if name not in route.offered:
                    raise RefusalError("ValidationError", f"The local cloud does not offer {name}.")
                request[name] = int(value) if kind == "integer" and value.isdecimal() else value
        members = wire.service("sagemaker-runtime").operation_model(route.operation).input_shape
        try:
            wire.read(members, request)
        except RefusalError as refusal:
            raise RefusalError("ValidationError", refusal.message) from None
        return route.status, *route.invoke(match["name"], request, body)


@functools.cache
def _headers(operation: str) -> list[tuple[str, str, str]]:
    """The members that are headers: their names, WSGI's names for them, and their types."""
    return list(_header_members(operation))


def _header_members(operation: str) -> Iterator[tuple[str, str, str]]:
    members = wire.service("sagemaker-runtime").operation_model(operation).input_shape.members
    for name, shape in members.items():
        if shape.serialization.get("location") == "header":
            key = shape.serialization["name"].upper().replace("-", "_")
            yield name, key if key == "CONTENT_TYPE" else f"HTTP_{key}", shape.type_name
