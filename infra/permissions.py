"""What whoever deploys a project may do, and who only asks its endpoint: made from what it wants.

Names carry digests of twelve signs, and the policy says so: another project's things, whose names
begin alike, are not among them. An endpoint has no policy of its own on AWS: nobody may call it
whose identity is not allowed to, and `invoking` is what to give to a caller.
"""

from __future__ import annotations

from collections.abc import Iterator

from infra.alarms import KINDS as ALARMS
from infra.grants import Grant
from infra.images import SERVING_REPOSITORY
from infra.modes import FOLDER
from infra.package import DIGEST_LENGTH
from infra.policy import key_grants, pushing_grants, reading_grants
from infra.resources import Build, Desired
from infra.tuning import TuningJob

_DIGEST = "?" * DIGEST_LENGTH


def deploying(desired: Desired) -> tuple[Grant, ...]:
    """What `make deploy` and the other commands call, for one project."""
    return (
        *_storage(desired),
        *_role(desired),
        *_jobs(desired),
        *_serving(desired),
        *_scaling(desired),
        *_registry(desired),
        *_batches(desired),
        *_watching(desired),
        *_image(desired),
        *_advice(),
    )


def invoking(desired: Desired) -> tuple[Grant, ...]:
    """What a client of the endpoint needs, and no more."""
    place = (_endpoint(desired),)
    if desired.hosting.async_ is None:
        return (Grant("Invoke", {"sagemaker:InvokeEndpoint": "a prediction"}, place),)
    objects = f"arn:aws:s3:::{desired.bucket.name}/{desired.project}/{FOLDER}/*"
    return (
        Grant("Invoke", {"sagemaker:InvokeEndpointAsync": "a prediction, later"}, place),
        Grant(
            "Objects",
            {
                "s3:GetObject": "its answer, or why there is none",
                "s3:PutObject": "the rows that are asked about",
            },
            (objects,),
        ),
    )


def _arn(desired: Desired, service: str, name: str) -> str:
    return f"arn:aws:{service}:{desired.account.region}:{desired.account.id}:{name}"


def _endpoint(desired: Desired) -> str:
    return _arn(desired, "sagemaker", f"endpoint/{desired.project}")


def _storage(desired: Desired) -> Iterator[Grant]:
    bucket = f"arn:aws:s3:::{desired.bucket.name}"
    yield Grant(
        "Bucket",
        {
            "s3:CreateBucket": "a first deployment makes the bucket",
            "s3:DeleteBucket": "`make destroy ALL=1` takes away one that it made",
            "s3:GetBucketPolicy": "a plan looks whether its own bucket is closed",
            "s3:GetEncryptionConfiguration": "and encrypted",
            "s3:ListBucket": "what is there is not uploaded again; destroy lists what it deletes",
            "s3:PutBucketPolicy": "the new bucket answers over TLS alone",
            "s3:PutBucketPublicAccessBlock": "and nobody in public",
            "s3:PutEncryptionConfiguration": "and encrypts under the project's key",
        },
        (bucket,),
    )
    yield Grant(
        "Objects",
        {
            "s3:AbortMultipartUpload": "a large upload that breaks off leaves no parts",
            "s3:DeleteObject": "the lock goes after each command, everything with ALL=1",
            "s3:GetObject": "record, bundle and report are read, and whether an upload is there",
            "s3:PutObject": "code, data, problem, record and lock are written",
        },
        (f"{bucket}/{desired.project}/*",),
    )
    ours = f"s3://{desired.bucket.name}/{desired.project}/"
    job = desired.job.job if isinstance(desired.job, TuningJob) else desired.job
    external = [uri for _, uri in job.channels if not uri.startswith(ours)]
    if external:
        yield from (one for one in reading_grants(external) if one.sid == "SourcesListing")
    if desired.bucket.kms_key:
        yield from key_grants(desired.bucket.kms_key)


def _role(desired: Desired) -> Iterator[Grant]:
    role = desired.role
    if role.policy is not None:
        yield _own_role("Role", role.arn)
    yield Grant(
        "PassRole",
        {"iam:PassRole": "SageMaker is told to run as that role, and no other service"},
        (role.arn,),
        {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}},
    )


def _own_role(sid: str, arn: str) -> Grant:
    actions = {
        "iam:CreateRole": "what runs, runs as a role of its own",
        "iam:DeleteRole": "`make destroy` takes it away",
        "iam:DeleteRolePolicy": "with its policies",
        "iam:GetRole": "a plan looks whether it is there",
        "iam:GetRolePolicy": "and may what the project needs",
        "iam:PutRolePolicy": "which is given to it",
        "iam:TagRole": "it carries the project's tags",
    }
    return Grant(sid, actions, (arn,))


