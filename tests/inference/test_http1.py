"""HTTP/1.1 as anybody may send it: whole, in pieces, half, wrong or with evil intent."""

from __future__ import annotations

import asyncio
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference import limits
from inference.exchange import Answerer, Exchange
from inference.http1 import CONTINUE
from shared.errors import InputError
from tests.support import http
from tests.support.hostile import EVIL, GET, chunks, post
from tests.support.http import Client


class Echo(Answerer):
    """Answers with what it was asked; holds back what is asked at /later.

    Attributes:
        events: what was told, in order.
        later: requests that wait for their answer.
    """

    def __init__(self) -> None:
        self.events: list[str] = []
        self.later: list[Exchange] = []

    def begins(self, exchange: Exchange) -> None:
        self.events.append(f"begins {exchange.path}")
        if exchange.path == "/refused":
            exchange.answer(413, (), b"refused")

    def waits(self, exchange: Exchange) -> None:
        self.events.append(f"waits {exchange.path}")

    def ends(self, exchange: Exchange) -> None:
        self.events.append(f"ends {exchange.path}")
        if exchange.path == "/later":
            self.later.append(exchange)
        else:
            self.answer(exchange)

    def breaks(self, exchange: Exchange, error: InputError) -> None:
        self.events.append(f"breaks {exchange.path} {error.code}")
        exchange.answer(error.status, (), error.code.encode())

    def answer(self, exchange: Exchange) -> None:
        told = sorted(f"{name}={value}" for name, value in exchange.headers.items())
        about = f"{exchange.method} {exchange.path} {told} {exchange.size} "
        exchange.answer(200, [("x-is", "echo")], about.encode() + exchange.body)


def talk(*data: bytes, piece: int = 65_536) -> Client:
    client = http.connect(Echo())
    for each in data:
        client.send(each, piece)
    return client


def said(client: Client) -> bytes:
    """All that came back, but for the time."""
    return re.sub(rb"date: [^\r]*\r\n", b"", client.wire.written)


