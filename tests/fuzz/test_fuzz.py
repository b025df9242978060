"""A bounded part of `make fuzz`; and that it finds what it looks for."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.fuzz.campaign import Campaign, Failure
from tests.fuzz.tampering import Refusals
from tests.support import bundles, serving

REQUESTS = 2000
BUNDLES = 200


@pytest.mark.slow
def test_spoilt_requests_harm_neither_the_server_nor_the_good_ones(tmp_path: Path) -> None:
    bundle = bundles.build(tmp_path / "bundle", "multiclass")
    with serving.serve(bundle, tmp_path / "log", workers=2) as server:
        campaign = Campaign(server, 20131101, REQUESTS)
        campaign.run(print)
    assert campaign.done == REQUESTS
    assert campaign.checked >= REQUESTS // 10


@pytest.mark.slow
def test_the_server_keeps_its_openapi_contract(tmp_path: Path) -> None:
    pytest.importorskip("schemathesis", reason="not installed: the dev extra has it")
    from tests.fuzz import contract

    bundle = bundles.build(tmp_path / "bundle", "binary")
    document = json.loads((bundle / "openapi.json").read_text())
    with serving.serve(bundle, tmp_path / "log") as server:
        assert contract.hold(server, document, 60) > 100


@pytest.mark.slow
def test_spoilt_bundles_are_refused_by_place(tmp_path: Path) -> None:
    refusals = Refusals(tmp_path, 20131101)
    for number in range(BUNDLES):
        assert refusals.wrong(number) is None
        if number % 4 == 0:
            assert refusals.harmful(number) is None
    assert not Path("/tmp/evil-was-run").exists()
    assert not Path("/tmp/evil-was-unpickled").exists()


def test_a_numbered_request_is_always_the_same() -> None:
    first, second = (Campaign(SimpleNamespace(port=0), 5, 10) for _ in range(2))
    plans = [first.plan(number) for number in range(200)]
    assert plans == [second.plan(number) for number in reversed(range(200))][::-1]
    assert len({plan.data for plan in plans}) > 190


@contextmanager
def bad_server(answer: Any) -> Iterator[Any]:
    """A server that answers well until its attribute `bad` is set, then as `answer` says."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            name = self.headers.get("x-amzn-sagemaker-inference-id")
            status, name, body = answer(name) if server.bad else (200, name, b"good")
            self.send_response(status)
            self.send_header("x-amzn-requestid", str(name))
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as made:
        server = SimpleNamespace(port=made.server_port, bad=False)
        thread = threading.Thread(target=made.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            made.shutdown()
            thread.join()


FAULTS = {
    "a fault of the server's own": (lambda name: (500, name, b""), "the answer is"),
    "overload that says nothing of when": (lambda name: (503, name, b""), "without Retry-After"),
    "an answer to somebody else": (lambda name: (200, "other", b""), "another request's"),
    "another answer than before": (lambda name: (200, name, b"bad"), "a good request"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_goes_wrong_is_found_and_told_with_its_number(fault: str) -> None:
    answer, words = FAULTS[fault]
    with bad_server(answer) as server:
        campaign = Campaign(server, 5, 2000)
        number = next(n for n in range(2000) if campaign.plan(n).kind == "body")
        campaign.send(number)
        server.bad = True
        with pytest.raises(Failure, match=words) as caught:
            campaign.send(number)
    assert caught.value.number == number
    assert caught.value.data == campaign.plan(number).data
