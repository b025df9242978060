"""A running server swaps its model and nobody notices but by the version in the answers."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from inference import environment, handler, reload
from shared import storage
from tests.support import bundles, s3, serving, swaps
from tests.support.serving import Server
from tests.support.swaps import Made, Packed

pytestmark = pytest.mark.slow

SWAPS = 20
ROWS = [json.dumps(bundles.ROW), json.dumps(bundles.rows(1500))]
"""One row, and so many that they are answered beside the event loop."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return swaps.make(tmp_path_factory.mktemp("bundles"))


@dataclass
class Running:
    """A server that follows a pointer."""

    server: Server
    pointer: str

    def point(self, packed: Packed) -> None:
        swaps.point(self.pointer, packed.archive, packed.digest)
        self.server.process.send_signal(signal.SIGHUP)

    def events(self, name: str) -> list[dict[str, Any]]:
        return [line for line in self.server.log() if line["event"] == name]

    def version(self) -> str:
        return str(self.server.invoke(bundles.ROW).json()["model_version"])

    def workers(self) -> set[int]:
        return {line["pid"] for line in self.events("ready")}

    def swapped(self, packed: Packed, times: int = 1) -> bool:
        """Whether every worker has swapped this model in so many times."""
        found = [
            line["pid"]
            for line in self.events("swapped")
            if line["model_version"] == packed.version
        ]
        return all(found.count(worker) == times for worker in self.workers())


@contextmanager
def running(
    model_dir: Path,
    place: Path,
    patch: pytest.MonkeyPatch,
    pointer: str | None = None,
    **environment: str,
) -> Iterator[Running]:
    chosen = pointer or str(place / "pointer.json")
    (place / "tmp").mkdir()
    variables = {"MODEL_POINTER": chosen, "TMPDIR": str(place / "tmp"), **environment}
    for name, value in variables.items():
        patch.setenv(name, value)
    with serving.serve(model_dir, place / "stderr", workers=2) as server:
        yield Running(server, chosen)
    assert list((place / "tmp").glob(f"{reload.PREFIX}*")) == []