SOUND = [
    GET,
    post(b"abc"),
    post(b""),
    post(b"x" * 5000, "X-A: 1", "x-a: 2"),
    chunks(b"ab", b"c" * 300),
    chunks(),
    chunks(b"ab", trailers=b"X-Trailer: 1\r\n"),
    post(b"wrong", "Expect: nothing"),
    post(b"body", path="/refused"),
    b"HEAD /ping?a=b HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET http://example.com/ping HTTP/1.1\r\nHost: a\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
    post(b"abc", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAA"),
    b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    b"\r\n" + GET,
]


@given(st.lists(st.sampled_from(SOUND), min_size=1, max_size=4), st.data())
def test_in_whatever_pieces_requests_come_the_answers_are_the_same(
    requests: list[bytes], data: st.DataObject
) -> None:
    stream = b"".join(requests)
    cuts = sorted(data.draw(st.sets(st.integers(1, len(stream) - 1), max_size=12)))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    whole, cut, single = talk(stream), talk(*pieces), talk(stream, piece=1)
    assert said(whole).count(b"HTTP/1.1 ") == len(requests)
    assert said(cut) == said(whole) == said(single)
    assert not any(client.wire.closed for client in (whole, cut, single))


def test_a_request_is_told_with_its_method_path_headers_and_body() -> None:
    [answer] = talk(post(b"abc", "X-A: 1", "x-A:  2 ")).read()
    assert answer.body == b"POST /echo ['content-length=3', 'host=a', 'x-a=1, 2'] 3 abc"
    assert answer.headers["x-is"] == "echo"
    assert answer.headers["date"].endswith(" GMT")


def test_a_chunked_body_is_put_together_and_its_trailers_mean_nothing() -> None:
    [answer] = talk(chunks(b"ab", b"cd", trailers=b"Host: evil\r\nX-B: 1\r\n")).read()
    assert answer.body == b"POST /echo ['host=a', 'transfer-encoding=chunked'] -1 abcd"


@pytest.mark.parametrize(
    "endless",
    [b"0\r\nX-Long: " + b"a" * 90_000, b"0\r\n" + b"a: b\r\n" * 9000, b"1;" + b"a" * 90_000],
)
def test_trailers_and_extensions_without_end_are_refused(endless: bytes) -> None:
    head = post(b"", "Transfer-Encoding: chunked", length=False)
    for begun in (head, head + b"1\r\nx\r\n"):
        client = talk(begun + endless, piece=1000)
        assert [answer.status for answer in client.read()] == [431]
        assert len(client.wire.written) < 1000
        client.wait(limits.SLOW_SECONDS + 1)
        assert client.wire.closed


@pytest.mark.parametrize("piece", [1000, 1_000_000])
def test_trailers_within_the_limit_are_read(piece: int) -> None:
    one = chunks(b"a" * 90_000, trailers=b"X-Long: " + b"a" * 25_000 + b"\r\n")
    assert [answer.status for answer in talk(GET * 50 + one * 3, piece=piece).read()] == [200] * 53


def test_a_body_in_tiny_chunks_takes_little_more_than_its_bytes() -> None:
    client = talk(post(b"", "Transfer-Encoding: chunked", length=False))
    client.send(b"2\r\nab\r\n" * 10_000 + b"258\r\n" + b"c" * 600 + b"\r\n" + b"1\r\nd\r\n" * 9)
    exchange = client.connection.arriving
    assert exchange is not None
    assert len(exchange.parts or ()) < 60
    client.send(b"0\r\n\r\n")
    assert client.read()[0].body.endswith(b" -1 " + b"ab" * 10_000 + b"c" * 600 + b"d" * 9)


def test_answers_to_pipelined_requests_come_in_order_whichever_is_ready_first() -> None:
    client = talk(post(b"1", path="/later") + post(b"2") + post(b"3", path="/later") + GET)
    echo = client.site.answerer
    assert not client.read()
    first, third = echo.later
    echo.answer(third)
    assert not client.read()
    echo.answer(first)
    assert [answer.body[-1:] for answer in client.read()] == [b"1", b"2", b"3", b" "]


def test_a_flood_of_pipelined_requests_is_cut_off_and_what_was_read_is_answered() -> None:
    client = talk(*[post(b"", path="/later") * 500] * 20)
    echo = client.site.answerer
    assert len(echo.later) == limits.PIPELINED + 1
    for exchange in echo.later:
        echo.answer(exchange)
    answers = client.read()
    assert len(answers) == limits.PIPELINED + 1
    assert [answer.headers.get("connection") for answer in answers[-2:]] == [None, "close"]
    assert client.wire.finished or client.wire.closed
    client.wait(limits.SLOW_SECONDS + 1)
    assert client.wire.closed


def test_a_client_that_takes_no_answers_is_not_read_and_in_the_end_left() -> None:
    client = talk(GET)
    client.wire.unsent = 100_000
    client.connection.pause_writing()
    assert not client.wire.reading
    client.connection.resume_writing()
    assert client.wire.reading
    client.connection.pause_writing()
    for _ in range(3):  # it takes some, slowly
        client.wait(limits.BODY_SECONDS)
        client.wire.unsent -= 1
    client.wait(1)
    assert not client.wire.closed
    client.wait(limits.BODY_SECONDS + 1)
    assert client.wire.aborted


def test_what_clients_do_not_take_is_counted_until_they_do_or_go(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept: list[int] = []
    monkeypatch.setattr(Echo, "keeps", lambda _, size: kept.append(size))
    client = talk(GET)
    client.wire.unsent = 100_000
    client.connection.pause_writing()
    client.wire.unsent = 10_000
    client.connection.resume_writing()
    client.wire.unsent = 200_000
    client.connection.pause_writing()
    client.close()
    assert kept == [100_000, -100_000, 200_000, -200_000]


@pytest.mark.parametrize(
    "data", [post(b"", "Connection: close", path="/later"), post(b"", path="/later") + b"no HTTP"]
)
def test_the_last_answer_may_be_taken_as_slowly_as_others(data: bytes) -> None:
    client = talk(data)
    client.wait(limits.BODY_SECONDS)
    client.wire.unsent = 10_000
    client.site.answerer.answer(client.site.answerer.later[0])
    client.wait(limits.BODY_SECONDS)
    assert not client.wire.aborted
    client.wire.unsent -= 5_000
    client.wait(limits.BODY_SECONDS)
    assert not client.wire.aborted
    client.wait(2)
    assert client.wire.aborted


@pytest.mark.parametrize(
    ("data", "stays"),
    [
        (GET, True),
        (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", False),
        (b"GET / HTTP/1.0\r\n\r\n", False),
        (b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", False),
        (post(b"a", "Connection: close"), False),
    ],
)
def test_a_connection_is_kept_as_the_client_wishes(data: bytes, *, stays: bool) -> None:
    client = talk(data)
    [answer] = client.read()
    assert answer.status == 200
    assert client.wire.closed is not stays
    assert (answer.headers.get("connection") == "close") is not stays


def test_while_the_server_ends_each_last_answer_closes_its_connection() -> None:
    client = http.connect(Echo())
    client.site.answerer.draining = True
    client.send(post(b"", path="/later") + post(b"", path="/later"))
    first, second = client.site.answerer.later
    client.site.answerer.answer(first)
    assert not client.wire.closed
    client.site.answerer.answer(second)
    assert client.wire.closed
    assert [answer.headers.get("connection") for answer in client.read()] == [None, "close"]


def test_while_the_server_ends_an_answer_for_a_client_that_is_gone_goes_nowhere() -> None:
    client = talk(post(b"1", path="/later"))
    client.site.answerer.draining = True
    client.close()
    client.site.answerer.answer(client.site.answerer.later[0])
    assert not client.wire.written


def test_while_the_server_ends_nothing_is_answered_after_the_last_answer() -> None:
    client = http.connect(Echo())
    client.site.answerer.draining = True
    client.send(post(b"1", path="/later") + post(b"2", path="/later"))
    first, second = client.site.answerer.later
    client.site.answerer.answer(second)
    client.send(post(b"3", path="/later"))
    for exchange in (first, client.site.answerer.later[2]):
        client.site.answerer.answer(exchange)
    assert [answer.headers.get("connection") for answer in client.read()] == [None, "close"]


def test_a_head_is_answered_without_a_body_and_204_without_a_length() -> None:
    client = http.connect(Echo())
    client.send(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert client.wire.written.endswith(b"\r\n\r\n")
    assert b"content-length: " in client.wire.written
    client = http.connect(Echo())
    client.send(post(b"", path="/later"))
    client.site.answerer.later[0].answer(204, ())
    assert b"content-length" not in client.wire.written


def test_who_asks_whether_to_send_is_told_to_go_on() -> None:
    client = talk(post(b"abc", "Expect: 100-continue")[:-3])
    assert client.wire.written == CONTINUE
    client.send(b"abc")
    assert [answer.status for answer in client.read()] == [100, 200]


def test_who_asks_whether_to_send_and_is_refused_is_left_alone() -> None:
    client = talk(post(b"abc", "Expect: 100-continue", path="/refused")[:-3])
    [answer] = client.read()
    assert (answer.status, answer.headers["connection"]) == (413, "close")
    assert client.wire.finished
    client.wait(limits.SLOW_SECONDS + 1)
    assert client.wire.closed


def test_who_asks_whether_to_send_and_does_not_wait_is_just_answered() -> None:
    assert [a.status for a in talk(post(b"abc", "Expect: 100-Continue")).read()] == [200]


def test_a_refused_body_is_thrown_away_and_the_next_request_is_answered() -> None:
    client = talk(post(b"x" * 1_000_000, path="/refused"), GET)
    assert [answer.status for answer in client.read()] == [413, 200]
    assert not client.wire.closed


def test_a_refused_body_without_end_ends_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "DISCARD_BYTES", 100_000)
    client = talk(post(b"x" * 1_000_000, path="/refused"))
    assert [answer.status for answer in client.read()] == [413]
    assert client.wire.aborted


def test_a_body_that_is_given_up_ends_the_connection_in_peace() -> None:
    client = talk(post(b"x" * 100, path="/later")[:-1])
    exchange = client.connection.arriving
    assert exchange is not None
    client.wait(limits.BODY_SECONDS + 1)
    exchange.answer(408, ())
    [answer] = client.read()
    assert answer.headers["connection"] == "close"
    assert client.wire.finished
    client.wait(1)
    assert not client.wire.aborted
    client.wait(limits.SLOW_SECONDS)
    assert client.wire.closed


def test_a_refused_body_that_stalls_ends_the_connection() -> None:
    client = talk(post(b"x" * 100, path="/refused")[:-1])
    client.wait(limits.BODY_SECONDS)
    assert not client.wire.closed
    client.wait(1)
    assert client.wire.aborted


def test_an_answer_held_back_leaves_the_body_with_its_sender() -> None:
    client = talk(post(b"x" * 100, path="/later")[:-50])
    exchange = client.connection.arriving
    assert exchange is not None
    exchange.discard(later=True)
    assert not client.wire.reading
    exchange.answer(503, ())
    assert client.wire.reading
    client.send(b"x" * 50 + GET)
    assert [answer.status for answer in client.read()] == [503, 200]


HALF = {
    "an announced body": (post(b"abc")[:-1], b"incomplete_body"),
    "no body at all": (post(b"abc")[:-3], b"incomplete_body"),
    "chunks without a last one": (chunks(b"abc")[:-5], b"incomplete_body"),
    "half a chunk": (chunks(b"abc")[:-8], b"incomplete_body"),
    "a last chunk without its end": (chunks(b"abc")[:-1], b"incomplete_body"),
    "half a head": (GET[:-5], b"bad_request"),
}


@pytest.mark.parametrize("name", HALF)
def test_who_stops_half_way_is_told_so(name: str) -> None:
    data, code = HALF[name]
    client = talk(GET, data)
    client.half_close()
    good, bad = client.read()
    assert (good.status, bad.status, bad.body) == (200, 400, code)
    assert client.wire.closed


@pytest.mark.parametrize("name", HALF)
def test_who_leaves_half_way_is_reported_once_if_there_was_a_body(name: str) -> None:
    client = talk(HALF[name][0])
    client.close()
    breaks = [event for event in client.site.answerer.events if event.startswith("breaks")]
    assert len(breaks) == (HALF[name][1] == b"incomplete_body")


def test_who_stops_sending_still_gets_what_it_asked_for() -> None:
    client = talk(post(b"1", path="/later") + post(b"2", path="/later"))
    client.half_close()
    client.wait(2 * limits.BODY_SECONDS)
    assert not client.wire.closed
    for exchange in client.site.answerer.later:
        client.site.answerer.answer(exchange)
    assert len(client.read()) == 2
    assert client.wire.closed


def test_an_answer_for_a_client_that_is_gone_goes_nowhere() -> None:
    client = talk(post(b"1", path="/later"))
    client.close()
    client.site.answerer.answer(client.site.answerer.later[0])
    assert not client.wire.written


@pytest.mark.parametrize("piece", [1, 1000, 1_000_000])
@pytest.mark.parametrize("name", EVIL)
def test_what_is_not_sound_is_refused_and_nothing_after_it_is_taken_for_a_request(
    name: str, piece: int
) -> None:
    client = talk(EVIL[name] + GET * 3, piece=piece)
    [answer] = client.read()
    assert 400 <= answer.status < 500
    assert answer.headers["connection"] == "close"
    assert not any("smuggled" in event for event in client.site.answerer.events)
    # The answer is not torn away from a client that is still sending.
    assert client.wire.finished
    client.wait(limits.SLOW_SECONDS + 1)
    assert client.wire.closed


@given(st.binary(max_size=300), st.sampled_from([b"", GET, post(b"abc")[:-1], chunks(b"abc")[:-7]]))
def test_noise_never_raises_and_never_hangs(noise: bytes, before: bytes) -> None:
    client = talk(before + noise)
    client.half_close()
    assert client.wire.closed
    assert all(answer.status in (200, 400, 431) for answer in client.read())


def test_a_head_that_comes_too_slowly_is_given_up() -> None:
    client = talk(GET[:-4])
    client.wait(limits.BODY_SECONDS)
    assert not client.wire.written
    client.wait(1)
    [answer] = client.read()
    assert (answer.status, answer.headers["connection"]) == (408, "close")


def test_who_connects_and_says_nothing_is_left_after_a_while() -> None:
    client = http.connect(Echo())
    client.wait(limits.BODY_SECONDS)
    assert not client.wire.closed
    client.wait(1)
    assert client.wire.closed
    assert not client.wire.written


def test_who_has_asked_may_be_silent_as_long_as_it_wants() -> None:
    client = talk(GET)
    client.wait(1000)
    client.send(GET)
    assert [answer.status for answer in client.read()] == [200, 200]


def test_our_own_fault_ends_one_connection_and_is_logged(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("a bug")

    client = http.connect(Echo())
    monkeypatch.setattr(client.site.answerer, "ends", fail)
    client.send(GET)
    assert client.wire.aborted
    assert [record.getMessage() for record in caplog.records] == ["failed"]


def test_a_connection_that_is_over_holds_nothing() -> None:
    import gc
    import weakref

    gc.collect()
    gc.disable()
    try:
        client = talk(post(b"abc"), GET)
        client.close()
        gone = weakref.ref(client.connection)
        del client
        assert gone() is None
    finally:
        gc.enable()


def test_nothing_of_it_needs_a_running_loop() -> None:
    with pytest.raises(RuntimeError):
        asyncio.get_running_loop()
    assert talk(GET).read()[0].status == 200
