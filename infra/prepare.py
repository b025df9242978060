"""From a project to a plan: package, look at what exists, decide. Nothing in the cloud is changed.

`deploy` and `plan` both begin here, so what is printed is what is executed.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

from infra import package, registry
from infra.aws import Cloud
from infra.builds import has_docker
from infra.channels import Channel, local_channel, remote_channel
from infra.observe import Observed, observe
from infra.package import ROOT, File
from infra.plan import Plan, plan
from infra.project import Location, Settings
from infra.record import Record, RecordStore
from infra.resources import Account, Artifacts, Desired, Retrained, desired
from infra.retraining import Deployed, kept, reading, retraining
from infra.wheels import vendored
from shared.errors import DataError, DeploymentError
from shared.feature_rules import FILE
from shared.files import write
from shared.retraining import SETTINGS

# What the local cloud calls itself; needed to plan while it is not running.
LOCAL_ACCOUNT = Account("123456789012", "us-east-1", local=True)


def build_directory(project: str) -> Path:
    """Where a project's packages and downloads lie on this machine; it may be deleted any time."""
    return ROOT / "build" / project


def prepare(settings: Settings, cloud: Cloud | None, version: int | None = None) -> Plan:
    """Package the project and plan its deployment.

    Where somebody has rejected what the project asks for, an approved version serves instead.

    Args:
        settings: the project.
        cloud: None for a local cloud that is not running, where nothing exists.
        version: of the registry, which is to serve in place of what the project asks for.

    Raises:
        DataError: a file cannot be read, or an s3:// location is empty.
        DeploymentError: AWS refuses a look, the endpoint's name is taken, or the container that is
            to serve cannot be started there.
    """
    _refuse_container(settings, cloud.account if cloud else LOCAL_ACCOUNT)
    return _plan(settings, cloud, version)


def _plan(settings: Settings, cloud: Cloud | None, version: int | None = None) -> Plan:
    wanted = desired(
        settings, make_artifacts(settings, cloud), cloud.account if cloud else LOCAL_ACCOUNT
    )
    if cloud is None:
        return plan(wanted, Observed())
    if version is not None:
        wanted = replace(wanted, chosen=registry.chosen(cloud, wanted.project, version))
    record = RecordStore(cloud, wanted.bucket.name, wanted.project).load()
    wanted = kept(cloud, wanted, record)
    if record.of("scalable target"):
        wanted = replace(wanted, scaled=True)
    if wanted.bucket.name in record.of("bucket"):
        wanted = replace(wanted, bucket=replace(wanted.bucket, ours=True))
    seen = observe(cloud, wanted)
    made = plan(wanted, seen)
    live = record.live.package if record.live else None
    instead = registry.standing(seen.versions, live) if made.rejected else None
    if instead is None:
        return made
    wanted = replace(wanted, chosen=registry.chosen(cloud, wanted.project, instead.number))
    return replace(plan(wanted, observe(cloud, wanted)), rejected=made.rejected)


def prepare_search(settings: Settings, cloud: Cloud) -> Plan:
    """The plan as far as a trained model: the project's own, also where a retrained one serves.

    Raises:
        DataError, DeploymentError: see `prepare`.
    """
    made = _plan(settings, cloud)
    if made.desired.retrained:
        own = replace(made.desired, retrained=None)
        made = plan(own, observe(cloud, own))
    return made.training


@dataclass(frozen=True)
class Continuation:
    """A retraining that is planned.

    Attributes:
        plan: its job, and what serves the model that it makes.
        retrained: that model, as the record will have it if it wins.
        changed: whether the project now asks for something else than what the deployed model's line
            began with.
    """

    plan: Plan
    retrained: Retrained
    changed: bool


def prepare_retraining(
    settings: Settings, cloud: Cloud, rows: Location, serving: Deployed, record: Record
) -> Continuation:
    """Package the project and the new rows, and plan to go on from what is deployed.

    Where the deployed model itself came of this very retraining, that is what is planned again, so
    that nothing is left to do.

    Args:
        settings: the project.
        cloud: where it is deployed.
        rows: the new rows.
        serving: the deployed model.
        record: of the project.

    Raises:
        DataError: a file cannot be read, or an s3:// location is empty.
        DeploymentError: AWS refuses a look.
    """
    _refuse_container(settings, cloud.account)
    artifacts = make_artifacts(settings, cloud)
    told = build_directory(settings.name) / SETTINGS
    write(told, settings.retraining.to_json().encode())
    new = channel("new", rows, cloud)
    wanted = desired(settings, artifacts, cloud.account)

    def going_on_from(parent: str) -> Desired:
        return retraining(wanted, artifacts, package.file_of(told), new, parent)

    parent, want = (serving.job, serving.data), going_on_from(serving.data)
    won = record.retrained
    if won and won.data == serving.data:
        same = going_on_from(won.parent_data)
        if won.job.startswith(same.job.name(1)):
            parent, want = (won.parent, won.parent_data), same
    made = plan(want, observe(cloud, want))
    if made.trains and new.uri and want.role.policy:
        made = replace(made, steps=(reading(want.role, [new.uri]), *made.steps))
    return Continuation(
        made,
        Retrained(serving.base, made.job, made.serving.model.data, *parent),
        changed=wanted.job.name(1) != serving.base,
    )


def _refuse_container(settings: Settings, account: Account) -> None:
    container = settings.endpoint.container
    where, cure = f"{settings.path}: endpoint.container", 'or write container = "own"'
    if container == "toolkit":
        raise DeploymentError(
            "a deployment does not know which image of the inference toolkit is to serve",
            where=where,
            cure=f"Name the bundle that `make tune` trains in a model of your own, {cure}.",
        )
    if container == "tensorflow-serving" and account.local:
        raise DeploymentError(
            "the local cloud cannot run AWS's TensorFlow Serving image",
            where=where,
            cure=f"Deploy with TARGET=aws, {cure}.",
        )


def make_artifacts(settings: Settings, cloud: Cloud | None) -> Artifacts:
    """Write the code archive and the problem, and take the digests of everything that travels."""
    build = build_directory(settings.name)
    code = package.training_code()
    if settings.endpoint.container != "own":
        code |= package.serving_code()  # training puts it into the bundle
    if settings.features is not None:
        code[FILE] = settings.features
    if settings.aws.network_isolation and cloud and not cloud.account.local:
        code |= vendored(code["requirements.txt"], ROOT / "build" / "wheels")
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
        serving_digest=package.tree_digest(package.image_code()),
        image_source=_image_source(settings, build) if cloud and not cloud.account.local else None,
        commit=commit(ROOT),
    )


def commit(root: Path) -> str | None:
    """The commit of the code in `root`, marked where it was changed since; None without git."""
    look = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        said = subprocess.run(look, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return said.stdout.strip() or None


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


def _image_source(settings: Settings, build: Path) -> File | None:
    """What CodeBuild makes our image from; None where this machine's Docker does, or nobody."""
    if settings.endpoint.container != "own" or has_docker():
        return None
    return package.file_of(package.write_zip(package.image_code(), build / "source.zip"))
