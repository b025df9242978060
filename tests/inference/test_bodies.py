"""Reading a body that does not come as it should; the transport is a stand-in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from inference import bodies, limits
from inference.gate import Gate
from shared.errors import InputError

LONGEST = 100


class Chunks:
    """Gives parts as granian does: an empty one at the end, two when the body broke off."""

    def __init__(self, *parts: bytes, then_stalls: bool = False) -> None:
        self._parts = parts
        self._stalls = then_stalls

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for part in self._parts:
            yield part
        if self._stalls:
            await asyncio.sleep(60)

    def __call__(self) -> asyncio.Future[bytes]:
        """A whole body of announced length, which never comes."""
        return asyncio.get_running_loop().create_future()


def read(*parts: bytes) -> tuple[bytes, Gate]:
    async def inside() -> tuple[bytes, Gate]:
        gate = Gate(asyncio.get_running_loop(), LONGEST)
        return await bodies.chunked(Chunks(*parts), gate), gate

    return asyncio.run(inside())


def refusal(protocol: Chunks, *, announced: bool = False, given_up: bool = False) -> InputError:
    """Why the body is refused; nothing is held then."""

    async def inside() -> InputError:
        gate = Gate(asyncio.get_running_loop(), LONGEST)
        wait = bodies.announced(protocol, gate) if announced else bodies.chunked(protocol, gate)
        reading = asyncio.ensure_future(wait)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        if given_up:
            for _ in range(limits.BODY_SECONDS + 1):
                gate._sweep()
        with pytest.raises(InputError) as refused:
            await reading
        assert gate.bytes == 0
        return refused.value

    return asyncio.run(inside())


def test_chunks_are_put_together_and_held_until_the_caller_lets_go() -> None:
    body, gate = read(b"ab", b"cd", b"")
    assert body == b"abcd"
    assert gate.bytes == 4


@pytest.mark.parametrize("parts", [(b"ab", b"", b""), (b"", b"")])
def test_a_body_that_breaks_off_is_incomplete(parts: Sequence[bytes]) -> None:
    refused = refusal(Chunks(*parts))
    assert (refused.status, refused.code) == (400, "incomplete_body")


def test_chunks_of_too_many_bytes_are_too_large() -> None:
    assert refusal(Chunks(b"x" * 60, b"x" * 60, b"")).status == 413


def test_chunks_of_a_batch_job_are_read_whole_however_many_bytes_are_worth_throwing_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bodies, "DISCARD_BYTES", 10)
    body, _ = read(b"x" * 8, b"y" * 8, b"z" * 8, b"")
    assert body == b"x" * 8 + b"y" * 8 + b"z" * 8
    assert refusal(Chunks(b"x" * 60, b"y" * 60, b"z" * 60, b"")).status == 413


def test_who_is_refused_does_not_wait_without_end_for_others_that_stall(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "BODY_SECONDS", 0)

    async def refused() -> None:
        gate = Gate(asyncio.get_running_loop(), LONGEST)
        async with gate.discarding:
            await bodies.discard(Chunks(b"x"), 1, gate)

    asyncio.run(asyncio.wait_for(refused(), 10))


@pytest.mark.parametrize("announced", [True, False])
def test_a_body_that_never_comes_is_a_408(*, announced: bool) -> None:
    refused = refusal(Chunks(b"ab", then_stalls=True), announced=announced, given_up=True)
    assert (refused.status, refused.code) == (408, "timeout")
