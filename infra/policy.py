"""IAM of what runs: whom the execution role trusts, what it may do, and the bucket's own policy.

One role serves training and endpoint. Two would differ in little: both read and write the same
prefix, and a project's training code decides what its endpoint runs anyway. Everything is scoped to
one project. What whoever deploys may do is in permissions.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from infra.grants import VERSION, Grant, document
from infra.images import SERVING_REPOSITORY, TENSORFLOW_SERVING_REPOSITORY, TRAINING_REPOSITORY
from infra.security import OPEN, Security


def trust(service: str) -> Mapping[str, object]:
    """Who may assume a role: one service of AWS."""
    return {
        "Version": VERSION,
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": f"{service}.amazonaws.com"},
                "Action": "sts:AssumeRole",
            }
        ],
    }


def execution_grants(
    project: str,
    bucket: str,
    external: Sequence[str],
    account: str,
    region: str,
    *,
    own_image: bool = True,
    security: Security = OPEN,
    topics: Sequence[str] = (),
) -> tuple[Grant, ...]:
    """What jobs and endpoint may do: the project's objects, their logs, metrics and images.

    Args:
        project: its name, which is its prefix in the bucket.
        bucket: where everything of the project lies.
        external: s3:// locations of data that lies elsewhere and is read only.
        account: the account's number.
        region: where the project is.
        own_image: our image serves; else AWS's TensorFlow Serving.
        security: key and network.
        topics: ARNs of what an asynchronous endpoint tells of its answers.
    """
    buckets, prefixes, readable = _places(external)
    buckets = sorted({*buckets, bucket})
    registry = f"arn:aws:ecr:{region}"
    logs = f"arn:aws:logs:{region}:{account}:log-group:/aws/sagemaker"
    grants = [
        Grant(
            "Objects",
            {
                "s3:GetObject": "jobs read code, data and checkpoints, the endpoint its bundle",
                "s3:PutObject": "jobs leave bundles, reports and checkpoints",
                "s3:DeleteObject": "a checkpoint that a job removes goes from S3 too",
                "s3:AbortMultipartUpload": "a large upload that breaks off leaves no parts",
            },
            (f"arn:aws:s3:::{bucket}/{project}/*",),
        ),
        Grant(
            "Listing",
            {"s3:ListBucket": "channels and checkpoints are prefixes that have to be listed"},
            tuple(f"arn:aws:s3:::{name}" for name in buckets),
            {"StringLike": {"s3:prefix": [f"{project}/*", *prefixes]}},
        ),
        Grant(
            "Logs",
            {
                "logs:CreateLogGroup": "the first job of an account finds no log group",
                "logs:CreateLogStream": "each instance of a job and an endpoint has its stream",
                "logs:DescribeLogStreams": "the service looks whether its stream is there",
                "logs:PutLogEvents": "what programs print is kept",
            },
            (f"{logs}/TrainingJobs:*", f"{logs}/TransformJobs:*", f"{logs}/Endpoints/{project}:*"),
        ),
        Grant(
            "Metrics",
            {"cloudwatch:PutMetricData": "losses and loads of jobs and endpoints become metrics"},
            ("*",),
            {"StringLike": {"cloudwatch:namespace": "/aws/sagemaker/*"}},
        ),
        Grant(
            "Alarms",
            {"cloudwatch:DescribeAlarms": "a rollout is watched by alarms, which may end it"},
            (f"arn:aws:cloudwatch:{region}:{account}:alarm:*",),
        ),
        Grant(
            "Images",
            {
                "ecr:BatchCheckLayerAvailability": "pulling an image begins with its layers",
                "ecr:BatchGetImage": "the manifest of the image that trains or serves",
                "ecr:GetDownloadUrlForLayer": "its layers",
            },
            (
                f"{registry}:{account}:repository/{SERVING_REPOSITORY}"
                if own_image
                else f"{registry}:*:repository/{TENSORFLOW_SERVING_REPOSITORY}",
                f"{registry}:*:repository/{TRAINING_REPOSITORY}",
            ),
        ),
        Grant(
            "Registry",
            {"ecr:GetAuthorizationToken": "a registry lets nobody pull without one"},
            ("*",),
        ),
    ]
    if readable:
        reading = {"s3:GetObject": "data of the project that lies elsewhere in S3"}
        grants.append(Grant("Sources", reading, tuple(readable)))
    if topics:
        telling = {"sns:Publish": "an asynchronous endpoint tells that an answer is there"}
        grants.append(Grant("Notices", telling, tuple(topics)))
    if security.kms_key:
        grants += key_grants(security.kms_key)
    if security.subnets:
        grants += _network_grants(security, account, region)
    return tuple(grants)


def key_grants(key: str) -> list[Grant]:
    """Reading and writing under a key, and letting AWS's own services use it for a disk."""
    return [
        Grant(
            "Key",
            {
                "kms:Decrypt": "objects under the key are read",
                "kms:DescribeKey": "services look whether the key can be used",
                "kms:GenerateDataKey": "objects are written under the key",
            },
            (key,),
        ),
        Grant(
            "Disks",
            {"kms:CreateGrant": "the disk of an instance is encrypted under the key"},
            (key,),
            {"Bool": {"kms:GrantIsForAWSResource": "true"}},
        ),
    ]


