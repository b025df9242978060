"""What a metric alarm may ask for."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any

from infra.local import evaluation
from infra.local.series import SIMPLE, is_percentile
from infra.local.wire import RefusalError

DAY = 86_400
REQUIRED = (
    *("MetricName", "Namespace", "Period", "EvaluationPeriods"),
    *("Threshold", "ComparisonOperator"),
)
REFUSED = (
    *("Metrics", "ThresholdMetricId", "EvaluationWindow", "WarmUpConfiguration"),
    *("EvaluationCriteria", "EvaluationInterval", "ActionConfiguration"),
)
# The list of actions for each state.
ACTIONS = {
    evaluation.OK: "OKActions",
    evaluation.ALARM: "AlarmActions",
    evaluation.INSUFFICIENT: "InsufficientDataActions",
}


def invalid(message: str) -> RefusalError:
    """The refusal of a wrong alarm."""
    return RefusalError("ValidationError", message)


def service_of(arn: str) -> str:
    """The service that an ARN names; whatever is no ARN names itself."""
    return arn.split(":")[2] if arn.count(":") >= 5 else arn


def check(request: Mapping[str, Any], actions: Container[str]) -> None:
    """What CloudWatch checks beyond the model of the service, and what is not offered here.

    Args:
        request: PutMetricAlarm's.
        actions: the services whose ARNs an alarm may act on.

    Raises:
        RefusalError: something is wrong.
    """
    for name in REFUSED:
        if name in request:
            raise invalid(f"The local cloud does not offer {name}.")
    for name in REQUIRED:
        if name not in request:
            raise invalid(f"The parameter {name} is required.")
    if ("Statistic" in request) == ("ExtendedStatistic" in request):
        raise invalid("Exactly one of Statistic and ExtendedStatistic must be specified.")
    extended = request.get("ExtendedStatistic")
    if extended and not is_percentile(extended):
        raise invalid(f"The value {extended} for parameter ExtendedStatistic is not supported.")
    if request.get("Statistic", SIMPLE[0]) not in SIMPLE:
        raise invalid(f"The local cloud does not offer the statistic {request['Statistic']}.")
    period, count = request["Period"], request["EvaluationPeriods"]
    if period not in (10, 20, 30) and period % 60:
        raise invalid(f"Period {period} must be 10, 20, 30 or a multiple of 60.")
    if period * count > (DAY if period < 3600 else 7 * DAY):
        raise invalid(
            "Metrics cannot be checked across more than a day (EvaluationPeriods*Period)."
        )
    if request.get("DatapointsToAlarm", 1) > count:
        raise invalid("DatapointsToAlarm must not be greater than EvaluationPeriods.")
    if request["ComparisonOperator"] not in evaluation.OPERATORS:
        raise invalid(f"The local cloud does not offer {request['ComparisonOperator']}.")
    if request.get("TreatMissingData", "missing") not in evaluation.MISSING:
        raise invalid(
            f"Option {request['TreatMissingData']} is not supported for TreatMissingData."
        )
    low = request.get("EvaluateLowSampleCountPercentile")
    if low is not None and (low not in ("evaluate", "ignore") or not extended):
        raise invalid(f"Option {low} is not supported for EvaluateLowSampleCountPercentile.")
    for name in ACTIONS.values():
        for arn in request.get(name, []):
            if service_of(arn) not in actions:
                raise invalid(f"The local cloud does not offer the action {arn}.")
