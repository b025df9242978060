"""The training job as a plain value, and the parameters of the call that starts it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from infra.package import short
from infra.requests import Request, Tags, tagged
from infra.security import OPEN, Security

CHECKPOINTS = "/opt/ml/checkpoints"
VOLUME_GIB = 30
# For errors of the service itself; a mistake of ours fails at once.
RETRIES = 2


@dataclass(frozen=True)
class TrainingJob:
    """A training job, apart from which attempt it is.

    A failed or stopped attempt is followed by one with the next suffix and the same checkpoints, so
    it resumes.
    """

    project: str
    digest: str
    role: str
    image: str
    instance: str
    max_runtime: int
    spot: bool
    hyperparameters: tuple[tuple[str, str], ...]
    channels: tuple[tuple[str, str], ...]
    output: str
    checkpoints: str
    metrics: tuple[tuple[str, str], ...]
    instance_count: int = 1
    security: Security = OPEN
    tags: Tags = ()

    kind: ClassVar = "training job"

    @property
    def seconds(self) -> int:
        """How long it may take at most."""
        return (2 if self.spot else 1) * self.max_runtime

    def name(self, attempt: int) -> str:
        """The job's name at its first, second, … attempt."""
        base = f"{self.project}-{short(self.digest)}"
        return base if attempt == 1 else f"{base}-{attempt}"

    def model_data(self, attempt: int) -> str:
        """Where SageMaker puts the bundle of that attempt."""
        return f"{self.output}/{self.name(attempt)}/output/model.tar.gz"

    def request(self, attempt: int) -> Request:
        """Parameters of CreateTrainingJob."""
        stopping = {"MaxRuntimeInSeconds": self.max_runtime}
        if self.spot:
            stopping["MaxWaitTimeInSeconds"] = 2 * self.max_runtime
        volume = self.security.volume(self.instance)
        return {
            "TrainingJobName": self.name(attempt),
            "AlgorithmSpecification": {
                "TrainingImage": self.image,
                "TrainingInputMode": "File",
                "MetricDefinitions": [
                    {"Name": name, "Regex": regex} for name, regex in self.metrics
                ],
            },
            "RoleArn": self.role,
            "HyperParameters": dict(self.hyperparameters),
            "InputDataConfig": [
                {
                    "ChannelName": name,
                    "DataSource": {
                        "S3DataSource": {
                            "S3DataType": "S3Prefix",
                            "S3Uri": uri,
                            "S3DataDistributionType": "FullyReplicated",
                        }
                    },
                }
                for name, uri in self.channels
            ],
            "OutputDataConfig": {"S3OutputPath": self.output, **self.security.outputs},
            "ResourceConfig": {
                "InstanceType": self.instance,
                "InstanceCount": self.instance_count,
                "VolumeSizeInGB": VOLUME_GIB,
                **({"VolumeKmsKeyId": volume} if volume else {}),
            },
            "StoppingCondition": stopping,
            "EnableManagedSpotTraining": self.spot,
            "CheckpointConfig": {"S3Uri": self.checkpoints, "LocalPath": CHECKPOINTS},
            "RetryStrategy": {"MaximumRetryAttempts": RETRIES},
            # Without a DebugHookConfig the debugger is off; the profiler is on unless told.
            "ProfilerConfig": {"DisableProfiler": True},
            # What hosts of one job tell each other.
            **({"EnableInterContainerTrafficEncryption": True} if self.instance_count > 1 else {}),
            **self.security.network,
            **tagged(self.tags),
        }
