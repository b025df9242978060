from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from infra.local.processes import Ledger
from infra.local.state import Cloud, Settings, now
from infra.local.tuning_runs import TuningRun
from infra.local.tunings import TuningJob

CONFIG: dict[str, Any] = {
    "Strategy": "Random",
    "HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": "loss"},
    "ResourceLimits": {"MaxParallelTrainingJobs": 1, "MaxRuntimeInSeconds": 120},
    "ParameterRanges": {"CategoricalParameterRanges": [{"Name": "x", "Values": ["1"]}]},
}


class NoTraining:
    """What runs out of time before its first training job launches none."""

    def launch(self, request: object) -> None:
        pytest.fail("launched")


def test_a_tuning_job_ends_when_its_time_is_over(tmp_path: Path) -> None:
    begin = now() - timedelta(seconds=121)
    request = {
        "HyperParameterTuningJobName": "late",
        "HyperParameterTuningJobConfig": CONFIG,
        "TrainingJobDefinition": {"StaticHyperParameters": {}},
    }
    job = TuningJob(request, "arn", begin, begin)
    ledger = Ledger(tmp_path / "processes")
    cloud = Cloud(tmp_path, tmp_path, "http://127.0.0.1:1", "KEY", Settings(), {}, ledger)
    training: Any = NoTraining()
    TuningRun(cloud, job, training, 1).run()
    assert job.status == "Completed"
    assert job.describe()["ConsumedResources"]["RuntimeInSeconds"] == 121
