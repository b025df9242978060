"""Print the OpenAPI description of the deployed model, or of the last one that was trained.

It comes out of the model's bundle, where training put it: paths, content types, the columns of a
row, answers and errors, with synthetic rows as examples. Redirect it into a file for tools:
make openapi > openapi.json
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from infra.commands.words import add_project, typed

if TYPE_CHECKING:
    from infra.aws import Cloud
    from infra.record import Record


def arguments(parser: argparse.ArgumentParser) -> None:
    """The options of openapi."""
    add_project(parser)


def run(args: argparse.Namespace) -> int:
    """Print the document."""
    import tempfile
    from pathlib import Path

    from infra import project
    from infra.aws import find
    from infra.outputs import fetch_bundle
    from infra.record import RecordStore
    from infra.resources import bucket_name
    from shared import openapi
    from shared.errors import DeploymentError

    file = project.read(args.project)
    cloud = find(args.target, file.aws)
    cure = f"Train and deploy one: {typed('deploy', args)}"
    if cloud is None:
        raise DeploymentError(
            "the local cloud is not running, so there is no model", where=file.name, cure=cure
        )
    record = RecordStore(cloud, bucket_name(file.aws, cloud.account), file.name).load()
    uri = _bundle(cloud, file.name, record)
    if uri is None:
        raise DeploymentError("no model of this project was found", where=file.name, cure=cure)
    with tempfile.TemporaryDirectory() as folder:
        bundle = fetch_bundle(cloud, uri, Path(folder))
        if openapi.FILE not in bundle.manifest.files:
            raise DeploymentError(
                f"the bundle has no {openapi.FILE}: an earlier version made it",
                where=uri,
                cure=cure,
            )
        sys.stdout.write((bundle.path / openapi.FILE).read_text())
    return 0


def _bundle(cloud: Cloud, project: str, record: Record) -> str | None:
    """Where the bundle lies that the endpoint serves; else that of the last training job."""
    from infra.observe import bundle_of
    from infra.retraining import deployed
    from shared.errors import DeploymentError

    try:
        return deployed(cloud, project, record).data
    except DeploymentError:
        jobs = reversed(record.of("training job"))
        return next((uri for uri in (bundle_of(cloud, job) for job in jobs) if uri), None)
