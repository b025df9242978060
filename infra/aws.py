"""The one object that makes AWS calls.

`connect` gives a Cloud for a target: the local cloud on this machine, or an AWS account. Everything
above it speaks in (service, operation, parameters), so a test puts another Cloud in its place.
boto3 is imported here, when a connection is made.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from infra.builds import with_docker
from infra.failures import explain, is_missing
from infra.images import serving_image
from infra.package import ROOT
from infra.resources import Account
from shared.errors import DeploymentError, KitError

if TYPE_CHECKING:
    from infra.sections import Aws

Target = Literal["local", "aws"]
# What a deployment can do without, and so does not wait for long.
_ADVICE = ("pricing", "service-quotas")
Sent = Callable[[int], None]
WRITES = ("put_object", "upload_file", "copy")


class Cloud(Protocol):
    """A place that AWS calls go to."""

    @property
    def account(self) -> Account:
        """Account, region, and whether it is the local cloud."""

    def call(
        self,
        service: str,
        operation: str,
        parameters: Mapping[str, object],
        sent: Sent | None = None,
    ) -> dict[str, Any]:
        """Make one call by its boto3 names. `sent` hears of bytes as an upload goes on."""

    def has_image(self, repository: str, tag: str) -> bool:
        """Whether the registry has that image."""

    def push_image(self, repository: str, tag: str, tree: Path) -> str | None:
        """Make an image of the tree in the registry; the base it was built from, if any."""

    def address(self, endpoint: str) -> str:
        """The URL that InvokeEndpoint posts to."""

    def client(self, service: str) -> Any:
        """The boto3 client of a service, for what takes one."""


class Session:
    """A Cloud made of a boto3 session."""

    def __init__(self, session: Any, account: Account, kms_key: str | None = None) -> None:
        self.session = session
        self.account = account
        self._kms_key = kms_key
        self._clients: dict[str, Any] = {}

    def client(self, service: str) -> Any:
        """The boto3 client of a service, made once."""
        if service not in self._clients:
            place = (
                {"region_name": _price_list(self.account.region)} if service == "pricing" else {}
            )
            self._clients[service] = self.session.client(service, config=_config(service), **place)
        return self._clients[service]

    def call(
        self,
        service: str,
        operation: str,
        parameters: Mapping[str, object],
        sent: Sent | None = None,
    ) -> dict[str, Any]:
        """Make one call. Errors are botocore's own; every object is written under the key."""
        arguments: dict[str, Any] = dict(parameters)
        if self._kms_key and operation in WRITES:
            encryption = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": self._kms_key}
            if operation == "put_object":
                arguments |= encryption
            else:
                arguments["ExtraArgs"] = {**arguments.get("ExtraArgs", {}), **encryption}
        if operation == "upload_file":
            arguments["Callback"] = sent
        return getattr(self.client(service), operation)(**arguments) or {}

    def has_image(self, repository: str, tag: str) -> bool:
        """Ask ECR for the tag."""
        try:
            self.call(
                "ecr",
                "describe_images",
                {"repositoryName": repository, "imageIds": [{"imageTag": tag}]},
            )
        except Exception as error:
            if is_missing(error):
                return False
            raise
        return True

    def push_image(self, repository: str, tag: str, tree: Path) -> str | None:
        """Build with this machine's Docker, and push to the account's registry."""
        account = self.account
        return with_docker(self, serving_image(account.id, account.region, tag), tree)

    def address(self, endpoint: str) -> str:
        """The runtime's public address."""
        url = self.client("sagemaker-runtime").meta.endpoint_url.rstrip("/")
        return f"{url}/endpoints/{endpoint}/invocations"


class LocalSession(Session):
    """A Cloud on this machine: the same calls, and a registry that takes the tree as it is."""

    SERVE = ("python", "serve")

    def __init__(self, cloud: Any, kms_key: str | None = None) -> None:
        account = Account(cloud.account, cloud.region, local=True)
        super().__init__(cloud.session(), account, kms_key)
        self.cloud = cloud

    def has_image(self, repository: str, tag: str) -> bool:
        """Ask the local registry."""
        return bool(self.cloud.has_image(repository, tag))

    def push_image(self, repository: str, tag: str, tree: Path) -> str | None:
        """Hand the tree over, which needs no base."""
        self.cloud.push_image(repository, tag, tree, {"serve": list(self.SERVE)})
        return None


def local_root() -> Path:
    """Where the local cloud keeps its record; LOCAL_CLOUD_ROOT moves it."""
    return Path(os.environ.get("LOCAL_CLOUD_ROOT") or ROOT / ".local")


def connect(target: Target, settings: Aws) -> Cloud:
    """The cloud of a target; the local one is started when it is not running.

    Raises:
        LocalCloudError: the local cloud cannot start.
        DeploymentError: no credentials, no region, or AWS does not answer.
    """
    if target == "local":
        from infra import local

        return LocalSession(local.ensure(local_root()), settings.kms_key)
    return _connect_aws(settings)


def find(target: Target, settings: Aws) -> Cloud | None:
    """Like `connect`, but None when the local cloud is not running: nothing is started."""
    if target == "local":
        from infra import local

        running = local.find(local_root())
        return LocalSession(running, settings.kms_key) if running else None
    return _connect_aws(settings)


def _connect_aws(settings: Aws) -> Session:
    import boto3

    try:
        session = boto3.Session(profile_name=settings.profile, region_name=settings.region)
        if session.region_name is None:
            raise DeploymentError(
                "no AWS region is set",
                where="[aws].region",
                cure='Write region = "eu-central-1", say, under [aws], or set AWS_DEFAULT_REGION.',
            )
        identity = session.client("sts", config=_config("sts")).get_caller_identity()
    except KitError:
        raise
    except Exception as error:
        raise explain(error, "Connecting to AWS") from error
    account = Account(identity["Account"], session.region_name, local=False)
    return Session(session, account, settings.kms_key)


def _price_list(region: str) -> str:
    """Where the nearest of the three places is that have AWS's price list, which is the same."""
    return {"eu": "eu-central-1", "ap": "ap-south-1"}.get(region.partition("-")[0], "us-east-1")


def _config(service: str) -> Any:
    from botocore.config import Config

    if service in _ADVICE:
        return Config(connect_timeout=3, read_timeout=10, retries={"total_max_attempts": 2})
    return Config(
        connect_timeout=10,
        read_timeout=70 if service == "sagemaker-runtime" else 60,
        retries={"mode": "standard", "total_max_attempts": 4},
    )
