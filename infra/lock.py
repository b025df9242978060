"""One command at a time changes a project in one account: a lock beside its record in S3.

The lock is an object that S3 makes only where there is none, so of two that want it one gets it.
Who holds it renews it every RENEWAL_SECONDS; one that was not renewed for LEASE_SECONDS is taken
over, only while it is still the one that was looked at, and so is one of a process of this machine
that has ended. How old it is says S3's own clock, since those of two laptops differ. The record
does not depend on it: that is replaced conditionally, too.
"""

from __future__ import annotations

import getpass
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Self

from infra.aws import Cloud
from infra.failures import code_of, explain
from infra.local.processes import identity
from infra.observe import describe
from infra.progress import Progress
from infra.record import RecordStore
from infra.units import short_time
from shared.errors import DeploymentError

LEASE_SECONDS = 60.0
RENEWAL_SECONDS = 15.0
# Seconds between looks of one that waits: here, and on AWS.
_PAUSE = {"local": 0.5, "aws": 5.0}
_OVERTAKEN = ("PreconditionFailed", "ConditionalRequestConflict", "NoSuchKey")


@dataclass(frozen=True)
class Holder:
    """Who holds a lock.

    Attributes:
        token: drawn anew for each lock.
        person, machine: who typed the command, and where.
        process, started: which process of that machine it is.
        command: as typed.
        since: when it got the lock, by its own clock, in ISO 8601, UTC.
        renewals: counts them, so that each makes another object: S3's ETag is that of the content.
    """

    token: str
    person: str
    machine: str
    process: int
    started: str
    command: str
    since: str
    renewals: int = 0

    @classmethod
    def here(cls, command: str) -> Holder:
        """The one that is this process."""
        try:
            person = getpass.getuser()
        except (KeyError, OSError):  # a container's user may have no name
            person = f"user {os.getuid()}"
        return cls(
            token=uuid.uuid4().hex,
            person=person,
            machine=socket.gethostname(),
            process=os.getpid(),
            started=identity(os.getpid()) or "",
            command=command,
            since=datetime.now(UTC).isoformat(timespec="seconds"),
        )

    @property
    def words(self) -> str:
        """Who holds it since when, in a few words."""
        return f"{self.person} on {self.machine}: `{self.command}`, since {self.since}"

    @property
    def ended(self) -> bool:
        """Whether it is a process of this machine, since its last start, that has ended."""
        boot, slash, _ = self.started.partition("/")
        ours = (identity(os.getpid()) or "").partition("/")[0]
        same = self.machine == socket.gethostname() and bool(slash) and boot == ours
        return same and identity(self.process) != self.started


@dataclass(frozen=True)
class Seen:
    """A lock as it was found.

    Attributes:
        holder: None where what lies there is not a lock of ours.
        age: seconds since it was renewed, by S3's clock; None when S3 does not say.
    """

    etag: str
    holder: Holder | None
    age: float | None

    @property
    def words(self) -> str:
        """Who holds it."""
        return self.holder.words if self.holder else "somebody whose name cannot be read"

    @property
    def lapsed(self) -> bool:
        """Whether nobody stands behind it any more."""
        old = self.age is not None and self.age > LEASE_SECONDS
        return old or (self.holder is not None and self.holder.ended)


def lock_key(project: str) -> str:
    """Where the lock lies in the bucket."""
    return f"{project}/lock.json"


def look(cloud: Cloud, store: RecordStore) -> Seen | None:
    """The lock of a project; None when nobody holds it."""
    place = {"Bucket": store.bucket, "Key": lock_key(store.project)}
    answer = describe(cloud, "s3", "get_object", place)
    if answer is None:
        return None
    with answer["Body"] as body:
        text = body.read()
    try:
        holder = Holder(**json.loads(text))
    except (ValueError, TypeError):
        holder = None
    headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    age = None
    if "date" in headers and "LastModified" in answer:
        age = (parsedate_to_datetime(headers["date"]) - answer["LastModified"]).total_seconds()
    return Seen(answer["ETag"], holder, age)


