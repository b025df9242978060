"""The connections of workers: shared out evenly, bounded, and ended in peace."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import pytest
import uvloop

from inference import connections, limits
from inference.connections import ABSENT, Connections
from inference.exchange import Answerer, Exchange
from inference.http1 import Connection

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
UNWANTED = b"POST /unwanted HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf"


class Silent(Answerer):
    """Answers when told to."""

    def __init__(self) -> None:
        self.open: list[Exchange] = []

    def begins(self, exchange: Exchange) -> None:
        if exchange.path == "/unwanted":
            exchange.answer(404, ())

    def ends(self, exchange: Exchange) -> None:
        self.open.append(exchange)

    def answer(self) -> None:
        for exchange in self.open:
            exchange.answer(200, ())
        self.open.clear()


class Workers:
    """Several workers of one listener, in one process."""

    def __init__(self, count: int) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.loads = [ABSENT] * count
        self.answerers = [Silent() for _ in range(count)]
        self.workers = [
            Connections(self.listener.dup(), answerer, self.loads, place)
            for place, answerer in enumerate(self.answerers)
        ]

    def connect(self, count: int) -> list[socket.socket]:
        address = self.listener.getsockname()
        return [socket.create_connection(address, timeout=30) for _ in range(count)]


@contextmanager
def closing(clients: list[socket.socket]) -> Iterator[list[socket.socket]]:
    yield clients
    for client in clients:
        client.close()


async def eventually(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not holds():
            await asyncio.sleep(0.002)


def run(check: Callable[[Workers], Awaitable[None]], count: int = 2) -> None:
    async def inside() -> None:
        workers = Workers(count)
        try:
            await check(workers)
        finally:
            workers.listener.close()

    uvloop.run(inside())


@pytest.mark.parametrize("clients", [1, 16, 100])
def test_connections_are_shared_out_evenly(clients: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # Longer than a busy machine keeps the other worker from its turn.
    monkeypatch.setattr(connections, "YIELD_SECONDS", 0.02)

    async def check(workers: Workers) -> None:
        with closing(workers.connect(clients)):
            for each in workers.workers:
                each.open()
            await eventually(lambda: sum(workers.loads) == clients)
            assert max(workers.loads) - min(workers.loads) <= 1 + clients // connections.SHARE
        await eventually(lambda: workers.loads == [0, 0])

    run(check)


def test_a_new_connection_goes_to_who_has_lost_his() -> None:
    async def check(workers: Workers) -> None:
        for each in workers.workers:
            each.open()
        with closing(workers.connect(8)) as clients:
            await eventually(lambda: workers.loads == [4, 4])
            for client in clients:
                client.sendall(GET)
            first = workers.answerers[0]
            await eventually(lambda: sum(len(each.open) for each in workers.answerers) == 8)
            for exchange in first.open:
                exchange.keep = False
            first.answer()
            await eventually(lambda: workers.loads == [0, 4])
            with closing(workers.connect(4)):
                await eventually(lambda: sum(workers.loads) == 8)
                assert workers.loads[0] >= 3

    run(check)


def test_a_worker_that_does_not_look_is_not_waited_for() -> None:
    async def check(workers: Workers) -> None:
        workers.workers[0].open()
        workers.loads[1] = 0  # so it says, and accepts nothing
        with closing(workers.connect(20)):
            await eventually(lambda: workers.loads[0] == 20)

    run(check)


def test_when_there_is_no_room_the_connection_that_was_idle_longest_makes_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "CONNECTIONS", 3)
    monkeypatch.setattr(connections, "FULL_SECONDS", 0.001)

    async def check(workers: Workers) -> None:
        [worker], [answerer] = workers.workers, workers.answerers
        worker.open()
        with closing(workers.connect(3)) as clients:
            await eventually(lambda: workers.loads == [3])
            for number in (0, 2):
                clients[number].sendall(GET)
                await eventually(lambda: bool(answerer.open))
                if number == 0:
                    worker.now += 1
                    answerer.answer()
            # The first is idle since a second, the second from the beginning; the third is asking.
            with closing(workers.connect(1)):
                await asyncio.sleep(0.05)
                assert all(each.since >= worker.now - limits.SLOW_SECONDS for each in worker._all)
                assert len(worker._all) == 3
                worker.now += limits.SLOW_SECONDS
                await eventually(lambda: workers.loads == [3])
                clients[1].settimeout(30)
                loop = asyncio.get_running_loop()
                assert await loop.run_in_executor(None, clients[1].recv, 10) == b""
                clients[0].sendall(GET)
                await eventually(lambda: len(answerer.open) == 2)
                answerer.answer()
                for number in (0, 2):
                    got = await loop.run_in_executor(None, clients[number].recv, 1000)
                    assert got.startswith(b"HTTP/1.1 200 ")

    run(check, count=1)


def test_when_there_is_no_room_each_that_is_let_in_makes_another_leave(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "CONNECTIONS", 3)
    monkeypatch.setattr(limits, "SLOW_SECONDS", -1)
    monkeypatch.setattr(connections, "FULL_SECONDS", 0.001)

    async def check(workers: Workers) -> None:
        [worker] = workers.workers
        opened = []

        def open_(connection: Connection) -> None:
            opened.append(connection)
            Connections.opened(worker, connection)

        monkeypatch.setattr(worker, "opened", open_)
        with closing(workers.connect(20)):
            worker.open()
            await eventually(lambda: len(opened) == 20)
            await eventually(lambda: workers.loads == [3])

    run(check, count=1)


@pytest.mark.parametrize("sent", [GET[:-5], UNWANTED])
def test_clients_that_send_half_keep_no_others_out(
    sent: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "CONNECTIONS", 3)
    monkeypatch.setattr(connections, "FULL_SECONDS", 0.001)

    async def check(workers: Workers) -> None:
        [worker], [answerer] = workers.workers, workers.answerers
        worker.open()
        with closing(workers.connect(3)) as clients:
            for client in clients:
                client.sendall(sent)
            await eventually(lambda: workers.loads == [3])
            await eventually(lambda: not any(each._fresh for each in worker._all))
            worker.now += limits.SLOW_SECONDS + 1
            with closing(workers.connect(1)) as [another]:
                another.sendall(GET)
                await eventually(lambda: bool(answerer.open))

    run(check, count=1)


def test_when_no_more_files_may_be_opened_an_idle_connection_makes_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "SLOW_SECONDS", -1)
    monkeypatch.setattr(connections, "FULL_SECONDS", 0.001)

    async def check(workers: Workers) -> None:
        [worker] = workers.workers
        worker.open()
        with closing(workers.connect(3)) as clients:
            await eventually(lambda: workers.loads == [3])
            accept = socket.socket.accept

            def refuse(listener: socket.socket) -> tuple[socket.socket, object]:
                if workers.loads[0] > 2:
                    raise OSError(errno.EMFILE, "Too many open files")
                return accept(listener)

            monkeypatch.setattr(socket.socket, "accept", refuse)
            with closing(workers.connect(1)) as [late]:
                late.sendall(GET)
                await eventually(lambda: bool(workers.answerers[0].open))
                clients[0].settimeout(30)
                loop = asyncio.get_running_loop()
                assert await loop.run_in_executor(None, clients[0].recv, 10) == b""

    run(check, count=1)


def test_the_end_waits_for_answers_and_for_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "FAREWELL_SECONDS", 0.01)

    async def check(workers: Workers) -> None:
        [worker], [answerer] = workers.workers, workers.answerers
        worker.open()
        with closing(workers.connect(3)) as clients:
            await eventually(lambda: workers.loads == [3])
            clients[0].sendall(GET)
            clients[1].sendall(GET[:5])
            await eventually(lambda: bool(answerer.open))
            ends = asyncio.ensure_future(worker.drain())
            await eventually(lambda: workers.loads == [ABSENT])
            loop = asyncio.get_running_loop()
            for number in (1, 2):
                assert await loop.run_in_executor(None, clients[number].recv, 10) == b""
            assert not ends.done()
            answerer.answer()
            got = await loop.run_in_executor(None, clients[0].recv, 1000)
            assert b"\r\nconnection: close\r\n" in got
            await asyncio.wait_for(ends, 30)

    run(check, count=1)


def test_who_waits_to_be_accepted_when_the_end_comes_is_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connections, "FAREWELL_SECONDS", 0.0)

    async def check(workers: Workers) -> None:
        [worker], [answerer] = workers.workers, workers.answerers
        worker.open()
        with closing(workers.connect(1)) as [client]:
            client.sendall(GET)
            ends = asyncio.ensure_future(worker.drain())
            await eventually(lambda: bool(answerer.open))
            answerer.answer()
            await asyncio.wait_for(ends, 30)
            assert client.recv(1000).startswith(b"HTTP/1.1 200 ")

    run(check, count=1)
