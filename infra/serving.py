"""What serves a trained model, as plain values: model, endpoint config, endpoint.

Which calls make them is decided in endpoint_steps.py.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from infra.requests import Request, Tags, tagged

VARIANT = "AllTraffic"
# How long a container may take to load its model before its first ping, and to fetch the model.
STARTUP_SECONDS = 300
DOWNLOAD_SECONDS = 300


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
    tags: Tags = ()

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
            **tagged(self.tags),
        }


@dataclass(frozen=True)
class EndpointConfig:
    """What an endpoint runs on."""

    name: str
    model: str
    instance: str
    tags: Tags = ()

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
            **tagged(self.tags),
        }


@dataclass(frozen=True)
class Endpoint:
    """The address that clients call."""

    name: str
    config: str
    tags: Tags = ()

    def request(self) -> Request:
        """Parameters of CreateEndpoint."""
        return {
            "EndpointName": self.name,
            "EndpointConfigName": self.config,
            **tagged(self.tags),
        }


@dataclass(frozen=True)
class Serving:
    """What serves one trained model."""

    model: Model
    config: EndpointConfig
    endpoint: Endpoint


def is_config_of(project: str, name: str) -> bool:
    """Whether an endpoint config of that name was made for the project."""
    return re.fullmatch(rf"{re.escape(project)}-[0-9a-f]{{12}}", name) is not None
