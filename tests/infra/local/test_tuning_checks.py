"""What CreateHyperParameterTuningJob refuses, asked through boto3 as a user would."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.support.local_cloud import Bench

pytestmark = pytest.mark.slow

X = {"Name": "x", "MinValue": "0", "MaxValue": "1"}
N = {"Name": "n", "MinValue": "1", "MaxValue": "3"}
ABC = {"Name": "c", "Values": ["a", "b", "c"]}
CONTINUOUS: Mapping[str, Any] = {"ContinuousParameterRanges": [X]}


def refusal(bench: Bench, request: Mapping[str, Any]) -> tuple[str, str]:
    with pytest.raises(ClientError) as error:
        bench.sagemaker.create_hyper_parameter_tuning_job(**request)
    return error.value.response["Error"]["Code"], error.value.response["Error"]["Message"]


@pytest.fixture
def request_(bench: Bench) -> dict[str, Any]:
    return bench.tuning_request("print('never')", CONTINUOUS)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"Strategy": "Grid"}, "supports only CategoricalParameterRanges"),
        (
            {"Strategy": "Grid", "ParameterRanges": {"CategoricalParameterRanges": [ABC]}},
            None,
        ),
        (
            {
                "Strategy": "Grid",
                "ParameterRanges": {"CategoricalParameterRanges": [ABC]},
                "ResourceLimits": {"MaxNumberOfTrainingJobs": 2, "MaxParallelTrainingJobs": 1},
            },
            "must be equal to the number of combinations (3)",
        ),
        (
            {
                "ParameterRanges": {"IntegerParameterRanges": [N]},
                "ResourceLimits": {"MaxNumberOfTrainingJobs": 10, "MaxParallelTrainingJobs": 1},
            },
            "You don't have enough combinations of hyperparameter ranges. The total number of "
            "hyperparameter combinations for the provided ranges [3",
        ),
        ({"Strategy": "Hyperband"}, "MaxResource could not be inferred"),
        (
            {"Strategy": "Hyperband", "TrainingJobEarlyStoppingType": "Auto"},
            "must be Off for the Hyperband strategy",
        ),
        (
            {
                "Strategy": "Hyperband",
                "StrategyConfig": {"HyperbandStrategyConfig": {"MinResource": 5, "MaxResource": 4}},
            },
            "MinResource <= MaxResource <= 20000",
        ),
        (
            {"StrategyConfig": {"HyperbandStrategyConfig": {"MinResource": 5}}},
            "only supported for the Hyperband strategy",
        ),
        (
            {"HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": "auc"}},
            "A metric is required for this hyperparameter tuning job objective. "
            "Provide a metric in the metric definitions.",
        ),
        ({"ResourceLimits": {"MaxParallelTrainingJobs": 1}}, "MaxNumberOfTrainingJobs is required"),
        ({"ParameterRanges": {}}, "1 to 30 hyperparameters; ParameterRanges has 0"),
        (
            {"ParameterRanges": {"ContinuousParameterRanges": [{**X, "MinValue": "one"}]}},
            "The bounds of x must be numbers",
        ),
        (
            {"ParameterRanges": {"IntegerParameterRanges": [{**N, "MinValue": "1.5"}]}},
            "The bounds of n must be integers",
        ),
        (
            {"ParameterRanges": {"ContinuousParameterRanges": [{**X, "MinValue": "1"}]}},
            "must be less than its MaxValue",
        ),
        (
            {
                "ParameterRanges": {
                    "ContinuousParameterRanges": [{**X, "ScalingType": "Logarithmic"}]
                }
            },
            "Logarithmic scaling needs a range above 0",
        ),
        (
            {
                "ParameterRanges": {
                    "IntegerParameterRanges": [{**N, "ScalingType": "ReverseLogarithmic"}]
                }
            },
            "ReverseLogarithmic scaling needs a continuous range",
        ),
        (
            {"ParameterRanges": {"ContinuousParameterRanges": [X, X]}},
            "names must be unique",
        ),
        (
            {"ParameterRanges": {"CategoricalParameterRanges": [{**ABC, "Values": ["a", "a"]}]}},
            "values of the categorical range c must be unique",
        ),
        (
            {
                "TuningJobCompletionCriteria": {
                    "ConvergenceDetected": {"CompleteOnConvergence": "Enabled"}
                }
            },
            "does not offer the completion criterion ConvergenceDetected",
        ),
    ],
)
def test_a_config_that_amt_would_refuse_is_refused(
    bench: Bench, request_: dict[str, Any], config: dict[str, Any], message: str | None
) -> None:
    request_["HyperParameterTuningJobConfig"] |= config
    if message is None:
        bench.tuned(bench.start_tuning(request_))
        return
    code, found = refusal(bench, request_)
    assert code == "ValidationException"
    assert message in found


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"MaxNumberOfTrainingJobs": 751, "MaxParallelTrainingJobs": 1}, "is 750"),
        ({"MaxNumberOfTrainingJobs": 20, "MaxParallelTrainingJobs": 11}, "is 10"),
    ],
)
def test_what_is_over_a_limit_of_the_account_is_refused(
    bench: Bench, request_: dict[str, Any], limits: dict[str, int], message: str
) -> None:
    request_["HyperParameterTuningJobConfig"]["ResourceLimits"] = limits
    code, found = refusal(bench, request_)
    assert code == "ResourceLimitExceeded"
    assert message in found


def test_the_models_own_limits_hold(bench: Bench, request_: dict[str, Any]) -> None:
    request_["HyperParameterTuningJobName"] = "n" * 33
    many = {"Name": "many", "Values": [str(n) for n in range(31)]}
    request_["HyperParameterTuningJobConfig"]["ParameterRanges"] = {
        "CategoricalParameterRanges": [many]
    }
    _, found = refusal(bench, request_)
    assert "3 validation errors" in found  # the name breaks its pattern, too
    assert "at 'hyperParameterTuningJobName'" in found
    assert "length less than or equal to 30" in found


def test_more_than_thirty_hyperparameters_of_all_kinds_are_refused(
    bench: Bench, request_: dict[str, Any]
) -> None:
    request_["HyperParameterTuningJobConfig"]["ParameterRanges"] = {
        "ContinuousParameterRanges": [{**X, "Name": f"x{n}"} for n in range(16)],
        "IntegerParameterRanges": [{**N, "Name": f"n{n}"} for n in range(15)],
    }
    assert "ParameterRanges has 31" in refusal(bench, request_)[1]


@pytest.mark.parametrize(
    ("definition", "message"),
    [
        ({"StaticHyperParameters": {"x": "1"}}, "['x'] are in both"),
        ({"ResourceConfig": None}, "ResourceConfig with an InstanceType is required"),
        ({"EnableManagedSpotTraining": True}, "Invalid MaxWaitTimeInSeconds"),
    ],
)
def test_a_definition_that_no_training_job_could_have_is_refused(
    bench: Bench, request_: dict[str, Any], definition: dict[str, Any], message: str
) -> None:
    changed = {**request_["TrainingJobDefinition"], **definition}
    request_["TrainingJobDefinition"] = {
        name: each for name, each in changed.items() if each is not None
    }
    code, found = refusal(bench, request_)
    assert code == "ValidationException"
    assert message in found


def test_several_definitions_are_not_offered(bench: Bench, request_: dict[str, Any]) -> None:
    request_["TrainingJobDefinitions"] = [request_.pop("TrainingJobDefinition")]
    assert "does not offer several TrainingJobDefinitions" in refusal(bench, request_)[1]


def test_a_parent_must_be_there_and_fit(bench: Bench, request_: dict[str, Any]) -> None:
    request_["HyperParameterTuningJobConfig"] |= {
        "Strategy": "Grid",
        "ParameterRanges": {"CategoricalParameterRanges": [ABC]},
    }
    request_["TrainingJobDefinition"]["StaticHyperParameters"]["seed"] = "1"
    parent = bench.start_tuning(request_)
    child = copy.deepcopy(request_)
    child["HyperParameterTuningJobName"] = bench.name("child")
    warm = {"ParentHyperParameterTuningJobs": [{"HyperParameterTuningJobName": "nobody"}]}
    child["WarmStartConfig"] = {**warm, "WarmStartType": "TransferLearning"}
    assert refusal(bench, child)[0] == "ResourceNotFound"
    child["WarmStartConfig"]["ParentHyperParameterTuningJobs"] = [
        {"HyperParameterTuningJobName": parent}
    ]
    bench.tuned(parent)
    fewer = copy.deepcopy(child)
    del fewer["TrainingJobDefinition"]["StaticHyperParameters"]["seed"]
    assert "total number of static and tunable" in refusal(bench, fewer)[1]
    other = copy.deepcopy(child)
    other["HyperParameterTuningJobConfig"]["HyperParameterTuningJobObjective"]["Type"] = "Maximize"
    assert "objective metric must be the same" in refusal(bench, other)[1]
    elsewhere = copy.deepcopy(child)
    elsewhere["TrainingJobDefinition"]["Environment"] = {"A": "b"}
    assert (
        "Only the following fields in TrainingJobDefinition are allowed to change: ["
        in (refusal(bench, elsewhere)[1])
    )
    image = copy.deepcopy(child)
    image["WarmStartConfig"]["WarmStartType"] = "IdenticalDataAndAlgorithm"
    image["TrainingJobDefinition"]["AlgorithmSpecification"]["TrainingImage"] = "other:1"
    assert "needs the training image of the parent" in refusal(bench, image)[1]
