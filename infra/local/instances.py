"""One instance of a variant: a model server as a process on a port of its own.

It is started again whenever it ends. Requests are counted in and out, so that an instance that
leaves can wait until its last one is answered.
"""

from __future__ import annotations

import http.client
import random
import socket
import threading
import time
from collections.abc import Mapping, Sequence
from email.message import Message
from typing import Any

from infra.local import images, meter
from infra.local.launch import Layout
from infra.local.logs import LogStream, pump
from infra.local.processes import Process
from infra.local.state import Cloud

ADDRESS = "127.0.0.1"
INVOCATION_TIMEOUT = 60.0
PING_TIMEOUT = 2.0
PING_INTERVAL = 0.1
STOP_GRACE = 30.0
READ_GRACE = 5.0
LONGEST_PAUSE = 30.0
PORTS = range(20000, 32000)  # below what systems hand out to outgoing connections


class FleetError(Exception):
    """Servers could not start; the text is the endpoint's FailureReason."""


class UnreachableError(Exception):
    """A server took a request and gave no answer."""


class NotTakenError(UnreachableError):
    """A server takes no connections, so it has not seen the request."""


Answer = tuple[int, Message, bytes]


class Instance:
    """One server process and the connections to it."""

    def __init__(
        self, cloud: Cloud, image: images.Image, layout: Layout, log: LogStream, environment: Any
    ) -> None:
        self._cloud = cloud
        self._image = image
        self._layout = layout
        self._environment = dict(environment)
        self._log = log
        self._idle: list[http.client.HTTPConnection] = []
        self._process: Process | None = None
        self._reader: threading.Thread | None = None
        self._starting = threading.Lock()
        self._closing = threading.Event()
        self._requests = threading.Condition()
        self._leaving = False
        self.ready = False
        self.busy = 0
        self.served = 0
        self.port = 0

    @property
    def up(self) -> bool:
        """Whether it takes requests."""
        return self.ready and not self._leaving

    def take(self) -> bool:
        """Count a request in; False when it takes none any more."""
        with self._requests:
            if not self.up:
                return False
            self.busy += 1
            self.served += 1
            return True

    def release(self) -> None:
        """A request that was counted in is over."""
        with self._requests:
            self.busy -= 1
            self._requests.notify_all()

    def leave(self) -> None:
        """Take no more requests, and wait for the last answer; no longer than one may take."""
        with self._requests:
            self._leaving = True
            self._requests.wait_for(lambda: self.busy == 0, INVOCATION_TIMEOUT)

    def start(self, timeout: float) -> str | None:
        """Start the server and wait for its first healthy ping; why not, if there was none."""
        self._launch()
        assert self._process is not None
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline and not self._closing.is_set():
            code = self._process.wait(PING_INTERVAL)
            if code is not None:
                return f"The server process ended with exit code {code}."
            if self._healthy():
                self.ready = True
                threading.Thread(target=self._keep, daemon=True).start()
                return None
        return f"It did not answer GET /ping with 200 within {timeout:g} seconds."

    def _launch(self) -> None:
        """Start the process, unless the instance has been stopped meanwhile."""
        command = self._image.command("serve")
        assert command is not None
        assert self._image.tree is not None
        with self._starting:
            if self._closing.is_set():
                return
            self.port = _free_port()
            self._process = Process(
                command,
                cwd=self._image.tree,
                environment={**self._environment, "SAGEMAKER_BIND_TO_PORT": str(self.port)},
                ledger=self._cloud.ledger,
            )
            self._reader = pump(
                self._process.output,
                self._log.write,
                lambda line: meter.read_line(self._cloud.metrics, line),
            )

    def _healthy(self) -> bool:
        connection = http.client.HTTPConnection(ADDRESS, self.port, timeout=PING_TIMEOUT)
        try:
            connection.request("GET", "/ping")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _keep(self) -> None:
        """Start the server again whenever it ends, with growing pauses while it keeps ending."""
        pause = 0.5
        while True:
            assert self._process is not None
            begun = time.monotonic()
            code = self._process.wait()
            self.ready = False
            self._drop_idle()
            if self._closing.is_set():
                return
            pause = 0.5 if time.monotonic() - begun > 60 else min(pause * 2, LONGEST_PAUSE)
            self._log.write(f"[local cloud] the server ended with exit code {code}; starting again")
            if self._closing.wait(pause):
                return
            try:
                self._launch()
            except (OSError, FleetError) as error:
                self._log.write(f"[local cloud] the server cannot be started: {error}")
                continue
            while self._process.wait(PING_INTERVAL) is None and not self._closing.is_set():
                if self._healthy():
                    self.ready = True
                    break

    def call(
        self,
        path: str,
        headers: Mapping[str, str],
        body: bytes | Sequence[bytes],
        timeout: float = INVOCATION_TIMEOUT,
    ) -> Answer:
        """POST to the server, in chunks where the body comes in parts.

        Raises:
            TimeoutError: no answer in time.
            NotTakenError: the server does not listen.
            UnreachableError: the server closed the connection.
        """
        while True:
            try:
                connection, used = self._idle.pop(), True
            except IndexError:
                connection = http.client.HTTPConnection(ADDRESS, self.port, timeout=timeout)
                used = False
            connection.timeout = timeout
            if connection.sock is not None:
                connection.sock.settimeout(timeout)
            try:
                connection.request("POST", path, body=body, headers=dict(headers))
                response = connection.getresponse()
                answer = (response.status, response.headers, response.read())
            except TimeoutError:
                connection.close()
                raise
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                if used and isinstance(error, ConnectionError):
                    continue
                if isinstance(error, ConnectionRefusedError):
                    raise NotTakenError(str(error)) from None
                raise UnreachableError(str(error)) from None
            if response.will_close:
                connection.close()
            else:
                self._idle.append(connection)
            return answer

    def _drop_idle(self) -> None:
        while self._idle:
            self._idle.pop().close()

    def stop(self) -> None:
        """SIGTERM, SIGKILL after 30 seconds, as on SageMaker's hosting."""
        with self._starting:
            self._closing.set()
        self.ready = False
        if self._process is not None:
            self._process.stop(STOP_GRACE)
        if self._reader is not None:
            self._reader.join(READ_GRACE)
        self._drop_idle()
        self._log.close()


_given: set[int] = set()
_given_lock = threading.Lock()


def _free_port() -> int:
    """A port that nobody listens on and that was not given out lately."""
    with _given_lock:
        if len(_given) > len(PORTS) // 2:
            _given.clear()
        for port in random.sample(PORTS, len(PORTS)):
            if port in _given:
                continue
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind((ADDRESS, port))
                except OSError:
                    continue
            _given.add(port)
            return port
    raise FleetError("There is no free port for a server.")
