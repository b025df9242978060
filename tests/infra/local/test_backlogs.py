from __future__ import annotations

from infra.local.async_inference import measures
from infra.local.backlogs import Backlog, Ticket


def ticket(name: str, *, received: float = 0.0, patience: float = 60.0) -> Ticket:
    return Ticket({}, None, {}, name, "s3://b/out", None, received, patience)


def names(backlog: Backlog) -> list[str]:
    found = []
    while each := backlog.take():
        found.append(each.inference_id)
    return found


def test_the_first_to_come_is_the_first_to_be_taken() -> None:
    backlog = Backlog()
    for name in "abc":
        backlog.add(ticket(name))
    assert names(backlog) == ["a", "b", "c"]
    assert backlog.take() is None


def test_what_no_server_has_seen_is_the_first_again() -> None:
    backlog = Backlog()
    for name in "ab":
        backlog.add(ticket(name))
    taken = backlog.take()
    assert taken is not None
    backlog.give_back(taken)
    assert names(backlog) == ["a", "b"]


def test_those_under_way_count_until_they_are_done() -> None:
    backlog = Backlog()
    backlog.add(ticket("a"))
    backlog.add(ticket("b"))
    backlog.take()
    assert backlog.size == 2
    backlog.done()
    assert backlog.size == 1


def test_those_that_waited_too_long_wait_no_longer() -> None:
    backlog = Backlog()
    backlog.add(ticket("old", received=0))
    backlog.add(ticket("patient", received=0, patience=600))
    backlog.add(ticket("new", received=50))
    assert [each.inference_id for each in backlog.expired(61)] == ["old"]
    assert names(backlog) == ["patient", "new"]


def test_an_empty_queue_is_waited_for_in_vain_and_a_full_one_not_at_all() -> None:
    backlog = Backlog()
    assert not backlog.wait(0)
    backlog.add(ticket("a"))
    assert backlog.wait(60)


def test_the_metrics_tell_of_a_backlog_without_capacity() -> None:
    backlog = Backlog()
    backlog.add(ticket("a", received=10))
    backlog.add(ticket("b", received=12))
    assert measures(backlog, 0, 15) == {
        "ApproximateBacklogSize": (2.0, "Count"),
        "ApproximateAgeOfOldestRequest": (5.0, "Seconds"),
        "HasBacklogWithoutCapacity": (1.0, "Count"),
    }
    told = measures(backlog, 4, 15)
    assert told["HasBacklogWithoutCapacity"] == (0.0, "Count")
    assert told["ApproximateBacklogSizePerInstance"] == (0.5, "Count")
