"""Somebody's notebook: starts a project's training and tuning job through the SageMaker SDK.

Run in a process of its own, with the directory that holds the quick training code, the project and
the file in which it writes the requests that the local cloud then describes.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from tests.support.quick_training import installed


def main() -> None:
    directory, file, result = (Path(word) for word in sys.argv[1:])
    with installed(directory):
        from infra import project, sdk
        from infra.aws import connect
        from infra.prepare import prepare
        from infra.tuning import TuningJob

        settings = project.load(file)
        ours = prepare(settings, connect("local", settings.aws)).desired.job
        assert isinstance(ours, TuningJob)
        tuner = sdk.hyperparameter_tuner(file)
        tuner.tune(wait=True)
        trainer = sdk.model_trainer(file)
        trainer.train(wait=True, logs=False)
        client = tuner.sagemaker_session.boto_session.client("sagemaker")
        search = client.describe_hyper_parameter_tuning_job(
            HyperParameterTuningJobName=tuner.latest_tuning_job.hyper_parameter_tuning_job_name
        )
        job = client.describe_training_job(
            TrainingJobName=trainer._latest_training_job.training_job_name
        )
    seen: dict[str, Any] = {
        "search": search,
        "job": job,
        "our search": ours.request(1),
        "our job": ours.job.request(1),
    }
    result.write_text(json.dumps(seen, default=str))


if __name__ == "__main__":
    main()