def eventually(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + serving.START_SECONDS
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@dataclass
class Client:
    """Asks the same again and again over one connection, until it is told to stop."""

    server: Server
    body: str
    expected: dict[str, Any]
    failures: list[str] = field(default_factory=list)
    versions: list[str] = field(default_factory=list)

    def run(self, stop: threading.Event) -> None:
        connection = self.server.connect()
        while not stop.is_set():
            try:
                reply = self.server.request("POST", "/invocations", self.body, over=connection)
                answer = reply.json()
                version = answer.get("model_version", "none")
                if reply.status != 200 or answer["predictions"] != self.expected[version]:
                    self.failures.append(f"{reply.status} {reply.body!r:.200}")
                self.versions.append(version)
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(repr(error))
        connection.close()


@contextmanager
def load(server: Server, expected: list[dict[str, Any]], clients: int) -> Iterator[list[Client]]:
    """Clients at work, each with a connection that is kept; the first asks for many rows."""
    stop = threading.Event()
    crowd = [Client(server, ROWS[number == 0], expected[number == 0]) for number in range(clients)]
    threads = [threading.Thread(target=each.run, args=(stop,)) for each in crowd]
    for thread in threads:
        thread.start()
    try:
        yield crowd
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def answers(models: list[Packed]) -> list[dict[str, Any]]:
    """For each body, the predictions of each model by its version."""
    found: list[dict[str, Any]] = [{} for _ in ROWS]
    for packed in models:
        model = handler.model_fn(packed.directory)
        for known, body in zip(found, ROWS, strict=True):
            request = handler.input_fn(body, "application/json")
            text, _ = handler.output_fn(handler.predict_fn(request, model), None)
            known[model.version] = json.loads(text)["predictions"]
    return found


def test_twenty_swaps_under_load_lose_no_request_and_no_connection_goes_back(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    swaps.point(tmp_path / "pointer.json", made.second.archive, made.second.digest)
    expected = answers([made.second, made.third])
    with running(made.deployed.directory, tmp_path, monkeypatch) as here:
        with load(here.server, expected, clients=8) as clients:
            for number in range(SWAPS):
                packed = (made.third, made.second)[number % 2]
                here.point(packed)
                eventually(lambda: here.swapped(packed, number // 2 + 1))  # noqa: B023
                seen = [len(each.versions) for each in clients]
                eventually(
                    lambda: all(
                        len(each.versions) > count + 1
                        for each, count in zip(clients, seen, strict=True)  # noqa: B023
                    )
                )
                assert {each.versions[-1] for each in clients} == {packed.version}
        assert [each.failures for each in clients] == [[]] * len(clients)
        for each in clients:
            changes = sum(before != after for before, after in pairwise(each.versions))
            assert changes == SWAPS
        [shelf] = (tmp_path / "tmp").glob(f"{reload.PREFIX}*")
        eventually(lambda: len([path for path in shelf.iterdir() if path.is_dir()]) == 1)


def test_a_tampered_bundle_is_refused_while_all_requests_are_answered(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flip(name: str, data: bytes) -> bytes:
        return data[:-1] + bytes([data[-1] ^ 1]) if name == "model.onnx" else data

    bad = swaps.repacked(made.second, tmp_path / "bad.tar.gz", flip)
    with running(made.deployed.directory, tmp_path, monkeypatch) as here:
        [line] = here.events("pointer not followed")
        assert "there is no such file" in line["reason"]
        with load(here.server, answers([made.deployed]), clients=4) as clients:
            here.point(bad)
            eventually(lambda: here.events("bundle refused"))
            assert here.server.request("GET", "/ping").status == 200
            assert here.version() == made.deployed.version
        assert [each.failures for each in clients] == [[]] * len(clients)
        [refusal] = here.events("bundle refused")
        assert "model.onnx: the file was changed" in refusal["reason"]
        counted = here.server.request("GET", "/metrics").body.decode()
        assert "inference_swaps_refused_total 1\n" in counted
        assert "inference_pointer_followed 0\n" in counted
        here.point(made.second)
        eventually(lambda: here.swapped(made.second))
        counted = here.server.request("GET", "/metrics").body.decode()
        assert "inference_swaps_total 1\n" in counted
        assert "inference_pointer_followed 1\n" in counted


def test_a_worker_or_watcher_that_dies_is_replaced_by_one_that_knows_of_the_swap(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(made.deployed.directory, tmp_path, monkeypatch) as here:
        here.point(made.second)
        eventually(lambda: here.swapped(made.second))
        before = here.workers()
        os.kill(min(before), signal.SIGKILL)
        eventually(lambda: len(here.workers()) == len(before) + 1)
        [line] = [line for line in here.events("ready") if line["pid"] not in before]
        assert line["model_version"] == made.second.version
        [followed] = here.events("pointer followed")
        os.kill(followed["pid"], signal.SIGKILL)
        eventually(lambda: here.events("watcher ended"))
        here.point(made.third)
        eventually(lambda: here.version() == made.third.version)


def test_from_s3_a_server_starts_without_any_deployed_bundle_and_swaps_by_itself(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pointer = f"s3://{s3.BUCKET}/pointer.json"
    with s3.server() as address, monkeypatch.context() as patch:
        sleep = time.sleep
        s3.begin(address, patch)
        patch.setattr(time, "sleep", sleep)  # the server is waited for
        for packed in (made.second, made.third):
            storage.upload(packed.archive, f"s3://{s3.BUCKET}/{packed.version}.tar.gz")

        def point(packed: Packed) -> None:
            swaps.point(pointer, f"s3://{s3.BUCKET}/{packed.version}.tar.gz", packed.digest)

        point(made.second)
        nothing = tmp_path / "nothing"
        with running(nothing, tmp_path, patch, pointer, MODEL_POINTER_SECONDS="1") as here:
            assert here.version() == made.second.version
            point(made.third)
            eventually(lambda: here.swapped(made.third))


def test_a_worker_that_cannot_look_for_a_moment_looks_again(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reload, "LOOK_SECONDS", 0)
    monkeypatch.setattr(reload, "RETRY_SECONDS", 0)
    looks = 0

    class Shelf(reload.Shelf):
        def read(self) -> reload.State | None:
            nonlocal looks
            looks += 1
            if looks == 1:
                raise OSError(24, "Too many open files")
            return reload.State(str(made.second.directory), "")

    class Loop(asyncio.AbstractEventLoop):
        def is_closed(self) -> bool:
            return looks > 1

        def call_soon_threadsafe(self, callback: Any, *found: Any, **_: Any) -> Any:
            swapped.append(found[1].version)

    swapped: list[str] = []
    application: Any = object()
    reload._follow(Shelf(tmp_path, tmp_path), tmp_path, application, Loop())
    assert swapped == [made.second.version]


def test_what_others_left_beside_the_shelf_keeps_no_server_from_starting(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / f"{reload.PREFIX}dangling").symlink_to("nowhere")
    (tmp_path / f"{reload.PREFIX}file").touch()
    (tmp_path / f"{reload.PREFIX}shelf").mkdir()
    watch = reload.Watch(environment.read({"SM_MODEL_DIR": str(made.deployed.directory)}))
    assert watch.shelf.path.is_dir()
    assert not (tmp_path / f"{reload.PREFIX}shelf").exists()
