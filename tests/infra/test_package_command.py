"""`make package`: every field of the console's form, and a JSON that starts just that job."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infra import local
from infra.__main__ import main
from infra.console import form
from tests.infra.test_security import AWS, validated
from tests.support import projects
from tests.support.deployments import wanted

SMALL = projects.TOML.replace("trials = 1", "trials = 0").replace(
    "epochs = 1, units = 8", "epochs = 1, units = 8, layers = 1, ensemble = 1"
)
SECURED = projects.TOML.replace("[training]", "[training]\nspot = true") + AWS


def leaves(value: Any) -> Iterator[str]:
    """Every text and number of a request."""
    if isinstance(value, dict):
        for each in value.values():
            yield from leaves(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from leaves(each)
    elif not isinstance(value, bool):
        yield str(value)


@pytest.mark.parametrize("toml", [projects.TOML, SECURED], ids=["plain", "secured"])
def test_the_form_tells_all_that_the_request_says(toml: str, tmp_path: Path) -> None:
    request = dict(wanted(tmp_path, toml=toml).job.request(1))
    shown = "\n".join(f"{label} {text}" for part in form(request) for label, text in part.fields)
    # The form has no field for it.
    retries = request.pop("RetryStrategy")
    assert retries
    for text in leaves(request):
        assert text in shown, text
    assert "Enable network isolation " + ("yes" if toml is SECURED else "no") in shown


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("infra.prepare.ROOT", tmp_path)
    monkeypatch.setenv("LOCAL_CLOUD_ROOT", str(tmp_path / "cloud"))
    return projects.make(tmp_path / "project", SMALL + "[aws]\nnetwork_isolation = true\n")


def test_a_dry_run_says_what_would_be_uploaded_and_writes_the_json(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["package", "--dry-run", "--project", str(file)]) == 0
    said = capsys.readouterr().out
    assert "create object" in said
    assert "sourcedir.tar.gz  (new content)" in said
    request = validated("CreateTrainingJob", json.loads(written(tmp_path).read_text()))
    assert request["TrainingJobName"] in said
    assert "create-training-job --region us-east-1 --cli-input-json file://" in said
    assert not (tmp_path / "cloud").exists()


def written(tmp_path: Path) -> Path:
    return tmp_path / "build/small/create-training-job.json"


@pytest.mark.slow
def test_the_json_as_it_is_starts_a_job_that_trains_without_a_network(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        assert main(["package", "--project", str(file)]) == 0, capsys.readouterr().err
        said = capsys.readouterr().out
        assert "Not enforced by the local cloud: network_isolation of [aws]" in said
        running = local.find(tmp_path / "cloud")
        assert running is not None
        sagemaker = running.session().client("sagemaker")
        request = json.loads(written(tmp_path).read_text())
        sagemaker.create_training_job(**request)
        place = {"TrainingJobName": request["TrainingJobName"]}
        deadline = time.monotonic() + 200
        while time.monotonic() < deadline:
            job = sagemaker.describe_training_job(**place)
            if job["TrainingJobStatus"] != "InProgress":
                break
            time.sleep(0.2)
        assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
        assert [each["MetricName"] for each in job["FinalMetricDataList"]]
        assert job["EnableNetworkIsolation"] is True
        # deploy finds it: nothing is left to train.
        assert main(["plan", "--project", str(file), "--json"]) == 0
        planned = json.loads(capsys.readouterr().out)
        assert "training job" not in [step["kind"] for step in planned["steps"]]
    finally:
        local.stop(tmp_path / "cloud")
