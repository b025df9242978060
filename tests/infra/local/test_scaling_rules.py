from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.local.scaling_rules import Cooldowns, Limits, Wish, decide, stepped, tracked

counts = st.integers(0, 50)


def wishes(*each: int | tuple[int, bool]) -> list[Wish]:
    return [
        Wish(one, "", "") if isinstance(one, int) else Wish(one[0], "", "", one[1]) for one in each
    ]


@pytest.mark.parametrize(
    ("current", "value", "target", "wanted"),
    [(2, 100, 50, 4), (2, 101, 50, 5), (3, 50, 50, 3), (3, 10, 50, 1), (4, 0, 50, 0), (0, 9, 5, 0)],
)
def test_tracking_brings_the_metric_to_its_target(
    current: int, value: float, target: float, wanted: int
) -> None:
    assert tracked(current, value, target) == wanted


@given(st.integers(1, 50), st.floats(0, 1e6), st.floats(0.01, 1e6))
def test_what_tracking_wants_is_enough_and_no_more(
    current: int, value: float, target: float
) -> None:
    wanted = tracked(current, value, target)
    load = current * value / target
    assert load - 1e-6 * max(1, load) <= wanted < load + 1


STEPS = [
    {"MetricIntervalLowerBound": 0, "MetricIntervalUpperBound": 10, "ScalingAdjustment": 1},
    {"MetricIntervalLowerBound": 10, "ScalingAdjustment": 3},
    {"MetricIntervalUpperBound": 0, "ScalingAdjustment": -1},
]


@pytest.mark.parametrize(
    ("breach", "config", "wanted"),
    [
        (0, {"AdjustmentType": "ChangeInCapacity"}, 5),
        (9.9, {"AdjustmentType": "ChangeInCapacity"}, 5),
        (10, {"AdjustmentType": "ChangeInCapacity"}, 7),
        (-1, {"AdjustmentType": "ChangeInCapacity"}, 3),
        (50, {"AdjustmentType": "ExactCapacity"}, 3),
        (0, {"AdjustmentType": "PercentChangeInCapacity"}, 5),
        (0, {"AdjustmentType": "PercentChangeInCapacity", "MinAdjustmentMagnitude": 2}, 6),
        (-1, {"AdjustmentType": "PercentChangeInCapacity", "MinAdjustmentMagnitude": 2}, 2),
    ],
)
def test_a_step_is_chosen_by_how_far_the_alarm_is_broken(
    breach: float, config: dict[str, Any], wanted: int
) -> None:
    assert stepped(4, breach, {"StepAdjustments": STEPS, **config}) == wanted


def test_a_breach_outside_all_steps_changes_nothing() -> None:
    config = {"AdjustmentType": "ChangeInCapacity", "StepAdjustments": STEPS[1:2]}
    assert stepped(4, 5, config) == 4


@pytest.mark.parametrize(
    ("asked", "count"),
    [
        ((), None),
        ((4,), None),
        ((6, 5, 2), 6),
        ((99,), 10),
        ((2, 3), 3),
        ((0,), 1),
        (((2, True), (3, True)), 3),
        (((2, True), (4, True)), None),
        ((2, (4, True)), None),
        ((2, 4), 2),
    ],
)
def test_out_wins_and_in_needs_everybodys_consent(asked: Any, count: int | None) -> None:
    found = decide(Limits(4, 1, 10), wishes(*asked))
    assert (found.count if found else None) == count


@given(counts, counts, counts, st.lists(st.tuples(counts, st.booleans()), max_size=6))
def test_what_is_decided_lies_within_the_bounds(
    current: int, least: int, more: int, asked: list[tuple[int, bool]]
) -> None:
    limits = Limits(current, least, least + more)
    found = decide(limits, wishes(*asked))
    assert found is None or limits.least <= found.count <= limits.most
    assert found is None or found.count != current


def test_nothing_is_removed_while_a_change_cools_down() -> None:
    cooling = Cooldowns(out_for=60, in_for=300)
    cooling.scaled(1000, 2, 4)
    assert cooling.allow(1059, Limits(4, 1, 10), 2) == 4
    assert cooling.allow(1060, Limits(4, 1, 10), 2) == 2
    cooling.scaled(1060, 4, 2)
    assert cooling.allow(1359, Limits(2, 1, 10), 1) == 2
    assert cooling.allow(1360, Limits(2, 1, 10), 1) == 1


def test_what_a_scale_out_has_added_counts_until_it_has_cooled_down() -> None:
    cooling = Cooldowns(out_for=60, in_for=300)
    cooling.scaled(1000, 2, 4)
    assert cooling.allow(1030, Limits(4, 1, 10), 6) == 4
    assert cooling.allow(1030, Limits(4, 1, 10), 7) == 5
    assert cooling.allow(1060, Limits(4, 1, 10), 5) == 5


def test_more_is_added_at_once_while_a_removal_cools_down() -> None:
    cooling = Cooldowns(out_for=60, in_for=300)
    cooling.scaled(1000, 4, 2)
    assert cooling.allow(1001, Limits(2, 1, 10), 3) == 3
