"""What one worker does when its server is gone."""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import socket
from collections.abc import Iterator

import pytest
import uvloop

from inference import connections, workers
from inference.connections import ABSENT
from inference.exchange import Answerer, Exchange
from tests.support.hostile import post


class Patient(Answerer):
    """Waits for bodies as long as it takes."""

    def __init__(self) -> None:
        self.waiting = asyncio.Event()
        self.closed = False

    def waits(self, exchange: Exchange) -> None:
        self.waiting.set()

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def _garbage() -> Iterator[None]:
    """A worker sets how garbage is looked for in its process, which here is that of all tests."""
    before = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*before)


@pytest.mark.usefixtures("_garbage")
def test_a_worker_whose_server_is_gone_ends_though_a_client_never_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(workers, "DRAIN_SECONDS", 0.1)
    monkeypatch.setattr(connections, "FAREWELL_SECONDS", 0.0)

    async def inside() -> None:
        listener = socket.create_server(("127.0.0.1", 0))
        address = listener.getsockname()
        alive, life = multiprocessing.Pipe(duplex=False)
        patient = Patient()
        common = workers.Common(listener, lambda: patient, [ABSENT], alive, life)
        works = asyncio.ensure_future(workers._serve(common, 0))
        with socket.create_connection(address, 30) as client, alive:
            client.sendall(post(b"half")[:-2])
            await asyncio.wait_for(patient.waiting.wait(), 30)
            life.close()
            await asyncio.wait_for(works, 30)
        assert patient.closed

    uvloop.run(inside())
