"""The service's own search: what is asked of it, and what it would refuse."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.local import wire
from infra.resources import Account
from infra.tuning import TuningJob, children_at_a_time, ranges, refusals
from shared import hyperparameters
from shared.hyperparameters import Choice, Range
from shared.problem import Tuning
from tests.support import projects
from tests.support.deployments import wanted

RANGE = {"learning_rate": Range(1e-4, 1e-2, "log")}
LISTS = {"dropout": Choice((0.0, 0.2)), "layers": Choice(("auto", 1, 2))}


def service(**changes: Any) -> Tuning:
    """A search by the service."""
    return Tuning(**{"where": "service", "space": RANGE | LISTS, **changes})


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> TuningJob:
    toml = projects.TOML.replace("trials = 1", 'trials = 5\nwhere = "service"')
    toml = toml.replace("[0.0, 0.2]", "{ min = 0.0, max = 0.2 }")
    want = wanted(tmp_path_factory.mktemp("project"), toml=toml)
    assert isinstance(want.job, TuningJob)
    return want.job


def config(job: TuningJob, attempt: int = 1, *finished: tuple[str, int]) -> dict[str, Any]:
    found = job.request(attempt, finished)["HyperParameterTuningJobConfig"]
    assert isinstance(found, dict)
    return found


def validated(request: dict[str, Any]) -> None:
    """Refuse what the service's own model of a request refuses: names, lengths, patterns."""
    model = wire.service("sagemaker")
    shape = model.operation_model("CreateHyperParameterTuningJob").input_shape
    assert wire.read(shape, json.loads(json.dumps(request))) == request


@pytest.mark.parametrize(
    ("strategy", "theirs", "stopping"),
    [
        ("random", "Random", "Auto"),
        ("bayesian", "Bayesian", "Auto"),
        ("grid", "Grid", "Off"),
        ("hyperband", "Hyperband", "Off"),
    ],
)
def test_every_strategy_becomes_the_services_own(
    job: TuningJob, strategy: Any, theirs: str, stopping: str
) -> None:
    asked = replace(job, tuning=service(strategy=strategy, space=LISTS))
    validated(asked.request(1))
    found = config(asked)
    assert found["Strategy"] == theirs
    assert found["TrainingJobEarlyStoppingType"] == stopping
    assert found["HyperParameterTuningJobObjective"] == {
        "Type": "Minimize",
        "MetricName": "val_loss",
    }


def test_the_objective_is_one_of_the_metrics_that_a_child_prints(job: TuningJob) -> None:
    definition = job.request(1)["TrainingJobDefinition"]
    assert isinstance(definition, dict)
    names = [one["Name"] for one in definition["AlgorithmSpecification"]["MetricDefinitions"]]
    assert config(job)["HyperParameterTuningJobObjective"]["MetricName"] in names


def test_the_service_itself_counts_the_combinations_of_a_grid(job: TuningJob) -> None:
    limits = config(replace(job, tuning=service(strategy="grid", space=LISTS)))["ResourceLimits"]
    assert "MaxNumberOfTrainingJobs" not in limits
    assert config(job)["ResourceLimits"]["MaxNumberOfTrainingJobs"] == 5


def test_a_child_is_the_projects_own_training_job(job: TuningJob) -> None:
    definition = job.request(1)["TrainingJobDefinition"]
    own = job.job.request(1)
    assert isinstance(definition, dict)
    # A tuning job has no profiler of its own to turn off.
    for key in set(own) - {"TrainingJobName", "HyperParameters", "Tags", "ProfilerConfig"}:
        assert definition[key] == own[key]
    static = definition["StaticHyperParameters"]
    assert "dropout" not in static  # the space holds it
    assert static == {
        name: value for name, value in own["HyperParameters"].items() if name != "dropout"
    }


def test_hyperband_lets_a_child_live_that_has_trained_all_its_epochs(job: TuningJob) -> None:
    asked = replace(job, tuning=service(strategy="hyperband"))
    resource = config(asked)["StrategyConfig"]["HyperbandStrategyConfig"]
    epochs = int(dict(job.job.hyperparameters)["epochs"])
    lines_of_a_child = epochs + 1  # one for each epoch, one for the weights that it keeps
    assert resource == {"MinResource": 1, "MaxResource": lines_of_a_child + 1}


def test_the_seed_is_the_projects_and_another_attempts_is_another(job: TuningJob) -> None:
    asked = replace(job, tuning=service(seed=7))
    assert config(asked)["RandomSeed"] == 7
    assert config(asked, 2)["RandomSeed"] == 8


