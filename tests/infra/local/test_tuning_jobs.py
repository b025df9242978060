from __future__ import annotations

import copy
import re
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.support.local_cloud import Bench, until

pytestmark = pytest.mark.slow

# Prints (x − 0.3)² + 1/epoch, for as many epochs as it is told.
PARABOLA = """
    import json, os, time
    given = json.loads(os.environ["SM_HPS"])
    for epoch in range(1, given.get("epochs", 2) + 1):
        print(f"loss={(float(given['x']) - 0.3) ** 2 + 1 / epoch};", flush=True)
        time.sleep(given.get("pause", 0))
"""
# Never ends by itself where x is 0.9.
ENDLESS_IF_BAD = """
    import json, os, time
    x = json.loads(os.environ["SM_HPS"])["x"]
    for epoch in range(1, 8 if x < 0.9 else 10**6):
        print(f"loss={(x - 0.3) ** 2 + 1 / epoch};", flush=True)
        time.sleep(0.02)
"""
GOOD_ONE_FIRST = 2
X = {"ContinuousParameterRanges": [{"Name": "x", "MinValue": "0", "MaxValue": "1"}]}


def choices(*values: str, name: str = "x") -> dict[str, Any]:
    return {"CategoricalParameterRanges": [{"Name": name, "Values": list(values)}]}


def code_of(error: pytest.ExceptionInfo[ClientError]) -> str:
    return str(error.value.response["Error"]["Code"])


def value(trial: dict[str, Any]) -> float:
    return float(trial["FinalHyperParameterTuningJobObjectiveMetric"]["Value"])


def test_a_random_search_runs_training_jobs_and_finds_the_best(bench: Bench) -> None:
    job = bench.tune(PARABOLA, X, jobs=4, parallel=2, static={"epochs": "2"})
    name = job["HyperParameterTuningJobName"]
    assert job["HyperParameterTuningJobStatus"] == "Completed"
    trials = bench.trials(name)
    assert len(trials) == job["TrainingJobStatusCounters"]["Completed"] == 4
    assert job["ObjectiveStatusCounters"] == {"Succeeded": 4, "Pending": 0, "Failed": 0}
    for number, trial in enumerate(trials, 1):
        assert re.fullmatch(rf"{name}-00{number}-[0-9a-f]{{8}}", trial["TrainingJobName"])
        x = float(trial["TunedHyperParameters"]["x"])
        assert value(trial) == pytest.approx((x - 0.3) ** 2 + 0.5)
        assert trial["ObjectiveStatus"] == "Succeeded"
    best = min(trials, key=value)
    assert job["BestTrainingJob"]["TrainingJobName"] == best["TrainingJobName"]
    assert job["HyperParameterTuningEndTime"] >= job["CreationTime"]


def test_its_training_jobs_are_ordinary_ones_with_merged_hyperparameters(bench: Bench) -> None:
    request = bench.tuning_request(PARABOLA, X, jobs=1, static={"epochs": "1", "kind": '"a b"'})
    request["Tags"] = [{"Key": "project", "Value": "flights"}]
    job = bench.tuned(bench.start_tuning(request))
    trial = bench.job(job["BestTrainingJob"]["TrainingJobName"])
    assert trial["TuningJobArn"] == job["HyperParameterTuningJobArn"]
    static = request["TrainingJobDefinition"]["StaticHyperParameters"]
    assert trial["HyperParameters"] == {
        **static,
        **job["BestTrainingJob"]["TunedHyperParameters"],
        "_tuning_objective_metric": "loss",
    }
    assert trial["ModelArtifacts"]["S3ModelArtifacts"].startswith("s3://")
    assert trial["FinalMetricDataList"][0]["MetricName"] == "loss"
    for each in (job["HyperParameterTuningJobArn"], trial["TrainingJobArn"]):
        assert bench.sagemaker.list_tags(ResourceArn=each)["Tags"] == request["Tags"]


