"""What a metric alarm may ask for."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import Any

from infra.local import evaluation, figures
from infra.local.series import is_percentile
from infra.local.wire import RefusalError

DAY = 86_400
REQUIRED = ("EvaluationPeriods", "Threshold", "ComparisonOperator")
OF_ONE_METRIC = ("MetricName", "Namespace", "Period")
NOT_BESIDE_METRICS = (*OF_ONE_METRIC, "Dimensions", "Unit", "Statistic", "ExtendedStatistic")
REFUSED = (
    *("ThresholdMetricId", "EvaluationWindow", "WarmUpConfiguration"),
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
    if "Metrics" in request:
        _check_metrics(request)
        period = period_of(request["Metrics"])
    else:
        _check_metric(request)
        period = request["Period"]
    count = request["EvaluationPeriods"]
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
    if low is not None and (
        low not in ("evaluate", "ignore") or "ExtendedStatistic" not in request
    ):
        raise invalid(f"Option {low} is not supported for EvaluateLowSampleCountPercentile.")
    for name in ACTIONS.values():
        for arn in request.get(name, []):
            if service_of(arn) not in actions:
                raise invalid(f"The local cloud does not offer the action {arn}.")


def _check_metric(request: Mapping[str, Any]) -> None:
    for name in OF_ONE_METRIC:
        if name not in request:
            raise invalid(f"The parameter {name} is required.")
    if ("Statistic" in request) == ("ExtendedStatistic" in request):
        raise invalid("Exactly one of Statistic and ExtendedStatistic must be specified.")
    extended = request.get("ExtendedStatistic")
    if extended and not is_percentile(extended):
        raise invalid(f"The value {extended} for parameter ExtendedStatistic is not supported.")


def _check_metrics(request: Mapping[str, Any]) -> None:
    for name in NOT_BESIDE_METRICS:
        if name in request:
            raise invalid(f"The parameter {name} cannot be specified together with Metrics.")
    queries = request["Metrics"]
    figures.check(queries)
    if sum(each.get("ReturnData", True) for each in queries) != 1:
        raise invalid("Exactly one element of the metrics list should return data.")
    periods = {each["MetricStat"]["Period"] for each in queries if "MetricStat" in each}
    if len(periods) != 1:
        raise invalid("Metrics list must contain metrics, and all of the same period.")


def period_of(queries: Sequence[Mapping[str, Any]]) -> int:
    """The period that all metrics of an alarm have."""
    return int(next(each["MetricStat"]["Period"] for each in queries if "MetricStat" in each))