def _jobs(desired: Desired) -> Iterator[Grant]:
    job = desired.job
    searches = isinstance(job, TuningJob)
    # A tuning job's name is shorter than the project's may be, and its children begin with it.
    cut = job.name(1).removesuffix(job.name(1)[-DIGEST_LENGTH:]).rstrip("-")
    names = sorted({desired.project, cut})
    ours = tuple(
        _arn(desired, "sagemaker", f"training-job/{name}-{_DIGEST}{rest}")
        for name in names
        for rest in ("", "-*")
    )
    yield Grant(
        "TrainingJobs",
        {
            "sagemaker:AddTags": "a job is created with the project's tags",
            "sagemaker:CreateTrainingJob": "the model is trained",
            "sagemaker:DescribeTrainingJob": "is it running, and what came of it",
            "sagemaker:StopTrainingJob": "`make destroy` stops one that runs",
        },
        ours,
    )
    if searches:
        yield Grant(
            "TuningJobs",
            {
                "sagemaker:AddTags": "it is created with the project's tags",
                "sagemaker:CreateHyperParameterTuningJob": "the service searches",
                "sagemaker:DescribeHyperParameterTuningJob": "how far it is",
                "sagemaker:ListTrainingJobsForHyperParameterTuningJob": "what its trials reached",
                "sagemaker:StopHyperParameterTuningJob": "`make destroy` stops one that runs",
            },
            tuple(
                _arn(desired, "sagemaker", f"hyper-parameter-tuning-job/{cut}-{_DIGEST}{rest}")
                for rest in ("", "-*")
            ),
        )


def _serving(desired: Desired) -> Iterator[Grant]:
    def made(kind: str) -> str:
        return _arn(desired, "sagemaker", f"{kind}/{desired.project}-{_DIGEST}")

    yield Grant(
        "Models",
        {
            "sagemaker:AddTags": "it is created with the project's tags",
            "sagemaker:CreateModel": "a trained bundle and an image become a model",
            "sagemaker:DeleteModel": "`make destroy`, and what a failed step left",
            "sagemaker:DescribeModel": "is it there",
        },
        (made("model"),),
    )
    yield Grant(
        "EndpointConfigs",
        {
            "sagemaker:AddTags": "it is created with the project's tags",
            "sagemaker:CreateEndpointConfig": "on what the model serves",
            "sagemaker:DeleteEndpointConfig": "`make destroy`, and what a failed step left",
            "sagemaker:DescribeEndpointConfig": "is it there, and what does the endpoint run",
        },
        (made("endpoint-config"),),
    )
    yield Grant(
        "Endpoint",
        {
            "sagemaker:AddTags": "it is created with the project's tags",
            "sagemaker:CreateEndpoint": "the model gets an address",
            "sagemaker:DeleteEndpoint": "`make destroy`, and one that failed",
            "sagemaker:DescribeEndpoint": "is it in service, and on which config",
            "sagemaker:InvokeEndpoint": "golden rows prove a deployment; `make invoke`",
            **(
                {"sagemaker:InvokeEndpointAsync": "the same of an asynchronous one"}
                if desired.hosting.async_
                else {}
            ),
            "sagemaker:UpdateEndpoint": "a new version takes over, or gives way again",
        },
        # Creating and updating it names its config, too.
        (_endpoint(desired), made("endpoint-config")),
    )


def _scaling(desired: Desired) -> Iterator[Grant]:
    if desired.scaling is None and not desired.scaled:
        return
    yield Grant(
        "Scaling",
        {
            "application-autoscaling:DeleteScalingPolicy": "one that is not asked for any more",
            "application-autoscaling:DeleteScheduledAction": "the same",
            "application-autoscaling:DeregisterScalableTarget": "the same, and `make destroy`",
            "application-autoscaling:PutScalingPolicy": "instances come and go with the requests",
            "application-autoscaling:PutScheduledAction": "and by the clock",
            "application-autoscaling:RegisterScalableTarget": "within these bounds",
            "application-autoscaling:TagResource": "AWS asks for it with the registration",
        },
        # Targets have names that AWS makes up.
        (_arn(desired, "application-autoscaling", "scalable-target/*"),),
        {"StringEquals": {"application-autoscaling:service-namespace": "sagemaker"}},
    )
    role = "aws-service-role/sagemaker.application-autoscaling.amazonaws.com"
    yield Grant(
        "ScalingRole",
        {"iam:CreateServiceLinkedRole": "AWS makes its own role at an account's first scaling"},
        (f"arn:aws:iam::{desired.account.id}:role/{role}/*",),
    )
    yield Grant(
        "LookingAtScaling",
        {
            "application-autoscaling:DescribeScalableTargets": "what is registered",
            "application-autoscaling:DescribeScalingPolicies": "the same",
            "application-autoscaling:DescribeScheduledActions": "the same",
        },
        ("*",),
    )
    if desired.hosting.async_:
        yield Grant(
            "WakingAlarm",
            {
                "cloudwatch:DeleteAlarms": "it goes with its policy",
                "cloudwatch:PutMetricAlarm": "requests that wait get an instance",
            },
            (_arn(desired, "cloudwatch", f"alarm:{desired.project}-wake-??????"),),
        )