def test_a_seed_gives_the_same_values_again(bench: Bench) -> None:
    def tried() -> list[str]:
        job = bench.tune(PARABOLA, X, strategy="Bayesian", jobs=2)
        found = bench.trials(job["HyperParameterTuningJobName"])
        return [each["TunedHyperParameters"]["x"] for each in found]

    assert tried() == tried()


def test_no_more_jobs_run_at_once_than_allowed(bench: Bench) -> None:
    job = bench.tune(PARABOLA, X, jobs=4, parallel=2, static={"pause": "0.2"})
    trials = [
        bench.job(each["TrainingJobName"])
        for each in bench.trials(job["HyperParameterTuningJobName"])
    ]
    for trial in trials:
        moment = trial["CreationTime"]
        at_once = [
            each for each in trials if each["CreationTime"] <= moment < each["TrainingEndTime"]
        ]
        assert len(at_once) <= 2


def test_a_grid_runs_every_combination_once(bench: Bench) -> None:
    ranges = {
        "CategoricalParameterRanges": [
            {"Name": "x", "Values": ["0.1", "0.3"]},
            {"Name": "epochs", "Values": ["1", "2"]},
        ]
    }
    job = bench.tune(PARABOLA, ranges, strategy="Grid", jobs=None, parallel=2)
    tried = [
        tuple(each["TunedHyperParameters"][name] for name in ("x", "epochs"))
        for each in bench.trials(job["HyperParameterTuningJobName"])
    ]
    assert tried == [("0.1", "1"), ("0.1", "2"), ("0.3", "1"), ("0.3", "2")]
    assert job["BestTrainingJob"]["TunedHyperParameters"] == {"x": "0.3", "epochs": "2"}


def test_hyperband_stops_a_job_that_is_not_among_the_best_at_a_rung(bench: Bench) -> None:
    job = bench.tune(
        ENDLESS_IF_BAD,
        choices("0.3", "0.9"),
        strategy="Hyperband",
        jobs=2,
        StrategyConfig={"HyperbandStrategyConfig": {"MinResource": 2, "MaxResource": 20_000}},
        RandomSeed=GOOD_ONE_FIRST,
    )
    good, bad = bench.trials(job["HyperParameterTuningJobName"])
    assert (good["TunedHyperParameters"], good["TrainingJobStatus"]) == ({"x": "0.3"}, "Completed")
    assert (bad["TunedHyperParameters"], bad["TrainingJobStatus"]) == ({"x": "0.9"}, "Stopped")
    assert bad["ObjectiveStatus"] == "Succeeded"
    assert job["BestTrainingJob"]["TrainingJobName"] == good["TrainingJobName"]


def test_early_stopping_ends_a_job_that_falls_behind_the_median(bench: Bench) -> None:
    job = bench.tune(
        ENDLESS_IF_BAD,
        choices("0.3", "0.31", "0.32", "0.9"),
        strategy="Grid",
        jobs=4,
        TrainingJobEarlyStoppingType="Auto",
    )
    trials = bench.trials(job["HyperParameterTuningJobName"])
    assert [each["TrainingJobStatus"] for each in trials] == [*["Completed"] * 3, "Stopped"]
    assert job["TrainingJobStatusCounters"]["Stopped"] == 1


def test_stopping_it_stops_its_jobs_and_keeps_what_was_found(bench: Bench) -> None:
    request = bench.tuning_request(
        PARABOLA,
        choices("0.1", "0.2", "0.3"),
        static={"epochs": "1000", "pause": "0.05"},
        parallel=2,
    )
    name = bench.start_tuning(request)
    until(lambda: bench.trials(name), lambda found: len(found) == 2)
    for each in bench.trials(name):
        until(
            lambda trial=each: bench.job_lines(trial["TrainingJobName"]),
            lambda lines: len(lines) > 2,
        )
    bench.sagemaker.stop_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
    bench.sagemaker.stop_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
    job = bench.tuned(name)
    assert job["HyperParameterTuningJobStatus"] == "Stopped"
    assert job["TrainingJobStatusCounters"]["Stopped"] == 2
    assert job["ObjectiveStatusCounters"]["Succeeded"] == 2
    assert "BestTrainingJob" in job
    with pytest.raises(ClientError, match="is in status Stopped"):
        bench.sagemaker.stop_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)


