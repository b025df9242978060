"""The SageMaker SDK's ModelTrainer and HyperparameterTuner, made from a project: for notebooks.

    from infra import sdk

    tuner = sdk.hyperparameter_tuner("examples/flights", target="aws")
    tuner.tune()

What they are given is what `make deploy` asks for, so that both start the same job; data, code and
role are put in place first, as deploy does. Deploying itself speaks boto3: the SDK takes seven
seconds to import. It is not installed for deploying, either (pip install "sagemaker>=3.27,<4").
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infra import project as projects
from infra.apply import CloudExecutor, apply
from infra.aws import LocalSession, Session, Target, connect
from infra.check import check
from infra.prepare import build_directory, prepare
from infra.progress import Lines
from infra.record import RecordStore
from infra.tuning import TuningJob
from shared.errors import DeploymentError, ProjectError

# What the SDK's HyperparameterTuner takes from no ModelTrainer (3.27).
_DROPPED = {"EnableInterContainerTrafficEncryption", "EnableNetworkIsolation"}

if TYPE_CHECKING:
    from sagemaker.train.model_trainer import ModelTrainer
    from sagemaker.train.tuner import HyperparameterTuner

    from infra.plan import Plan


def model_trainer(project: str | Path, target: Target = "local") -> ModelTrainer:
    """A ModelTrainer whose `train()` starts the project's training job.

    With target "local", this process's AWS environment becomes the local cloud's.

    Raises:
        KitError: the project, its data or the cloud is not as needed.
        DeploymentError: the SDK is not installed.
    """
    cloud, plan = _in_place(project, target)
    job = plan.desired.job
    return _trainer((job.job if isinstance(job, TuningJob) else job).request(1), cloud)


def hyperparameter_tuner(project: str | Path, target: Target = "local") -> HyperparameterTuner:
    """A HyperparameterTuner whose `tune()` starts the project's search by the service.

    The SDK leaves out a seed of 0, so that such a search draws other values each time.

    Raises:
        ProjectError: the project does not ask the service to search.
        KitError: see `model_trainer`.
    """
    cloud, plan = _in_place(project, target)
    job = plan.desired.job
    if not isinstance(job, TuningJob):
        raise ProjectError(
            "asks for no search by the service",
            where=f"{projects.find(project)}: tuning.where",
            cure='Write where = "service" under [tuning]',
        )
    dropped = sorted(_DROPPED & job.job.request(1).keys())
    if dropped:
        raise DeploymentError(
            f"the SDK's tuner leaves out {' and '.join(dropped)} of a training job without a word",
            where=str(projects.find(project)),
            cure="`make tune` starts the same search with all of it.",
        )
    return _tuner(job, cloud)


def _in_place(project: str | Path, target: Target) -> tuple[Session, Plan]:
    """The cloud, and a plan whose uploads are done."""
    settings = projects.load(project)
    check(settings)
    cloud = connect(target, settings.aws)
    assert isinstance(cloud, Session)
    if isinstance(cloud, LocalSession):
        os.environ.update(cloud.cloud.environment())
    plan = prepare(settings, cloud)
    store = RecordStore(cloud, plan.desired.bucket.name, settings.name)
    shown = Lines(1)
    executor = CloudExecutor(cloud, store, shown, build_directory(settings.name))
    apply(plan.training, executor, shown, ["upload"])
    return cloud, plan


def _session(cloud: Session, output: str) -> Any:
    try:
        from sagemaker.core.helper.session_helper import Session as Theirs
    except ImportError:
        raise DeploymentError(
            "the SageMaker SDK is not installed", cure='pip install "sagemaker>=3.27,<4"'
        ) from None
    bucket = output.removeprefix("s3://").partition("/")[0]
    return Theirs(boto_session=cloud.session, default_bucket=bucket)


def _trainer(request: Mapping[str, Any], cloud: Session) -> ModelTrainer:
    """A ModelTrainer that asks for what the request of a training job asks for."""
    session = _session(cloud, request["OutputDataConfig"]["S3OutputPath"])
    from sagemaker.core import shapes
    from sagemaker.train.configs import Compute, Networking
    from sagemaker.train.model_trainer import ModelTrainer

    resources, stopping = request["ResourceConfig"], request["StoppingCondition"]
    algorithm = request["AlgorithmSpecification"]
    checkpoints, network = request["CheckpointConfig"], request.get("VpcConfig", {})
    trainer = ModelTrainer(
        sagemaker_session=session,
        role=request["RoleArn"],
        base_job_name=request["TrainingJobName"],
        training_image=algorithm["TrainingImage"],
        training_input_mode=algorithm["TrainingInputMode"],
        hyperparameters=dict(request["HyperParameters"]),
        compute=Compute(
            instance_type=resources["InstanceType"],
            instance_count=resources["InstanceCount"],
            volume_size_in_gb=resources["VolumeSizeInGB"],
            enable_managed_spot_training=request["EnableManagedSpotTraining"],
            volume_kms_key_id=resources.get("VolumeKmsKeyId"),
        ),
        networking=Networking(
            subnets=network.get("Subnets"),
            security_group_ids=network.get("SecurityGroupIds"),
            enable_network_isolation=request.get("EnableNetworkIsolation", False),
            enable_inter_container_traffic_encryption=request.get(
                "EnableInterContainerTrafficEncryption", False
            ),
        ),
        stopping_condition=shapes.StoppingCondition(
            max_runtime_in_seconds=stopping["MaxRuntimeInSeconds"],
            max_wait_time_in_seconds=stopping.get("MaxWaitTimeInSeconds"),
        ),
        output_data_config=shapes.OutputDataConfig(
            s3_output_path=request["OutputDataConfig"]["S3OutputPath"],
            kms_key_id=request["OutputDataConfig"].get("KmsKeyId"),
        ),
        checkpoint_config=shapes.CheckpointConfig(
            s3_uri=checkpoints["S3Uri"], local_path=checkpoints["LocalPath"]
        ),
        input_data_config=[_channel(channel) for channel in request["InputDataConfig"]],
        tags=[shapes.Tag(key=tag["Key"], value=tag["Value"]) for tag in request.get("Tags", [])],
    )
    retries = shapes.RetryStrategy(
        maximum_retry_attempts=request["RetryStrategy"]["MaximumRetryAttempts"]
    )
    return trainer.with_retry_strategy(retries).with_metric_definitions(
        [
            shapes.MetricDefinition(name=one["Name"], regex=one["Regex"])
            for one in algorithm["MetricDefinitions"]
        ]
    )


def _channel(channel: Mapping[str, Any]) -> Any:
    from sagemaker.core import shapes

    source = channel["DataSource"]["S3DataSource"]
    return shapes.Channel(
        channel_name=channel["ChannelName"],
        data_source=shapes.DataSource(
            s3_data_source=shapes.S3DataSource(
                s3_data_type=source["S3DataType"],
                s3_uri=source["S3Uri"],
                s3_data_distribution_type=source["S3DataDistributionType"],
            )
        ),
    )


def _tuner(job: TuningJob, cloud: Session) -> HyperparameterTuner:
    """A HyperparameterTuner that asks for what the tuning job's request asks for."""
    child: Mapping[str, Any] = job.job.request(1)
    request: Mapping[str, Any] = job.request(1)
    trainer = _trainer(child, cloud)
    from sagemaker.core import shapes
    from sagemaker.train.tuner import HyperparameterTuner

    config = request["HyperParameterTuningJobConfig"]
    limits = config["ResourceLimits"]
    hyperband = config.get("StrategyConfig", {}).get("HyperbandStrategyConfig")
    warm = request.get("WarmStartConfig")
    return HyperparameterTuner(
        trainer,
        config["HyperParameterTuningJobObjective"]["MetricName"],
        _ranges(config["ParameterRanges"]),
        metric_definitions=child["AlgorithmSpecification"]["MetricDefinitions"],
        strategy=config["Strategy"],
        objective_type=config["HyperParameterTuningJobObjective"]["Type"],
        max_jobs=limits.get("MaxNumberOfTrainingJobs"),
        max_parallel_jobs=limits["MaxParallelTrainingJobs"],
        base_tuning_job_name=job.job.project,
        early_stopping_type=config["TrainingJobEarlyStoppingType"],
        random_seed=config["RandomSeed"],
        strategy_config=shapes.HyperParameterTuningJobStrategyConfig(
            hyperband_strategy_config=shapes.HyperbandStrategyConfig(
                min_resource=hyperband["MinResource"], max_resource=hyperband["MaxResource"]
            )
        )
        if hyperband
        else None,
        warm_start_config=shapes.HyperParameterTuningJobWarmStartConfig(
            parent_hyper_parameter_tuning_jobs=[
                shapes.ParentHyperParameterTuningJob(
                    hyper_parameter_tuning_job_name=parent["HyperParameterTuningJobName"]
                )
                for parent in warm["ParentHyperParameterTuningJobs"]
            ],
            warm_start_type=warm["WarmStartType"],
        )
        if warm
        else None,
    )


def _ranges(found: Mapping[str, Any]) -> dict[str, Any]:
    from sagemaker.core.parameter import (
        CategoricalParameter,
        ContinuousParameter,
        IntegerParameter,
    )

    ranges: dict[str, Any] = {}
    kinds = (
        ("ContinuousParameterRanges", ContinuousParameter, float),
        ("IntegerParameterRanges", IntegerParameter, int),
    )
    for kind, parameter, number in kinds:
        for one in found.get(kind, []):
            ranges[one["Name"]] = parameter(
                number(one["MinValue"]), number(one["MaxValue"]), one["ScalingType"]
            )
    for one in found.get("CategoricalParameterRanges", []):
        ranges[one["Name"]] = CategoricalParameter(list(one["Values"]))
    return ranges
