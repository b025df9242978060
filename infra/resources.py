"""The desired cloud as plain values, made from settings and digests alone. No call, no clock.

Names carry digests, so equal content has equal names and a second deployment finds everything
there:

    training job     <project>-<digest of code, data, problem, hyperparameters, image>[-<attempt>]
    tuning job       the same, where the service searches; cut to the 32 signs that it allows
    model            <project>-<digest of training job and serving image>
    endpoint config  <project>-<digest of model and endpoint settings>
    endpoint         <project>

Each value knows the parameters of the call that creates it (`request`); which calls are needed is
decided in plan.py.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from infra.channels import Channel
from infra.images import (
    SERVING_REPOSITORY,
    serving_image,
    tensorflow_serving_image,
    training_image,
)
from infra.package import File, combine, digest_of, short
from infra.policy import TRUST, execution_policy
from infra.tuning import TuningJob, children_at_a_time

if TYPE_CHECKING:
    from infra.project import Settings
    from infra.sections import Aws

VARIANT = "AllTraffic"
CHECKPOINTS = "/opt/ml/checkpoints"
TRAINING_LOGS = "/aws/sagemaker/TrainingJobs"
ENDPOINT_LOGS = "/aws/sagemaker/Endpoints"
VOLUME_GIB = 30
# How long a container may take to load its model before its first ping, and to fetch the model.
STARTUP_SECONDS = 300
DOWNLOAD_SECONDS = 300
# What there is under a project's prefix in S3, beside its record.
FOLDERS = ("checkpoints", "code", "data", "jobs", "problems")

Request = dict[str, object]


@dataclass(frozen=True)
class Account:
    """Where everything goes: an AWS account (or the local cloud's) and a region."""

    id: str
    region: str
    local: bool


@dataclass(frozen=True)
class Artifacts:
    """What was packaged for one deployment: files on this machine and digests.

    The code's own digest is that of its files, so that another compressor means no other job.
    """

    code: File
    code_digest: str
    problem: File
    channels: tuple[Channel, ...]
    serving_digest: str


@dataclass(frozen=True)
class Bucket:
    """The bucket that holds data, code, checkpoints and bundles."""

    name: str
    region: str

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
    """

    name: str
    arn: str
    policy: str | None
    tags: tuple[tuple[str, str], ...] = ()

    POLICY_NAME: ClassVar = "project"
    RETRAINING_POLICY_NAME: ClassVar = "retraining"

    def request(self) -> Request:
        """Parameters of CreateRole."""
        return {
            "RoleName": self.name,
            "AssumeRolePolicyDocument": json.dumps(TRUST),
            "Description": "Trains and serves one project",
            **_tags(self.tags),
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


@dataclass(frozen=True)
class TrainingJob:
    """A training job, apart from which attempt it is.

    A failed or stopped attempt is followed by one with the next suffix and the same checkpoints, so
    it resumes.
    """

    project: str
    digest: str
    role: str
    image: str
    instance: str
    max_runtime: int
    spot: bool
    hyperparameters: tuple[tuple[str, str], ...]
    channels: tuple[tuple[str, str], ...]
    output: str
    checkpoints: str
    metrics: tuple[tuple[str, str], ...]
    instance_count: int = 1
    tags: tuple[tuple[str, str], ...] = ()

    kind: ClassVar = "training job"

    @property
    def seconds(self) -> int:
        """How long it may take at most."""
        return (2 if self.spot else 1) * self.max_runtime

    def name(self, attempt: int) -> str:
        """The job's name at its first, second, … attempt."""
        base = f"{self.project}-{short(self.digest)}"
        return base if attempt == 1 else f"{base}-{attempt}"

    def model_data(self, attempt: int) -> str:
        """Where SageMaker puts the bundle of that attempt."""
        return f"{self.output}/{self.name(attempt)}/output/model.tar.gz"

    def request(self, attempt: int) -> Request:
        """Parameters of CreateTrainingJob."""
        stopping = {"MaxRuntimeInSeconds": self.max_runtime}
        if self.spot:
            stopping["MaxWaitTimeInSeconds"] = 2 * self.max_runtime
        return {
            "TrainingJobName": self.name(attempt),
            "AlgorithmSpecification": {
                "TrainingImage": self.image,
                "TrainingInputMode": "File",
                "MetricDefinitions": [
                    {"Name": name, "Regex": regex} for name, regex in self.metrics
                ],
            },
            "RoleArn": self.role,
            "HyperParameters": dict(self.hyperparameters),
            "InputDataConfig": [
                {
                    "ChannelName": name,
                    "DataSource": {
                        "S3DataSource": {
                            "S3DataType": "S3Prefix",
                            "S3Uri": uri,
                            "S3DataDistributionType": "FullyReplicated",
                        }
                    },
                }
                for name, uri in self.channels
            ],
            "OutputDataConfig": {"S3OutputPath": self.output},
            "ResourceConfig": {
                "InstanceType": self.instance,
                "InstanceCount": self.instance_count,
                "VolumeSizeInGB": VOLUME_GIB,
            },
            "StoppingCondition": stopping,
            "EnableManagedSpotTraining": self.spot,
            "CheckpointConfig": {"S3Uri": self.checkpoints, "LocalPath": CHECKPOINTS},
            **_tags(self.tags),
        }


@dataclass(frozen=True)
class Image:
    """The serving image, its tag being the digest of what is in it."""

    uri: str
    repository: str
    tag: str


@dataclass(frozen=True)
class Model:
    """A bundle and the image that serves it.

    Args:
        endpoint: the name under which it will be called; the container tells it with its metrics.
    """

    name: str
    image: str
    data: str
    role: str
    endpoint: str
    tags: tuple[tuple[str, str], ...] = ()

    def request(self) -> Request:
        """Parameters of CreateModel."""
        return {
            "ModelName": self.name,
            "PrimaryContainer": {
                "Image": self.image,
                "ModelDataUrl": self.data,
                "Environment": {"ENDPOINT_NAME": self.endpoint, "VARIANT_NAME": VARIANT},
            },
            "ExecutionRoleArn": self.role,
            **_tags(self.tags),
        }


@dataclass(frozen=True)
class EndpointConfig:
    """What an endpoint runs on."""

    name: str
    model: str
    instance: str
    tags: tuple[tuple[str, str], ...] = ()

    def request(self) -> Request:
        """Parameters of CreateEndpointConfig."""
        return {
            "EndpointConfigName": self.name,
            "ProductionVariants": [
                {
                    "VariantName": VARIANT,
                    "ModelName": self.model,
                    "InitialInstanceCount": 1,
                    "InstanceType": self.instance,
                    "InitialVariantWeight": 1.0,
                    "ModelDataDownloadTimeoutInSeconds": DOWNLOAD_SECONDS,
                    "ContainerStartupHealthCheckTimeoutInSeconds": STARTUP_SECONDS,
                }
            ],
            **_tags(self.tags),
        }


@dataclass(frozen=True)
class Endpoint:
    """The address that clients call."""

    name: str
    config: str
    tags: tuple[tuple[str, str], ...] = ()

    def request(self) -> Request:
        """Parameters of CreateEndpoint."""
        return {
            "EndpointName": self.name,
            "EndpointConfigName": self.config,
            **_tags(self.tags),
        }


@dataclass(frozen=True)
class Serving:
    """What serves one trained model."""

    model: Model
    config: EndpointConfig
    endpoint: Endpoint


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
        retrained: the model that last won a retraining, if any.
    """

    project: str
    account: Account
    bucket: Bucket
    role: Role
    uploads: tuple[Upload, ...]
    job: TrainingJob | TuningJob
    image: Image | None
    served_by: str
    instance: str
    tags: tuple[tuple[str, str], ...]
    retrained: Retrained | None = None

    @property
    def kept(self) -> Retrained | None:
        """The retrained model, while the project asks for what it began with: then it serves."""
        same = self.retrained is not None and self.retrained.base == self.job.name(1)
        return self.retrained if same else None

    def serving(self, attempt: int) -> Serving:
        """Model, endpoint config and endpoint for the given attempt of the job, or what is kept."""
        job, data = self.job.name(attempt), self.job.model_data(attempt)
        if self.kept:
            job, data = self.kept.job, self.kept.data
        parts = {"job": job, "image": self.served_by}
        model = Model(
            f"{self.project}-{short(combine(parts))}",
            self.served_by,
            data,
            self.role.arn,
            self.project,
            self.tags,
        )
        settings = {"model": model.name, "instance": self.instance}
        config = EndpointConfig(
            f"{self.project}-{short(combine(settings))}", model.name, self.instance, self.tags
        )
        return Serving(model, config, Endpoint(self.project, config.name, self.tags))


def is_config_of(project: str, name: str) -> bool:
    """Whether an endpoint config of that name was made for the project."""
    return re.fullmatch(rf"{re.escape(project)}-[0-9a-f]{{12}}", name) is not None


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
                    "sagemaker_submit_directory": code.uri,
                }.items()
            )
        ),
        channels=tuple(sorted(channels.items())),
        output=f"{base}/jobs",
        checkpoints=f"{base}/checkpoints/{short(digest)}",
        metrics=settings.metrics(),
        tags=tags,
    )
    tuning = settings.problem.tuning
    searched = tuning.where == "service" and tuning.count > 0
    parallel = children_at_a_time(tuning, local=account.local)
    own_image = _own_image(settings, artifacts, account)
    return Desired(
        project=project,
        account=account,
        bucket=Bucket(bucket, account.region),
        role=role,
        uploads=tuple({upload.key: upload for upload in uploads}.values()),
        job=TuningJob(job, tuning, parallel, settings.warm_start) if searched else job,
        image=own_image,
        served_by=own_image.uri
        if own_image
        else tensorflow_serving_image(account.region, settings.endpoint.instance),
        instance=settings.endpoint.instance,
        tags=tags,
    )


def _own_image(settings: Settings, artifacts: Artifacts, account: Account) -> Image | None:
    if settings.endpoint.container == "tensorflow-serving":
        return None
    tag = short(artifacts.serving_digest)
    return Image(serving_image(account.id, account.region, tag), SERVING_REPOSITORY, tag)


def _role(
    settings: Settings,
    account: Account,
    bucket: str,
    external: tuple[str, ...],
    tags: tuple[tuple[str, str], ...],
) -> Role:
    if settings.aws.role and not account.local:
        return Role(settings.aws.role.rsplit("/", 1)[1], settings.aws.role, None)
    name = f"{settings.name}-{account.region}-execution"
    policy = execution_policy(
        settings.name,
        bucket,
        external,
        account.id,
        account.region,
        own_image=settings.endpoint.container != "tensorflow-serving",
    )
    arn = f"arn:aws:iam::{account.id}:role/{name}"
    return Role(name, arn, json.dumps(policy, sort_keys=True), tags)


def _tags(tags: tuple[tuple[str, str], ...]) -> Request:
    return {"Tags": [{"Key": key, "Value": value} for key, value in tags]} if tags else {}