def test_ranges_carry_their_kind_and_scale() -> None:
    found = ranges(
        {
            "learning_rate": Range(1e-5, 1e-2, "log"),
            "dropout": Range(0.0, 0.5),
            "units": Range(8, 512, "log", integer=True),
            "optimizer": Choice(("adam", "nadam")),
        }
    )
    assert found["ContinuousParameterRanges"] == [
        {"Name": "dropout", "MinValue": "0.0", "MaxValue": "0.5", "ScalingType": "Linear"},
        {
            "Name": "learning_rate",
            "MinValue": "1e-05",
            "MaxValue": "0.01",
            "ScalingType": "Logarithmic",
        },
    ]
    assert found["IntegerParameterRanges"] == [
        {"Name": "units", "MinValue": "8", "MaxValue": "512", "ScalingType": "Logarithmic"}
    ]
    assert found["CategoricalParameterRanges"] == [
        {"Name": "optimizer", "Values": ['"adam"', '"nadam"']}
    ]


VALUES: dict[str, list[Any]] = {
    "layers": ["auto", 3],
    "taper": ["auto", True, False],
    "batch_norm": [True, False],
    "dropout": ["auto", 0, 0.25],
    "learning_rate": [1e-5, 0.01],
    "activation": ["relu", "prelu"],
}


@pytest.mark.parametrize("name", VALUES)
def test_a_listed_value_reaches_training_as_it_was_written(name: str) -> None:
    texts = ranges({name: Choice(tuple(VALUES[name]))})["CategoricalParameterRanges"][0]["Values"]
    assert isinstance(texts, list)
    for text, value in zip(texts, VALUES[name], strict=True):
        for given_to_the_child in (text, json.dumps(text)):  # some launchers encode it once more
            found = getattr(hyperparameters.decode({name: given_to_the_child}), name)
            assert found == value
            assert isinstance(found, bool) == isinstance(value, bool)


@given(st.floats(1e-7, 9.0), st.floats(1e-7, 9.0))
def test_the_bounds_of_a_range_reach_training_to_the_bit(one: float, other: float) -> None:
    low, high = sorted((one, other))
    if low == high:
        return
    bounds = ranges({"learning_rate": Range(low, high)})["ContinuousParameterRanges"][0]
    for name, value in (("MinValue", low), ("MaxValue", high)):
        assert hyperparameters.decode({"learning_rate": bounds[name]}).learning_rate == value


def test_a_long_projects_name_is_cut_and_digests_keep_names_apart(tmp_path: Path) -> None:
    names = set()
    for last in "ab":
        project = f"a-very-long-name-of-a-project-{last}"
        toml = projects.TOML.replace('"small"', f'"{project}"')
        toml = toml.replace("trials = 1", 'where = "service"')
        found = wanted(tmp_path / last, toml=toml).job
        for attempt in (1, 2, 99):
            request = found.request(attempt)
            validated(request)
            name = request["HyperParameterTuningJobName"]
            assert isinstance(name, str)
            assert len(name) <= 32
            names.add(name)
    assert len(names) == 6


def test_other_parents_make_another_search(job: TuningJob) -> None:
    assert replace(job, parents=("one",)).name(1) != job.name(1)


def test_without_trials_the_service_is_asked_for_one_training_job(tmp_path: Path) -> None:
    toml = projects.TOML.replace("trials = 1", 'trials = 0\nwhere = "service"')
    assert not isinstance(wanted(tmp_path, toml=toml).job, TuningJob)


def test_an_attempt_after_a_stopped_one_begins_with_what_that_found(job: TuningJob) -> None:
    request = job.request(3, [(job.name(1), 2), (job.name(2), 0)])
    validated(request)
    assert request["WarmStartConfig"] == {
        "ParentHyperParameterTuningJobs": [{"HyperParameterTuningJobName": job.name(1)}],
        "WarmStartType": "IdenticalDataAndAlgorithm",
    }
    assert config(job, 3, (job.name(1), 2))["ResourceLimits"]["MaxNumberOfTrainingJobs"] == 3


def test_after_an_attempt_in_which_nothing_finished_all_is_tried_again(job: TuningJob) -> None:
    assert "WarmStartConfig" not in job.request(2, [(job.name(1), 0)])
    assert config(job, 2, (job.name(1), 0))["ResourceLimits"]["MaxNumberOfTrainingJobs"] == 5