def test_a_trial_that_fails_is_counted_and_the_others_go_on(bench: Bench) -> None:
    program = PARABOLA + '\n    if given["x"] == 2: raise ValueError("two is too many")\n'
    job = bench.tune(program, choices("1", "2", "3"), strategy="Grid")
    assert job["HyperParameterTuningJobStatus"] == "Completed"
    assert job["TrainingJobStatusCounters"]["NonRetryableError"] == 1
    assert job["ObjectiveStatusCounters"] == {"Succeeded": 2, "Pending": 0, "Failed": 1}
    failed = bench.trials(job["HyperParameterTuningJobName"], StatusEquals="Failed")
    assert [each["TunedHyperParameters"]["x"] for each in failed] == ["2"]
    assert "two is too many" in failed[0]["FailureReason"]
    assert failed[0]["ObjectiveStatus"] == "Failed"
    assert "FinalHyperParameterTuningJobObjectiveMetric" not in failed[0]


def test_when_no_trial_succeeds_it_fails_after_five(bench: Bench) -> None:
    job = bench.tune("raise SystemExit(1)", X, jobs=9, parallel=3)
    assert job["HyperParameterTuningJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("No training job succeeded after ")
    assert 5 <= job["TrainingJobStatusCounters"]["NonRetryableError"] < 9
    assert "BestTrainingJob" not in job


def test_when_no_trial_prints_the_objective_it_fails_and_says_so(bench: Bench) -> None:
    job = bench.tune("print('los=3;')", X, jobs=2)
    assert job["HyperParameterTuningJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("No objective metrics found after running 2 training")
    assert job["TrainingJobStatusCounters"]["Completed"] == 2


def test_it_ends_when_the_target_is_reached_or_nothing_gets_better(bench: Bench) -> None:
    grid = choices("0.9", "0.3", "0.8", "0.7", "0.6", "0.5")
    job = bench.tune(
        PARABOLA,
        grid,
        strategy="Grid",
        jobs=6,
        TuningJobCompletionCriteria={"TargetObjectiveMetricValue": 0.51},
    )
    assert job["TrainingJobStatusCounters"]["Completed"] == 2
    assert value(job["BestTrainingJob"]) == pytest.approx(0.5)
    job = bench.tune(
        PARABOLA,
        grid,
        strategy="Grid",
        jobs=6,
        TuningJobCompletionCriteria={
            "BestObjectiveNotImproving": {"MaxNumberOfTrainingJobsNotImproving": 3}
        },
    )
    assert job["TrainingJobStatusCounters"]["Completed"] == 5
    assert job["TuningJobCompletionDetails"]["NumberOfTrainingJobsObjectiveNotImproving"] == 3


def test_a_warm_start_knows_what_its_parents_found(bench: Bench) -> None:
    first = bench.tuning_request(PARABOLA, X, jobs=10, parallel=5)  # Optuna draws ten at random
    parent = bench.tuned(bench.start_tuning(first))
    assert "OverallBestTrainingJob" not in parent
    cold = copy.deepcopy(first)
    cold["HyperParameterTuningJobName"] = bench.name("tuning")
    cold["HyperParameterTuningJobConfig"] |= {
        "Strategy": "Bayesian",
        "ResourceLimits": {"MaxNumberOfTrainingJobs": 1, "MaxParallelTrainingJobs": 1},
    }
    warm = copy.deepcopy(cold)
    warm["HyperParameterTuningJobName"] = bench.name("tuning")
    parents = [{"HyperParameterTuningJobName": first["HyperParameterTuningJobName"]}]
    warm["WarmStartConfig"] = {
        "ParentHyperParameterTuningJobs": parents,
        "WarmStartType": "IdenticalDataAndAlgorithm",
    }
    cold_job, job = (bench.tuned(bench.start_tuning(each)) for each in (cold, warm))
    tried = [each["BestTrainingJob"]["TunedHyperParameters"] for each in (cold_job, job)]
    assert tried[0] != tried[1]
    assert job["WarmStartConfig"] == warm["WarmStartConfig"]
    both = [*bench.trials(first["HyperParameterTuningJobName"]), job["BestTrainingJob"]]
    overall = min(both, key=value)
    assert job["OverallBestTrainingJob"]["TrainingJobName"] == overall["TrainingJobName"]
    assert overall["TrainingJobName"].startswith(job["OverallBestTrainingJob"]["TuningJobName"])


def test_its_training_jobs_are_listed_by_objective_by_status_and_in_pages(bench: Bench) -> None:
    program = PARABOLA + '\n    if given["x"] == 0.5: raise SystemExit(1)\n'
    job = bench.tune(program, choices("0.9", "0.5", "0.3", "0.8"), strategy="Grid", jobs=4)
    name = job["HyperParameterTuningJobName"]
    pages = list(
        bench.sagemaker.get_paginator("list_training_jobs_for_hyper_parameter_tuning_job").paginate(
            HyperParameterTuningJobName=name,
            SortBy="FinalObjectiveMetricValue",
            SortOrder="Ascending",
            PaginationConfig={"PageSize": 2},
        )
    )
    found = [
        [each["TunedHyperParameters"]["x"] for each in page["TrainingJobSummaries"]]
        for page in pages
    ]
    assert found == [["0.3", "0.8"], ["0.9"]]
    completed = bench.trials(name, StatusEquals="Completed", SortOrder="Descending")
    assert [each["TunedHyperParameters"]["x"] for each in completed] == ["0.8", "0.3", "0.9"]


def test_tuning_jobs_are_listed_and_deleted(bench: Bench) -> None:
    prefix = bench.name("listed")
    for number in (1, 2):
        request = bench.tuning_request(PARABOLA, choices("1", "2"), strategy="Grid", jobs=2)
        request["HyperParameterTuningJobName"] = f"{prefix}-{number}"
        bench.tuned(bench.start_tuning(request))
    listed = bench.sagemaker.list_hyper_parameter_tuning_jobs
    found = listed(NameContains=prefix, StatusEquals="Completed")[
        "HyperParameterTuningJobSummaries"
    ]
    names = [each["HyperParameterTuningJobName"] for each in found]
    assert names == [f"{prefix}-1", f"{prefix}-2"]
    assert found[0]["TrainingJobStatusCounters"]["Completed"] == 2
    bench.sagemaker.delete_hyper_parameter_tuning_job(HyperParameterTuningJobName=names[0])
    assert len(listed(NameContains=prefix)["HyperParameterTuningJobSummaries"]) == 1
    with pytest.raises(bench.sagemaker.exceptions.ResourceNotFound):
        bench.tuning(names[0])


def test_a_tuning_job_that_does_not_exist_is_not_found(bench: Bench) -> None:
    for operation in (
        "describe_hyper_parameter_tuning_job",
        "stop_hyper_parameter_tuning_job",
        "list_training_jobs_for_hyper_parameter_tuning_job",
        "delete_hyper_parameter_tuning_job",
    ):
        with pytest.raises(ClientError) as error:
            getattr(bench.sagemaker, operation)(HyperParameterTuningJobName="nobody")
        assert code_of(error) == "ResourceNotFound"


def test_two_tuning_jobs_cannot_have_one_name(bench: Bench) -> None:
    request = bench.tuning_request(PARABOLA, choices("1", "2"), strategy="Grid", jobs=2)
    name = bench.start_tuning(request)
    with pytest.raises(bench.sagemaker.exceptions.ResourceInUse, match="must be unique"):
        bench.start_tuning(request)
    with pytest.raises(bench.sagemaker.exceptions.ClientError, match="cannot be deleted"):
        bench.sagemaker.delete_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
    bench.tuned(name)
