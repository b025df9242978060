"""Spoilt requests to a real server over many connections, good ones between.

Request number n of a seed is always the same bytes. What counts as a failure: a 5xx other than a
503 that says when to come back, an answer with another request's id, a good request that is
answered otherwise than before, silence, a worker that has gone, memory or open files that grow.
"""

from __future__ import annotations

import itertools
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.fuzz import bodies
from tests.fuzz.wire import GLANCE, Answer, Broken, Connection, malformed, request
from tests.support.serving import Server

THREADS = 4
CONNECTIONS = 4
"""Of each thread."""
GOOD_EVERY = 10
WARM = 0.15
"""Share of the requests after which memory is measured first."""
LONG = 20_000
"""Requests from which on memory says something: before, the largest ones make it jump."""
GROWTH = 64 << 20
"""Bytes that a worker may have grown by since: what the largest requests leave behind varies."""
ACCEPTS = ("*/*", "text/csv", "application/jsonlines", "application/x-npy")
"""Answers whose bytes depend on nothing but the rows."""
KINDS = {"body": 70, "chunked": 5, "pipelined": 4, "framing": 16, "left": 3, "reset": 2}
STATUSES = {200, 204, 400, 404, 405, 406, 408, 413, 415, 417, 414, 431, 501, 505, 503}
"""501 and 505 name what HTTP itself does not do here."""


class Failure(Exception):  # noqa: N818 - what was looked for
    """What went wrong, and with which request."""

    def __init__(self, reason: str, number: int, data: bytes) -> None:
        super().__init__(reason)
        self.number = number
        self.data = data


@dataclass(frozen=True)
class Plan:
    """One numbered request.

    Args:
        kind: of KINDS.
        data: the bytes to send.
        ids: of the requests in them that must be answered.
    """

    kind: str
    data: bytes
    ids: tuple[str, ...]


class Campaign:
    """All requests of one seed.

    Args:
        server: runs, and its processes are known.
        seed: of everything.
        count: requests, good ones not counted.
    """

    def __init__(self, server: Server, seed: int, count: int) -> None:
        self._server = server
        self._seed = seed
        self._count = count
        self._good = [*bodies.good(3, 1), *bodies.good(40, 2)]
        self._expected: dict[tuple[int, str], bytes] = {}
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self.failure: Failure | None = None
        self.statuses: Counter[str] = Counter()
        self.done = 0
        self.checked = 0

    def plan(self, number: int) -> Plan:
        """Request `number`."""
        chance = random.Random(f"{self._seed}-{number}")
        kind = chance.choices(list(KINDS), list(KINDS.values()))[0]
        name = f"r-{number}"
        if kind == "framing":
            return Plan(kind, malformed(chance, chance.choice(self._good), name), ())
        if kind == "pipelined":
            parts = [
                request(
                    bodies.spoilt(chance, self._good) if place % 2 else chance.choice(self._good),
                    f"{name}-{place}",
                )
                for place in range(3)
            ]
            return Plan(kind, b"".join(parts), tuple(f"{name}-{place}" for place in range(3)))
        body = bodies.spoilt(chance, self._good)
        data = request(body, name, chance.choice(ACCEPTS), chunked=kind == "chunked")
        if kind in ("left", "reset"):
            return Plan(kind, data[: chance.randrange(1, len(data))], ())
        return Plan(kind, data, (name,))

    def run(self, progress: Callable[[str], None]) -> None:
        """Send them all.

        Raises:
            Failure: the first one found.
        """
        self._learn()
        workers = _workers(self._server)
        files = _files(workers)
        threads = [threading.Thread(target=self._work) for _ in range(THREADS)]
        for thread in threads:
            thread.start()
        warm: dict[int, int] = {}
        began = said = time.monotonic()
        try:
            while any(thread.is_alive() for thread in threads):
                time.sleep(0.2)
                if self._count >= LONG and not warm and self.done >= WARM * self._count:
                    warm = _memory(workers)
                if time.monotonic() - said > 10:
                    said = time.monotonic()
                    rate = self.done / (said - began)
                    held = sum(_memory(workers).values()) >> 20
                    shown = f"{self.done:,}/{self._count:,} requests, {rate:.0f} a second"
                    progress(f"{shown}, {self.checked:,} good ones between, workers hold {held} MB")
                if _workers(self._server) != workers:
                    raise Failure("a worker died", self.done, b"")
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()
        if self.failure:
            raise self.failure
        self._settle(workers, warm, files)

    def send(self, number: int) -> None:
        """Send request `number` alone.

        Raises:
            Failure: it is one.
        """
        if not self._expected:
            self._learn()
        connection = self._one(number, Connection(self._server.port))
        self._check(number, connection)
        connection.close()

    def _learn(self) -> None:
        """What good requests are answered with."""
        connection = Connection(self._server.port)
        for place, accept in itertools.product(range(len(self._good)), ACCEPTS):
            body = self._good[place]
            connection.send(request(body, "first", accept))
            answer = connection.answer()
            if answer.status != 200:
                raise Failure(f"a good request is answered {answer}", -1, body.data)
            self._expected[place, accept] = answer.body
        connection.close()

    def _work(self) -> None:
        """One thread's share."""
        mine = [Connection(self._server.port) for _ in range(CONNECTIONS)]
        try:
            while not self._stop.is_set():
                with self._lock:
                    number = next(self._numbers)
                if number >= self._count:
                    return
                place = number % CONNECTIONS
                mine[place] = self._one(number, mine[place])
        except Failure as failure:
            self._fail(failure)
        except Exception as error:
            self._fail(Failure(f"{type(error).__name__}: {error}", number, b""))
        finally:
            for connection in mine:
                connection.close()

    def _fail(self, failure: Failure) -> None:
        with self._lock:
            self.failure = self.failure or failure
        self._stop.set()

    def _one(self, number: int, connection: Connection) -> Connection:
        """Send request `number`, and now and then a good one; the connection to go on with."""
        plan = self.plan(number)
        connection.send(plan.data)
        alive = bool(plan.ids) and self._answers(number, plan, connection)
        if plan.kind == "framing":
            self._look(number, plan, connection)
        if not alive:
            connection.close(abruptly=plan.kind == "reset")
            connection = Connection(self._server.port)
        with self._lock:
            self.done += 1
        if number % GOOD_EVERY == 0:
            self._check(number, connection)
        return connection

    def _answers(self, number: int, plan: Plan, connection: Connection) -> bool:
        """Read one answer to each request; whether the connection goes on."""
        for name in plan.ids:
            try:
                answer = connection.answer()
            except Broken:
                # Its answer came before the end of a large body, or with this connection's end.
                if len(plan.data) > 1_000_000:
                    return False
                raise Failure("no answer: the connection was closed", number, plan.data) from None
            except TimeoutError:
                raise Failure("no answer: the server is silent", number, plan.data) from None
            self._judge(number, plan, answer)
            if answer.headers.get("x-amzn-requestid") != name:
                raise Failure(f"the answer is another request's: {answer}", number, plan.data)
            if answer.headers.get("connection", "").lower() == "close":
                return False
        return True

    def _look(self, number: int, plan: Plan, connection: Connection) -> None:
        """What came, if anything came, to something that may be no request at all."""
        if number % 4 == 0:
            connection.half_close()
        for line in connection.rest(GLANCE).split(b"\r\n"):
            if line.startswith(b"HTTP/1."):
                status = int(line[9:12])
                if status >= 200:
                    self._judge(number, plan, Answer(status, {"retry-after": "?"}, b""))

    def _judge(self, number: int, plan: Plan, answer: Answer) -> None:
        with self._lock:
            self.statuses[f"{plan.kind} {answer.status}"] += 1
        if answer.status not in STATUSES:
            raise Failure(f"the answer is {answer}", number, plan.data)
        if answer.status == 503 and "retry-after" not in answer.headers:
            raise Failure("a 503 without Retry-After", number, plan.data)
        if plan.kind != "framing" and answer.status in (501, 505):
            raise Failure(f"the answer is {answer}", number, plan.data)

    def _check(self, number: int, connection: Connection) -> None:
        """A good request is answered as at the beginning, to the byte."""
        chance = random.Random(f"{self._seed}-good-{number}")
        (place, accept), expected = chance.choice(list(self._expected.items()))
        body = self._good[place]
        for _ in range(20):
            connection.send(request(body, f"g-{number}", accept))
            try:
                answer = connection.answer()
            except (Broken, TimeoutError) as error:
                reason = f"a good request after it is not answered: {error!r}"
                raise Failure(reason, number, self.plan(number).data) from None
            if answer.status != 503:
                break
        if (answer.status, answer.body) != (200, expected):
            reason = f"a good request ({body.content_type}, {accept}) after it is answered {answer}"
            raise Failure(reason, number, self.plan(number).data)
        with self._lock:
            self.checked += 1

    def _settle(self, workers: set[int], warm: dict[int, int], files: int) -> None:
        """What is left when all connections are closed.

        Raises:
            Failure: a worker has gone, or holds more than it should.
        """
        deadline = time.monotonic() + 30
        while _files(workers) > files + 4 and time.monotonic() < deadline:
            time.sleep(0.1)
        if _workers(self._server) != workers:
            raise Failure("a worker died", self._count, b"")
        if _files(workers) > files + 4:
            raise Failure(f"{_files(workers)} files are open; {files} were", self._count, b"")
        for worker, size in _memory(workers).items():
            if warm and size - warm[worker] > GROWTH:
                grown = f"a worker grew from {warm[worker] >> 20} to {size >> 20} MB"
                raise Failure(grown, self._count, b"")


def _workers(server: Server) -> set[int]:
    """The server's processes but the first, and its children's."""
    found: set[int] = set()
    waiting = [server.process.pid]
    while waiting:
        pid = waiting.pop()
        try:
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        except OSError:
            continue
        found.update(map(int, children))
        waiting += map(int, children)
    return found


def _memory(pids: Sequence[int] | set[int]) -> dict[int, int]:
    """Bytes that each process holds in memory."""
    page = os.sysconf("SC_PAGE_SIZE")
    return {pid: int(_stat(pid).split()[1]) * page for pid in pids}


def _stat(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/statm").read_text()
    except OSError:
        return "0 0"


def _files(pids: set[int]) -> int:
    """Files and sockets that the processes have open."""
    return sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in pids)


def failed_lines(server: Server) -> list[Any]:
    """What the log says of the server's own faults."""
    return [line for line in server.log() if line.get("event") == "failed"]
