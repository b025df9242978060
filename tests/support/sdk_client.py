"""Someone else's program: the unmodified SageMaker SDK against the local cloud named in argv.

Run in a process of its own with the cloud's environment; writes what it saw to seen.json.
"""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import Any

from infra import local
from tests.support.local_cloud import TRAINING_IMAGE

TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": "sagemaker.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }
    ],
}
PROGRAM = """
import json, os, sys
channel = os.environ["SM_CHANNEL_TRAIN"]
print("rows:", open(os.path.join(channel, "a.csv")).read(), flush=True)
if "--fail" in sys.argv:
    raise ValueError("as asked")
rate = json.loads(os.environ["SM_HPS"]).get("learning_rate", 0)
print(f"[metric] val_loss={abs(rate - 0.1)};", flush=True)
told = {"hyperparameters": json.loads(os.environ["SM_HPS"]), "arguments": sys.argv[1:]}
json.dump(told, open(os.path.join(os.environ["SM_MODEL_DIR"], "told.json"), "w"))
"""


class Lines(logging.Handler):
    """Keeps what the SDK logs."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def prepare(session: Any, role: str, directory: Path, **hyperparameters: object) -> Any:
    """A ModelTrainer, and the input data of its jobs."""
    from sagemaker.train.configs import Compute, InputData, SourceCode
    from sagemaker.train.model_trainer import ModelTrainer

    source = directory / "source"
    source.mkdir(exist_ok=True)
    (source / "train.py").write_text(PROGRAM)
    bucket = session.default_bucket()
    session.boto_session.client("s3").put_object(Bucket=bucket, Key="data/a.csv", Body=b"1,2,3")
    trainer = ModelTrainer(
        training_image=TRAINING_IMAGE,
        role=role,
        sagemaker_session=session,
        source_code=SourceCode(source_dir=str(source), entry_script="train.py"),
        compute=Compute(instance_type="ml.m5.xlarge", instance_count=1),
        base_job_name="sdk",
        hyperparameters=hyperparameters,
    )
    return trainer, InputData(channel_name="train", data_source=f"s3://{bucket}/data")


def train(session: Any, role: str, directory: Path, **hyperparameters: object) -> Any:
    trainer, data = prepare(session, role, directory, **hyperparameters)
    trainer.train(input_data_config=[data], wait=True, logs=True)
    return trainer._latest_training_job


def tune(session: Any, role: str, directory: Path) -> dict[str, Any]:
    from sagemaker.core.parameter import CategoricalParameter, ContinuousParameter
    from sagemaker.train.tuner import HyperparameterTuner

    trainer, data = prepare(session, role, directory, learning_rate=0.1, activation="relu")
    tuner = HyperparameterTuner(
        model_trainer=trainer,
        objective_metric_name="val_loss",
        objective_type="Minimize",
        metric_definitions=[{"Name": "val_loss", "Regex": "val_loss=([0-9.e-]+);"}],
        hyperparameter_ranges={
            "learning_rate": ContinuousParameter(0.01, 1, scaling_type="Logarithmic"),
            "activation": CategoricalParameter(["relu", "prelu"]),
        },
        strategy="Bayesian",
        max_jobs=3,
        max_parallel_jobs=2,
        random_seed=1,
        base_tuning_job_name="sdk",
    )
    tuner.tune(inputs=[data], wait=False)
    tuner.latest_tuning_job.wait(poll=1)
    frame = tuner.analytics().dataframe()
    return {
        "best": tuner.best_training_job(),
        "status": tuner.latest_tuning_job.hyper_parameter_tuning_job_status,
        "rows": json.loads(frame.to_json(orient="records", date_format="iso")),
    }


def transform(model: str, folder: str) -> dict[str, Any]:
    """A transform job, waited for, with its log."""
    from sagemaker.core.resources import TransformJob
    from sagemaker.core.shapes import (
        TransformDataSource,
        TransformInput,
        TransformOutput,
        TransformResources,
        TransformS3DataSource,
    )

    place = TransformS3DataSource(s3_data_type="S3Prefix", s3_uri=f"{folder}/data")
    job = TransformJob.create(
        transform_job_name="sdk",
        model_name=model,
        transform_input=TransformInput(
            data_source=TransformDataSource(s3_data_source=place),
            content_type="text/csv",
            split_type="Line",
        ),
        transform_output=TransformOutput(s3_output_path=f"{folder}/out", assemble_with="Line"),
        transform_resources=TransformResources(instance_type="ml.m5.large", instance_count=1),
    )
    job.wait(poll=1, logs=True)
    return {"status": job.transform_job_status, "output": f"{folder}/out/a.csv.out"}


def serve(role: str, image: str, model_data: str) -> dict[str, Any]:
    from sagemaker.core.resources import Endpoint, EndpointConfig, Model
    from sagemaker.core.shapes import ContainerDefinition, ProductionVariant

    container = ContainerDefinition(image=image, model_data_url=model_data)
    model = Model.create(model_name="sdk", execution_role_arn=role, primary_container=container)
    variant = ProductionVariant(
        variant_name="AllTraffic",
        model_name="sdk",
        instance_type="ml.m5.large",
        initial_instance_count=1,
    )
    config = EndpointConfig.create(endpoint_config_name="sdk", production_variants=[variant])
    endpoint = Endpoint.create(endpoint_name="sdk", endpoint_config_name="sdk")
    endpoint.wait_for_status("InService", poll=1)
    answer = endpoint.invoke(body=b"\x00\xff", content_type="application/x-test")
    echoed = answer.body.read().hex()
    folder = "/".join(model_data.split("/")[:3])
    transformed = transform("sdk", folder)
    endpoint.delete()
    endpoint.wait_for_delete(poll=1)
    config.delete()
    model.delete()
    left = [each.endpoint_name for each in Endpoint.get_all()]
    return {
        "echoed": echoed,
        "left": [name for name in left if name == "sdk"],
        "transformed": transformed,
    }


def main() -> None:
    root, image, directory = sys.argv[1:]
    cloud = local.find(Path(root))
    assert cloud is not None
    boto = cloud.session()
    role = boto.client("iam").create_role(
        RoleName="sdk", AssumeRolePolicyDocument=json.dumps(TRUST)
    )["Role"]["Arn"]

    from sagemaker.core.helper.session_helper import Session
    from sagemaker.core.resources import logger

    kept = Lines()
    logger.addHandler(kept)
    logger.setLevel(logging.INFO)
    session = Session(boto_session=boto)
    job = train(session, role, Path(directory), learning_rate=0.1, activation="relu")
    model_data = job.model_artifacts.s3_model_artifacts
    seen = {"job": job.training_job_status, "model": model_data, "lines": list(kept.lines)}
    try:
        train(session, role, Path(directory), fail="yes")
    except Exception as error:
        seen["failure"] = str(error)
    seen["tuning"] = tune(session, role, Path(directory))
    seen |= serve(role, image, model_data)
    (Path(directory) / "seen.json").write_text(json.dumps(seen))


if __name__ == "__main__":
    main()
