"""Clients that ask an endpoint of the local cloud without a pause, and count what fails.

Nothing is asked twice: what a client sees once counts.
"""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

from botocore.config import Config

from infra.local import LocalCloud


class Load:
    """A running load. A context manager: it runs in the block.

    Args:
        cloud: where the endpoint is.
        endpoint: its name.
        bodies: requests as JSON, sent in turn.
        clients: how many ask at once.
        pause: seconds that each waits between two requests.
    """

    def __init__(
        self,
        cloud: LocalCloud,
        endpoint: str,
        bodies: Sequence[bytes],
        *,
        clients: int = 2,
        pause: float = 0.0,
    ) -> None:
        self._endpoint = endpoint
        self._bodies = bodies
        self._pause = pause
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self.answers: Counter[str] = Counter()
        self.failures: list[str] = []
        once = Config(retries={"mode": "standard", "total_max_attempts": 1}, read_timeout=70)
        self._threads = [
            threading.Thread(
                target=self._ask,
                args=(cloud.session().client("sagemaker-runtime", config=once), number),
            )
            for number in range(clients)
        ]

    @property
    def sent(self) -> int:
        """Requests that were answered, or failed."""
        with self._lock:
            return self.answers.total() + len(self.failures)

    def wait(self, sent: int, seconds: float) -> None:
        """Return when so many requests were sent, or after so many seconds."""
        end = time.monotonic() + seconds
        while self.sent < sent and time.monotonic() < end:
            time.sleep(0.05)

    def __enter__(self) -> Self:
        """Begin to ask."""
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Ask no more; what is under way is answered."""
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, runtime: Any, number: int) -> None:
        while not self._ended.is_set():
            body = self._bodies[number % len(self._bodies)]
            number += 1
            try:
                answer = runtime.invoke_endpoint(
                    EndpointName=self._endpoint, ContentType="application/json", Body=body
                )
                document = json.loads(answer["Body"].read())
                version = str(document["model_version"])
                assert len(document["predictions"]) == len(json.loads(body)["instances"])
            except Exception as error:
                with self._lock:
                    self.failures.append(f"{type(error).__name__}: {error}")
            else:
                with self._lock:
                    self.answers[version] += 1
            self._ended.wait(self._pause)
