"""project.toml: what is accepted, and what a person is told about each mistake."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra import project
from shared.errors import ProjectError
from shared.problem import Problem
from shared.retraining import Retraining
from tests.support import projects

ROOT = Path(__file__).parent.parent.parent


def told(directory: Path, *changes: tuple[str, str]) -> str:
    """The message for the small project with some text replaced."""
    toml = projects.TOML
    for old, new in changes:
        assert old in toml
        toml = toml.replace(old, new)
    file = projects.make(directory, toml)
    with pytest.raises(ProjectError) as caught:
        project.load(file)
    message = str(caught.value)
    assert str(file) in message
    return message


def test_a_good_file_becomes_typed_settings(tmp_path: Path) -> None:
    settings = project.load(projects.make(tmp_path))
    assert settings.name == "small"
    assert settings.training.max_runtime == 600
    assert settings.problem.split.validation == 0.2
    assert [column.name for column in settings.problem.columns] == ["distance", "carrier"]
    assert settings.problem.sources[0].keys == {"carrier": "code"}
    assert settings.data.files == (tmp_path / "rows.csv",)
    assert settings.hyperparameters.units == 8
    assert settings.problem.tuning.space.keys() == {"dropout"}


@pytest.mark.parametrize("name", ["flights", "adult", "diamonds"])
def test_the_examples_are_good(name: str) -> None:
    assert project.load(ROOT / "examples" / name).name == name


def test_the_threshold_is_a_probability_or_a_rule(tmp_path: Path) -> None:
    for number, (text, fixed, rule) in enumerate(
        [("0.3", 0.3, None), ("1", 1.0, None), ('"f1"', 0.5, "f1")]
    ):
        toml = projects.TOML.replace("[training]", f"[training]\nthreshold = {text}")
        problem = project.load(projects.make(tmp_path / str(number), toml)).problem
        assert (problem.target.threshold, problem.threshold_rule) == (fixed, rule)


@pytest.mark.parametrize("text", ['"best"', "1.5", "-0.1", "true", "nan", "[0.5]"])
def test_any_other_threshold_is_refused_once(tmp_path: Path, text: str) -> None:
    message = told(tmp_path, ("[training]", f"[training]\nthreshold = {text}"))
    assert message.count("training.threshold") == 1
    assert 'a probability such as 0.5, or "f1" or "balanced_accuracy"' in message


def test_only_a_binary_target_has_a_threshold(tmp_path: Path) -> None:
    message = told(
        tmp_path,
        ("[training]", '[training]\nthreshold = "f1"'),
        ('"binary"', '"regression"'),
        ('target = "late"', 'target = "distance"'),
        ('distance = { kind = "numeric" }\n', ""),
    )
    assert "a regression target has no threshold (training.threshold)" in message


def test_a_directory_stands_for_its_project_file(tmp_path: Path) -> None:
    projects.make(tmp_path)
    assert project.load(tmp_path).path == tmp_path / "project.toml"


def test_columns_and_task_are_inferred_where_none_are_written(tmp_path: Path) -> None:
    toml = 'name = "small"\n[data]\nsource = "rows.csv"\ntarget = "late"\n'
    problem = project.load(projects.make(tmp_path, toml)).problem
    assert {column.name: column.kind for column in problem.columns} == {
        "distance": "numeric",
        "carrier": "category",
    }
    assert problem.target.task == "binary"


def test_times_of_a_split_may_be_dates_or_text_and_the_column_may_stand_in_data(
    tmp_path: Path,
) -> None:
    toml = projects.TOML.replace(
        'split  = { by = "random", validation = "20%", test = 0.2 }',
        'time = "distance"\n'
        'split = { by = "time", validation_from = 2020-01-01, test_from = "2020-02-01" }',
    ).replace('distance = { kind = "numeric" }', "")
    split = project.load(projects.make(tmp_path, toml)).problem.split
    assert (split.time, split.validation_from) == ("distance", "2020-01-01")


@pytest.mark.parametrize(
    ("written", "count"),
    [
        ('strategy = "grid"\nfolds = 5\n[tuning.space]\ndropout = [0.0, 0.2]\nlayers = [1, 2]', 4),
        ('strategy = "hyperband"\n[tuning.space]\nl2 = { min = 1e-6, max = 1, scale = "log" }', 12),
        ('strategy = "manual"\ncandidates = [{ dropout = 0.1, layers = 3 }, {}, { l2 = 1e-4 }]', 3),
        ("trials = 0\nparallel = 4", 0),
        ('trials = 0\nparallel = "auto"', 0),
    ],
)
def test_every_strategy_can_be_written(tmp_path: Path, written: str, count: int) -> None:
    toml = projects.TOML.partition("[tuning]")[0] + f"[tuning]\n{written}\n"
    settings = project.load(projects.make(tmp_path, toml))
    assert settings.problem.tuning.count == count
    assert Problem.from_json(settings.problem.to_json()) == settings.problem


MISTAKES = {
    "a misspelt section": (("[training]", "[trainning]"), "trainning: unknown key", "'training'"),
    "a misspelt key": (("target =", "targt ="), "data.targt: unknown key", "'target'"),
    "a missing key": (('target = "late"', ""), "data.target: is missing", "column to predict"),
    "a wrong type": (
        ('source = "rows.csv"', "source = 3"),
        "data.source: 3 is not allowed",
        "path",
    ),
    "a bad name": (('"small"', '"My project"'), "name: 'My project'", "lower-case"),
    "a bad task": (('"binary"', '"binray"'), "data.task: 'binray'", "multiclass"),
    "a bad duration": (('"10m"', '"10 mins"'), "training.max_runtime: '10 mins'", '"1h30m"'),
    "a duration without a unit": (('"10m"', "600"), "training.max_runtime: 600", '"1h30m"'),
    "a bad share": (('"20%"', '"120%"'), "data.split.validation: '120%'", '"10%"'),
    "a bad instance": (
        ('max_runtime = "10m"', 'instance = "m5.large"'),
        "training.instance: 'm5.large'",
        "ml.m5.xlarge",
    ),
    "a file that is not there": (
        ('"rows.csv"', '"row.csv"'),
        "data.source: does not exist",
        "rows.csv",
    ),
    "a glob that matches nothing": (('"rows.csv"', '"*.parquet"'), "data.source: matches", "holds"),
    "a target that is no column": (
        ('target = "late"', 'target = "lat"'),
        "data.target: rows.csv has no column 'lat'",
        "'late'",
    ),
    "a column that is not in the data": (
        ("distance =", "distanse ="),
        "data.columns.distanse: rows.csv has no column",
        "'distance'",
    ),
    "an unknown kind": (
        ('"numeric" }\ncarrier', '"number" }\ncarrier'),
        "distance.kind",
        "numeric",
    ),
    "an unknown option of a column": (
        ("min_count", "min_cuont"),
        "data.columns.carrier.min_cuont: unknown key",
        "min_count",
    ),
    "a split of an unknown sort": (('by = "random"', 'by = "luck"'), "data.split.by", "'random'"),
    "a key that means nothing to the split": (
        ('by = "random"', 'by = "random", test_from = 2020-01-01'),
        "data.split.test_from: means nothing",
        "validation",
    ),
    "a split column that is not there": (
        ('by = "random", validation = "20%", test = 0.2', 'by = "column", column = "splt"'),
        "data.split.column: rows.csv has no column 'splt'",
        "Known",
    ),
    "a source key that is no column of ours": (
        ("{ carrier =", "{ carier ="),
        "sources.carriers.keys",
        "'carrier'",
    ),
    "a source key that is no column of its table": (
        ('= "code" }', '= "cod" }'),
        "sources.carriers.keys.carrier: carriers.csv has no column 'cod'",
        "'code'",
    ),
    "a source column that is not there": (
        ("{ age =", "{ ages ="),
        "sources.carriers.columns.ages: carriers.csv has no column",
        "'age'",
    ),
    "a source table that is not there": (
        ('"carriers.csv"', '"carrier.csv"'),
        "sources.carriers.table: does not exist",
        "carriers.csv",
    ),
    "a source's name that a channel cannot have": (
        ("[sources.carriers]", "[sources.Carriers-1]"),
        "sources.Carriers-1: a source's name",
        "lower-case",
    ),
    "an unknown hyperparameter": (
        ("epochs = 1", "epoch = 1"),
        "training.hyperparameters.epoch: there is no such",
        "'epochs'",
    ),
    "a hyperparameter out of bounds": (
        ("epochs = 1", "epochs = 0"),
        "training.hyperparameters.epochs",
        "not between 1 and",
    ),
    "an unknown name in the space": (
        ("dropout =", "dropuot ="),
        "tuning.space.dropuot",
        "'dropout'",
    ),
    "a value in the space that is out of bounds": (
        ("[0.0, 0.2]", "[0.0, 2.0]"),
        "tuning.space.dropout",
        "not between 0 and 0.95",
    ),
    "a value twice in the space": (
        ("[0.0, 0.2]", "[0.2, 0.2]"),
        "tuning.space.dropout: 0.2 is listed twice",
        "List it once",
    ),
    "a range the wrong way round": (
        ("[0.0, 0.2]", "{ min = 0.5, max = 0.1 }"),
        "tuning.space.dropout",
        "less than max",
    ),
    "a misspelt key of a range": (
        ("[0.0, 0.2]", "{ min = 0.1, maks = 0.5 }"),
        "tuning.space.dropout: unknown key 'maks'",
        "max",
    ),
    "neither a range nor a list": (("[0.0, 0.2]", "0.2"), "tuning.space.dropout: 0.2", "{ min ="),
    "a strategy that never was": (
        ("trials = 1", 'strategy = "magic"'),
        "tuning.strategy: 'magic' is not allowed",
        '"hyperband"',
    ),
    "folds that cannot be": (("trials = 1", "folds = 0"), "tuning.folds: 0", "1 or more"),
    "no trial at a time": (
        ("trials = 1", "parallel = 0"),
        "tuning.parallel: 0 is not allowed",
        '"auto" or a whole number, 1 or more',
    ),
    "trials at a time in words": (
        ("trials = 1", 'parallel = "all"'),
        "tuning.parallel: 'all' is not allowed",
        '"auto" or a whole number, 1 or more',
    ),
    "a grid over a range": (
        (
            "trials = 1\n[tuning.space]",
            'strategy = "grid"\n[tuning.space]\nl2 = { min = 0, max = 1 }',
        ),
        "tuning.space.l2: a grid tries every combination, and a range has no last value",
        '"random"',
    ),
    "a grid with a number of trials": (
        ("trials = 1", 'trials = 1\nstrategy = "grid"'),
        'tuning.trials: strategy "grid" tries all that is listed',
        "leave the key out",
    ),
    "a search without a space": (
        ("[tuning.space]\ndropout = [0.0, 0.2]", ""),
        'tuning.space: is missing; strategy "bayesian"',
        "dropout = [",
    ),
    "a manual search without candidates": (
        ("trials = 1\n[tuning.space]\ndropout = [0.0, 0.2]", 'strategy = "manual"'),
        "tuning.candidates: ",
        "candidates = [{",
    ),
    "a candidate with an unknown name": (
        (
            "trials = 1\n[tuning.space]\ndropout = [0.0, 0.2]",
            'strategy = "manual"\ncandidates = [{ dropout = 0.1 }, { dropuot = 0.1 }]',
        ),
        "tuning.candidates, number 2, dropuot",
        "'dropout'",
    ),
    "candidates that are no tables": (
        ("trials = 1", 'strategy = "manual"\ncandidates = [0.1]'),
        "tuning.candidates.0: 0.1 is not allowed",
        "a table",
    ),
    "candidates of a search that draws": (
        ("trials = 1", "candidates = [{ dropout = 0.1 }]"),
        "tuning.candidates: candidates belong to",
        '"bayesian"',
    ),
    "epochs that hyperband would search": (
        ("[tuning.space]", 'strategy = "hyperband"\n[tuning.space]\nepochs = [5, 10]'),
        "tuning.space.epochs: hyperband itself decides",
        "the most",
    ),
    "tuning somewhere else": (
        ("trials = 1", 'where = "cloud"'),
        "tuning.where: 'cloud' is not allowed",
        '"job" or "service"',
    ),
    "folds by the service": (
        ("trials = 1", 'where = "service"\nfolds = 3'),
        "tuning.folds: the service's trials are training jobs",
        'where = "job"',
    ),
    "a warm start inside the job": (
        ("trials = 1", 'warm_start = ["other"]'),
        "tuning.warm_start: means nothing to a search inside the job",
        'where = "service"',
    ),
    "a search inside a job of two instances": (
        ("[training]", "[training]\ninstance_count = 2"),
        "training.instance_count: a search inside the job runs on one instance, not on 2",
        'tuning.where = "service"',
    ),
    "batch normalization on two instances": (
        ("units = 8 }", "units = 8, batch_norm = true }\ninstance_count = 2"),
        "training.hyperparameters.batch_norm: it works on one instance, not on 2",
        "training.instance_count = 1",
    ),
    "an unknown mode": (
        ("[tuning]", '[endpoint]\nmode = "reeltime"\n[tuning]'),
        "endpoint.mode: 'reeltime' is not allowed",
        '"realtime"',
    ),
    "a rollout": (
        ("[tuning]", '[endpoint]\nrollout = { kind = "canary", percent = 60 }\n[tuning]'),
        "endpoint.rollout.percent: 60 is not allowed",
        "a whole number from 1 to 50",
    ),
    "an approval": (
        ("[tuning]", "[deploy]\nrequire_approval = 1\n[tuning]"),
        "deploy.require_approval: 1 is not allowed",
        "true or false",
    ),
    "a role that is no ARN": (
        ("[tuning]", '[aws]\nrole = "me"\n[tuning]'),
        "aws.role: 'me' is not allowed",
        "arn:aws:iam",
    ),
}


@pytest.mark.parametrize(
    ("written", "told_of"),
    [
        ("epocs = 3", "retraining.epocs: unknown key. Did you mean 'epochs'?"),
        ("old_share = 1.0", "retraining.old_share: 1.0 is not allowed; it must be a share such as"),
        ("margin = -0.1", "retraining.margin: -0.1 is not allowed"),
        ("confidence = 0.4", "it must be 0.5 or more and less than 1"),
        ("epochs = 2.5", "it must be a whole number from 1 to 10000"),
    ],
)
def test_a_mistake_in_a_retraining_is_told_likewise(
    tmp_path: Path, written: str, told_of: str
) -> None:
    message = told(tmp_path, ("[tuning]\n", f"[retraining]\n{written}\n[tuning]\n"))
    assert told_of in message


def test_a_retraining_may_be_written_or_left_out(tmp_path: Path) -> None:
    assert project.load(projects.make(tmp_path / "a")).retraining == Retraining()
    toml = projects.TOML + '[retraining]\nold_share = "20%"\nmargin = 0\n'
    written = project.load(projects.make(tmp_path / "b", toml)).retraining
    assert written == Retraining(old_share=0.2, margin=0.0)


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_is_told_with_its_key_and_what_is_allowed(case: str, tmp_path: Path) -> None:
    change, place, cure = MISTAKES[case]
    message = told(tmp_path, change)
    assert place in message
    assert cure in message


def test_all_mistakes_of_a_file_are_told_at_once(tmp_path: Path) -> None:
    message = told(tmp_path, ("target =", "targt ="), ('"10m"', '"soon"'), ('"binary"', '"no"'))
    assert "4 mistakes" in message
    assert [
        key in message for key in ("data.targt", "data.target", "data.task", "max_runtime")
    ] == [True] * 4


def test_mistakes_in_different_checks_are_told_together(tmp_path: Path) -> None:
    message = told(tmp_path, ("distance =", "distans ="), ("epochs = 1", "epoch = 1"))
    assert "2 mistakes" in message


def test_a_file_that_is_not_toml_is_told_with_its_line(tmp_path: Path) -> None:
    assert "at line 3" in told(tmp_path, ("[data]", "[data"))


@pytest.mark.parametrize(
    ("written", "hint"),
    [
        ("task = binary", "Text needs quotes"),
        ("task = True", "Write true, not True."),
        ("max_runtime = 1h", "Text needs quotes"),
        ("split = { by = random }", "Text needs quotes"),
        ("source = ./rows.csv", "Text needs quotes"),
        ("dep time = 3", "A name with spaces or dots needs quotes"),
        ("[my data]", "A name with spaces or dots needs quotes"),
    ],
)
def test_a_line_that_is_not_toml_is_shown_with_the_usual_cure(
    tmp_path: Path, written: str, hint: str
) -> None:
    message = told(tmp_path, ('target = "late"', written))
    assert f"\n  | {written}\n{hint}" in message


def test_the_keys_of_a_column_are_listed_without_its_name(tmp_path: Path) -> None:
    message = told(tmp_path, ('kind = "numeric" }', 'kind = "numeric", zzz = 1 }'))
    assert "data.columns.distance.zzz: unknown key" in message
    assert "min_count, nullable" in message


def test_the_split_is_named_once(tmp_path: Path) -> None:
    message = told(tmp_path, ("test = 0.2", "test = 0.9"))
    assert "data.split: validation and test leave" in message


def test_a_missing_project_is_told_with_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match="make init"):
        project.load(tmp_path / "nothing")


def test_data_in_s3_needs_its_columns_written(tmp_path: Path) -> None:
    toml = 'name = "far"\n[data]\nsource = "s3://bucket/rows/"\ntarget = "late"\n'
    with pytest.raises(ProjectError, match=r"data\.columns: is missing"):
        project.load(projects.make(tmp_path, toml))


def test_reading_the_file_alone_looks_at_no_data(tmp_path: Path) -> None:
    file = projects.make(tmp_path)
    (tmp_path / "rows.csv").unlink()
    assert project.read(file).name == "small"
