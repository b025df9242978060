"""The HTTP server: one thread per connection, kept alive, each answer in one write.

werkzeug's own handler closes the connection after every answer; this one differs in reading the
whole body first (moto would do so anyway), after which the connection is ready for the next
request. moto's handler is kept below it because it preserves header names that WSGI would lose.
"""

from __future__ import annotations

import io
import socket
from collections.abc import Iterable
from typing import Any

from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from werkzeug.serving import BaseWSGIServer, make_server

ADDRESS = "127.0.0.1"
IDLE_SECONDS = 300
NO_BODY = ("1", "204", "304")


class Handler(MotoRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    timeout = IDLE_SECONDS
    disable_nagle_algorithm = True

    def run_wsgi(self) -> None:
        """Read a request, run the application, write its answer."""
        environ = self.make_environ()
        source = environ["wsgi.input"]
        if environ.get("wsgi.input_terminated"):
            body = b"".join(iter(lambda: source.read(1 << 16), b""))
        else:
            body = source.read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        answer: list[Any] = []

        def start_response(status: str, headers: list[tuple[str, str]], _: Any = None) -> None:
            answer[:] = [status, headers]

        chunks: Iterable[bytes] = self.server.app(environ, start_response)
        try:
            content = b"".join(chunks)
        finally:
            close = getattr(chunks, "close", None)
            if close:
                close()
        self._answer(answer[0], answer[1], content)

    def _answer(self, status: str, headers: list[tuple[str, str]], content: bytes) -> None:
        names = {name.lower() for name, _ in headers}
        lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in headers)]
        if "date" not in names:
            lines.append(f"Date: {self.date_time_string()}")
        if self.command == "HEAD" or status.startswith(NO_BODY):
            content = b""
        elif "content-length" not in names:
            lines.append(f"Content-Length: {len(content)}")
        if self.close_connection:
            lines.append("Connection: close")
        head = "\r\n".join([*lines, "", ""]).encode("latin-1")
        self.wfile.write(head + content)

    def log_request(self, code: Any = "-", size: Any = "-") -> None:
        """Requests are not logged; errors are."""


def moto() -> Any:
    """All of moto's services, loaded when first asked for; their exceptions come up to us."""

    def create(service: Any) -> Any:
        app = create_backend_app(service)
        app.config["PROPAGATE_EXCEPTIONS"] = True
        return app

    return DomainDispatcherApplication(create)


def serve(listener: socket.socket, application: Any) -> BaseWSGIServer:
    """A server on a socket that is bound and listening already."""
    return make_server(
        ADDRESS,
        listener.getsockname()[1],
        application,
        threaded=True,
        request_handler=Handler,
        fd=listener.fileno(),
    )
