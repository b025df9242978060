"""Delete what deploy made, and nothing else.

What that is stands in the project's record. Data, checkpoints and bundles in S3 stay unless --data
is given. On AWS it asks first. A local cloud in which nothing else lives is stopped, and what its
S3 held goes with it.
"""

from __future__ import annotations

import argparse
from collections.abc import Collection
from typing import TYPE_CHECKING

from infra.commands.words import add_project, confirmed, place, typed

if TYPE_CHECKING:
    from infra.aws import Cloud


def arguments(parser: argparse.ArgumentParser) -> None:
    """The options of destroy."""
    add_project(parser)
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument(
        "--data", action="store_true", help="also data, code, checkpoints and bundles in S3"
    )


def run(args: argparse.Namespace) -> int:
    """Delete."""
    from infra import project
    from infra.aws import find, local_root
    from infra.lock import Lock
    from infra.progress import Lines
    from infra.record import RecordStore
    from infra.resources import bucket_name
    from infra.teardown import deletions, teardown, wipe

    file = project.read(args.project)
    cloud = find(args.target, file.aws)
    if cloud is None:
        print(f"{file.name}: the local cloud is not running, so there is nothing to delete.")
        return 0
    where = place(args.target, cloud.account.region, cloud.account.id)
    store = RecordStore(cloud, bucket_name(file.aws, cloud.account), file.name)
    with Lock(cloud, store, typed("destroy", args), Lines(0)) as lock:
        record = store.load()
        stays = bool(record.entries) and not args.data
        if record.deployed or (args.data and record.entries):
            goes = [deletion.title for deletion in deletions(record)]
            if args.data:
                goes.append(f"data, code, checkpoints and bundles under {store.prefix}")
            asks = args.target == "aws" and not args.yes
            print(f"On {where} {'this goes' if asks else f'{len(goes)} things go'}:")
            if asks:
                print("\n".join(f"  {title}" for title in goes))
                if not confirmed("Delete all of it?"):
                    print("Nothing was deleted. (YES=1 or --yes answers the question.)")
                    return 1
            say = _Told(goes if asks else ())
            record = teardown(cloud, store, record, say, lock.check)
            if args.data:
                wipe(cloud, store, record, say, lock)
            print(f"{file.name} is gone.")
        else:
            print(f"{file.name} is not deployed on {where}, so nothing was deleted.")
    living = others(cloud, store.bucket) if args.target == "local" else []
    if stays and (args.target == "aws" or living):
        print(
            f"Data, checkpoints and bundles stay under {store.prefix}; "
            f"`{typed('destroy', args)} ALL=1` deletes them too."
        )
    if living:
        print(f"The local cloud goes on, since this lives in it: {', '.join(living)}.")
        print("`.venv/bin/python -m infra.local stop` ends all of it.")
    elif args.target == "local":
        from infra import local

        local.stop(local_root())
        print("Nothing else lives in the local cloud: it is stopped, and its S3 went with it.")
    return 0


def others(cloud: Cloud, bucket: str) -> list[str]:
    """What still runs in the cloud, and its buckets other than the kit's."""
    buckets = cloud.call("s3", "list_buckets", {})["Buckets"]
    endpoints = cloud.call("sagemaker", "list_endpoints", {})["Endpoints"]
    jobs = cloud.call("sagemaker", "list_training_jobs", {"StatusEquals": "InProgress"})
    searches = cloud.call(
        "sagemaker", "list_hyper_parameter_tuning_jobs", {"StatusEquals": "InProgress"}
    )["HyperParameterTuningJobSummaries"]
    return [
        *(f"endpoint {one['EndpointName']}" for one in endpoints),
        *(f"training job {one['TrainingJobName']}" for one in jobs["TrainingJobSummaries"]),
        *(f"tuning job {one['HyperParameterTuningJobName']}" for one in searches),
        *(f"bucket {one['Name']}" for one in buckets if one["Name"] != bucket),
    ]


class _Told:
    """Tells each deletion, once: of what was listed and asked about, only how many are done."""

    def __init__(self, listed: Collection[str]) -> None:
        self._listed = listed
        self._done = 0

    def __call__(self, done: str) -> None:
        """One is done, or left alone."""
        if done in self._listed:
            self._done += 1
            print(f"  done: {self._done} of {len(self._listed)}", flush=True)
        else:
            print(f"  done: {done}", flush=True)
