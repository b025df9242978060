"""What the local SageMaker holds in memory, and what its parts share.

Resources live in plain dictionaries behind one lock. Nothing is written to disk: a daemon that
ends takes its resources along.
"""

from __future__ import annotations

import base64
import contextlib
import threading
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from infra.local.environment import ACCOUNT, REGION, images
from infra.local.processes import Ledger
from infra.local.series import Store
from infra.local.wire import invalid

Answer = Mapping[str, Any]
Operation = Callable[[dict[str, Any]], Answer | None]
Resource = TypeVar("Resource")
_KEYS = {
    "Name": "name",
    "CreationTime": "created",
    "LastModifiedTime": "modified",
    "Status": "status",
}


def now() -> datetime:
    """The present moment, to the millisecond that the wire carries."""
    moment = datetime.now(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def arn(kind: str, name: str) -> str:
    """The ARN of a SageMaker resource; AWS writes the names in it in lower case."""
    return f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:{kind}/{name.lower()}"


def log_exception() -> None:
    """Write the exception being handled to cloud.log, unless the disk is full."""
    with contextlib.suppress(OSError):
        traceback.print_exc()


@dataclass(frozen=True)
class Settings:
    """What may be set for a daemon from outside, in seconds.

    Attributes:
        stop_grace: between SIGTERM and SIGKILL for a training job (SageMaker: 120).
        startup_timeout: for a server to answer its first ping, where the endpoint config does not
            say it (SageMaker: four minutes).
        serverless_idle: for which the server of a serverless variant stays without a request (not
            documented).
        scaling_period: of Application Auto Scaling's metrics (AWS: a minute).
    """

    stop_grace: float = 120.0
    startup_timeout: float = 240.0
    serverless_idle: float = 300.0
    scaling_period: float = 60.0


@dataclass
class Cloud:
    """The running cloud, as its parts see it.

    Attributes:
        root: the state directory.
        work: where jobs and servers have their files while they run.
        url: the address of everything.
        access_key: what clients must know.
        environment: what jobs and servers inherit.
        ledger: which processes run.
        lock: held while resources are read or changed.
        tags: of each resource, by its ARN.
        metrics: CloudWatch's.
    """

    root: Path
    work: Path
    url: str
    access_key: str
    settings: Settings
    environment: Mapping[str, str]
    ledger: Ledger
    lock: threading.RLock = field(default_factory=threading.RLock)
    tags: dict[str, dict[str, str]] = field(default_factory=dict)
    metrics: Store = field(default_factory=Store)
    clients: dict[str, Any] = field(default_factory=dict)
    making: threading.Lock = field(default_factory=threading.Lock)

    @property
    def images(self) -> Path:
        """The content of pushed images."""
        return images(self.root)

    def client(self, name: str) -> Any:
        """A boto3 client of this very cloud, made once."""
        from botocore.config import Config

        from infra.local.session import LocalSession

        with self.making:
            if name not in self.clients:
                config = Config(max_pool_connections=32, retries={"max_attempts": 2})
                session = LocalSession(self.url, REGION, self.access_key)
                self.clients[name] = session.client(name, config=config)
            return self.clients[name]


def page(
    resources: Iterable[Resource],
    request: Mapping[str, Any],
    *,
    of: Callable[[Resource], Any] = lambda each: each,
    newest_first: bool = True,
    others: Mapping[str, Callable[[Resource], Any]] | None = None,
) -> tuple[list[Resource], str | None]:
    """One page of a List operation: filtered, sorted and cut as its request says.

    Args:
        resources: what is listed.
        request: the operation's, so it asks for nothing that they have not.
        of: what of each has its name, created, modified and status.
        newest_first: unless the request says otherwise.
        others: more that may be sorted by.
    """
    found = [each for each in resources if _matches(request, of(each))]
    order = request.get("SortOrder", "Descending" if newest_first else "Ascending")
    sort_by = request.get("SortBy", "CreationTime")
    if others and sort_by in others:
        found.sort(key=others[sort_by])
    else:
        found.sort(key=lambda each: getattr(of(each), _KEYS[sort_by]))
    if order == "Descending":  # of two made in the same millisecond, too, the later one comes first
        found.reverse()
    start = _offset(request.get("NextToken"))
    size = request.get("MaxResults", 10)
    rest = start + size < len(found)
    token = base64.urlsafe_b64encode(str(start + size).encode()).decode() if rest else None
    return found[start : start + size], token


def _matches(request: Mapping[str, Any], resource: Any) -> bool:
    if request.get("NameContains", "").lower() not in resource.name.lower():
        return False
    wanted = request.get("StatusEquals")
    if wanted and resource.status != wanted:
        return False
    for key in ("CreationTime", "LastModifiedTime"):
        after, before = request.get(f"{key}After"), request.get(f"{key}Before")
        if after is not None and getattr(resource, _KEYS[key]).timestamp() < after:
            return False
        if before is not None and getattr(resource, _KEYS[key]).timestamp() > before:
            return False
    return True


def _offset(token: str | None) -> int:
    if token is None:
        return 0
    try:
        return int(base64.urlsafe_b64decode(token))
    except ValueError:
        raise invalid("Invalid NextToken.") from None
