"""The console's "Create training job" form, filled in: every field, in the form's own order.

Made from the parameters of CreateTrainingJob, so that the form, the JSON and a deployment ask for
the same job.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

NONE = "(leave empty)"


@dataclass(frozen=True)
class Part:
    """One section of the form: its title, and labels with what to enter."""

    title: str
    fields: tuple[tuple[str, str], ...]


def form(request: Mapping[str, Any]) -> tuple[Part, ...]:
    """The form for the parameters of a CreateTrainingJob call."""
    algorithm, resources = request["AlgorithmSpecification"], request["ResourceConfig"]
    return (
        Part(
            "Job settings",
            (
                ("Job name", request["TrainingJobName"]),
                ("IAM role", request["RoleArn"]),
                ("Algorithm source", "Your own algorithm container in ECR"),
                ("Container (ECR path)", algorithm["TrainingImage"]),
                ("Input mode", algorithm["TrainingInputMode"]),
            ),
        ),
        Part(
            "Algorithm metrics (name: regex)",
            tuple((each["Name"], each["Regex"]) for each in algorithm["MetricDefinitions"]),
        ),
        Part(
            "Resource configuration",
            (
                ("Instance type", resources["InstanceType"]),
                ("Instance count", str(resources["InstanceCount"])),
                ("Additional storage per instance (GB)", str(resources["VolumeSizeInGB"])),
                ("Encryption key", resources.get("VolumeKmsKeyId", NONE)),
                ("Stopping condition", _seconds(request["StoppingCondition"], "MaxRuntime")),
            ),
        ),
        Part("Network", _network(request)),
        Part("Hyperparameters", tuple(sorted(request["HyperParameters"].items()))),
        *(_channel(each, algorithm["TrainingInputMode"]) for each in request["InputDataConfig"]),
        Part(
            "Checkpoint configuration",
            (
                ("S3 location", request["CheckpointConfig"]["S3Uri"]),
                ("Local path", request["CheckpointConfig"]["LocalPath"]),
            ),
        ),
        Part(
            "Output data configuration",
            (
                ("S3 output path", request["OutputDataConfig"]["S3OutputPath"]),
                ("Encryption key", request["OutputDataConfig"].get("KmsKeyId", NONE)),
            ),
        ),
        Part(
            "Managed spot training",
            (
                ("Enable", "yes" if request["EnableManagedSpotTraining"] else "no"),
                ("Maximum wait", _seconds(request["StoppingCondition"], "MaxWaitTime")),
            ),
        ),
        Part("Tags", tuple((each["Key"], each["Value"]) for each in request.get("Tags", []))),
    )


def _seconds(stopping: Mapping[str, int], what: str) -> str:
    seconds = stopping.get(f"{what}InSeconds")
    return NONE if seconds is None else f"{seconds} seconds"


def _network(request: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    network = request.get("VpcConfig", {})
    isolated, encrypted = (
        "yes" if request.get(name) else "no"
        for name in ("EnableNetworkIsolation", "EnableInterContainerTrafficEncryption")
    )
    return (
        ("VPC", "the one of the subnets" if network else "No VPC"),
        ("Subnets", ", ".join(network.get("Subnets", [])) or NONE),
        ("Security groups", ", ".join(network.get("SecurityGroupIds", [])) or NONE),
        ("Enable network isolation", isolated),
        ("Encrypt inter-container traffic", encrypted),
    )


def _channel(channel: Mapping[str, Any], mode: str) -> Part:
    source = channel["DataSource"]["S3DataSource"]
    return Part(
        f"Input data configuration: {channel['ChannelName']}",
        (
            ("Channel name", channel["ChannelName"]),
            ("Input mode", channel.get("InputMode", mode)),
            ("Content type", channel.get("ContentType", NONE)),
            ("Compression type", channel.get("CompressionType", "None")),
            ("Record wrapper", channel.get("RecordWrapperType", "None")),
            ("Data source", "S3"),
            ("S3 data type", source["S3DataType"]),
            ("S3 data distribution type", source["S3DataDistributionType"]),
            ("S3 location", source["S3Uri"]),
        ),
    )
