"""One place reads the variables and the layout, under every launcher."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from shared.errors import DataError, HyperparameterError
from shared.hyperparameters import NAMES
from tests.support.jobs import ROOT
from training import environment


def written(base: Path, hyperparameters: dict[str, object]) -> Path:
    (base / "input/config").mkdir(parents=True)
    (base / "input/config/hyperparameters.json").write_text(json.dumps(hyperparameters))
    for channel in ("train", "source_weather"):
        (base / "input/data" / channel).mkdir(parents=True)
    return base


def test_without_variables_the_layout_is_opt_ml() -> None:
    job = environment.read([], {})
    assert job.model == Path("/opt/ml/model")
    assert job.output == Path("/opt/ml/output/data")
    assert job.failure == Path("/opt/ml/output/failure")
    assert job.checkpoints == "/opt/ml/checkpoints"


def test_the_toolkits_base_directory_moves_everything(tmp_path: Path) -> None:
    base = written(tmp_path, {"epochs": "3"})
    job = environment.read([], {"SAGEMAKER_BASE_DIR": str(base)})
    assert job.model == base / "model"
    assert job.failure == base / "output/failure"
    assert job.channel("source_weather") == base / "input/data/source_weather"
    assert job.hyperparameters == {"epochs": "3"}


def test_variables_of_the_drivers_are_followed(tmp_path: Path) -> None:
    base = written(tmp_path, {})
    job = environment.read(
        [],
        {
            "SM_INPUT_DIR": str(base / "input"),
            "SM_INPUT_CONFIG_DIR": str(base / "input/config"),
            "SM_CHANNELS": '["train"]',
            "SM_CHANNEL_TRAIN": str(base / "input/data/train"),
            "SM_MODEL_DIR": "/somewhere/model",
            "SM_OUTPUT_DATA_DIR": "/somewhere/data",
            "SM_OUTPUT_FAILURE": "/somewhere/failure",
            "TRAINING_JOB_NAME": "flights-0123",
        },
    )
    assert dict(job.channels) == {"train": base / "input/data/train"}
    assert job.model == Path("/somewhere/model")
    assert job.output == Path("/somewhere/data")
    assert job.failure == Path("/somewhere/failure")
    assert job.job == "flights-0123"


def test_flags_win_and_unknown_arguments_are_ignored(tmp_path: Path) -> None:
    base = written(tmp_path, {"epochs": "3", "dropout": "0.1"})
    arguments = ["--base", str(base), "--model", "/m", "--channel", "train=/t", "--set", "epochs=5"]
    toolkit = ["--model_dir", "None/job/model", "--epochs", "3"]
    job = environment.read([*arguments, *toolkit], {"SM_MODEL_DIR": "/other"})
    assert job.model == Path("/m")
    assert job.channels["train"] == Path("/t")
    assert job.hyperparameters == {"epochs": "5", "dropout": "0.1"}


def test_a_missing_channel_says_which_there_are(tmp_path: Path) -> None:
    job = environment.read([], {"SAGEMAKER_BASE_DIR": str(written(tmp_path, {}))})
    with pytest.raises(DataError, match=r"no channel 'project' \(it has: source_weather, train\)"):
        job.channel("project")


def test_hyperparameters_that_are_no_object_are_refused(tmp_path: Path) -> None:
    base = written(tmp_path, {})
    (base / "input/config/hyperparameters.json").write_text("[1]")
    with pytest.raises(HyperparameterError, match="object"):
        environment.read([], {"SAGEMAKER_BASE_DIR": str(base)})


def test_all_hosts_agree_on_who_leads(tmp_path: Path) -> None:
    base = written(tmp_path, {})
    hosts = [f"algo-{number}" for number in (10, 9, 2, 1)]
    for current in hosts:
        (base / "input/config/resourceconfig.json").write_text(
            json.dumps({"current_host": current, "hosts": hosts})
        )
        job = environment.read(["--base", str(base)], {})
        assert job.hosts == ("algo-1", "algo-2", "algo-9", "algo-10")
        assert job.leads == (current == "algo-1")


@pytest.mark.parametrize("flag", [[], ["--checkpoints", "s3://bucket/prefix/"]])
def test_hosts_that_share_a_prefix_all_read_what_the_first_one_wrote(
    tmp_path: Path, flag: list[str]
) -> None:
    base = written(tmp_path, {})
    shared = flag[-1].rstrip("/") if flag else str(base / "checkpoints")
    for current in ("algo-1", "algo-2"):
        (base / "input/config/resourceconfig.json").write_text(
            json.dumps({"current_host": current, "hosts": ["algo-2", "algo-1"]})
        )
        job = environment.read(["--base", str(base), *flag], {})
        assert job.checkpoints == f"{shared}/algo-1"


def test_by_hand_there_is_one_host_which_leads() -> None:
    job = environment.read([], {})
    assert job.hosts == (job.host,)
    assert job.leads


def test_a_host_that_is_none_of_the_hosts_is_refused(tmp_path: Path) -> None:
    base = written(tmp_path, {})
    (base / "input/config/resourceconfig.json").write_text('{"current_host": "algo-3"}')
    with pytest.raises(DataError, match="current_host"):
        environment.read(["--base", str(base)], {})


def test_a_service_tuning_job_is_recognised(tmp_path: Path) -> None:
    base = written(tmp_path, {"_tuning_objective_metric": "val_loss"})
    assert environment.read([], {"SAGEMAKER_BASE_DIR": str(base)}).tuned_by_service


def test_tensorflow_is_told_to_be_quiet_and_the_same_on_every_processor() -> None:
    variables = {"KERAS_BACKEND": "jax", "TF_CPP_MIN_LOG_LEVEL": "0"}
    environment.prepare_tensorflow(variables)
    assert variables == {
        "KERAS_BACKEND": "tensorflow",
        "TF_CPP_MIN_LOG_LEVEL": "0",
        "TF_ENABLE_ONEDNN_OPTS": "0",
    }


def test_help_teaches_without_importing_tensorflow() -> None:
    code = (
        "import sys, runpy\n"
        "sys.argv = ['train', '--help']\n"
        "try: runpy.run_module('training.train', run_name='__main__')\n"
        "finally: print({'tensorflow', 'keras', 'optuna', 'pyarrow'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "--channel train=data/flights.parquet" in done.stdout
    for knob in NAMES:
        assert f"\n  {knob} = " in done.stdout
    assert done.stdout.rstrip().endswith("set()")
