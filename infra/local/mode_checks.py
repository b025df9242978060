"""What CreateEndpointConfig refuses of serverless and asynchronous endpoints.

The developer guide lists what serverless endpoints do not have ("Feature exclusions"). That an
asynchronous endpoint has one variant is this cloud's limit.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from infra.local.wire import invalid, not_offered

MEMORY = range(1024, 6145, 1024)
EXCLUDED = {
    "VpcConfig": "a VPC configuration",
    "EnableNetworkIsolation": "network isolation",
    "DataCaptureConfig": "data capture",
    "ShadowProductionVariants": "shadow variants",
    "AsyncInferenceConfig": "asynchronous inference",
    "ExplainerConfig": "explanations",
}
OF_INSTANCES = (
    *("InstanceType", "InitialInstanceCount", "VolumeSizeInGB", "InferenceAmiVersion"),
    *("ContainerStartupHealthCheckTimeoutInSeconds", "ModelDataDownloadTimeoutInSeconds"),
)


def is_serverless(request: Mapping[str, Any]) -> bool:
    """Whether an endpoint configuration has a serverless variant."""
    return any("ServerlessConfig" in each for each in request["ProductionVariants"])


def check_serverless(request: Mapping[str, Any]) -> None:
    """A configuration that has a serverless variant.

    Raises:
        RefusalError: with what it must not have.
    """
    variants = request["ProductionVariants"]
    if len(variants) > 1:
        raise invalid("Serverless endpoints support exactly one production variant.")
    _exclude(request)
    variant = variants[0]
    for name in OF_INSTANCES:
        if name in variant:
            raise invalid(
                f"{name} and ServerlessConfig must not both be given for variant "
                f"{variant['VariantName']}."
            )
    config = variant["ServerlessConfig"]
    if config["MemorySizeInMB"] not in MEMORY:
        raise invalid(
            "MemorySizeInMB must be 1024, 2048, 3072, 4096, 5120 or 6144, not "
            f"{config['MemorySizeInMB']}."
        )
    if "ProvisionedConcurrency" in config:
        raise not_offered("ProvisionedConcurrency")


def check_serverless_model(request: Mapping[str, Any]) -> None:
    """The model of a serverless variant, as CreateModel gave it.

    Raises:
        RefusalError: with what it must not have.
    """
    _exclude(request)


def _exclude(request: Mapping[str, Any]) -> None:
    for name, what in EXCLUDED.items():
        if request.get(name):
            raise invalid(f"Serverless endpoints do not support {what} ({name}).")


def check_asynchronous(request: Mapping[str, Any]) -> None:
    """A configuration that has an AsyncInferenceConfig.

    Raises:
        RefusalError: with what it lacks or must not have.
    """
    config = request["AsyncInferenceConfig"]
    output = config["OutputConfig"]
    if len(request["ProductionVariants"]) > 1 or request.get("ShadowProductionVariants"):
        raise not_offered("several variants of an asynchronous endpoint")
    if "S3OutputPath" not in output:
        raise invalid("S3OutputPath is required in the OutputConfig of AsyncInferenceConfig.")
    for name in ("S3OutputPath", "S3FailurePath"):
        if not output.get(name, "s3://").startswith("s3://"):
            raise not_offered(f"addresses other than s3:// ({output[name]})")
    wanted = output.get("NotificationConfig", {}).get("IncludeInferenceResponseIn", [])
    unknown = sorted(set(wanted) - {"SUCCESS_NOTIFICATION_TOPIC", "ERROR_NOTIFICATION_TOPIC"})
    if unknown:
        raise invalid(f"IncludeInferenceResponseIn does not know {unknown[0]}.")
