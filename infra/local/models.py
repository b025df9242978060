"""Models and endpoint configurations: what an endpoint will run, kept as it was given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from infra.local.mode_checks import (
    check_asynchronous,
    check_serverless,
    check_serverless_model,
    is_serverless,
)
from infra.local.model_packages import ModelPackages
from infra.local.state import Answer, Cloud, Operation, arn, now, page
from infra.local.tags import as_pairs
from infra.local.wire import invalid, not_offered


@dataclass(frozen=True)
class Model:
    """A model as CreateModel gave it, and what its one container runs."""

    name: str
    arn: str
    created: datetime
    request: Mapping[str, Any]
    container: Mapping[str, Any]


@dataclass(frozen=True)
class EndpointConfig:
    """An endpoint configuration, and the models it named when an endpoint took it."""

    name: str
    arn: str
    created: datetime
    request: Mapping[str, Any]

    @property
    def asynchronous(self) -> Mapping[str, Any] | None:
        """Its AsyncInferenceConfig, if its endpoints are asynchronous."""
        return self.request.get("AsyncInferenceConfig")

    @property
    def variants(self) -> list[Mapping[str, Any]]:
        """Its production variants."""
        return list(self.request["ProductionVariants"])

    @property
    def shadows(self) -> list[Mapping[str, Any]]:
        """Its shadow variants."""
        return list(self.request.get("ShadowProductionVariants", []))


class Models:
    """Every model and every endpoint configuration of this cloud."""

    def __init__(self, cloud: Cloud, packages: ModelPackages) -> None:
        self._cloud = cloud
        self._packages = packages
        self._models: dict[str, Model] = {}
        self._configs: dict[str, EndpointConfig] = {}

    def operations(self) -> dict[str, Operation]:
        """What this answers, by the operation's name."""
        return {
            "CreateModel": self.create_model,
            "DescribeModel": self.describe_model,
            "ListModels": self.list_models,
            "DeleteModel": self.delete_model,
            "CreateEndpointConfig": self.create_config,
            "DescribeEndpointConfig": self.describe_config,
            "ListEndpointConfigs": self.list_configs,
            "DeleteEndpointConfig": self.delete_config,
        }

    def model(self, name: str) -> Model:
        """The model of this name.

        Raises:
            RefusalError: there is none.
        """
        found = self._models.get(name)
        if found is None:
            raise invalid(f'Could not find model "{arn("model", name)}".')
        return found

    def config(self, name: str) -> EndpointConfig:
        """The endpoint configuration of this name.

        Raises:
            RefusalError: there is none.
        """
        found = self._configs.get(name)
        if found is None:
            place = arn("endpoint-config", name)
            raise invalid(f'Could not find endpoint configuration "{place}".')
        return found

    def create_model(self, request: dict[str, Any]) -> Answer:
        """Keep a model."""
        name = request["ModelName"]
        containers = [request["PrimaryContainer"]] if "PrimaryContainer" in request else []
        containers += request.get("Containers", [])
        if not containers:
            raise invalid("You must provide either PrimaryContainer or Containers.")
        if len(containers) > 1:
            raise not_offered("a model of several containers")
        if "ExecutionRoleArn" not in request:
            raise invalid("ExecutionRoleArn is required.")
        container = containers[0]
        if container.get("Mode", "SingleModel") != "SingleModel":
            raise not_offered("multi-model containers")
        container.setdefault("Mode", "SingleModel")
        if "ModelPackageName" in container:
            if "Image" in container or "ModelDataUrl" in container:
                raise invalid("Specify either ModelPackageName or Image and ModelDataUrl.")
            container = self._packages.container(container)
        if not container.get("Image"):
            raise not_offered("a container without an Image")
        model_arn = arn("model", name)
        with self._cloud.lock:
            if name in self._models:
                raise invalid(f'Cannot create already existing model "{model_arn}".')
            self._models[name] = Model(name, model_arn, now(), request, container)
            self._cloud.tags[model_arn] = as_pairs(request.get("Tags", []))
        return {"ModelArn": model_arn}

    def describe_model(self, request: dict[str, Any]) -> Answer:
        """A model as it was given."""
        with self._cloud.lock:
            model = self.model(request["ModelName"])
        return {
            "EnableNetworkIsolation": False,
            **model.request,
            "ModelArn": model.arn,
            "CreationTime": model.created,
        }

    def list_models(self, request: dict[str, Any]) -> Answer:
        """Summaries, filtered and sorted."""
        with self._cloud.lock:
            found, token = page(self._models.values(), request)
        summaries = [
            {"ModelName": each.name, "ModelArn": each.arn, "CreationTime": each.created}
            for each in found
        ]
        return {"Models": summaries, "NextToken": token}

    def delete_model(self, request: dict[str, Any]) -> None:
        """Forget a model; an endpoint that runs it goes on."""
        with self._cloud.lock:
            model = self.model(request["ModelName"])
            del self._models[model.name]
            self._cloud.tags.pop(model.arn, None)

    def create_config(self, request: dict[str, Any]) -> Answer:
        """Keep an endpoint configuration whose models exist."""
        name = request["EndpointConfigName"]
        config_arn = arn("endpoint-config", name)
        _check(request)
        with self._cloud.lock:
            if name in self._configs:
                raise invalid(
                    f'Cannot create already existing endpoint configuration "{config_arn}".'
                )
            for variant in _all_variants(request):
                model = self.model(variant["ModelName"])
                if "ServerlessConfig" in variant:
                    check_serverless_model(model.request)
            self._configs[name] = EndpointConfig(name, config_arn, now(), request)
            self._cloud.tags[config_arn] = as_pairs(request.get("Tags", []))
        return {"EndpointConfigArn": config_arn}

    def describe_config(self, request: dict[str, Any]) -> Answer:
        """An endpoint configuration as it was given."""
        with self._cloud.lock:
            config = self.config(request["EndpointConfigName"])
        return {
            "EnableNetworkIsolation": False,
            **config.request,
            "EndpointConfigArn": config.arn,
            "CreationTime": config.created,
        }

    def list_configs(self, request: dict[str, Any]) -> Answer:
        """Summaries, filtered and sorted."""
        with self._cloud.lock:
            found, token = page(self._configs.values(), request)
        summaries = [
            {
                "EndpointConfigName": each.name,
                "EndpointConfigArn": each.arn,
                "CreationTime": each.created,
            }
            for each in found
        ]
        return {"EndpointConfigs": summaries, "NextToken": token}

    def delete_config(self, request: dict[str, Any]) -> None:
        """Forget an endpoint configuration; an endpoint that runs it goes on."""
        with self._cloud.lock:
            config = self.config(request["EndpointConfigName"])
            del self._configs[config.name]
            self._cloud.tags.pop(config.arn, None)


