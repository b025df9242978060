"""Bring an earlier release back: all at once, verified with its own golden rows.

Nothing is trained or made: its endpoint config, model and bundle are still there. The next
deployment brings back what the project asks for, so change that too. Where a new version serves
beside the old one, this ends it.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from infra.commands.usage import whole
from infra.commands.words import add_project, add_yes, confirmed, opened, typed

if TYPE_CHECKING:
    from infra.apply import CloudExecutor
    from infra.aws import Cloud
    from infra.progress import Progress
    from infra.record import RecordStore, Release
    from infra.steps import Step


def arguments(parser: argparse.ArgumentParser) -> None:
    """The options of rollback."""
    add_project(parser)
    parser.add_argument(
        "--to",
        type=whole("make rollback TO=2"),
        metavar="NUMBER",
        help="of the release, as status lists them (default: the one before)",
    )
    add_yes(parser)


def run(args: argparse.Namespace) -> int:
    """Go back, and say to what."""
    from infra.lock import Lock
    from infra.prepare import build_directory
    from infra.progress import progress
    from infra.record import RecordStore
    from infra.resources import bucket_name

    found = opened(args)
    if found is None:
        return 1
    file, cloud = found
    store = RecordStore(cloud, bucket_name(file.aws, cloud.account), file.name)
    with progress(2) as shown, Lock(cloud, store, _typed(args), shown) as lock:
        release, update = _chosen(cloud, store, args.to, _cli(cloud, file.aws.profile))
        if update.call and args.target == "aws" and not args.yes:
            with shown.aside():
                if not confirmed(f"Have {file.name} go back to release {_words(release)}?"):
                    print("Nothing was changed. (YES=1 or --yes answers the question.)")
                    return 1
        from infra.apply import CloudExecutor

        executor = CloudExecutor(cloud, store, shown, build_directory(file.name), guard=lock.check)
        rows = _go(cloud, executor, shown, release, update)
        again = replace(
            release,
            at=datetime.now(UTC).isoformat(timespec="seconds"),
            caused_by=_typed(args),
        )
        store.change(lambda record: record.released(again))
    print(
        f"\n{file.name} serves release {_words(release)} again: {rows} golden rows came back as "
        f"training predicted them.\n`{typed('deploy', args)}` brings back what the project asks "
        "for, so change that first."
    )
    return 0


def _typed(args: argparse.Namespace) -> str:
    return typed("rollback", args) + (f" TO={args.to}" if args.to is not None else "")


def _words(release: Release) -> str:
    return f"{release.number} of {release.at} ({release.model})"


def _cli(cloud: Cloud, profile: str | None) -> str:
    """How the AWS CLI is typed to reach this cloud, and no other account."""
    from infra.aws import LocalSession

    where = f"aws --region {cloud.account.region}"
    if isinstance(cloud, LocalSession):
        keys = f"AWS_ACCESS_KEY_ID={cloud.cloud.access_key} AWS_SECRET_ACCESS_KEY=local"
        return f"{keys} {where} --endpoint-url {cloud.cloud.url}"
    return where + (f" --profile {profile}" if profile else "")


def _chosen(cloud: Cloud, store: RecordStore, number: int | None, cli: str) -> tuple[Release, Step]:
    """The release to go back to and the step that does it, or the reason against it."""
    from infra import rollback, scaling
    from infra.observe import describe, endpoint

    name = store.project
    seen = endpoint(cloud, name)
    told = describe(cloud, "sagemaker", "describe_endpoint", {"EndpointName": name}) or {}
    rollback.refuse_what_cannot_change(seen, told, name, cli)
    assert seen is not None
    record = store.load()
    release = rollback.chosen(record, seen.config, number)
    rollback.refuse_what_is_gone(cloud, release)
    rollback.refuse_another_mode(cloud, seen, release)
    scaled = bool(record.of("scalable target")) and scaling.look(cloud, name).bounds is not None
    return release, rollback.step(release, name, seen.config, scaled=scaled)


def _go(
    cloud: Cloud, executor: CloudExecutor, shown: Progress, release: Release, update: Step
) -> int:
    """Update and verify; how many golden rows came back right."""
    from infra.apply import carry_out, take_back
    from infra.async_client import client_of
    from infra.outputs import fetch_bundle
    from infra.prepare import build_directory
    from infra.smoke import WrongAnswerError, verify

    shown.stage(f"release {release.number}")
    carry_out(update, executor)
    shown.done(f"endpoint {update.name} is InService on {release.config}")
    shown.stage("verify")
    bundle = fetch_bundle(cloud, release.data, build_directory(update.name) / "before")
    client = client_of(cloud, update.name)
    try:
        rows = verify(client, bundle.golden.records, bundle.golden.predictions)
    except WrongAnswerError as failure:
        take_back(update, executor, failure)
        raise
    shown.done(f"{rows} golden rows")
    return rows