def test_a_grid_never_begins_with_what_was_found(job: TuningJob) -> None:
    asked = replace(job, tuning=service(strategy="grid", space=LISTS))
    assert "WarmStartConfig" not in asked.request(2, [(job.name(1), 3)])


def test_named_parents_may_have_had_other_data(job: TuningJob) -> None:
    asked = replace(job, parents=("january", "february"))
    found = asked.request(2, [(asked.name(1), 1)])["WarmStartConfig"]
    assert isinstance(found, dict)
    assert found["WarmStartType"] == "TransferLearning"
    parents = found["ParentHyperParameterTuningJobs"]
    names = [parent["HyperParameterTuningJobName"] for parent in parents]
    assert names == [asked.name(1), "january", "february"]


@pytest.mark.parametrize(
    ("tuning", "local", "most"),
    [
        (service(), True, 2),
        (service(), False, 2),
        (service(strategy="random"), False, 4),
        (service(strategy="random", trials=3), False, 3),
        (service(parallel=7), True, 7),
        (service(parallel=7, trials=2), False, 2),
    ],
)
def test_as_many_children_run_as_is_asked_and_never_more_than_trials(
    tuning: Tuning, most: int, *, local: bool
) -> None:
    assert children_at_a_time(tuning, local=local) == most


REFUSED: dict[str, tuple[Tuning, tuple[str, ...], str, str]] = {
    "candidates": (
        service(strategy="manual", candidates=({"dropout": 0.1},), space={}),
        (),
        "tuning.strategy",
        "grid",
    ),
    "folds": (service(folds=3), (), "tuning.folds", 'where = "job"'),
    "too many trials": (service(trials=751), (), "tuning.trials", "750"),
    "too large a grid": (
        service(
            strategy="grid",
            space={
                "dropout": Choice(tuple(number / 100 for number in range(28))),
                "units": Choice(tuple(range(8, 36))),
            },
        ),
        (),
        "tuning.space",
        "default quota",
    ),
    "too many at a time": (service(parallel=11), (), "tuning.parallel", "default quota"),
    "too many values": (
        service(space={"units": Choice(tuple(range(8, 39)))}),
        (),
        "tuning.space.units",
        "31 values",
    ),
    "too many parents": (service(), tuple("abcdef"), "tuning.warm_start", "5 are the most"),
    "a parent twice": (service(), ("a", "a"), "tuning.warm_start", "twice"),
    "a parent that cannot be": (service(), ("a_b",), "tuning.warm_start", "'a_b'"),
    "a parent of a grid": (
        service(strategy="grid", space=LISTS),
        ("a",),
        "tuning.warm_start",
        "bayesian",
    ),
    "a parent of hyperband": (
        service(strategy="hyperband"),
        ("a",),
        "tuning.warm_start",
        "random",
    ),
    "a parent inside the job": (
        Tuning(space=LISTS),
        ("a",),
        "tuning.warm_start",
        'where = "service"',
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_the_service_would_refuse_is_refused_with_key_and_cure(case: str) -> None:
    tuning, parents, where, part = REFUSED[case]
    (refused,) = refusals(tuning, parents)
    assert refused.where == where
    assert part in str(refused)


def test_more_hyperparameters_than_the_service_searches_are_refused() -> None:
    tuning = service()
    every = {f"knob_{number}": Choice((1, 2)) for number in range(31)}
    object.__setattr__(tuning, "space", every)  # more than there are
    (refused,) = refusals(tuning, ())
    assert "31 hyperparameters are searched; 30 are the most" in str(refused)


def test_what_the_service_takes_is_not_refused() -> None:
    assert not list(refusals(service(), ("a", "b-1")))
    assert not list(refusals(Tuning(space=LISTS, trials=5000, folds=5), ()))


def test_on_aws_as_here_the_request_is_one_that_the_service_knows(tmp_path: Path) -> None:
    toml = projects.TOML.replace("trials = 1", 'trials = 5\nwhere = "service"\nparallel = 3')
    toml = toml.replace('max_runtime = "10m"', 'max_runtime = "10m"\nspot = true')
    account = Account("123456789012", "eu-central-1", local=False)
    request = wanted(tmp_path, toml=toml, account=account).job.request(1)
    validated(request)
    definition = request["TrainingJobDefinition"]
    assert isinstance(definition, dict)
    assert definition["EnableManagedSpotTraining"]
    assert definition["StoppingCondition"]["MaxWaitTimeInSeconds"] == 1200
    assert ".eu-central-1." in definition["AlgorithmSpecification"]["TrainingImage"]
