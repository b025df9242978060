"""The gate of a worker: who is counted, who is refused, who is given up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from inference import limits
from inference.gate import Gate, OverloadedError, Place
from shared.errors import InputError

LONGEST = 1000


def run(check: Callable[[Gate[Place], list[Place]], Any], longest: int = LONGEST) -> None:
    """Give a gate, and the list of whom it gives up, to `check`."""

    async def inside() -> None:
        given_up: list[Place] = []

        def give_up(place: Place) -> None:
            given_up.append(place)
            gate.leave(place)

        gate: Gate[Place] = Gate(asyncio.get_running_loop(), longest, give_up)
        check(gate, given_up)

    asyncio.run(inside())


def entered(gate: Gate[Place], size: int = 10, *, large: bool = False) -> Place:
    place = Place()
    gate.enter(place, size, large=large)
    return place


def seconds(gate: Gate[Place], count: int) -> None:
    """Let that many seconds pass for the gate."""
    for _ in range(count):
        gate._sweep()


def counts(gate: Gate[Place]) -> tuple[int, int, int]:
    return gate.all, gate.large, gate.bytes


def test_so_many_are_let_in_and_one_more_when_one_has_left() -> None:
    def check(gate: Gate[Place], _: list[Place]) -> None:
        inside = [entered(gate) for _ in range(limits.IN_FLIGHT)]
        with pytest.raises(OverloadedError) as refused:
            entered(gate)
        assert refused.value.pause == limits.REFUSAL_SECONDS
        gate.leave(inside[0])
        entered(gate)
        assert gate.refused == 1

    run(check)


def test_of_large_ones_fewer_are_let_in_and_small_ones_still_are() -> None:
    def check(gate: Gate[Place], _: list[Place]) -> None:
        inside = [entered(gate, large=True) for _ in range(limits.LARGE_IN_FLIGHT)]
        with pytest.raises(OverloadedError) as refused:
            entered(gate, large=True)
        assert refused.value.pause == limits.LARGE_REFUSAL_SECONDS
        small = entered(gate)
        with pytest.raises(OverloadedError):
            gate.enlarge(small)
        for place in (*inside, small):
            gate.leave(place)
        assert counts(gate) == (0, 0, 0)

    run(check)


def test_while_clients_leave_their_answers_lying_no_large_ones_are_let_in() -> None:
    def check(gate: Gate[Place], _: list[Place]) -> None:
        gate.unsent = limits.UNSENT_BYTES + 1
        with pytest.raises(OverloadedError):
            entered(gate, large=True)
        entered(gate)
        gate.unsent = limits.UNSENT_BYTES
        entered(gate, large=True)
        assert counts(gate)[:2] == (2, 1)

    run(check)


def test_bytes_are_held_up_to_the_limit_and_one_body_always() -> None:
    most = limits.BYTES_IN_FLIGHT

    def check(gate: Gate[Place], _: list[Place]) -> None:
        first = entered(gate, most + 5)
        with pytest.raises(OverloadedError):
            entered(gate, limits.DENSE_BODY_BYTES + 1, large=True)
        assert counts(gate) == (1, 0, most + 5)
        gate.leave(first)
        growing = entered(gate, -1)
        for _ in range(3):
            gate.hold(growing, most // 2)
        other = entered(gate, -1)
        with pytest.raises(OverloadedError):
            gate.hold(other, 1)
        gate.leave(growing)
        gate.hold(other, 1)
        gate.leave(other)
        assert counts(gate) == (0, 0, 0)

    run(check, longest=2 * most)


def test_a_body_is_too_large_when_it_says_so_or_when_it_has_become_so() -> None:
    def check(gate: Gate[Place], _: list[Place]) -> None:
        with pytest.raises(InputError) as refused:
            entered(gate, LONGEST + 1)
        assert refused.value.status == 413
        growing = entered(gate, -1)
        gate.hold(growing, LONGEST)
        with pytest.raises(InputError):
            gate.hold(growing, 1)
        gate.leave(growing)
        assert counts(gate) == (0, 0, 0)

    run(check)


def test_a_body_that_takes_long_no_longer_counts_and_counts_again_when_it_is_there() -> None:
    def check(gate: Gate[Place], given_up: list[Place]) -> None:
        place = entered(gate)
        gate.waits(place)
        seconds(gate, limits.SLOW_SECONDS)
        assert gate.all == 1
        seconds(gate, 1)
        assert gate.all == 0
        gate.arrived(place)
        assert gate.all == 1
        gate.leave(place)
        assert gate.all == 0
        assert not given_up

    run(check)


def test_large_bodies_that_take_long_leave_room_for_other_large_ones() -> None:
    def check(gate: Gate[Place], _: list[Place]) -> None:
        places = [entered(gate, large=True) for _ in range(limits.LARGE_IN_FLIGHT)]
        for place in places:
            gate.waits(place)
        seconds(gate, limits.SLOW_SECONDS + 1)
        assert counts(gate)[:2] == (0, 0)
        gate.arrived(places[0])
        assert counts(gate)[:2] == (1, 1)

    run(check)


@pytest.mark.parametrize("after", [0, limits.SLOW_SECONDS + 1])
def test_who_leaves_while_its_body_is_waited_for_is_forgotten(after: int) -> None:
    def check(gate: Gate[Place], given_up: list[Place]) -> None:
        place = entered(gate)
        gate.waits(place)
        seconds(gate, after)
        gate.leave(place)
        seconds(gate, limits.BODY_SECONDS + 1)
        assert counts(gate) == (0, 0, 0)
        assert not given_up

    run(check)


def test_a_body_that_takes_too_long_is_given_up() -> None:
    def check(gate: Gate[Place], given_up: list[Place]) -> None:
        place = entered(gate)
        gate.waits(place)
        seconds(gate, limits.BODY_SECONDS)
        assert not given_up
        seconds(gate, 1)
        assert given_up == [place]
        assert counts(gate) == (0, 0, 0)

    run(check)


def test_of_too_many_slow_bodies_the_oldest_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "IN_FLIGHT", 1000)

    def check(gate: Gate[Place], given_up: list[Place]) -> None:
        places = [entered(gate) for _ in range(limits.SLOW_BODIES + 2)]
        for place in places:
            gate.waits(place)
        seconds(gate, limits.SLOW_SECONDS + 1)
        assert given_up == places[:2]

    run(check)
