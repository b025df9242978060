"""IAM: whom the execution role trusts and what it may do, scoped to one project."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from infra.images import SERVING_REPOSITORY, TENSORFLOW_SERVING_REPOSITORY, TRAINING_REPOSITORY

TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": "sagemaker.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }
    ],
}


def execution_policy(
    project: str,
    bucket: str,
    external: Sequence[str],
    account: str,
    region: str,
    *,
    own_image: bool = True,
) -> Mapping[str, object]:
    """What training job and endpoint may do: the project's objects, their logs, metrics and images.

    Args:
        project: its name, which is its prefix in the bucket.
        bucket: where everything of the project lies.
        external: s3:// locations of data that lies elsewhere and is read only.
        account: the account's number.
        region: where the project is.
        own_image: our image serves; else AWS's TensorFlow Serving.
    """
    buckets, prefixes, readable = _places(external)
    buckets = sorted({*buckets, bucket})
    registry = f"arn:aws:ecr:{region}"
    statements: list[dict[str, object]] = [
        {
            "Sid": "Objects",
            "Effect": "Allow",
            "Action": [
                "s3:GetObject",
                "s3:PutObject",
                "s3:DeleteObject",
                "s3:AbortMultipartUpload",
            ],
            "Resource": f"arn:aws:s3:::{bucket}/{project}/*",
        },
        {
            "Sid": "Listing",
            "Effect": "Allow",
            "Action": "s3:ListBucket",
            "Resource": [f"arn:aws:s3:::{name}" for name in buckets],
            "Condition": {"StringLike": {"s3:prefix": [f"{project}/*", *prefixes]}},
        },
        {
            "Sid": "Logs",
            "Effect": "Allow",
            "Action": [
                "logs:CreateLogGroup",
                "logs:CreateLogStream",
                "logs:DescribeLogStreams",
                "logs:PutLogEvents",
            ],
            "Resource": f"arn:aws:logs:{region}:{account}:log-group:/aws/sagemaker/*",
        },
        {
            "Sid": "Metrics",
            "Effect": "Allow",
            "Action": "cloudwatch:PutMetricData",
            "Resource": "*",
            "Condition": {"StringLike": {"cloudwatch:namespace": "/aws/sagemaker/*"}},
        },
        {
            # A rollout is judged by alarms, which SageMaker reads with this role.
            "Sid": "Alarms",
            "Effect": "Allow",
            "Action": "cloudwatch:DescribeAlarms",
            "Resource": f"arn:aws:cloudwatch:{region}:{account}:alarm:*",
        },
        {
            "Sid": "Images",
            "Effect": "Allow",
            "Action": [
                "ecr:BatchCheckLayerAvailability",
                "ecr:BatchGetImage",
                "ecr:GetDownloadUrlForLayer",
            ],
            "Resource": [
                f"{registry}:{account}:repository/{SERVING_REPOSITORY}"
                if own_image
                else f"{registry}:*:repository/{TENSORFLOW_SERVING_REPOSITORY}",
                f"{registry}:*:repository/{TRAINING_REPOSITORY}",
            ],
        },
        {
            "Sid": "Registry",
            "Effect": "Allow",
            "Action": "ecr:GetAuthorizationToken",
            "Resource": "*",
        },
    ]
    if readable:
        statements.insert(
            1,
            {
                "Sid": "Sources",
                "Effect": "Allow",
                "Action": "s3:GetObject",
                "Resource": readable,
            },
        )
    return {"Version": "2012-10-17", "Statement": statements}


def bucket_policy(bucket: str) -> Mapping[str, object]:
    """Of a bucket that we make: nothing is asked of it over an open line."""
    arn = f"arn:aws:s3:::{bucket}"
    everything = {"Principal": "*", "Action": "s3:*", "Resource": [arn, f"{arn}/*"]}
    return {
        "Version": "2012-10-17",
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
    buckets, prefixes, readable = _places(external)
    statements = [
        {"Effect": "Allow", "Action": "s3:GetObject", "Resource": readable},
        {
            "Effect": "Allow",
            "Action": "s3:ListBucket",
            "Resource": [f"arn:aws:s3:::{name}" for name in buckets],
            "Condition": {"StringLike": {"s3:prefix": prefixes}},
        },
    ]
    return {"Version": "2012-10-17", "Statement": statements}


def _places(external: Sequence[str]) -> tuple[list[str], list[str], list[str]]:
    """Buckets, patterns of prefixes, and ARNs of the objects of s3:// locations."""
    places = [uri.removeprefix("s3://").partition("/") for uri in external]
    return (
        sorted({name for name, _, _ in places}),
        [f"{prefix}*" for _, _, prefix in places],
        [f"arn:aws:s3:::{name}/{prefix}*" for name, _, prefix in places],
    )
