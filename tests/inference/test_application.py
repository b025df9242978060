"""The application of one worker, asked in this process over connections that go nowhere."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import weakref
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from inference import codecs, environment, handler, limits
from inference.application import Application, _is_large
from inference.counts import Place
from tests.support import bundles, http
from tests.support.clients import request


async def ask(
    application: Application, body: bytes, content_type: str = "text/csv"
) -> tuple[int, bytes]:
    """Status and body of an answer."""
    connection = http.connect(application)
    connection.send(request(body, content_type))
    [answer] = await connection.answers(1)
    connection.close()
    return answer.status, answer.body


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundles.build(tmp_path_factory.mktemp("bundle") / "bundle")


@pytest.fixture
def no_garbage() -> Iterator[None]:
    """Nobody looks for circles."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def run(bundle: Path, counts: Path, check: Callable[[Application], Awaitable[None]]) -> None:
    variables = {"SERVER_COUNTS_DIR": str(counts), "METRICS_SECONDS": "0"}

    async def inside() -> None:
        application = Application(handler.model_fn(bundle), environment.read(variables))
        application.start()
        try:
            await check(application)
        finally:
            application.close()

    asyncio.run(inside())


@pytest.mark.parametrize(
    ("content_type", "text"),
    [
        (None, True),
        ("Text/CSV; charset=utf-8", True),
        *((name, one.text) for one in codecs.FORMATS for name in one.names),
    ],
)
def test_a_body_of_a_few_thousand_bytes_is_large_unless_it_is_text(
    content_type: str | None, *, text: bool
) -> None:
    assert _is_large(limits.DENSE_BODY_BYTES + 1, content_type) is not text
    assert not _is_large(limits.DENSE_BODY_BYTES, content_type)
    assert _is_large(limits.LARGE_BODY_BYTES + 1, content_type)


@pytest.mark.usefixtures("no_garbage")
def test_a_model_is_gone_with_its_last_request_even_if_that_was_refused(
    bundle: Path, tmp_path: Path
) -> None:
    bad = json.dumps([{**bundles.ROW, "distance": "far"}]).encode()

    async def check(application: Application) -> None:
        before = weakref.ref(application.model)
        assert (await ask(application, bad, "application/json"))[0] == 400
        both = await asyncio.gather(*(ask(application, bad, "application/json") for _ in range(2)))
        assert [status for status, _ in both] == [400, 400]
        good = json.dumps(bundles.ROW).encode()
        assert (await ask(application, good, "application/json"))[0] == 200
        large = json.dumps([*bundles.rows(2000), {**bundles.ROW, "distance": "far"}]).encode()
        assert (await ask(application, large, "application/json"))[0] == 400
        application._books.recorder.flush()
        application.model = handler.model_fn(bundle)
        assert before() is None

    run(bundle, tmp_path, check)


