"""SageMaker's runtime in front of a server on this machine: what an AWS SDK talks to.

POST /endpoints/<name>/invocations is passed on to /invocations; an answer other than 2xx becomes a
ModelError, as the service makes it.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.support.serving import Server

PASSED = ("content-type", "accept")


@contextmanager
def runtime(server: Server) -> Iterator[str]:
    """The address of a runtime whose every endpoint is `server`."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name: self.headers[name] for name in PASSED if self.headers[name]}
            reply = server.request("POST", "/invocations", body, headers)
            if reply.status == 200:
                self.answer(200, reply.body, {"Content-Type": reply.headers["content-type"]})
                return
            error = {
                "Message": f"Received client error ({reply.status}) from primary",
                "OriginalStatusCode": reply.status,
                "OriginalMessage": reply.body.decode(),
                "LogStreamArn": "",
            }
            self.answer(424, json.dumps(error).encode(), {"x-amzn-ErrorType": "ModelError"})

        def answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as made:
        thread = threading.Thread(target=made.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{made.server_port}"
        finally:
            made.shutdown()
            thread.join()
