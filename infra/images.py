"""Container images: AWS's TensorFlow images of each region, and the address of our own.

The table of accounts is kept in step with the SageMaker SDK's by a test, so that a deployment needs
not import the SDK. What builds our image is said here (the base, CodeBuild's script) and done in
builds.py.
"""

from __future__ import annotations

import json

from shared.errors import DeploymentError, nearest

TENSORFLOW = "2.21-{processor}-py312"
TENSORFLOW_SERVING = "2.20-{processor}-py312"
TRAINING_REPOSITORY = "tensorflow-training"
TENSORFLOW_SERVING_REPOSITORY = "tensorflow-inference"
SERVING_REPOSITORY = "keras-serving"

# A tag moves: whoever builds asks for its digest, builds from that, and says so in labels.
BASE = "public.ecr.aws/docker/library/python:3.12-slim"
PLATFORM = "linux/amd64"
# For CodeBuild: the image that builds, and for how long at most.
BUILDER = "aws/codebuild/amazonlinux-x86_64-standard:5.0"
BUILD_MINUTES = 30

# YAML, as CodeBuild wants it, since all JSON is. It is told BASE, IMAGE and REGISTRY.
BUILDSPEC = json.dumps(
    {
        "version": 0.2,
        "env": {
            "shell": "bash",
            # SageMaker takes no image with attestations: those make an index of it.
            "variables": {"BUILDX_NO_DEFAULT_ATTESTATIONS": "1"},
            "exported-variables": ["BASE_DIGEST"],
        },
        "phases": {
            "pre_build": {
                "commands": [
                    "set -o pipefail",
                    'aws ecr get-login-password --region "$AWS_REGION" '
                    '| docker login --username AWS --password-stdin "$REGISTRY"',
                    'docker pull --quiet "$BASE"',
                    'export BASE_DIGEST="$(docker image inspect '
                    '--format \'{{index .RepoDigests 0}}\' "$BASE")"',
                    'test -n "$BASE_DIGEST"',
                ]
            },
            "build": {
                "on-failure": "ABORT",
                "commands": [
                    "docker build --file images/Dockerfile --target serving "
                    '--build-arg "BASE=$BASE_DIGEST" '
                    '--label "org.opencontainers.image.base.name=$BASE" '
                    '--label "org.opencontainers.image.base.digest=${BASE_DIGEST#*@}" '
                    '--tag "$IMAGE" .',
                    'docker push --quiet "$IMAGE"',
                ],
            },
        },
    },
    indent=1,
)

_ACCOUNT = "763104351884"
_SHARED_ACCOUNT_REGIONS = [
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-south-1",
    "ap-southeast-1",
    "ap-southeast-2",
    "ca-central-1",
    "eu-central-1",
    "eu-north-1",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "sa-east-1",
    "us-east-1",
    "us-east-2",
    "us-west-1",
    "us-west-2",
]
ACCOUNTS = dict.fromkeys(_SHARED_ACCOUNT_REGIONS, _ACCOUNT) | {
    "af-south-1": "626614931356",
    "ap-east-1": "871362719292",
    "ap-east-2": "975050140332",
    "ap-northeast-3": "364406365360",
    "ap-south-2": "772153158452",
    "ap-southeast-3": "907027046896",
    "ap-southeast-4": "457447274322",
    "ap-southeast-5": "550225433462",
    "ap-southeast-6": "633930458069",
    "ap-southeast-7": "590183813437",
    "ca-west-1": "204538143572",
    "eu-central-2": "380420809688",
    "eu-south-1": "692866216735",
    "eu-south-2": "503227376785",
    "il-central-1": "780543022126",
    "me-central-1": "914824155844",
    "me-south-1": "217643126080",
    "me-west-1": "124382933778",
    "mx-central-1": "637423239942",
}
WITHOUT_SERVING = {"me-west-1"}
"""Regions with no TensorFlow Serving image."""


def training_image(region: str, instance: str) -> str:
    """The URI of the AWS TensorFlow training image for a region and an instance type.

    Raises:
        DeploymentError: AWS publishes none there.
    """
    if region not in ACCOUNTS:
        raise DeploymentError(
            f"no AWS TensorFlow training image is known for the region {region!r}",
            where="[aws].region",
            cure=nearest(region, ACCOUNTS),
        )
    return _of_aws(region, TRAINING_REPOSITORY, TENSORFLOW, instance)


def tensorflow_serving_image(region: str, instance: str) -> str:
    """The URI of the AWS TensorFlow Serving image for a region and an instance type.

    Raises:
        DeploymentError: AWS publishes none there.
    """
    if region not in ACCOUNTS or region in WITHOUT_SERVING:
        raise DeploymentError(
            f"no AWS TensorFlow Serving image is known for the region {region!r}",
            where="[endpoint].container",
            cure='Choose another region, or write container = "own"',
        )
    return _of_aws(region, TENSORFLOW_SERVING_REPOSITORY, TENSORFLOW_SERVING, instance)


def serving_image(account: str, region: str, tag: str) -> str:
    """The URI under which our serving image stands in the account's own registry."""
    return f"{account}.dkr.ecr.{region}.amazonaws.com/{SERVING_REPOSITORY}:{tag}"


def _of_aws(region: str, repository: str, tag: str, instance: str) -> str:
    processor = "gpu" if instance.removeprefix("ml.")[:1] in ("p", "g") else "cpu"
    address = f"{ACCOUNTS[region]}.dkr.ecr.{region}.amazonaws.com"
    return f"{address}/{repository}:{tag.format(processor=processor)}"
