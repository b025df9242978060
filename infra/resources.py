"""The desired cloud as plain values, made from settings and digests alone. No call, no clock.

Names carry digests, so equal content has equal names and a second deployment finds everything
there:

    training job     <project>-<digest of code, data, problem, hyperparameters, image>[-<attempt>]
    tuning job       the same, where the service searches; cut to the 32 signs that it allows
    model            <project>-<digest of training job, serving image and endpoint settings>
    endpoint config  the same
    endpoint         <project>

Each value knows the parameters of the call that creates it (`request`); which calls are needed is
decided in plan.py.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from infra import modes
from infra.channels import Channel
from infra.grants import Grant, document
from infra.images import (
    BASE,
    BUILD_MINUTES,
    BUILDER,
    BUILDSPEC,
    SERVING_REPOSITORY,
    serving_image,
    tensorflow_serving_image,
    training_image,
)
from infra.package import File, combine, digest_of, short
from infra.policy import building_grants, execution_grants, trust
from infra.registry import Chosen, Package
from infra.requests import Request, tagged
from infra.rollout import Beside, Rollout, beside, rollout
from infra.scaling import Scaling, scaling
from infra.security import Security
from infra.serving import (
    CANDIDATE,
    METRICS_SECONDS,
    VARIANT,
    Hosting,
    Served,
    Serving,
    Variant,
    serving,
)
from infra.steps import Call
from infra.training_job import TrainingJob
from infra.tuning import TuningJob, children_at_a_time
from infra.units import rounded

if TYPE_CHECKING:
    from infra.project import Settings
    from infra.sections import Aws

TRAINING_LOGS = "/aws/sagemaker/TrainingJobs"
ENDPOINT_LOGS = "/aws/sagemaker/Endpoints"
# Where a container finds its channels, and the one that carries the code of an isolated job.
CHANNELS = "/opt/ml/input/data"
CODE = "code"
# What there is under a project's prefix in S3, beside its record.
FOLDERS = (
    "async",
    "batch",
    "checkpoints",
    "code",
    "data",
    "images",
    "jobs",
    "metrics",
    "problems",
    "rollouts",
)


@dataclass(frozen=True)
class Account:
    """Where everything goes: an AWS account (or the local cloud's) and a region."""

    id: str
    region: str
    local: bool


@dataclass(frozen=True)
class Artifacts:
    """What was packaged for one deployment: files on this machine and digests.

    The image's source is for CodeBuild; None where the image is made on this machine.

    The code's own digest is that of its files, so that another compressor means no other job.

    Attributes:
        commit: of the code, where it lies in a git repository.
    """

    code: File
    code_digest: str
    problem: File
    channels: tuple[Channel, ...]
    serving_digest: str
    image_source: File | None = None
    commit: str | None = None


@dataclass(frozen=True)
class Bucket:
    """The bucket that holds data, code, checkpoints and bundles.

    Attributes:
        kms_key: under which its objects are encrypted.
        ours: whether a deployment of this project made it, as its record says.
        tls_only: whether it has a policy; the local cloud's S3 reads no conditions of one and would
            refuse everything.
    """

    name: str
    region: str
    kms_key: str | None = None
    ours: bool = False
    tls_only: bool = True

    def request(self) -> Request:
        """Parameters of CreateBucket. us-east-1 is the one region that must not be named."""
        if self.region == "us-east-1":
            return {"Bucket": self.name}
        return {
            "Bucket": self.name,
            "CreateBucketConfiguration": {"LocationConstraint": self.region},
        }


@dataclass(frozen=True)
class Role:
    """The role that training and endpoint run as.

    Attributes:
        policy: the inline policy as JSON text; None for a role that was given and is not ours.
        grants: what it must be allowed, whoever made it.
        service: of AWS, which alone may assume it.
    """

    name: str
    arn: str
    policy: str | None
    tags: tuple[tuple[str, str], ...] = ()
    grants: tuple[Grant, ...] = ()
    service: str = "sagemaker"

    POLICY_NAME: ClassVar = "project"
    RETRAINING_POLICY_NAME: ClassVar = "retraining"

    def request(self) -> Request:
        """Parameters of CreateRole."""
        return {
            "RoleName": self.name,
            "AssumeRolePolicyDocument": json.dumps(trust(self.service)),
            "Description": f"What {self.service} does for one project",
            **tagged(self.tags),
        }

    def policy_request(self) -> Request:
        """Parameters of PutRolePolicy."""
        return {
            "RoleName": self.name,
            "PolicyName": self.POLICY_NAME,
            "PolicyDocument": self.policy,
        }


@dataclass(frozen=True)
class Upload:
    """A file of this machine and the object it becomes. Its key carries its digest."""

    file: File
    bucket: str
    key: str

    @property
    def uri(self) -> str:
        """Where it lies in S3."""
        return f"s3://{self.bucket}/{self.key}"

    def call(self) -> Call:
        """The call that puts it there, and what takes it back."""
        extra = {"ChecksumAlgorithm": "SHA256", "Metadata": {"sha256": self.file.digest}}
        place = {"Bucket": self.bucket, "Key": self.key}
        return Call(
            "s3", "upload_file", {"Filename": str(self.file.path), **place, "ExtraArgs": extra}
        )


@dataclass(frozen=True)
class Build:
    """How AWS CodeBuild makes the serving image, where there is no Docker on this machine.

    Attributes:
        name: of its project.
        role: as which it runs.
        source: the files that images/Dockerfile takes.
        image: what it pushes.
        kms_key: under which its artifacts are.
    """

    name: str
    role: Role
    source: Upload
    image: str
    kms_key: str | None
    tags: tuple[tuple[str, str], ...]

    def request(self) -> Request:
        """Parameters of CreateProject."""
        return {
            "name": self.name,
            "description": "Builds the serving image and pushes it",
            "source": {"type": "S3", "location": self._location, "buildspec": BUILDSPEC},
            "artifacts": {"type": "NO_ARTIFACTS"},
            "environment": {
                "type": "LINUX_CONTAINER",
                "image": BUILDER,
                "computeType": "BUILD_GENERAL1_SMALL",
                "privilegedMode": True,  # or there is no Docker in it
            },
            "serviceRole": self.role.arn,
            "timeoutInMinutes": BUILD_MINUTES,
            "tags": [{"key": key, "value": value} for key, value in self.tags],
            **({"encryptionKey": self.kms_key} if self.kms_key else {}),
        }

    def start(self) -> Request:
        """Parameters of StartBuild: all that decides the image, whatever the project was once."""
        told = {"IMAGE": self.image, "REGISTRY": self.image.partition("/")[0], "BASE": BASE}
        return {
            "projectName": self.name,
            "sourceLocationOverride": self._location,
            "buildspecOverride": BUILDSPEC,
            "environmentVariablesOverride": [
                {"name": name, "value": value, "type": "PLAINTEXT"} for name, value in told.items()
            ],
        }

    @property
    def _location(self) -> str:
        return f"{self.source.bucket}/{self.source.key}"


@dataclass(frozen=True)
class Image:
    """The serving image, its tag being the digest of what is in it.

    Attributes:
        build: how AWS makes it; None where it is made on this machine.
    """

    uri: str
    repository: str
    tag: str
    build: Build | None = None


@dataclass(frozen=True)
class Retrained:
    """A model that went on from a deployed one and won against it.

    Attributes:
        base: the first attempt of the job that the project itself asked for when the first of the
            models in this line was trained.
        job: the training job that made it.
        data: its model.tar.gz.
        parent, parent_data: the same of the model that it went on from.
    """

    base: str
    job: str
    data: str
    parent: str
    parent_data: str


@dataclass(frozen=True)
class Desired:
    """Everything a project wants to exist.

    Attributes:
        job: what trains: one training job, or a tuning job whose children do.
        image: our own, where it serves.
        served_by: the URI of the image that serves.
        hosting: on what it serves.
        rollout: how traffic moves to a new version; None: all at once.
        beside: how a new version is to serve beside the old one; None: it takes its place.
        scaling: how the number of instances changes; None: it does not.
        scaled: whether a deployment before may have left some scaling.
        lineage: where what it trains comes from, as names and values.
        approval: whether a version serves only when somebody has approved it.
        retrained: the model that last won a retraining, if any.
        chosen: a registered version that is to serve in place of what the project asks for.
    """

    project: str
    account: Account
    bucket: Bucket
    role: Role
    uploads: tuple[Upload, ...]
    job: TrainingJob | TuningJob
    image: Image | None
    served_by: str
    hosting: Hosting
    rollout: Rollout | None
    beside: Beside | None
    tags: tuple[tuple[str, str], ...]
    scaling: Scaling | None = None
    scaled: bool = False
    lineage: tuple[tuple[str, str], ...] = ()
    approval: bool = False
    retrained: Retrained | None = None
    chosen: Chosen | None = None

    @property
    def kept(self) -> Retrained | None:
        """The retrained model, while the project asks for what it began with: then it serves."""
        same = self.retrained is not None and self.retrained.base == self.job.name(1)
        return self.retrained if same and not self.chosen else None

    def package(self, serving: Serving, job: str) -> Package:
        """What serves, as a version of the registry.

        Args:
            serving: the model.
            job: that made it.
        """
        model, kept = serving.model, self.kept
        lineage = dict(self.lineage)
        if kept:
            # What it learnt from is told by its own job; it began with what the project asks for.
            lineage |= {"parent": kept.parent, "parent_bundle": kept.parent_data}
        return Package(
            self.project,
            job,
            model.data,
            model.image,
            self.bucket.name,
            tuple(sorted(lineage.items())),
            approved=not self.approval,
            tags=self.tags,
        )

    def serving(self, attempt: int, running: Sequence[Variant] = ()) -> Serving:
        """Model, endpoint config and endpoint for the given attempt of the job, or what is kept.

        Args:
            attempt: of the job.
            running: what the endpoint runs on, where the new version is to serve beside it.
        """
        job, data = self.job.name(attempt), self.job.model_data(attempt)
        if self.kept:
            job, data = self.kept.job, self.kept.data
        image = self.served_by
        if self.chosen:
            job, data, image = self.chosen.job, self.chosen.data, self.chosen.image
        served = Served(job, data, image, self.role.arn)
        alone = serving(self.project, served, self.hosting, self.tags)
        old = next((one for one in running if one.name == VARIANT), None)
        if self.beside is None or old is None or old.model == alone.model.name:
            return alone
        share, shadow = self.beside.share, self.beside.shadow
        return serving(
            self.project,
            served,
            self.hosting,
            self.tags,
            name=CANDIDATE,
            weight=share,
            shadow=shadow,
            beside=[replace(old, weight=1.0 if shadow else rounded(1 - share, 6))],
        )


def bucket_name(aws: Aws, account: Account) -> str:
    """The bucket that was given, or SageMaker's default one of the account and region."""
    return aws.bucket or f"sagemaker-{account.region}-{account.id}"


def record_key(project: str) -> str:
    """Where the record of what exists lies in the bucket."""
    return f"{project}/record.json"


def desired(settings: Settings, artifacts: Artifacts, account: Account) -> Desired:
    """The cloud that a project asks for.

    Raises:
        DeploymentError: AWS has no image for the region.
    """
    project = settings.name
    bucket = bucket_name(settings.aws, account)
    base = f"s3://{bucket}/{project}"
    tags = tuple(sorted({"project": project, **settings.aws.tags}.items()))
    code = Upload(
        artifacts.code, bucket, f"{project}/code/{short(artifacts.code_digest)}/sourcedir.tar.gz"
    )
    problem = Upload(
        artifacts.problem,
        bucket,
        f"{project}/problems/{short(artifacts.problem.digest)}/project.json",
    )
    uploads = [code, problem]
    channels = {"project": f"{problem.uri.rsplit('/', 1)[0]}/"}
    for channel in artifacts.channels:
        prefix = f"{project}/data/{short(channel.digest)}/"
        channels[channel.name] = channel.uri or f"s3://{bucket}/{prefix}"
        uploads += [Upload(file, bucket, prefix + file.name) for file in channel.files]

    image = training_image(account.region, settings.training.instance)
    hyperparameters = settings.encoded_hyperparameters()
    digest = combine(
        {
            "code": artifacts.code_digest,
            "problem": artifacts.problem.digest,
            "hyperparameters": combine(
                {name: digest_of(value.encode()) for name, value in hyperparameters.items()}
            ),
            "image": image,
            "instance_count": digest_of(str(settings.training.instance_count).encode()),
            **{f"data {channel.name}": channel.digest for channel in artifacts.channels},
        }
    )
    external = tuple(channel.uri for channel in artifacts.channels if channel.uri)
    security = Security.of(settings.aws)
    if security.isolated:
        # Nothing in the container can fetch it, so the platform lays it out.
        channels[CODE] = f"{code.uri.rsplit('/', 1)[0]}/"
    role = _role(settings, account, bucket, external, tags)
    job = TrainingJob(
        project=project,
        digest=digest,
        role=role.arn,
        image=image,
        instance=settings.training.instance,
        instance_count=settings.training.instance_count,
        max_runtime=settings.training.max_runtime,
        spot=settings.training.spot,
        hyperparameters=tuple(
            sorted(
                {
                    **hyperparameters,
                    "sagemaker_program": "train.py",
                    "sagemaker_submit_directory": f"{CHANNELS}/{CODE}/sourcedir.tar.gz"
                    if security.isolated
                    else code.uri,
                }.items()
            )
        ),
        channels=tuple(sorted(channels.items())),
        output=f"{base}/jobs",
        checkpoints=f"{base}/checkpoints/{short(digest)}",
        metrics=settings.metrics(),
        security=security,
        tags=tags,
    )
    tuning = settings.problem.tuning
    searched = tuning.where == "service" and tuning.count > 0
    parallel = children_at_a_time(tuning, local=account.local)
    watched = rollout(settings.endpoint.rollout)
    serverless = modes.serverless(settings.endpoint)
    own_image = _own_image(settings, artifacts, account, bucket, tags)
    return Desired(
        project=project,
        account=account,
        bucket=Bucket(bucket, account.region, security.kms_key, tls_only=not account.local),
        role=role,
        uploads=tuple({upload.key: upload for upload in uploads}.values()),
        job=TuningJob(job, tuning, parallel, settings.warm_start) if searched else job,
        image=own_image,
        served_by=own_image.uri
        if own_image
        else tensorflow_serving_image(account.region, settings.endpoint.instance),
        hosting=Hosting(
            None if serverless else settings.endpoint.instance,
            settings.endpoint.instances,
            serverless,
            modes.asynchronous(settings.endpoint, f"{base}/"),
            security=security,
            metrics_seconds=min(METRICS_SECONDS, watched.thresholds.period)
            if watched
            else METRICS_SECONDS,
        ),
        rollout=watched,
        scaling=scaling(settings.endpoint),
        beside=beside(settings.endpoint),
        tags=tags,
        lineage=_lineage(artifacts),
        approval=settings.require_approval,
    )


def _lineage(artifacts: Artifacts) -> tuple[tuple[str, str], ...]:
    data = combine({channel.name: channel.digest for channel in artifacts.channels})
    found = {
        "data": data,
        "code": artifacts.code_digest,
        "problem": artifacts.problem.digest,
        **({"commit": artifacts.commit} if artifacts.commit else {}),
    }
    return tuple(sorted(found.items()))


def _own_image(
    settings: Settings,
    artifacts: Artifacts,
    account: Account,
    bucket: str,
    tags: tuple[tuple[str, str], ...],
) -> Image | None:
    if settings.endpoint.container == "tensorflow-serving":
        return None
    tag = short(artifacts.serving_digest)
    uri = serving_image(account.id, account.region, tag)
    if artifacts.image_source is None:
        return Image(uri, SERVING_REPOSITORY, tag)
    project = settings.name
    source = Upload(artifacts.image_source, bucket, f"{project}/images/{tag}/source.zip")
    name = f"{project}-{account.region}-image"
    grants = building_grants(project, bucket, account.id, account.region, settings.aws.kms_key)
    policy = json.dumps(document(grants), sort_keys=True)
    arn = f"arn:aws:iam::{account.id}:role/{name}"
    role = Role(name, arn, policy, tags, grants, service="codebuild")
    build = Build(f"{project}-image", role, source, uri, settings.aws.kms_key, tags)
    return Image(uri, SERVING_REPOSITORY, tag, build)


def _role(
    settings: Settings,
    account: Account,
    bucket: str,
    external: tuple[str, ...],
    tags: tuple[tuple[str, str], ...],
) -> Role:
    name = f"{settings.name}-{account.region}-execution"
    told = settings.endpoint.async_
    topics = {told.notify_success, told.notify_error} if told else set()
    grants = execution_grants(
        settings.name,
        bucket,
        external,
        account.id,
        account.region,
        own_image=settings.endpoint.container != "tensorflow-serving",
        security=Security.of(settings.aws),
        topics=sorted(topic for topic in topics if topic),
    )
    given = settings.aws.role
    if given and not account.local:
        return Role(given.rsplit("/", 1)[1], given, None, grants=grants)
    arn = f"arn:aws:iam::{account.id}:role/{name}"
    return Role(name, arn, json.dumps(document(grants), sort_keys=True), tags, grants)
