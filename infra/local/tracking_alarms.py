"""The CloudWatch alarms that a target tracking policy makes for itself.

Two, as on AWS: above the target for three periods, below 90 % of it for fifteen.
"""

from __future__ import annotations

from typing import Any

from infra.local.meter import NAMESPACE
from infra.local.scalable_targets import Policy, owner
from infra.local.scaling_rules import SCALE_IN_PART

HIGH_PERIODS = 3
LOW_PERIODS = 15
MINUTE = 60.0


def requests(policy: Policy, period: float) -> list[dict[str, Any]]:
    """PutMetricAlarm's parameters for the high and the low alarm; nothing for other policies.

    Args:
        policy: the policy.
        period: of the metric, in seconds. A target of invocations is one of a minute.
    """
    tracking = policy.tracking
    if tracking is None:
        return []
    threshold = tracking["TargetValue"]
    metric = tracking.get("CustomizedMetricSpecification")
    if metric is None:
        endpoint, variant = owner(policy.resource)
        metric = {
            "MetricName": "InvocationsPerInstance",
            "Namespace": NAMESPACE,
            "Dimensions": [
                {"Name": "EndpointName", "Value": endpoint},
                {"Name": "VariantName", "Value": variant},
            ],
            "Statistic": "Sum",
        }
        threshold *= period / MINUTE
    kinds = (
        ("High", "GreaterThanThreshold", threshold, HIGH_PERIODS),
        ("Low", "LessThanThreshold", threshold * SCALE_IN_PART, LOW_PERIODS),
    )
    return [
        {
            **metric,
            "AlarmName": f"TargetTracking-{policy.resource}-Alarm{kind}-{policy.identity}",
            "AlarmDescription": f"DO NOT EDIT OR DELETE. For TargetTrackingScaling policy "
            f"{policy.arn}.",
            "ComparisonOperator": sign,
            "Threshold": value,
            "Period": int(period),
            "EvaluationPeriods": periods,
            "AlarmActions": [policy.arn],
        }
        for kind, sign, value, periods in kinds
    ]
