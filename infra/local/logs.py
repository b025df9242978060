"""What jobs and servers print, carried to CloudWatch Logs in small batches."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import IO, Any

from infra.local.state import log_exception

INTERVAL = 0.25
LONGEST_LINE = 64 * 1024
BATCH = 1000


class LogStream:
    """One stream of one log group; created when it is made, flushed by a thread of its own."""

    def __init__(self, client: Any, group: str, stream: str) -> None:
        self.group = group
        self.name = stream
        self.tail: deque[str] = deque(maxlen=40)
        self._client = client
        self._waiting: list[dict[str, Any]] = []
        self._lock = threading.Lock()
        self._flushing = threading.Lock()
        self._closed = threading.Event()
        with contextlib.suppress(client.exceptions.ResourceAlreadyExistsException):
            client.create_log_group(logGroupName=group)
        with contextlib.suppress(client.exceptions.ResourceAlreadyExistsException):
            client.create_log_stream(logGroupName=group, logStreamName=stream)
        threading.Thread(target=self._ship, daemon=True).start()

    def write(self, line: str) -> None:
        """Add one line. CloudWatch takes no empty events, so blank lines are left out."""
        if line.strip():
            self.tail.append(line)
            with self._lock:
                self._waiting.append({"timestamp": int(time.time() * 1000), "message": line})

    def close(self) -> None:
        """Send what is left."""
        self._closed.set()
        self._flush()

    def _ship(self) -> None:
        while not self._closed.wait(INTERVAL):
            self._flush()

    def _flush(self) -> None:
        with self._flushing:
            with self._lock:
                events, self._waiting = self._waiting, []
            for start in range(0, len(events), BATCH):
                try:
                    self._client.put_log_events(
                        logGroupName=self.group,
                        logStreamName=self.name,
                        logEvents=events[start : start + BATCH],
                    )
                except Exception:  # a log that somebody deleted must not end a job
                    log_exception()


def pump(output: IO[bytes], *sinks: Callable[[str], None]) -> threading.Thread:
    """Hand each line of a process's output to the sinks, until the process group has ended."""

    def run() -> None:
        with output:
            for raw in iter(lambda: output.readline(LONGEST_LINE), b""):
                line = raw.decode("utf-8", "replace").rstrip("\r\n")
                for sink in sinks:
                    sink(line)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread
