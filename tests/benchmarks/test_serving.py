"""The serving benchmark: servers in turn, load at a rate, and who counts."""

from __future__ import annotations

import json
import math
import shutil
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from benchmarks import load, running, serving, turns
from benchmarks.turns import Measured, Requests
from tests.support import bundles


@contextmanager
def answering(pause: Callable[[int], float]) -> Iterator[int]:
    """A server whose n-th answer comes after `pause(n)` seconds; its port."""
    count = 0

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            nonlocal count
            while line := self.rfile.readline():
                length = 0
                while line.strip():
                    name, _, value = line.partition(b":")
                    length = int(value) if name.lower() == b"content-length" else length
                    line = self.rfile.readline()
                self.rfile.read(length)
                count += 1
                time.sleep(pause(count))
                self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield int(server.server_address[1])
        finally:
            server.shutdown()
            thread.join()


def test_a_stall_is_charged_for_every_request_that_was_due_meanwhile() -> None:
    stall = 0.4
    with answering(lambda number: stall if number == 20 else 0.0) as port:
        found = load.paced(port, [load.request(b"{}")], rate=200, seconds=0.4, connections=1)
    assert (found.sent, found.failed) == (80, 0)
    # 60 of 80 requests fell due during the stall, or waited behind those: half of all had to wait.
    assert found.p50 >= stall / 4
    assert found.p99 >= stall * 0.9


def test_what_is_never_answered_counts_as_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "ANSWER_SECONDS", 0.2)
    with answering(lambda number: 5.0 if number == 3 else 0.0) as port:
        found = load.paced(port, [load.request(b"{}")], rate=100, seconds=0.1, connections=4)
    assert found.failed == 1


@pytest.mark.parametrize(("share", "value"), [(0.5, 2), (0.99, 4), (0.25, 1), (1.0, 4)])
def test_a_quantile_is_one_of_the_values(share: float, value: float) -> None:
    assert load.quantile([4, 1, 3, 2], share) == value
    assert load.quantile([], share) == math.inf


def test_a_server_with_problems_gives_no_figure() -> None:
    found = {name: Measured([10.0], [0.001], [0.002], memory=1) for name in ("ours", "mms")}
    assert [figure.value for figure in serving.ratios(found)] == [1.0, 2.0]
    found["mms"].problems.append("errors under load")
    assert [figure.value for figure in serving.ratios(found)] == [2.0]
    found["ours"].problems.append("answers 500")
    assert list(serving.ratios(found)) == []


def test_a_server_that_is_not_there_is_refused() -> None:
    with pytest.raises(SystemExit):
        serving.main(["tomcat"])


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("wrk"), reason="wrk is not installed")
def test_two_servers_take_turns_and_are_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(turns, "PACED_SECONDS", 0.5)
    bundle = bundles.build(tmp_path / "bundle")
    bodies = [json.dumps({"instances": [row]}).encode() for row in bundles.rows(50)]
    requests = Requests.write(bodies, bundle, tmp_path)
    groups: list[int] = []
    started = running.Running

    def noted(*given: object) -> running.Running:
        server = started(*given)  # type: ignore[arg-type]
        groups.append(server.group)
        return server

    monkeypatch.setattr(running, "Running", noted)
    found = turns.compare(
        ["ours", "constant"], bundle, requests, rounds=1, seconds=1, paced_rounds=1
    )
    assert {name: one.problems for name, one in found.items()} == {"ours": [], "constant": []}
    assert all(one.capacity[0] > 0 and one.memory > 0 for one in found.values())
    assert all(0 < one.p50[0] <= one.p99[0] for one in found.values())
    assert "this kit" in serving.table(found)
    left = [path for path in Path("/proc").glob("[0-9]*") if running.group_of(path) in groups]
    assert len(groups) == 2
    assert left == []
