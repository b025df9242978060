"""The serving benchmark: servers in turn, load at a rate, and who counts."""

from __future__ import annotations

import json
import math
import shutil
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from benchmarks import load, overload, running, serving, turns
from benchmarks.load import Answer, Latency
from benchmarks.servers import SERVERS
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


paces = pytest.mark.skipif(not shutil.which("cc"), reason="there is no C compiler")


@pytest.fixture
def bodies(tmp_path: Path) -> Path:
    file = tmp_path / "bodies"
    file.write_bytes(b'{"a": 1}\0{}')
    return file


@paces
def test_a_stall_is_charged_for_every_request_that_was_due_meanwhile(bodies: Path) -> None:
    stall = 0.4
    with answering(lambda number: stall if number == 20 else 0.0) as port:
        answers = load.paced(port, bodies, rate=200, seconds=0.4, connections=1)
    found = Latency.of(answers)
    assert (found.sent, found.failed) == (80, 0)
    # 60 of 80 requests fell due during the stall, or waited behind those: half of all had to wait.
    assert found.p50 >= stall / 4
    assert found.p99 >= stall * 0.9


@paces
def test_one_slow_answer_in_fifty_shows_in_the_p99(bodies: Path) -> None:
    pause = 0.1
    with answering(lambda number: pause * (number % 50 == 0)) as port:
        found = Latency.of(load.paced(port, bodies, rate=500, seconds=1))
    assert found.failed == 0
    assert found.p99 >= pause > found.p50


@paces
def test_requests_are_due_at_an_even_rate(bodies: Path) -> None:
    with answering(lambda number: 0.0) as port:
        answers = load.paced(port, bodies, rate=400, seconds=0.25)
    assert [one.due for one in answers] == pytest.approx([n / 400 for n in range(100)])
    assert all(one.latency > 0 <= one.late for one in answers)


@paces
def test_what_is_refused_or_never_answered_counts_as_failed(
    bodies: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load, "ANSWER_SECONDS", 0.2)
    with answering(lambda number: 30.0 if number == 3 else 0.0) as port:
        answers = load.paced(port, bodies, rate=100, seconds=0.1, connections=4)
    assert [one.status for one in answers].count(0) == 1
    assert max(one.latency for one in answers) == math.inf
    nobody = running.free_port()
    assert Latency.of(load.paced(nobody, bodies, rate=100, seconds=0.1)).failed == 10


def test_the_time_that_a_request_waits_for_a_connection_counts_and_lateness_does_not() -> None:
    punctual = load._answer(due=0, free=0, sent=1_000_000, answered=3_000_000, status=200)
    waited = load._answer(due=0, free=1_000_000, sent=1_500_000, answered=3_000_000, status=200)
    assert (punctual.latency, punctual.late) == pytest.approx((0.002, 0.001))
    assert (waited.latency, waited.late) == pytest.approx((0.003, 0.0005))


def watched(bad: float, *, status: int = 200) -> list[Answer]:
    """Two seconds of answers that take 10 ms, or have a status, until `bad` seconds have passed."""
    rest = [Answer(n / 100, 0.001, 0.0, 200) for n in range(200)]
    return [Answer(one.due, 0.01, 0.0, status) if one.due < bad else one for one in rest]


@pytest.mark.parametrize(
    ("answers", "seconds"),
    [
        (watched(0.0), 0.0),
        (watched(0.5), 0.5),
        (watched(0.36), 0.4),
        (watched(0.03, status=503), 0.02),
        (watched(1.9), math.inf),
        (watched(3.0, status=503), math.inf),
    ],
)
def test_back_to_normal_is_after_the_last_refusal_and_the_last_slow_window(
    answers: list[Answer], seconds: float
) -> None:
    assert overload.recovery(answers, usual=0.001) == pytest.approx(seconds)


@pytest.mark.parametrize(("share", "value"), [(0.5, 2), (0.99, 4), (0.25, 1), (1.0, 4)])
def test_a_quantile_is_one_of_the_values(share: float, value: float) -> None:
    assert load.quantile([4, 1, 3, 2], share) == value
    assert load.quantile([], share) == math.inf


def measured(late: float = 0.0, others: float = 0.0) -> Measured:
    paced = Latency(p50=0.001, p99=0.002, late_p50=0.0, late_p99=late, failed=0, sent=9)
    return Measured([10.0], [paced], [others], memory=1)


def test_a_server_with_problems_gives_no_figure() -> None:
    found = {name: measured() for name in ("ours", "mms")}
    assert [figure.value for figure in serving.ratios(found)] == [1.0, 2.0]
    found["mms"].problems.append("errors under load")
    assert [figure.value for figure in serving.ratios(found)] == [2.0]
    found["ours"].problems.append("answers 500")
    assert list(serving.ratios(found)) == []


@pytest.mark.parametrize(
    ("good", "bad", "why"),
    [
        (measured(late=0.0009), measured(late=0.0011), "the generator was too late"),
        (measured(others=0.1), measured(others=0.5), "other programs took 0.5 cores"),
    ],
)
def test_a_latency_that_is_not_to_be_believed_is_no_figure(
    good: Measured, bad: Measured, why: str
) -> None:
    assert [figure.value for figure in serving.ratios({"ours": good})] == [2.0]
    assert "NOT TO BE BELIEVED" not in serving.table({"ours": good})
    assert list(serving.ratios({"ours": bad})) == []
    assert f"NOT TO BE BELIEVED: {why}" in serving.table({"ours": bad})


@pytest.mark.skipif(not Path("/proc/stat").exists(), reason="the kernel has no /proc")
def test_work_beside_the_benchmark_is_seen() -> None:
    code = "import time\ninput()\nwhile time.process_time() < 0.5: pass\nprint()\ninput()"
    words = [sys.executable, "-u", "-c", code]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        nobody = running.Running(SERVERS["ours"], port=1, group=0, seconds=0.0)
        before = nobody.others_seconds()
        assert other.stdin
        assert other.stdout
        other.stdin.write(b"\n")
        other.stdin.flush()
        other.stdout.readline()
        assert nobody.others_seconds() - before > 0.2
        other.communicate(b"\n")


def test_a_server_is_warm_when_its_rate_rises_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    rates = iter([100, 150, 151, 200, 202, 201, 190, 203, 500])
    asked: list[object] = []

    def capacity(*given: object, **_: object) -> load.Capacity:
        asked.append(given)
        return load.Capacity(next(rates), 1, 0.0, 0)

    monkeypatch.setattr(load, "capacity", capacity)
    monkeypatch.setattr(turns, "WARM_STEADY", 4)
    nobody = running.Running(SERVERS["ours"], port=1, group=2**22 + 1, seconds=0.0)
    requests = Requests(Path("rows"), Path("first"), [], [])
    assert turns._warm(nobody, requests) == len(asked) == 8


def test_a_server_that_is_not_there_is_refused() -> None:
    with pytest.raises(SystemExit):
        serving.main(["tomcat"])


@pytest.mark.slow
@paces
@pytest.mark.skipif(not shutil.which("wrk"), reason="wrk is not installed")
def test_two_servers_take_turns_and_are_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(turns, "PACED_SECONDS", 0.5)
    monkeypatch.setattr(turns, "WARM_MOST", 1)
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
    assert all(0 < one.paced[0].p50 <= one.paced[0].p99 for one in found.values())
    assert "this kit" in serving.table(found)
    left = [path for path in Path("/proc").glob("[0-9]*") if running.group_of(path) in groups]
    assert len(groups) == 2
    assert left == []
