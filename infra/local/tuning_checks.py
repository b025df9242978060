"""What CreateHyperParameterTuningJob refuses beyond the service's model, and the space it asks for.

Messages that AMT is known for are AMT's; the others are ours, with the same error code.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from infra.local import metrics
from infra.local.searches import Choices, Dimension, Interval, Scale, automatic, has_optuna
from infra.local.tunings import ENDED, PASSED_ON, TuningJob
from infra.local.wire import RefusalError, invalid, not_offered

MOST_JOBS = 750
MOST_PARALLEL = 10
MOST_TUNED = 30
MOST_RESOURCE = 20_000
EPOCHS = ("epochs", "numepochs", "n-epochs", "n_epochs", "num_epochs")
MOST_CHANGED = 10
CHANGEABLE = (
    *("AlgorithmSpecification", "InputDataConfig", "OutputDataConfig", "StaticHyperParameters"),
    *("RoleArn", "ResourceConfig", "StoppingCondition", "VpcConfig", "EnableManagedSpotTraining"),
    "CheckpointConfig",
)
OBJECTIVE = "_tuning_objective_metric"


def check(request: Mapping[str, Any]) -> None:
    """Refuse what AMT would refuse, and what is not offered here.

    Raises:
        RefusalError: the first thing that is wrong.
    """
    config = request["HyperParameterTuningJobConfig"]
    _check_offered(request, config)
    definition = request["TrainingJobDefinition"]
    _check_objective(config, definition)
    dimensions = space(config)
    tuned = {each.name for each in dimensions}
    if len(tuned) != len(dimensions):
        raise invalid("Hyperparameter names must be unique in ParameterRanges.")
    both = sorted(tuned & set(definition.get("StaticHyperParameters", {})))
    if both:
        raise invalid(
            f"The hyperparameters {both} are in both StaticHyperParameters and ParameterRanges."
        )
    _check_limits(config, dimensions)
    strategy = config["Strategy"]
    if strategy == "Hyperband":
        if config.get("TrainingJobEarlyStoppingType", "Off") != "Off":
            raise invalid("TrainingJobEarlyStoppingType must be Off for the Hyperband strategy.")
        resources(config, definition)
    elif "StrategyConfig" in config:
        raise invalid("StrategyConfig is only supported for the Hyperband strategy.")
    if strategy == "Bayesian" and not has_optuna():
        raise not_offered("the Bayesian strategy without the package optuna (extra: training)")


def _check_offered(request: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    if "TrainingJobDefinitions" in request:
        raise not_offered("several TrainingJobDefinitions; give one TrainingJobDefinition")
    if "TrainingJobDefinition" not in request:
        raise invalid("A TrainingJobDefinition is required.")
    if "Autotune" in request or config.get("ParameterRanges", {}).get("AutoParameters"):
        raise not_offered("Autotune and AutoParameters")
    definition = request["TrainingJobDefinition"]
    for name in ("TuningObjective", "HyperParameterRanges"):
        if name in definition:
            raise invalid(f"{name} is only supported in TrainingJobDefinitions.")
    if "HyperParameterTuningResourceConfig" in definition:
        raise not_offered("HyperParameterTuningResourceConfig; give a ResourceConfig")
    convergence = config.get("TuningJobCompletionCriteria", {}).get("ConvergenceDetected", {})
    if convergence.get("CompleteOnConvergence") == "Enabled":
        raise not_offered("the completion criterion ConvergenceDetected")


def _check_objective(config: Mapping[str, Any], definition: Mapping[str, Any]) -> None:
    defined = definition["AlgorithmSpecification"].get("MetricDefinitions", [])
    for each in defined:
        metrics.compiled(each)
    objective = config.get("HyperParameterTuningJobObjective", {}).get("MetricName")
    if objective not in [each["Name"] for each in defined]:
        raise invalid(
            "A metric is required for this hyperparameter tuning job objective. "
            "Provide a metric in the metric definitions."
        )


def _check_limits(config: Mapping[str, Any], dimensions: Sequence[Dimension]) -> None:
    limits = config["ResourceLimits"]
    for name, most, what in (
        ("MaxParallelTrainingJobs", MOST_PARALLEL, "parallel training jobs"),
        ("MaxNumberOfTrainingJobs", MOST_JOBS, "training jobs"),
    ):
        if limits.get(name, 0) > most:
            raise RefusalError(
                "ResourceLimitExceeded",
                f"The account-level service limit 'Number of {what} per hyperparameter tuning job' "
                f"is {most}, with a request delta of {limits[name]}. Please use AWS Service Quotas "
                "to request an increase for this quota.",
            )
    if not 1 <= len(dimensions) <= MOST_TUNED:
        raise invalid(
            f"A hyperparameter tuning job tunes 1 to {MOST_TUNED} hyperparameters; ParameterRanges "
            f"has {len(dimensions)}."
        )
    wanted = limits.get("MaxNumberOfTrainingJobs")
    combinations = math.prod(each.size for each in dimensions)
    if config["Strategy"] == "Grid":
        if any(isinstance(each, Interval) for each in dimensions):
            raise invalid(
                "The Grid strategy supports only CategoricalParameterRanges; remove the integer "
                "and continuous ranges or choose another strategy."
            )
        if combinations > MOST_JOBS:
            raise invalid(
                f"The Grid strategy would launch {combinations} training jobs, more than the "
                f"{MOST_JOBS} of a hyperparameter tuning job."
            )
        if wanted is not None and wanted != combinations:
            raise invalid(
                f"For the Grid strategy, MaxNumberOfTrainingJobs ({wanted}) must be equal to the "
                f"number of combinations ({combinations}), or be left out."
            )
    elif wanted is None and "MaxRuntimeInSeconds" not in limits:
        raise invalid("MaxNumberOfTrainingJobs is required unless MaxRuntimeInSeconds is given.")
    elif wanted is not None and combinations < wanted:
        raise invalid(
            "You don't have enough combinations of hyperparameter ranges. The total number of "
            f"hyperparameter combinations for the provided ranges [{combinations}] must be equal "
            f"or greater than the value of MaxNumberOfJobs, [{wanted}]. Provide additional ranges."
        )


def check_parents(job: TuningJob) -> None:
    """Refuse a warm start that AMT would refuse.

    Raises:
        RefusalError: a parent runs still, or differs from the job in what must not differ.
    """
    for parent in job.parents:
        if parent.status not in ENDED:
            raise invalid(
                f"The parent hyperparameter tuning job {parent.name} is in status {parent.status}; "
                "it must have ended."
            )
        if (parent.metric, parent.maximize) != (job.metric, job.maximize):
            raise invalid(
                f"The objective metric must be the same as that of the parent {parent.name}, "
                f"{parent.metric}."
            )
        if job.request["WarmStartConfig"]["WarmStartType"] == "IdenticalDataAndAlgorithm":
            _check_same(job, parent)
        _check_fields(job, parent)
        _check_names(job, parent)
    launched = sum(len(parent.children) for parent in job.parents)
    wanted = job.config["ResourceLimits"].get("MaxNumberOfTrainingJobs", 0)
    if job.parents and launched + wanted > MOST_JOBS:
        raise invalid(
            f"The parents' {launched} training jobs and this job's {wanted} together are more than "
            f"the {MOST_JOBS} of a hyperparameter tuning job."
        )


def _check_same(job: TuningJob, parent: TuningJob) -> None:
    images = [
        each.definition["AlgorithmSpecification"].get("TrainingImage") for each in (job, parent)
    ]
    if images[0] != images[1]:
        raise invalid(
            f"IdenticalDataAndAlgorithm needs the training image of the parent {parent.name}, "
            f"{images[1]}; TransferLearning does not."
        )


def _check_fields(job: TuningJob, parent: TuningJob) -> None:
    fixed = [each for each in PASSED_ON if each not in CHANGEABLE]
    if any(job.definition.get(each) != parent.definition.get(each) for each in fixed):
        names = ", ".join(each[0].lower() + each[1:] for each in CHANGEABLE)
        raise invalid(
            f"Only the following fields in TrainingJobDefinition are allowed to change: [{names}]."
        )


def _check_names(job: TuningJob, parent: TuningJob) -> None:
    tuned, static = _names(job)
    tuned_before, static_before = _names(parent)
    if len(tuned | static) != len(tuned_before | static_before):
        raise invalid(
            "The total number of static and tunable hyperparameters must be the same as that of "
            f"the parent {parent.name}: {len(tuned_before | static_before)}, not "
            f"{len(tuned | static)}."
        )
    changed = (tuned & static_before) | (static & tuned_before)
    if len(changed) > MOST_CHANGED:
        raise invalid(
            f"At most {MOST_CHANGED} hyperparameters may change between static and tunable; "
            f"{len(changed)} do."
        )


def _names(job: TuningJob) -> tuple[set[str], set[str]]:
    static = set(job.definition["StaticHyperParameters"]) - {OBJECTIVE}
    return {each.name for each in space(job.config)}, static


def space(config: Mapping[str, Any]) -> list[Dimension]:
    """What is tuned, in the order of the request: integer, continuous, categorical.

    Raises:
        RefusalError: a bound is no number, the bounds are the wrong way round, or a scale does
            not fit them.
    """
    ranges = config.get("ParameterRanges", {})
    return [
        *(_interval(each, whole=True) for each in ranges.get("IntegerParameterRanges", [])),
        *(_interval(each, whole=False) for each in ranges.get("ContinuousParameterRanges", [])),
        *(_choices(each) for each in ranges.get("CategoricalParameterRanges", [])),
    ]


def _choices(given: Mapping[str, Any]) -> Choices:
    if len(set(given["Values"])) != len(given["Values"]):
        raise invalid(f"The values of the categorical range {given['Name']} must be unique.")
    return Choices(given["Name"], tuple(given["Values"]))


def _interval(given: Mapping[str, Any], *, whole: bool) -> Interval:
    name, number = given["Name"], int if whole else float
    try:
        low, high = float(number(given["MinValue"])), float(number(given["MaxValue"]))
    except ValueError:
        raise invalid(
            f"The bounds of {name} must be {'integers' if whole else 'numbers'}; they are "
            f"{given['MinValue']!r} and {given['MaxValue']!r}."
        ) from None
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise invalid(
            f"The MinValue of {name} must be less than its MaxValue; they are "
            f"{given['MinValue']} and {given['MaxValue']}."
        )
    asked = given.get("ScalingType", "Auto")
    if asked == "Logarithmic" and low <= 0:
        raise invalid(f"Logarithmic scaling needs a range above 0; {name} begins at {low}.")
    if asked == "ReverseLogarithmic" and (whole or low < 0 or high >= 1):
        raise invalid(
            f"ReverseLogarithmic scaling needs a continuous range within 0 <= x < 1; {name} is "
            f"from {low} to {high}."
        )
    scale: Scale = automatic(low, high) if asked == "Auto" else asked
    return Interval(name, low, high, scale, whole)


def resources(config: Mapping[str, Any], definition: Mapping[str, Any]) -> tuple[int, int]:
    """Hyperband's least and most epochs.

    Raises:
        RefusalError: the most is neither given nor in the static hyperparameters, or too many.
    """
    given = config.get("StrategyConfig", {}).get("HyperbandStrategyConfig", {})
    most = given.get("MaxResource")
    static = definition.get("StaticHyperParameters", {})
    for name in EPOCHS:
        text = static.get(name, "").strip('"')
        if most is None and text.isdecimal():
            most = int(text)
    if most is None:
        raise invalid(
            "MaxResource could not be inferred: give it in HyperbandStrategyConfig, or one of "
            f"{', '.join(EPOCHS)} in StaticHyperParameters."
        )
    least = given.get("MinResource", 1)
    if not least <= most <= MOST_RESOURCE:
        raise invalid(
            f"Hyperband needs MinResource <= MaxResource <= {MOST_RESOURCE}; they are {least} "
            f"and {most}."
        )
    return least, most
