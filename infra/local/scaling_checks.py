"""What PutScalingPolicy refuses beyond the service's model, and what is not offered here."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

from infra.local.wire import invalid, not_offered

PREDEFINED = "SageMakerVariantInvocationsPerInstance"


def check_policy(request: Mapping[str, Any]) -> None:
    """A PutScalingPolicy request with its PolicyType.

    Raises:
        RefusalError: its configuration is missing, wrong or not offered.
    """
    kind = request["PolicyType"]
    if kind == "PredictiveScaling":
        raise not_offered("predictive scaling")
    tracks = "TargetTrackingScalingPolicyConfiguration" in request
    steps = "StepScalingPolicyConfiguration" in request
    if (tracks, steps) != (kind == "TargetTrackingScaling", kind == "StepScaling"):
        raise invalid(f"PolicyType {kind} needs its own configuration, and no other.")
    if tracks:
        _check_tracking(request["TargetTrackingScalingPolicyConfiguration"])
    else:
        _check_steps(request["StepScalingPolicyConfiguration"])


def _check_tracking(config: Mapping[str, Any]) -> None:
    custom, predefined = (
        config.get(f"{kind}MetricSpecification") for kind in ("Customized", "Predefined")
    )
    if bool(custom) == bool(predefined):
        raise invalid("Specify either a predefined metric or a customized metric, and not both.")
    if config["TargetValue"] <= 0:
        raise invalid("TargetValue must be greater than 0.")
    if predefined and predefined["PredefinedMetricType"] != PREDEFINED:
        raise not_offered(f"the predefined metric {predefined['PredefinedMetricType']}")
    if predefined and "ResourceLabel" in predefined:
        raise invalid(f"ResourceLabel cannot be specified for {PREDEFINED}.")
    if custom and "Metrics" in custom:
        raise not_offered("metric math")
    if custom and not {"MetricName", "Namespace", "Statistic"} <= set(custom):
        raise invalid("A customized metric needs MetricName, Namespace and Statistic.")


def _check_steps(config: Mapping[str, Any]) -> None:
    if not config.get("AdjustmentType") or not config.get("StepAdjustments"):
        raise invalid("AdjustmentType and at least one step adjustment are required.")
    if config.get("MetricAggregationType", "Average") != "Average":
        raise not_offered(f"MetricAggregationType {config['MetricAggregationType']}")
    bounds = sorted(
        (
            step.get("MetricIntervalLowerBound", float("-inf")),
            step.get("MetricIntervalUpperBound", float("inf")),
        )
        for step in config["StepAdjustments"]
    )
    if any(low >= high for low, high in bounds) or any(
        before[1] > after[0] for before, after in itertools.pairwise(bounds)
    ):
        raise invalid("The intervals of step adjustments must not be empty and must not overlap.")
