"""The environment of clients of the local cloud: pointed at it, and away from any real account."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path

ACCOUNT = "123456789012"
REGION = "us-east-1"
SECRET_KEY = "local"  # noqa: S105
KEY_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
KEY_LENGTH = 20
# What must not reach a job or a server from whoever happened to start the daemon.
LEFT_OUT = (
    *("AWS_", "BOTO_", "MOTO_", "SM_", "SAGEMAKER_", "TRAINING_JOB_", "TF_CONFIG"),
    *("LOCAL_CLOUD_", "PYTHONPATH", "PYTHONHOME", "MAKE", "MFLAGS"),
)
TELEMETRY = """\
SchemaVersion: '1.0'
SageMaker:
  PythonSDK:
    Modules:
      TelemetryOptOut: true
"""


def new_access_key() -> str:
    """What a client must know to be answered: a secret of each start, in the form AWS's keys have.

    Signatures are not checked, so the id itself is what is kept from others.
    """
    return "".join(secrets.choice(KEY_ALPHABET) for _ in range(KEY_LENGTH))


def client(url: str, root: Path, access_key: str) -> dict[str, str]:
    """Variables that make any AWS SDK talk to the cloud at `url`."""
    directory = root / "aws"
    direct = ",".join(filter(None, [_direct(), "127.0.0.1", "localhost"]))
    return {
        "NO_PROXY": direct,
        "no_proxy": direct,
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": access_key,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_SESSION_TOKEN": "",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_PROFILE": "default",
        "AWS_CONFIG_FILE": str(directory / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(directory / "credentials"),
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_MAX_ATTEMPTS": "2",
        "SAGEMAKER_USER_CONFIG_OVERRIDE": str(directory / "sagemaker.yaml"),
    }


def _direct() -> str:
    """What is reached without a proxy already; Python, too, reads the small letters first."""
    return os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""


def images(root: Path) -> Path:
    """Where a state directory keeps the content of pushed images."""
    return root / "work" / "images"


def write_files(root: Path, access_key: str) -> None:
    """The files that `client` names."""
    directory = root / "aws"
    directory.mkdir(parents=True, exist_ok=True)
    keys = f"aws_access_key_id = {access_key}\naws_secret_access_key = {SECRET_KEY}\n"
    (directory / "config").write_text(f"[default]\nregion = {REGION}\n")
    (directory / "credentials").write_text(f"[default]\n{keys}")
    (directory / "sagemaker.yaml").write_text(TELEMETRY)


def child(
    url: str, root: Path, access_key: str, own: Mapping[str, str] = os.environ
) -> dict[str, str]:
    """What a job or a server inherits: the daemon's environment without the private parts."""
    kept = {name: value for name, value in own.items() if not name.startswith(LEFT_OUT)}
    path = f"{Path(sys.executable).parent}{os.pathsep}{kept.get('PATH', os.defpath)}"
    return {**kept, "PATH": path, **client(url, root, access_key)}