def test_values_in_the_place_of_names_are_told_to_the_client_and_not_to_the_log(
    bundle: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def check(application: Application) -> None:
        _, told = await ask(application, b"Jane Doe,41\n", "text/csv; header=present")
        assert b"Jane Doe" in told
        assert (await ask(application, b'[{"distance": 1}]', "application/json"))[0] == 400

    with caplog.at_level(logging.WARNING, "inference"):
        run(bundle, tmp_path, check)
    assert [record.__dict__["fields"]["column"] for record in caplog.records] == [None, "seats"]


def test_other_workers_know_the_version_of_one_that_was_not_asked_yet(
    bundle: Path, tmp_path: Path
) -> None:
    other = Place(tmp_path, 1)

    async def check(application: Application) -> None:
        assert [each["version"] for each in other.others()] == [application.model.version]
        application.model.version = "another"
        application.swapped()
        assert [each["version"] for each in other.others()] == ["another"]

    run(bundle, tmp_path, check)


def test_the_log_tells_of_every_request_refused_under_overload(
    bundle: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def check(application: Application) -> None:
        for refused in (3, 4):
            application._gate.refused += refused
            application._books._write()

    with caplog.at_level(logging.WARNING, "inference"):
        run(bundle, tmp_path, check)
    assert sum(record.__dict__["fields"]["requests"] for record in caplog.records) == 7


def chunked(body: bytes, content_type: str = "text/csv") -> bytes:
    head = f"POST /invocations HTTP/1.1\r\nHost: a\r\nContent-Type: {content_type}\r\n"
    parts = b"".join(
        b"%x\r\n%s\r\n" % (len(part), part)
        for part in (body[start : start + 50_000] for start in range(0, len(body), 50_000))
    )
    return f"{head}Transfer-Encoding: chunked\r\n\r\n".encode() + parts + b"0\r\n\r\n"


def nothing_is_held(application: Application) -> bool:
    gate = application._gate
    return (gate.all, gate.large, gate.bytes) == (0, 0, 0)


def test_a_body_that_becomes_large_while_it_comes_is_counted_and_answered_as_such(
    bundle: Path, tmp_path: Path
) -> None:
    cells = ",".join("" if value is None else str(value) for value in bundles.ROW.values())
    body = f"{cells}\n".encode() * 4000

    async def check(application: Application) -> None:
        connection = http.connect(application)
        connection.send(chunked(body))
        assert (application._gate.large, application._gate.bytes) == (1, len(body))
        [answer] = await connection.answers(1)
        assert (answer.status, len(answer.json()["predictions"])) == (200, 4000)
        assert nothing_is_held(application)
        connection.send(chunked(body))
        for _ in range(limits.LARGE_IN_FLIGHT):
            other = http.connect(application)
            other.send(chunked(body))
        assert not other.wire.reading
        [refused] = await other.answers(1)
        assert (refused.status, refused.headers["retry-after"]) == (503, "1")
        assert other.wire.reading
        await connection.answers(2)

    run(bundle, tmp_path, check)


def test_a_body_that_becomes_too_large_while_it_comes_is_a_413_and_the_connection_goes_on(
    bundle: Path, tmp_path: Path
) -> None:
    async def check(application: Application) -> None:
        connection = http.connect(application)
        connection.send(chunked(b"x" * (limits.BODY_BYTES + 1)))
        connection.send(chunked(json.dumps(bundles.ROW).encode(), "application/json"))
        found = await connection.answers(2)
        assert [answer.status for answer in found] == [413, 200]
        assert nothing_is_held(application)

    run(bundle, tmp_path, check)


@pytest.mark.parametrize("data", [chunked(b"1,2")[:-3], request(b"1,2")[:-1]])
def test_a_body_that_stalls_is_a_408(bundle: Path, tmp_path: Path, data: bytes) -> None:
    async def check(application: Application) -> None:
        connection = http.connect(application)
        connection.send(data)
        for _ in range(limits.BODY_SECONDS + 1):
            application._gate._sweep()
        [answer] = await connection.answers(1)
        assert (answer.status, answer.json()["error"]["code"]) == (408, "timeout")
        assert nothing_is_held(application)

    run(bundle, tmp_path, check)


@pytest.mark.parametrize("data", [chunked(b"1,2")[:-3], request(b"1,2")[:-1]])
def test_who_leaves_half_way_takes_up_nothing_any_more(
    bundle: Path, tmp_path: Path, data: bytes
) -> None:
    async def check(application: Application) -> None:
        connection = http.connect(application)
        connection.send(data)
        assert not nothing_is_held(application)
        connection.close()
        assert nothing_is_held(application)
        assert application._books.recorder.errors == {(400, "incomplete_body"): 1}

    run(bundle, tmp_path, check)


def test_beyond_the_limit_requests_are_refused_after_a_pause_and_the_others_answered(
    bundle: Path, tmp_path: Path
) -> None:
    data = request(json.dumps(bundles.ROW).encode())

    async def check(application: Application) -> None:
        clients = [http.connect(application) for _ in range(limits.IN_FLIGHT + 3)]
        for client in clients:
            client.send(data)
        assert [client.wire.reading for client in clients[-4:]] == [True, False, False, False]
        statuses = [(await client.answers(1))[0].status for client in clients]
        assert statuses == [200] * limits.IN_FLIGHT + [503] * 3
        assert nothing_is_held(application)

    run(bundle, tmp_path, check)


def test_who_is_answered_together_gets_what_each_accepts_and_is_counted_by_itself(
    bundle: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    accepts = ["application/json", "text/csv", "application/json", "image/png", "*/*"]
    rows = bundles.rows(10)

    async def check(application: Application) -> None:
        clients = [http.connect(application) for _ in accepts]
        for place, (client, accept) in enumerate(zip(clients, accepts, strict=True)):
            body = json.dumps(rows[2 * place : 2 * place + 2]).encode()
            client.send(request(body, f"application/json\r\nAccept: {accept}"))
        found = [(await client.answers(1))[0] for client in clients]
        assert [answer.status for answer in found] == [200, 200, 200, 406, 200]
        assert len(found[1].body.splitlines()) == 2
        for place in (0, 2, 4):
            asked = handler.input_fn(json.dumps(rows[2 * place : 2 * place + 2]), codecs.JSON)
            alone = handler.output_fn(handler.predict_fn(asked, application.model), None)[0]
            assert found[place].body == alone
        counted = application._books
        counted.recorder.flush()
        snapshot = counted.snapshot()
        assert (snapshot["answered"], snapshot["rows"], snapshot["quality"]["rows"]) == (4, 8, 10)
        assert [sum(stage) for stage in snapshot["times"]] == [4] * 7
        assert all(seconds > 0 for seconds in snapshot["sums"])
        assert snapshot["errors"] == [[406, "not_acceptable", 1]]
        assert nothing_is_held(application)

    with caplog.at_level(logging.DEBUG, "inference"):
        run(bundle, tmp_path, check)
    told = [record.__dict__["fields"] for record in caplog.records if record.msg == "answered"]
    assert [(each["status"], each["rows"]) for each in told] == [(200, 2)] * 4
    assert len({each["request_id"] for each in told}) == 4
    assert all(each["ms"] > 0 for each in told)
