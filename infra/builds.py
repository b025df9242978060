"""Building the serving image with this machine's Docker, and pushing it.

It is built as AWS CodeBuild builds it (images.py has the script): images/Dockerfile, from a base
that was asked for its digest a moment before, which goes into the image's labels, under a tag that
is the digest of everything else in it.
"""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from infra.images import BASE, PLATFORM
from shared.errors import DeploymentError

if TYPE_CHECKING:
    from infra.aws import Cloud

_WORDS = 1500


def has_docker() -> bool:
    """Whether there is a Docker on this machine that answers."""
    if shutil.which("docker") is None:
        return False
    command = ["docker", "version", "--format", "{{.Server.Version}}"]
    try:
        return subprocess.run(command, capture_output=True, timeout=10, check=False).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def docker(words: Sequence[str], told: str | None = None) -> str:
    """Run docker, and return what it printed.

    Args:
        words: its arguments.
        told: what it reads from standard input.

    Raises:
        DeploymentError: it failed; with its last words.
    """
    # SageMaker takes no image with attestations: those make an index of it.
    environment = {**os.environ, "BUILDX_NO_DEFAULT_ATTESTATIONS": "1"}
    done = subprocess.run(
        ["docker", *words],
        input=told,
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    if done.returncode:
        raise DeploymentError(
            f"docker {words[0]} failed: {done.stderr.strip()[-_WORDS:]}",
            where="the serving image",
            cure="Run the same command again, or without Docker: then AWS CodeBuild builds it.",
        )
    return done.stdout.strip()


def with_docker(cloud: Cloud, image: str, context: Path) -> str:
    """Build on this machine and push; the base it was built from, with its digest.

    Args:
        cloud: whose registry it goes to.
        image: the URI.
        context: the files of `image_code`.

    Raises:
        DeploymentError: Docker fails.
    """
    docker(["pull", "--quiet", "--platform", PLATFORM, BASE])
    base = docker(["image", "inspect", "--format", "{{index .RepoDigests 0}}", BASE])
    labels = {"base.name": BASE, "base.digest": base.partition("@")[2]}
    docker(
        [
            *("build", "--file", str(context / "images/Dockerfile"), "--target", "serving"),
            *("--platform", PLATFORM, "--build-arg", f"BASE={base}", "--tag", image),
            *(
                word
                for name, text in labels.items()
                for word in ("--label", f"org.opencontainers.image.{name}={text}")
            ),
            str(context),
        ]
    )
    answer = cloud.call("ecr", "get_authorization_token", {})["authorizationData"][0]
    user, _, password = base64.b64decode(answer["authorizationToken"]).decode().partition(":")
    registry = image.partition("/")[0]
    docker(["login", "--username", user, "--password-stdin", registry], password)
    docker(["push", "--quiet", image])
    return base
