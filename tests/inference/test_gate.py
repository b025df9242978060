"""The gate of a worker: who is counted, who is refused, who is given up."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from inference import limits
from inference.errors import UnavailableError
from inference.gate import Gate

LONGEST = 1000


class Reader:
    """What waits for a body."""

    def __init__(self) -> None:
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


def run(check: Callable[[Gate], Awaitable[Any]]) -> Any:
    async def inside() -> Any:
        return await check(Gate(asyncio.get_running_loop(), LONGEST))

    return asyncio.run(inside())


def seconds(gate: Gate, count: int) -> None:
    """Let that many seconds pass for the gate."""
    for _ in range(count):
        gate._sweep()


def test_bytes_are_held_up_to_the_limit_and_one_body_always(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "LARGE_REFUSAL_SECONDS", 0.0)

    async def check(gate: Gate) -> None:
        await gate.hold(limits.BYTES_IN_FLIGHT + 5)
        with pytest.raises(UnavailableError):
            await gate.hold(1)
        gate.bytes -= limits.BYTES_IN_FLIGHT + 5
        await gate.hold(limits.BYTES_IN_FLIGHT)
        assert gate.refused == 1

    run(check)


def test_a_body_that_takes_long_no_longer_counts_and_counts_again_when_it_is_there() -> None:
    async def check(gate: Gate) -> None:
        reader = Reader()
        gate.all = 1
        gate.begins(reader)
        seconds(gate, limits.SLOW_SECONDS)
        assert gate.all == 1
        seconds(gate, 1)
        assert gate.all == 0
        gate.ends(reader)
        assert gate.all == 1
        assert not reader.cancelled

    run(check)


def test_large_bodies_that_take_long_leave_room_for_other_large_ones() -> None:
    async def check(gate: Gate) -> None:
        readers = [Reader() for _ in range(limits.LARGE_IN_FLIGHT)]
        gate.all = gate.large = len(readers)
        for reader in readers:
            gate.begins(reader, large=True)
        seconds(gate, limits.SLOW_SECONDS + 1)
        assert (gate.all, gate.large) == (0, 0)
        gate.ends(readers[0])
        assert (gate.all, gate.large) == (1, 1)

    run(check)


def test_a_body_that_takes_too_long_is_given_up() -> None:
    async def check(gate: Gate) -> None:
        reader = Reader()
        gate.begins(reader)
        seconds(gate, limits.BODY_SECONDS)
        assert not reader.cancelled
        seconds(gate, 1)
        assert reader.cancelled

    run(check)


def test_of_too_many_slow_bodies_the_oldest_are_given_up() -> None:
    async def check(gate: Gate) -> None:
        readers = [Reader() for _ in range(limits.SLOW_BODIES + 2)]
        for reader in readers:
            gate.begins(reader)
        seconds(gate, limits.SLOW_SECONDS + 1)
        assert [reader.cancelled for reader in readers] == [True] * 2 + [False] * limits.SLOW_BODIES

    run(check)