# What is done, or is kept and described and would change nothing here; the rest is refused.
KNOWN = {
    *("EndpointConfigName", "ProductionVariants", "ShadowProductionVariants", "Tags", "KmsKeyId"),
    *("ExecutionRoleArn", "VpcConfig", "EnableNetworkIsolation"),
    *("MetricsConfig", "DataCaptureConfig", "AsyncInferenceConfig"),
}
KNOWN_OF_VARIANTS = {
    *("VariantName", "ModelName", "InstanceType", "InitialInstanceCount", "InitialVariantWeight"),
    *("VolumeSizeInGB", "InferenceAmiVersion", "ContainerStartupHealthCheckTimeoutInSeconds"),
    *("ModelDataDownloadTimeoutInSeconds", "ServerlessConfig"),
}
PUBLISHED = (10, 30, 60, 120, 180, 240, 300)


def _all_variants(request: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [*request["ProductionVariants"], *request.get("ShadowProductionVariants", [])]


def _check(request: dict[str, Any]) -> None:
    """What AWS checks beyond the model of the service, and what is not offered here."""
    for name in sorted(set(request) - KNOWN):
        raise not_offered(name)
    if request.get("DataCaptureConfig", {}).get("EnableCapture"):
        raise not_offered("data capture")
    if is_serverless(request):
        check_serverless(request)
    if "AsyncInferenceConfig" in request:
        check_asynchronous(request)
    metrics = request.get("MetricsConfig", {})
    if metrics.get("EnableDetailedObservability"):
        raise not_offered("EnableDetailedObservability")
    if metrics.get("MetricPublishFrequencyInSeconds", 60) not in PUBLISHED:
        raise invalid(f"MetricPublishFrequencyInSeconds must be one of {PUBLISHED}.")
    variants = request["ProductionVariants"]
    shadows = request.get("ShadowProductionVariants", [])
    if shadows and (len(variants), len(shadows)) != (1, 1):
        raise invalid(
            "With ShadowProductionVariants, exactly one ProductionVariant and one "
            "ShadowProductionVariant must be specified."
        )
    names = [variant["VariantName"] for variant in _all_variants(request)]
    if len(set(names)) != len(names):
        raise invalid("Variant names must be unique within an endpoint configuration.")
    for variant in _all_variants(request):
        if "ModelName" not in variant:
            raise not_offered("variants without a ModelName")
        placed = "InstanceType" in variant and "InitialInstanceCount" in variant
        if not placed and "ServerlessConfig" not in variant:
            raise invalid(
                f"InstanceType and InitialInstanceCount are required for the production variant "
                f"{variant['VariantName']}."
            )
        for name in sorted(set(variant) - KNOWN_OF_VARIANTS):
            raise not_offered(name)
        variant.setdefault("InitialVariantWeight", 1.0)
    if not any(variant["InitialVariantWeight"] > 0 for variant in variants):
        raise invalid("At least one production variant must have a weight greater than 0.")
