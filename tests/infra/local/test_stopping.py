from __future__ import annotations

from infra.local.stopping import Hyperband, Median


def test_a_job_worse_than_the_median_of_earlier_running_averages_stops() -> None:
    rule = Median(maximize=False)
    for number, first in enumerate((1.0, 2.0, 3.0)):
        rule.ended(number, [first, first - 0.5])  # running averages at epoch 2: 0.75, 1.75, 2.75
    assert not rule.stops(3, [2.0])
    assert rule.stops(3, [2.1])
    assert not rule.stops(3, [2.0, 1.75])
    assert rule.stops(3, [2.0, 1.8])
    assert not rule.stops(3, [9.0, 9.0, 9.0])  # nobody came that far


def test_more_is_better_where_the_objective_is_maximized() -> None:
    rule = Median(maximize=True)
    for number in range(3):
        rule.ended(number, [0.5])
    assert rule.stops(3, [0.4])
    assert not rule.stops(3, [0.6])


def test_nothing_stops_before_three_jobs_have_ended() -> None:
    rule = Median(maximize=False)
    rule.ended(0, [0.1])
    rule.ended(1, [0.1])
    assert not rule.stops(2, [9.0])
    assert not rule.stops(2, [])


def test_at_a_rung_only_the_best_third_go_on() -> None:
    rule = Hyperband(1, 3, maximize=False)
    assert not rule.stops(0, [0.5])
    assert rule.stops(1, [0.6])
    assert not rule.stops(2, [0.4])
    assert rule.stops(3, [0.45])
    assert not rule.stops(0, [0.5, 0.5])  # asked once at each rung, not again later


def test_a_job_that_reaches_the_most_is_stopped() -> None:
    rule = Hyperband(1, 3, maximize=False)
    assert not rule.stops(0, [0.5, 0.4])
    assert rule.stops(0, [0.5, 0.4, 0.3])


def test_later_jobs_are_in_brackets_with_more_patience() -> None:
    rule = Hyperband(1, 9, maximize=True)  # brackets from 1 and from 3, three jobs to one
    assert not rule.stops(0, [0.9])
    assert rule.stops(1, [0.1])
    assert not rule.stops(3, [0.1, 0.1])
    assert not rule.stops(3, [0.1, 0.1, 0.1])  # the first of its bracket
    assert rule.stops(7, [0.0, 0.0, 0.0])
    assert not Hyperband(5, 5, maximize=True).stops(0, [0.1] * 4)


def test_values_that_come_in_one_go_pass_every_rung() -> None:
    rule = Hyperband(1, 9, maximize=True)
    assert not rule.stops(0, [0.1, 0.5, 0.9])
    assert rule.stops(1, [0.5, 0.5, 0.5])  # good enough at the first rung, not at the second
