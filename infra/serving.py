"""What serves a trained model, as plain values: model, endpoint config, endpoint.

Which calls make them is decided in endpoint_steps.py, how traffic moves to them in rollout.py.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from infra.package import digest_of, short
from infra.requests import Request, Tags, tagged
from infra.security import OPEN, Security, has_own_disks

VARIANT = "AllTraffic"
# The new version's, while it serves beside the old one.
CANDIDATE = "Candidate"
# How long a container may take to load its model before its first ping, and to fetch the model.
STARTUP_SECONDS = 300
DOWNLOAD_SECONDS = 300
# How often SageMaker publishes an endpoint's metrics, and a container its own, unless told.
METRICS_SECONDS = 60


@dataclass(frozen=True)
class Serverless:
    """A variant without instances: memory in MB, and how many requests run at once."""

    memory: int
    concurrency: int

    def request(self) -> Request:
        """A variant's ServerlessConfig."""
        return {"MemorySizeInMB": self.memory, "MaxConcurrency": self.concurrency}


@dataclass(frozen=True)
class Async:
    """An endpoint that answers into S3.

    Attributes:
        output, failures: s3:// prefixes of answers and of errors.
        concurrency: requests of one instance at once; None: SageMaker decides.
        success_topic, error_topic: ARNs of SNS topics that hear of each answer.
    """

    output: str
    failures: str
    concurrency: int | None = None
    success_topic: str | None = None
    error_topic: str | None = None

    def request(self, kms_key: str | None) -> Request:
        """The AsyncInferenceConfig of an endpoint config."""
        topics = {"SuccessTopic": self.success_topic, "ErrorTopic": self.error_topic}
        told = {name: topic for name, topic in topics.items() if topic}
        output: Request = {"S3OutputPath": self.output, "S3FailurePath": self.failures}
        if kms_key:
            output["KmsKeyId"] = kms_key
        if told:
            output["NotificationConfig"] = told
        client = (
            {"ClientConfig": {"MaxConcurrentInvocationsPerInstance": self.concurrency}}
            if self.concurrency
            else {}
        )
        return {"OutputConfig": output, **client}


@dataclass(frozen=True)
class Variant:
    """One model behind an endpoint.

    Attributes:
        model: name of the model.
        instance: type; None where it is serverless.
        count: instances at the start.
        weight: its share of the requests is its weight among the weights of all. A shadow's is the
            share of the production variant's requests that it gets copies of.
        shadow: it gets copies of requests, and its answers go nowhere.
    """

    name: str
    model: str
    instance: str | None
    count: int = 1
    weight: float = 1.0
    shadow: bool = False
    serverless: Serverless | None = None

    @classmethod
    def from_request(cls, told: Mapping[str, Any], *, shadow: bool) -> Variant:
        """The variant that `request` made, as DescribeEndpointConfig tells it."""
        alone = told.get("ServerlessConfig")
        return cls(
            told["VariantName"],
            told["ModelName"],
            told.get("InstanceType"),
            told.get("InitialInstanceCount", 1),
            told.get("InitialVariantWeight", 1.0),
            shadow,
            Serverless(alone["MemorySizeInMB"], alone["MaxConcurrency"]) if alone else None,
        )

    def request(self) -> Request:
        """The variant as CreateEndpointConfig takes it."""
        if self.serverless:
            place: Request = {"ServerlessConfig": self.serverless.request()}
        else:
            place = {
                "InitialInstanceCount": self.count,
                "InstanceType": self.instance,
                "ModelDataDownloadTimeoutInSeconds": DOWNLOAD_SECONDS,
                "ContainerStartupHealthCheckTimeoutInSeconds": STARTUP_SECONDS,
            }
        return {
            "VariantName": self.name,
            "ModelName": self.model,
            "InitialVariantWeight": self.weight,
            **place,
        }


@dataclass(frozen=True)
class Model:
    """A bundle and the image that serves it.

    Args:
        endpoint, variant, config: under which names it will serve; the container tells them with
            its metrics, so that one fleet's figures are not another's.
        metrics_seconds: how often it tells them.
    """

    name: str
    image: str
    data: str
    role: str
    endpoint: str
    config: str
    variant: str = VARIANT
    metrics_seconds: int = METRICS_SECONDS
    security: Security = OPEN
    tags: Tags = ()

    def request(self) -> Request:
        """Parameters of CreateModel."""
        environment = {
            "ENDPOINT_NAME": self.endpoint,
            "VARIANT_NAME": self.variant,
            "ENDPOINT_CONFIG_NAME": self.config,
        }
        if self.metrics_seconds != METRICS_SECONDS:
            environment["METRICS_SECONDS"] = str(self.metrics_seconds)
        return {
            "ModelName": self.name,
            "PrimaryContainer": {
                "Image": self.image,
                "ModelDataUrl": self.data,
                "Environment": environment,
            },
            "ExecutionRoleArn": self.role,
            **self.security.network,
            **tagged(self.tags),
        }


