"""The lock: one at a time, whoever waits is told for whom, and nobody waits for the dead."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ConnectionClosedError

from infra.lock import LEASE_SECONDS, RENEWAL_SECONDS, Holder, Lock, lock_key, look
from infra.progress import Lines
from infra.record import RecordStore
from shared.errors import DeploymentError
from tests.support.deployments import Clock
from tests.support.fake_cloud import FakeCloud, refused

KEY = lock_key("small")


class Someone:
    """One who wants the lock, with a clock of his own and what he is shown."""

    def __init__(self, cloud: FakeCloud, command: str = "make deploy") -> None:
        self.clock = Clock()
        self.out = io.StringIO()
        self.sleeps: list[Callable[[], object]] = []
        self.lock = Lock(
            cloud,
            RecordStore(cloud, "bucket", "small"),
            command,
            Lines(1, self.out),
            clock=self.clock,
            sleep=self.sleep,
        )

    def sleep(self, seconds: float) -> None:
        """What others do meanwhile."""
        self.clock.sleep(seconds)
        if self.sleeps:
            self.sleeps.pop(0)()


@pytest.fixture
def cloud() -> FakeCloud:
    cloud = FakeCloud()
    cloud.buckets.add("bucket")
    return cloud


def elsewhere(**changes: Any) -> bytes:
    """A lock that a process of another machine holds."""
    holder = replace(Holder.here("make destroy"), person="anna", machine="laptop", **changes)
    return json.dumps(asdict(holder)).encode()


def test_it_is_there_while_it_is_held_and_gone_afterwards(cloud: FakeCloud) -> None:
    with Someone(cloud).lock as lock:
        assert lock.held
        seen = look(cloud, RecordStore(cloud, "bucket", "small"))
        assert seen is not None
        assert seen.holder is not None
        assert seen.holder.command == "make deploy"
    assert KEY not in cloud.objects


def test_it_is_let_go_when_the_work_fails(cloud: FakeCloud) -> None:
    with pytest.raises(KeyboardInterrupt), Someone(cloud).lock:
        raise KeyboardInterrupt
    assert KEY not in cloud.objects


def test_the_second_waits_and_is_told_who_holds_it_since_when_and_by_which_command(
    cloud: FakeCloud,
) -> None:
    first, second = Someone(cloud, "make destroy"), Someone(cloud)
    first.lock.acquire()
    second.sleeps = [lambda: None, first.lock.release]
    with second.lock:
        assert second.lock.held
    told = second.out.getvalue()
    seen = first.lock._holder
    for part in (seen.person, seen.machine, seen.since, "`make destroy`", "Ctrl-C"):
        assert part in told
    assert told.count("Another command") == 1


def test_ending_the_wait_leaves_the_holder_s_lock_alone(cloud: FakeCloud) -> None:
    cloud.objects[KEY] = elsewhere()
    second = Someone(cloud)

    def interrupt() -> None:
        raise KeyboardInterrupt

    second.sleeps = [interrupt]
    with pytest.raises(KeyboardInterrupt):
        second.lock.acquire()
    second.lock.release()
    assert json.loads(cloud.objects[KEY])["person"] == "anna"


def test_one_that_is_not_renewed_for_the_lease_is_taken_over(cloud: FakeCloud) -> None:
    cloud.objects[KEY] = elsewhere()
    second = Someone(cloud)
    assert second.lock.acquire()
    assert LEASE_SECONDS < second.clock.now < 2 * LEASE_SECONDS
    assert "Took over from anna on laptop" in second.out.getvalue()


def test_one_that_is_renewed_is_waited_for_however_long_that_takes(cloud: FakeCloud) -> None:
    first, second = Someone(cloud), Someone(cloud)
    first.lock.acquire()
    second.sleeps = [first.lock.renew] * 500
    second.sleeps.append(first.lock.release)
    assert second.lock.acquire()
    assert second.clock.now > 4 * LEASE_SECONDS
    assert "Took over" not in second.out.getvalue()


def test_s3_s_clock_tells_at_once_that_one_is_old(
    cloud: FakeCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud.objects[KEY] = elsewhere()
    plain = cloud.get_object

    def dated(**place: str) -> dict[str, Any]:
        return {
            **plain(**place),
            "LastModified": datetime(2026, 11, 23, 11, 58, tzinfo=UTC),
            "ResponseMetadata": {"HTTPHeaders": {"date": "Mon, 23 Nov 2026 12:00:00 GMT"}},
        }

    monkeypatch.setattr(cloud, "get_object", dated)
    second = Someone(cloud)
    assert second.lock.acquire()
    assert second.clock.now == 0


def test_one_of_a_process_of_this_machine_that_has_ended_is_taken_over_at_once(
    cloud: FakeCloud,
) -> None:
    here = Holder.here("make deploy")
    if "/" not in here.started:
        pytest.skip("this system does not tell its boots apart")
    ended = replace(here, started=here.started + "0")
    cloud.objects[KEY] = json.dumps(asdict(ended)).encode()
    second = Someone(cloud)
    assert second.lock.acquire()
    assert second.clock.now == 0


def test_of_two_that_take_over_at_once_one_gets_it(cloud: FakeCloud) -> None:
    cloud.objects[KEY] = b"not a lock"
    second = Someone(cloud)
    put = cloud.put_object

    def overtaken(**call: Any) -> dict[str, Any]:
        if call.get("IfMatch"):
            cloud.put_object = put  # type: ignore[method-assign]
            put(**{**call, "Body": elsewhere()})
        return put(**call)

    cloud.put_object = overtaken  # type: ignore[method-assign]
    looks = int(LEASE_SECONDS / 0.5) + 2
    second.sleeps = [lambda: None] * looks + [lambda: cloud.objects.pop(KEY)]
    assert second.lock.acquire()
    assert "Another command is at work on small: anna on laptop" in second.out.getvalue()


def test_whose_lock_was_taken_over_changes_nothing_more(cloud: FakeCloud) -> None:
    first = Someone(cloud)
    first.lock.acquire()
    cloud.objects[KEY] = elsewhere()
    first.lock.check()  # renewed a moment ago: nobody can have it
    first.clock.now += 3 * RENEWAL_SECONDS
    with pytest.raises(DeploymentError, match="anna on laptop"):
        first.lock.check()
    first.lock.release()
    assert json.loads(cloud.objects[KEY])["person"] == "anna"


def test_an_answer_that_is_lost_is_no_lock_of_somebody_else(cloud: FakeCloud) -> None:
    first = Someone(cloud)
    put = cloud.put_object

    def lose(**call: Any) -> dict[str, Any]:
        """As when botocore sends once more what had taken effect."""
        put(**call)
        cloud.put_object = put  # type: ignore[method-assign]
        raise refused("PutObject", "PreconditionFailed")

    cloud.put_object = lose  # type: ignore[method-assign]
    assert first.lock.acquire()
    cloud.put_object = lose  # type: ignore[method-assign]
    first.lock.renew()
    assert first.lock.held
    first.lock.release()
    assert KEY not in cloud.objects


def test_where_there_is_no_bucket_yet_nothing_is_held(cloud: FakeCloud) -> None:
    cloud.buckets.clear()
    first = Someone(cloud)
    with first.lock as lock:
        assert not lock.held
        lock.check()
        cloud.buckets.add("bucket")
        assert lock.acquire()
    assert KEY not in cloud.objects


def test_what_cannot_be_let_go_is_told_and_lapses(cloud: FakeCloud) -> None:
    first = Someone(cloud)

    def lose(**place: str) -> None:
        raise ConnectionClosedError(endpoint_url="https://cloud.test")

    with first.lock:
        cloud.delete_object = lose  # type: ignore[method-assign]
    assert "lapses in 1 min" in first.out.getvalue()


def test_a_refusal_is_told_with_the_place(cloud: FakeCloud) -> None:
    def forbid(**call: Any) -> dict[str, Any]:
        raise refused("PutObject", "AccessDenied", "Access Denied")

    cloud.put_object = forbid  # type: ignore[method-assign]
    with pytest.raises(DeploymentError, match=r"s3://bucket/small/lock\.json.*permission"):
        Someone(cloud).lock.acquire()
