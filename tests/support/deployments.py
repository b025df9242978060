"""Desired clouds and deployments of a small project, against a cloud in memory."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

from infra import project
from infra.apply import CloudExecutor, apply, follow_up, found
from infra.channels import local_channel
from infra.observe import Observed, ObservedEndpoint, ObservedJob, observe
from infra.package import file_of
from infra.plan import Plan, plan
from infra.progress import Lines
from infra.record import RecordStore
from infra.registry import Version
from infra.releases import note
from infra.resources import Account, Artifacts, Desired, desired
from tests.support import projects
from tests.support.fake_cloud import FakeCloud

ACCOUNT = Account("123456789012", "us-east-1", local=True)


def wanted(
    directory: Path,
    *,
    code: str = "c" * 64,
    serving: str = "5" * 64,
    toml: str = projects.TOML,
    carriers: str = projects.CARRIERS,
    account: Account = ACCOUNT,
    image_source: bytes | None = None,
) -> Desired:
    """What the small project wants, with code of the given digests."""
    settings = project.load(projects.make(directory, toml, carriers))
    (directory / "sourcedir.tar.gz").write_bytes(b"code")
    (directory / "project.json").write_text(settings.problem.to_json())
    problem = directory / "project.json"
    channels = [local_channel("train", settings.data.files)]
    channels += [
        local_channel(f"source_{name}", place.files) for name, place in settings.sources.items()
    ]
    source = None
    if image_source is not None:
        (directory / "source.zip").write_bytes(image_source)
        source = file_of(directory / "source.zip")
    artifacts = Artifacts(
        code=file_of(directory / "sourcedir.tar.gz"),
        code_digest=code,
        problem=file_of(problem),
        channels=tuple(channels),
        serving_digest=serving,
        image_source=source,
    )
    return desired(settings, artifacts, account)


def registered(want: Desired, attempt: int = 1, status: str = "Approved") -> tuple[Version, ...]:
    """The registry of a project of which the model of an attempt is the only version."""
    digest = want.package(want.serving(attempt), want.job.name(attempt)).digest
    arn = f"arn:aws:sagemaker:us-east-1:123456789012:model-package/{want.project}/1"
    return (Version(1, arn, status, digest),)


def complete(want: Desired, attempt: int = 1, **changes: Any) -> Observed:
    """A cloud in which all is as desired, but for what is said; what failed before left a job."""
    serving = want.serving(attempt)
    seen = ObservedEndpoint(want.project, "InService", serving.config.name, mode=want.hosting.mode)
    failed = [ObservedJob(want.job.name(number), "Failed") for number in range(1, attempt)]
    made = Observed(
        bucket=True,
        role_policy=want.role.policy,
        objects=frozenset(upload.key for upload in want.uploads),
        jobs=(*failed, ObservedJob(want.job.name(attempt), "Completed", bundle=True)),
        image=True,
        models=frozenset({serving.model.name}),
        configs=frozenset({serving.config.name}),
        endpoint=seen,
        versions=registered(want, attempt),
    )
    return replace(made, **changes)


class Clock:
    """Time that passes only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def planned(cloud: FakeCloud, want: Desired) -> Plan:
    """The plan for the cloud as it is."""
    return plan(want, observe(cloud, want))


def deploy(cloud: Any, want: Desired, build: Path, clock: Clock | None = None) -> Plan:
    """Plan, apply, and take for verified what serves then; the plan that was applied."""
    made = planned(cloud, want)
    clock = clock or Clock()
    store = RecordStore(cloud, want.bucket.name, want.project)
    shown = Lines(5, io.StringIO())
    executor = CloudExecutor(cloud, store, shown, build, clock=clock, sleep=clock.sleep)
    apply(made, executor, shown)
    executor.keep(found(made))
    if not made.waits:
        note(store, made, "make deploy")
        follow_up(made, executor, "make deploy")
    return made