def _registry(desired: Desired) -> Iterator[Grant]:
    group = _arn(desired, "sagemaker", f"model-package-group/{desired.project}")
    versions = _arn(desired, "sagemaker", f"model-package/{desired.project}/*")
    yield Grant(
        "Registry",
        {
            "sagemaker:AddTags": "it is created with the project's tags",
            "sagemaker:CreateModelPackageGroup": "the project's versions have a place",
            "sagemaker:DeleteModelPackageGroup": "`make destroy` takes it away",
            "sagemaker:DescribeModelPackageGroup": "`make status`: is it there",
        },
        (group,),
    )
    yield Grant(
        "Versions",
        {
            "sagemaker:CreateModelPackage": "what was trained becomes a version",
            "sagemaker:DeleteModelPackage": "`make destroy` takes it away",
            "sagemaker:DescribeModelPackage": "`make deploy VERSION=` lets it serve",
            "sagemaker:ListModelPackages": "is a model registered, and approved",
            "sagemaker:UpdateModelPackage": "`make approve`",
        },
        # Creating one names its group, too.
        (group, versions),
    )

    yield Grant("Identity", {"sts:GetCallerIdentity": "`make approve` writes down who"}, ("*",))


def _batches(desired: Desired) -> Iterator[Grant]:
    yield Grant(
        "Batches",
        {
            "sagemaker:AddTags": "a job is created with the project's tags",
            "sagemaker:CreateTransformJob": "`make batch` predicts for whole tables",
            "sagemaker:DescribeTransformJob": "is it running, and what came of it",
            "sagemaker:StopTransformJob": "`make destroy` stops one that runs",
        },
        (
            *(
                _arn(desired, "sagemaker", f"transform-job/{desired.project}-batch-{_DIGEST}{rest}")
                for rest in ("", "-*")
            ),
            # Creating one names its model, too.
            _arn(desired, "sagemaker", f"model/{desired.project}-{_DIGEST}"),
        ),
    )


def _watching(desired: Desired) -> Iterator[Grant]:
    logs = _arn(desired, "logs", "log-group:/aws/sagemaker")
    yield Grant(
        "Logs",
        {
            "logs:DescribeLogStreams": "which streams a job or the endpoint has",
            "logs:GetLogEvents": "their lines are shown while one waits, and by `make logs`",
        },
        (
            f"{logs}/TrainingJobs:*",
            f"{logs}/TransformJobs:*",
            f"{logs}/Endpoints/{desired.project}:*",
        ),
    )
    yield Grant(
        "Metrics",
        {"cloudwatch:GetMetricData": "a rollout's evidence: traffic, errors and times"},
        ("*",),
    )
    yield Grant(
        "LookingAtAlarms",
        {"cloudwatch:DescribeAlarms": "which alarms are there, and what they say"},
        (_arn(desired, "cloudwatch", "alarm:*"),),
    )
    yield Grant(
        "Alarms",
        {
            "cloudwatch:DeleteAlarms": "a version's alarms go with it",
            "cloudwatch:PutMetricAlarm": "a new version is watched while it takes over",
            "cloudwatch:TagResource": "an alarm is created with the project's tags",
        },
        tuple(
            _arn(desired, "cloudwatch", f"alarm:{desired.project}-{_DIGEST}-{kind}-??????")
            for kind in ALARMS
        ),
    )


def _image(desired: Desired) -> Iterator[Grant]:
    if desired.image is None:
        return
    yield Grant(
        "Repository",
        {
            "ecr:CreateRepository": "the first serving image of an account finds no repository",
            "ecr:DescribeImages": "is the serving image there",
        },
        (_arn(desired, "ecr", f"repository/{SERVING_REPOSITORY}"),),
    )
    yield from pushing_grants(desired.account.id, desired.account.region)
    if desired.image.build:
        yield from _build(desired, desired.image.build)


def _build(desired: Desired, build: Build) -> Iterator[Grant]:
    yield _own_role("BuildRole", build.role.arn)
    yield Grant(
        "PassBuildRole",
        {"iam:PassRole": "CodeBuild is told to run as that role, and no other service"},
        (build.role.arn,),
        {"StringEquals": {"iam:PassedToService": "codebuild.amazonaws.com"}},
    )
    yield Grant(
        "Build",
        {
            "codebuild:BatchGetBuilds": "is the image built",
            "codebuild:BatchGetProjects": "`make status` looks whether the project is there",
            "codebuild:CreateProject": "without Docker on a laptop, CodeBuild builds the image",
            "codebuild:DeleteProject": "`make destroy` takes the project away",
            "codebuild:StartBuild": "the image is built",
        },
        (_arn(desired, "codebuild", f"project/{build.name}"),),
    )
    yield Grant(
        "BuildLog",
        {"logs:GetLogEvents": "a build that fails is told with its last lines"},
        (_arn(desired, "logs", f"log-group:/aws/codebuild/{build.name}:*"),),
    )


def _advice() -> Iterator[Grant]:
    """What a deployment can do without; neither service knows resources for it."""
    yield Grant(
        "Advice",
        {
            "pricing:GetProducts": "a plan tells what it costs",
            "servicequotas:ListServiceQuotas": "may the account have so many instances",
        },
        ("*",),
    )