@dataclass(frozen=True)
class EndpointConfig:
    """What an endpoint runs on.

    Attributes:
        variants: production variants and at most one shadow.
        async_: where it answers into S3.
        kms_key: encrypts the instances' disks, and asynchronous answers.
        metrics_seconds: how often SageMaker publishes invocation metrics.
    """

    name: str
    variants: tuple[Variant, ...]
    async_: Async | None = None
    kms_key: str | None = None
    metrics_seconds: int = METRICS_SECONDS
    tags: Tags = ()

    @property
    def newest(self) -> Variant:
        """The variant with the model that the project asks for."""
        return self.variants[-1]

    def request(self) -> Request:
        """Parameters of CreateEndpointConfig."""
        parameters: Request = {
            "EndpointConfigName": self.name,
            "ProductionVariants": [one.request() for one in self.variants if not one.shadow],
            **tagged(self.tags),
        }
        shadows = [one.request() for one in self.variants if one.shadow]
        if shadows:
            parameters["ShadowProductionVariants"] = shadows
        if self.async_:
            parameters["AsyncInferenceConfig"] = self.async_.request(self.kms_key)
        if self.kms_key and not any(has_own_disks(one.instance or "") for one in self.variants):
            parameters["KmsKeyId"] = self.kms_key
        if self.metrics_seconds != METRICS_SECONDS:
            parameters["MetricsConfig"] = {
                "EnableEnhancedMetrics": True,
                "MetricPublishFrequencyInSeconds": self.metrics_seconds,
            }
        return parameters


@dataclass(frozen=True)
class Endpoint:
    """The address that clients call.

    Attributes:
        deployment: how traffic moves when it is updated (DeploymentConfig); None: all at once. It
            means nothing to the first creation, as there is no old fleet.
        scaled: whether the number of instances is what scaling made of it, and stays.
    """

    name: str
    config: str
    deployment: Request | None = None
    tags: Tags = ()
    scaled: bool = False

    def request(self) -> Request:
        """Parameters of CreateEndpoint."""
        return {
            "EndpointName": self.name,
            "EndpointConfigName": self.config,
            **tagged(self.tags),
        }

    def update_request(self) -> Request:
        """Parameters of UpdateEndpoint."""
        parameters: Request = {"EndpointName": self.name, "EndpointConfigName": self.config}
        if self.deployment:
            parameters["DeploymentConfig"] = self.deployment
        if self.scaled:
            parameters["RetainAllVariantProperties"] = True
            # Their number stays; what share of the requests they get, the config says.
            parameters["ExcludeRetainedVariantProperties"] = [
                {"VariantPropertyType": "DesiredWeight"}
            ]
        return parameters


@dataclass(frozen=True)
class Serving:
    """What serves one trained model."""

    model: Model
    config: EndpointConfig
    endpoint: Endpoint


@dataclass(frozen=True)
class Hosting:
    """On what and how a model is to serve: the [endpoint] settings that an endpoint config holds.

    Attributes:
        instance, count, serverless: see `Variant`.
        async_, metrics_seconds: see `EndpointConfig`.
        security: its key, and its network.
    """

    instance: str | None
    count: int = 1
    serverless: Serverless | None = None
    async_: Async | None = None
    security: Security = OPEN
    metrics_seconds: int = METRICS_SECONDS

    @property
    def mode(self) -> str:
        """As [endpoint].mode has it."""
        if self.serverless:
            return "serverless"
        return "async" if self.async_ else "realtime"


@dataclass(frozen=True)
class Served:
    """A trained model and what serves it: job, its model.tar.gz, image, role."""

    job: str
    data: str
    image: str
    role: str


def serving(
    project: str,
    served: Served,
    hosting: Hosting,
    tags: Tags,
    *,
    name: str = VARIANT,
    weight: float = 1.0,
    shadow: bool = False,
    beside: Sequence[Variant] = (),
) -> Serving:
    """Model, endpoint config and endpoint of a trained model.

    Model and config have one name, the digest of everything that decides them: the model's
    environment names the config.

    Args:
        project: its name.
        served: the model.
        hosting: on what it serves.
        tags: of all three.
        name: of the variant that serves it.
        weight: of that variant.
        shadow: whether that variant gets copies of requests only.
        beside: variants that serve already and stay.
    """

    def made(digest: str, tags: Tags) -> tuple[Model, EndpointConfig]:
        own = f"{project}-{digest}"
        variant = Variant(
            name, own, hosting.instance, hosting.count, weight, shadow, hosting.serverless
        )
        seconds, security = hosting.metrics_seconds, hosting.security
        model = Model(
            own, served.image, served.data, served.role, project, own, name, seconds, security, tags
        )
        variants, key = (*beside, variant), security.kms_key
        return model, EndpointConfig(own, variants, hosting.async_, key, seconds, tags)

    # Tags decide nothing.
    model, config = made("", ())
    content = json.dumps([served.job, model.request(), config.request()], sort_keys=True)
    model, config = made(short(digest_of(content.encode())), tags)
    return Serving(model, config, Endpoint(project, config.name, tags=tags))


def is_config_of(project: str, name: str) -> bool:
    """Whether an endpoint config of that name was made for the project."""
    return re.fullmatch(rf"{re.escape(project)}-[0-9a-f]{{12}}", name) is not None