def _network_grants(security: Security, account: str, region: str) -> list[Grant]:
    ec2 = f"arn:aws:ec2:{region}:{account}"
    interfaces = f"{ec2}:network-interface/*"
    return [
        Grant(
            "Interfaces",
            {
                "ec2:CreateNetworkInterface": "an instance is put into the VPC by an interface",
                "ec2:DeleteNetworkInterface": "which goes when it ends",
            },
            (
                interfaces,
                *(f"{ec2}:subnet/{name}" for name in security.subnets),
                *(f"{ec2}:security-group/{name}" for name in security.security_groups),
            ),
        ),
        Grant(
            "InterfacePermissions",
            {
                "ec2:CreateNetworkInterfacePermission": "SageMaker's account attaches it",
                "ec2:DeleteNetworkInterfacePermission": "and lets go of it",
            },
            (interfaces,),
        ),
        Grant(
            "Network",
            {
                "ec2:DescribeDhcpOptions": "SageMaker looks at the VPC before it uses it",
                "ec2:DescribeNetworkInterfaces": "the same",
                "ec2:DescribeSecurityGroups": "the same",
                "ec2:DescribeSubnets": "the same",
                "ec2:DescribeVpcs": "the same",
            },
            ("*",),
        ),
    ]


def building_grants(
    project: str, bucket: str, account: str, region: str, kms_key: str | None
) -> tuple[Grant, ...]:
    """What CodeBuild may do for a project: read the image's source, push the image, write its log.

    Args:
        project: its name.
        bucket: where the source lies.
        account: the account's number.
        region: where the project is.
        kms_key: under which the source lies, if any.
    """
    logs = f"arn:aws:logs:{region}:{account}:log-group:/aws/codebuild/{project}-image"
    return (
        Grant(
            "Source",
            {
                "s3:GetObject": "the files from which the image is built",
                "s3:GetObjectVersion": "the same, where the bucket keeps versions",
            },
            (f"arn:aws:s3:::{bucket}/{project}/images/*",),
        ),
        Grant(
            "SourceBucket",
            {"s3:GetBucketLocation": "CodeBuild looks where the source's bucket is"},
            (f"arn:aws:s3:::{bucket}",),
        ),
        Grant(
            "Logs",
            {
                "logs:CreateLogGroup": "the first build finds no log group",
                "logs:CreateLogStream": "each build has its stream",
                "logs:PutLogEvents": "what it prints is kept",
            },
            (f"{logs}:*",),
        ),
        *pushing_grants(account, region),
        *(key_grants(kms_key) if kms_key else ()),
    )


def pushing_grants(account: str, region: str) -> tuple[Grant, ...]:
    """Pushing the serving image."""
    return (
        Grant(
            "Push",
            {
                "ecr:BatchCheckLayerAvailability": "layers that are there are not sent again",
                "ecr:BatchGetImage": "Docker looks whether the manifest is there",
                "ecr:CompleteLayerUpload": "a layer is sent in parts",
                "ecr:InitiateLayerUpload": "the same",
                "ecr:PutImage": "the manifest and its tag",
                "ecr:UploadLayerPart": "the same",
            },
            (f"arn:aws:ecr:{region}:{account}:repository/{SERVING_REPOSITORY}",),
        ),
        Grant(
            "Login",
            {"ecr:GetAuthorizationToken": "a registry lets nobody push without one"},
            ("*",),
        ),
    )


def bucket_policy(bucket: str) -> Mapping[str, object]:
    """Of a bucket that we make: nothing is asked of it over an open line."""
    arn = f"arn:aws:s3:::{bucket}"
    everything = {"Principal": "*", "Action": "s3:*", "Resource": [arn, f"{arn}/*"]}
    return {
        "Version": VERSION,
        "Statement": [
            {
                "Sid": "NoPlainHttp",
                "Effect": "Deny",
                **everything,
                "Condition": {"Bool": {"aws:SecureTransport": "false"}},
            },
            {
                "Sid": "NoOldTls",
                "Effect": "Deny",
                **everything,
                "Condition": {"NumericLessThan": {"s3:TlsVersion": "1.2"}},
            },
        ],
    }


def reading_policy(external: Sequence[str]) -> Mapping[str, object]:
    """Reading data at these s3:// locations, and nothing else."""
    return document(reading_grants(external))


def reading_grants(external: Sequence[str]) -> tuple[Grant, ...]:
    """The same as values."""
    buckets, prefixes, readable = _places(external)
    return (
        Grant("Sources", {"s3:GetObject": "the data is read"}, tuple(readable)),
        Grant(
            "SourcesListing",
            {"s3:ListBucket": "a location is a prefix that has to be listed"},
            tuple(f"arn:aws:s3:::{name}" for name in buckets),
            {"StringLike": {"s3:prefix": prefixes}},
        ),
    )


def _places(external: Sequence[str]) -> tuple[list[str], list[str], list[str]]:
    """Buckets, patterns of prefixes, and ARNs of the objects of s3:// locations."""
    places = [uri.removeprefix("s3://").partition("/") for uri in external]
    return (
        sorted({name for name, _, _ in places}),
        [f"{prefix}*" for _, _, prefix in places],
        [f"arn:aws:s3:::{name}/{prefix}*" for name, _, prefix in places],
    )
