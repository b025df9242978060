"""From a project to a plan: package, look at what exists, decide. Nothing in the cloud is changed.

`deploy` and `plan` both begin here, so what is printed is what is executed.
"""

from __future__ import annotations

from pathlib import Path

from infra import package
from infra.aws import Cloud
from infra.channels import Channel, local_channel, remote_channel
from infra.observe import Observed, observe
from infra.package import ROOT
from infra.plan import Plan, plan
from infra.project import Location, Settings
from infra.record import RecordStore
from infra.resources import Account, Artifacts, desired
from infra.retraining import kept
from shared.errors import DataError
from shared.files import write

# What the local cloud calls itself; needed to plan while it is not running.
LOCAL_ACCOUNT = Account("123456789012", "us-east-1", local=True)


def build_directory(project: str) -> Path:
    """Where a project's packages and downloads lie on this machine; it may be deleted any time."""
    return ROOT / "build" / project


def prepare(settings: Settings, cloud: Cloud | None) -> Plan:
    """Package the project and plan its deployment.

    Args:
        settings: the project.
        cloud: None for a local cloud that is not running, where nothing exists.

    Raises:
        DataError: a file cannot be read, or an s3:// location is empty.
        DeploymentError: AWS refuses a look, or the endpoint's name is taken.
    """
    wanted = desired(
        settings, make_artifacts(settings, cloud), cloud.account if cloud else LOCAL_ACCOUNT
    )
    if cloud is None:
        return plan(wanted, Observed())
    record = RecordStore(cloud, wanted.bucket.name, wanted.project).load()
    wanted = kept(cloud, wanted, record)
    return plan(wanted, observe(cloud, wanted))


def make_artifacts(settings: Settings, cloud: Cloud | None) -> Artifacts:
    """Write the code archive and the problem, and take the digests of everything that travels."""
    build = build_directory(settings.name)
    code = package.training_code()
    archive = package.write_archive(code, build / "sourcedir.tar.gz")
    document = settings.problem.to_json().encode()
    write(build / "project.json", document)
    channels = [channel("train", settings.data, cloud)]
    channels += [
        channel(f"source_{name}", location, cloud) for name, location in settings.sources.items()
    ]
    return Artifacts(
        code=package.file_of(archive),
        code_digest=package.tree_digest(code),
        problem=package.file_of(build / "project.json"),
        channels=tuple(channels),
        serving_digest=package.tree_digest(package.serving_code()),
    )


def channel(name: str, location: Location, cloud: Cloud | None) -> Channel:
    """The channel that a location makes.

    Raises:
        DataError: a file cannot be read, or an s3:// location is empty.
    """
    if not location.remote:
        return local_channel(name, location.files)
    if cloud is None:
        raise DataError(
            "cannot be looked at while the local cloud is not running",
            where=location.text,
            cure="make deploy starts it.",
        )
    return remote_channel(name, location.text, cloud)
