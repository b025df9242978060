"""A boto3 session whose every client talks to the local cloud, whatever it is told.

Loaded only where boto3 is wanted. An endpoint given to ``client`` is set aside, because the
SageMaker SDK insists on AWS's address for STS; and neither profiles, credentials nor proxies of
the user are taken.
"""

from __future__ import annotations

import os
from typing import Any

import boto3
import botocore.session
from botocore.config import Config

from infra.local.environment import SECRET_KEY

# Where botocore looks for a profile and the user's files: nowhere.
NOBODY = {
    "profile": (None, None, None, None),
    "config_file": (None, None, os.devnull, None),
    "credentials_file": (None, None, os.devnull, None),
}


class LocalSession(boto3.Session):
    """Give it to anything that takes a boto3 session."""

    def __init__(self, url: str, region: str, access_key: str) -> None:
        core = botocore.session.Session(session_vars=NOBODY)
        super().__init__(
            aws_access_key_id=access_key,
            aws_secret_access_key=SECRET_KEY,
            region_name=region,
            botocore_session=core,
        )
        self._url = url

    def client(self, service_name: str, *args: Any, **options: Any) -> Any:
        """A client of the local cloud."""
        return super().client(service_name, *args, **self._local(options))

    def resource(self, service_name: str, *args: Any, **options: Any) -> Any:
        """A resource of the local cloud."""
        return super().resource(service_name, *args, **self._local(options))

    def _local(self, options: dict[str, Any]) -> dict[str, Any]:
        direct = Config(proxies={})  # a proxy for the outside would not find 127.0.0.1
        given = options.get("config")
        config = given.merge(direct) if given else direct
        return {**options, "endpoint_url": self._url, "config": config}
