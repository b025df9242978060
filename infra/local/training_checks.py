"""What CreateTrainingJob refuses beyond the service's model, and what is not offered here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from infra.local import metrics
from infra.local.launch import OPT_ML
from infra.local.wire import invalid, not_offered

MOST_INSTANCES = 20


def check(request: Mapping[str, Any]) -> None:
    """What AWS checks beyond the model of the service, and what is not offered here."""
    specification = request.get("AlgorithmSpecification", {})
    if not specification.get("TrainingImage"):
        raise invalid("You must specify a TrainingImage in AlgorithmSpecification.")
    if specification.get("TrainingInputMode", "File") == "Pipe":
        raise not_offered("the input mode Pipe")
    for definition in specification.get("MetricDefinitions", []):
        metrics.compiled(definition)
    resources = request.get("ResourceConfig", {})
    if "InstanceGroups" in resources:
        raise not_offered("InstanceGroups")
    if not 1 <= resources.get("InstanceCount", 1) <= MOST_INSTANCES:
        raise not_offered(f"other than 1 to {MOST_INSTANCES} instances for a job")
    if "InstanceType" not in resources:
        raise invalid("ResourceConfig with an InstanceType is required.")
    names = [channel["ChannelName"] for channel in request.get("InputDataConfig", [])]
    if len(set(names)) != len(names):
        raise invalid("Channel names must be unique in InputDataConfig.")
    for channel in request.get("InputDataConfig", []):
        source = channel["DataSource"].get("S3DataSource")
        if source is None or source["S3DataType"] != "S3Prefix":
            raise not_offered("channels other than an S3Prefix")
        if channel.get("InputMode", "File") == "Pipe":
            raise not_offered("the input mode Pipe")
    stopping = request.get("StoppingCondition", {})
    longest = stopping.get("MaxWaitTimeInSeconds")
    if request.get("EnableManagedSpotTraining"):
        if longest is None or longest < stopping.get("MaxRuntimeInSeconds", 86400):
            raise invalid(
                "Invalid MaxWaitTimeInSeconds. It must be present and be greater than or equal "
                "to MaxRuntimeInSeconds"
            )
    elif longest is not None:
        raise invalid(
            "MaxWaitTimeInSeconds above 0 is only allowed when EnableManagedSpotTraining is true"
        )
    local = request.get("CheckpointConfig", {}).get("LocalPath", OPT_ML)
    if not (local == OPT_ML or local.startswith(f"{OPT_ML}/")) or ".." in local:
        raise not_offered(f"a checkpoint LocalPath outside {OPT_ML}")
