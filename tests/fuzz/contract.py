"""The server against its own OpenAPI document, by schemathesis: made-up requests, right and wrong.

Right ones are rows that the document allows, with one exception: which day a month has is beyond a
pattern. Wrong ones break the document. Every answer must be one that the document describes.
"""

from __future__ import annotations

import json
from typing import Any

import requests
import schemathesis
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from shared import openapi
from tests.support.serving import Server

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]

for binary in openapi.BINARY:
    schemathesis.openapi.media_type(binary, st.binary(max_size=2000))
for lines in (*openapi.JSON_LINES, openapi.CSV):
    schemathesis.openapi.media_type(lines, st.text(max_size=2000).map(str.encode))


def hold(server: Server, document: Any, examples: int) -> int:
    """Send `examples` right and wrong requests to every operation; how many were sent.

    Raises:
        AssertionError: an answer is not what the document says.
    """
    described = schemathesis.openapi.from_dict(json.loads(json.dumps(document)))
    sent, session = 0, requests.Session()
    for found in described.get_all_operations():
        operation = found.ok()
        # What has no parameters cannot be asked wrongly.
        wrong = (GenerationMode.NEGATIVE,) if operation.method == "post" else ()
        for mode in (GenerationMode.POSITIVE, *wrong):

            @seed(1)
            @given(case=operation.as_strategy(generation_mode=mode))
            @settings(
                max_examples=examples,
                deadline=None,
                database=None,
                suppress_health_check=list(HealthCheck),
            )
            def ask(case: Any) -> None:
                nonlocal sent
                sent += 1
                url = f"http://127.0.0.1:{server.port}"
                answer = case.call(base_url=url, session=session)
                case.validate_response(answer, checks=CHECKS)

            ask()
    session.close()
    return sent