class Lock:
    """The lock of one project, as a context manager that waits for it.

    Where the project's bucket does not exist yet, nothing is held at first: whoever makes the
    bucket calls `acquire` then.

    Args:
        cloud, store: the cloud, and the record in it that the lock guards.
        command: as typed, told to others that wait.
        shown: where waiting is shown.
        clock, sleep: time, so that a test need not wait.
    """

    def __init__(
        self,
        cloud: Cloud,
        store: RecordStore,
        command: str,
        shown: Progress,
        *,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._cloud = cloud
        self._store = store
        self._place = {"Bucket": store.bucket, "Key": lock_key(store.project)}
        self._shown = shown
        self._clock = clock
        self._sleep = sleep
        self._holder = Holder.here(command)
        self._etag: str | None = None
        self._renewed: float | None = None
        self._busy = threading.Lock()
        self._over = threading.Event()

    @property
    def held(self) -> bool:
        """Whether it was got, and not let go or lost."""
        return self._etag is not None

    def __enter__(self) -> Self:
        """Get it, waiting as long as somebody else holds it."""
        self.acquire()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Let it go, however the work ended."""
        self.release()

    def acquire(self) -> bool:
        """Get it; False when there is no bucket that could hold it.

        Raises:
            DeploymentError: S3 refuses.
        """
        try:
            got = self._acquire()
        except Exception as error:
            if code_of(error) == "NoSuchBucket":
                return False
            raise explain(error, f"Locking {self._where}") from error
        self._etag, self._renewed = got, self._clock()
        threading.Thread(target=self._keep, daemon=True).start()
        return True

    def check(self) -> None:
        """Make sure that it is still ours, before something is changed.

        Raises:
            DeploymentError: it lapsed, as when a laptop sleeps, and somebody else has it.
        """
        if self._older_than(2 * RENEWAL_SECONDS):
            self.renew()
        if self._renewed is not None and not self.held and not self._over.is_set():
            seen = look(self._cloud, self._store)
            raise DeploymentError(
                "the lock lapsed, as it was not renewed for a while, and somebody else took it: "
                + (seen.words if seen else "it is free again by now"),
                where=self._where,
                cure="Run the same command again: it waits for its turn and goes on from there.",
            )

    def renew(self) -> None:
        """Say that we are still there; find out if it is lost.

        Raises:
            Exception: of botocore, when S3 cannot be reached.
        """
        with self._busy:
            if self._etag is None:
                return
            try:
                self._etag = self._put({"IfMatch": self._etag})
            except Exception as error:
                if code_of(error) not in _OVERTAKEN:
                    raise
                self._etag = self._ours()
                if self._etag is None:
                    return
            self._renewed = self._clock()

    def release(self) -> None:
        """Let it go, if it is ours; it may be called twice. What cannot be let go lapses."""
        self._over.set()
        try:
            if self._older_than(LEASE_SECONDS / 2):
                self.renew()
            with self._busy:
                if self._etag is not None:
                    self._etag = None
                    self._cloud.call("s3", "delete_object", self._place)
        except Exception as error:
            lapse = f"It lapses in {short_time(LEASE_SECONDS)}."
            self._shown.line(f"{explain(error, f'Unlocking {self._where}')} {lapse}")

    def _older_than(self, seconds: float) -> bool:
        """Whether it is ours and was not renewed for so long."""
        known = self._renewed
        return self.held and known is not None and self._clock() - known > seconds

    @property
    def _where(self) -> str:
        return f"s3://{self._place['Bucket']}/{self._place['Key']}"

    def _acquire(self) -> str:
        watched, since, told = "", 0.0, ""
        while True:
            try:
                return self._put({"IfNoneMatch": "*"})
            except Exception as error:
                if code_of(error) not in _OVERTAKEN:
                    raise
            if ours := self._ours():  # the answer to a call that took effect was lost
                return ours
            seen = look(self._cloud, self._store)
            if seen is None:
                continue
            if seen.etag != watched:
                watched, since = seen.etag, self._clock()
            if seen.lapsed or self._clock() - since > LEASE_SECONDS:
                try:
                    got = self._put({"IfMatch": seen.etag})
                except Exception as error:
                    if code_of(error) not in _OVERTAKEN:
                        raise
                    continue
                self._shown.line(f"Took over from {seen.words}, which has ended.")
                return got
            if seen.words != told:
                told = seen.words
                self._shown.line(f"Another command is at work on {self._store.project}: {told}.")
                self._shown.line(
                    "This one waits for it. Ctrl-C ends the waiting; nothing is changed."
                )
            self._shown.status(f"waits for {seen.words}")
            self._sleep(_PAUSE["local" if self._cloud.account.local else "aws"])

    def _ours(self) -> str | None:
        """The lock's ETag, if it is the one that this process made."""
        seen = look(self._cloud, self._store)
        ours = seen and seen.holder and seen.holder.token == self._holder.token
        return seen.etag if seen and ours else None

    def _put(self, condition: dict[str, str]) -> str:
        self._holder = replace(self._holder, renewals=self._holder.renewals + 1)
        answer = self._cloud.call(
            "s3",
            "put_object",
            {
                **self._place,
                "Body": json.dumps(asdict(self._holder), indent=1).encode(),
                "ContentType": "application/json",
                **condition,
            },
        )
        return str(answer["ETag"])

    def _keep(self) -> None:
        """Renew it until it is let go or lost; a broken connection may come back."""
        while not self._over.wait(RENEWAL_SECONDS) and self.held:
            try:
                self.renew()
            except Exception:  # noqa: S112 - `check` tries again, where it can be told
                continue
