"""The processes of the server: the parent starts workers, replaces them, and ends with them.

Here: processes and signals. Not here: what is served (server.py), connections (connections.py).

A worker ends when told (SIGTERM), or when its parent is gone, however it went: they share a pipe
whose other end the kernel closes then.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import multiprocessing
import signal
import socket
import sys
import time
from collections.abc import Callable, MutableSequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import NamedTuple

import uvloop

from inference import cores, logs
from inference.connections import ABSENT, Connections
from inference.exchange import Answerer
from shared.errors import KitError

DRAIN_SECONDS = 20
"""How long requests under way may take after SIGTERM; SageMaker kills after 30."""

KILL_SECONDS = DRAIN_SECONDS + 2
"""A worker that has not ended by itself then is killed."""

AGAIN_SECONDS = 5.0
"""A worker that dies so soon after it was started in place of another ends the server."""

GARBAGE = 20_000
"""So many new objects, of a few hundred small requests, make Python look for garbage."""

ENDS = (signal.SIGTERM, signal.SIGINT)

log = logging.getLogger("inference")


class Common(NamedTuple):
    """What the server and its workers share.

    Args:
        listener: bound; the first worker that is ready listens.
        make: makes what a worker answers with.
        loads: how many connections each worker holds.
        alive, life: ends of a pipe; the server alone keeps `life`.
    """

    listener: socket.socket
    make: Callable[[], Answerer]
    loads: MutableSequence[int]
    alive: Connection
    life: Connection


class Crew:
    """All workers of one server.

    Args:
        listener: bound, and not listening yet.
        make: makes what a worker answers with, on its event loop's thread; it is called in the
            worker, and logs and exits where that cannot be made.
        count: of workers.
    """

    def __init__(self, listener: socket.socket, make: Callable[[], Answerer], count: int) -> None:
        loads = multiprocessing.RawArray("q", [ABSENT] * count)
        self._common = Common(listener, make, loads, *multiprocessing.Pipe(duplex=False))
        self._workers: list[BaseProcess] = []
        self._replaced: dict[int, float] = {}

    def run(self) -> int:
        """Serve until SIGTERM or SIGINT; the exit code: 1 when workers die again and again."""
        told, tell = socket.socketpair()
        told.setblocking(False)
        tell.setblocking(False)
        signal.set_wakeup_fd(tell.fileno(), warn_on_full_buffer=False)
        for number in ENDS:
            signal.signal(number, lambda *_: None)
        self._workers = [self._start(place) for place in range(len(self._common.loads))]
        try:
            while True:
                found = wait([told, *(worker.sentinel for worker in self._workers)])
                if told in found and set(told.recv(4096)) & set(ENDS):
                    return 0
                for place, worker in enumerate(self._workers):
                    if not worker.is_alive() and not self._replace(place):
                        return 1
        finally:
            self._end()
            signal.set_wakeup_fd(-1)
            told.close()
            tell.close()

    def _start(self, place: int) -> BaseProcess:
        self._common.loads[place] = ABSENT
        given, name = (self._common, place), f"worker-{place + 1}"
        worker = multiprocessing.Process(target=work, args=given, name=name)
        # Until the worker minds signals for itself they wait.
        signal.pthread_sigmask(signal.SIG_BLOCK, ENDS)
        try:
            worker.start()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDS)
        return worker

    def _replace(self, place: int) -> bool:
        """Start a worker in place of one that died, unless it has been tried just now."""
        dead = self._workers[place]
        logs.event(
            log, logging.ERROR, "worker died", worker=dead.name, died=dead.pid, code=dead.exitcode
        )
        now = time.monotonic()
        if now - self._replaced.get(place, -AGAIN_SECONDS) < AGAIN_SECONDS:
            logs.event(log, logging.ERROR, "workers die again and again")
            return False
        self._replaced[place] = now
        self._workers[place] = self._start(place)
        return True

    def _end(self) -> None:
        """Let the workers finish; one that does not is killed."""
        self._common.listener.close()
        for worker in self._workers:
            worker.terminate()
        deadline = time.monotonic() + KILL_SECONDS
        for worker in self._workers:
            worker.join(max(0.0, deadline - time.monotonic()))
            if worker.is_alive():
                worker.kill()
                worker.join()


def work(common: Common, place: int) -> None:
    """One worker, the one of this number, from its start to its end. Runs in its own process."""
    # A forked worker inherits the parent's handlers, which only wake the parent.
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    # Keys pressed on a terminal, and its end, reach the whole group; the parent minds them.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDS)
    common.life.close()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(common, place))


async def _serve(common: Common, place: int) -> None:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_reader(common.alive.fileno(), ended.set)
    try:
        answerer = common.make()
    except KitError as error:
        logs.event(log, logging.ERROR, "worker cannot start", reason=str(error))
        sys.exit(1)
    answerer.start()
    # What is there now stays: it need not be looked through for garbage again and again.
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE, 20, 20)
    cores.keep(place, len(common.loads))
    connections = Connections(common.listener, answerer, common.loads, place)
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    connections.open()
    await ended.wait()
    loop.remove_reader(common.alive.fileno())
    # A worker whose server is gone must end as well, and each has its books to close.
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(connections.drain(), DRAIN_SECONDS)
    answerer.close()
