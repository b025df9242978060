"""Serverless variants: no server runs until a request comes, and none long after the last one.

Each request has a server to itself, as it has on AWS; one that finds none idle waits for a new one
to start (a cold start), and one beyond MaxConcurrency is throttled. The guide does not say
how long an idle server stays; ``LOCAL_CLOUD_SERVERLESS_IDLE`` does, in seconds. The memory size is
checked and described, and limits nothing here: there is no container. What AWS answers when a
server cannot be started is not documented; here it is ServiceUnavailable.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection
from typing import Any

from infra.local.instances import FleetError, Instance
from infra.local.state import log_exception
from infra.local.variants import Variant
from infra.local.wire import RefusalError

LARGEST_PAYLOAD = 4 << 20
LONGEST_START = 180.0
POLL = 0.25


class ServerlessVariant(Variant):
    """A variant whose servers come with the requests."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self.count = 0
        self._most = int(self.settings["ServerlessConfig"]["MaxConcurrency"])
        self._turn = threading.Lock()
        self._starting = 0
        self._idle_since: dict[Instance, tuple[int, float]] = {}
        self._over = threading.Event()

    def prepare(self) -> None:
        """Fetch what its servers need, and watch for idle ones from now on."""
        if self._image is None:
            super().prepare()
            threading.Thread(target=self._reap, daemon=True).start()

    def claim(self, besides: Collection[Instance] = ()) -> Instance | None:
        """A server that has counted a request in: an idle one, or a new one when it is healthy.

        Raises:
            RefusalError: as many requests are under way as there may be.
        """
        with self._turn:
            for each in self.instances:
                if each not in besides and each.busy == 0 and each.take():
                    return each
            under_way = sum(each.busy for each in self.instances) + self._starting
            if under_way >= self._most:
                raise RefusalError(
                    "ThrottlingException",
                    f"Rate exceeded: {self._most} requests, the MaxConcurrency of variant "
                    f"{self.name}, are being processed.",
                    429,
                )
            self._starting += 1
        try:
            return self._started()
        finally:
            with self._turn:
                self._starting -= 1

    def _started(self) -> Instance | None:
        """A new server with one request counted in; None when it did not start."""
        try:
            instance = self._instance()
            patience = min(self._cloud.settings.startup_timeout, LONGEST_START)
            fault = instance.start(patience)
        except (FleetError, OSError):
            log_exception()
            return None
        with self._turn:
            if fault is None and not self._over.is_set() and instance.take():
                self.instances.append(instance)
                return instance
        instance.stop()
        return None

    def _reap(self) -> None:
        """End servers that have been idle for long."""
        while not self._over.wait(POLL):
            with self._turn:
                idle = [each for each in self.instances if self._is_idle(each, time.monotonic())]
                self.instances = [each for each in self.instances if each not in idle]
            for each in idle:
                del self._idle_since[each]
                each.stop()

    def _is_idle(self, instance: Instance, moment: float) -> bool:
        served, since = self._idle_since.get(instance, (-1, moment))
        if instance.busy or served != instance.served:
            since = moment
        self._idle_since[instance] = (instance.served, since)
        return moment - since >= self._cloud.settings.serverless_idle

    def capacity(self) -> dict[str, Any]:
        """What DescribeEndpoint says of it."""
        config = self.settings["ServerlessConfig"]
        return {
            "CurrentInstanceCount": 0,
            "DesiredInstanceCount": 0,
            "CurrentServerlessConfig": config,
            "DesiredServerlessConfig": config,
        }

    def stop(self) -> None:
        """End every server and start no more."""
        self._over.set()
        super().stop()
