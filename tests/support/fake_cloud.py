"""AWS in memory, for what infra calls: state, its own errors, and faults where a test wants them.

Jobs and endpoints end as they are told (`job_ends`, `endpoint_ends`), at the second look.
"""
# ruff: noqa: N803 - arguments are named as AWS names them

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError, ConnectionClosedError

from infra.aws import Sent
from infra.resources import Account
from tests.support.fake_scaling import FakeScaling

READS = ("head_", "get_", "describe_", "list_")


def refused(operation: str, code: str, message: str = "") -> ClientError:
    """The error that botocore raises when AWS refuses."""
    return ClientError({"Error": {"Code": code, "Message": message}}, operation)


class FakeCloud(FakeScaling):
    """A Cloud whose every call is noted in `calls`.

    Attributes:
        fail_at: the number of the changing call (from 0) that fails; None: none does.
        lost: whether that call takes effect all the same, and only its answer is lost.
        killed: whether it is not the call that fails, but the program that ends there.
        lag: so many times the next creation says that it does not know what it refers to.
    """

    def __init__(self, *, local: bool = True) -> None:
        super().__init__()
        self.account = Account("123456789012", "us-east-1", local=local)
        self.calls: list[str] = []
        self.changes = 0
        self.fail_at: int | None = None
        self.lost = False
        self.killed = False
        self.lag = 0
        self.job_ends = "Completed"
        self.endpoint_ends = "InService"
        self.rolls_back = False
        self.buckets: set[str] = set()
        self.bucket_policies: dict[str, str] = {}
        self.encryption: dict[str, Any] = {}
        self.objects: dict[str, bytes] = {}
        self.undeletable: set[str] = set()
        self.roles: dict[str, dict[str, str]] = {}
        self.jobs: dict[str, dict[str, Any]] = {}
        self.searches: dict[str, dict[str, Any]] = {}
        self.search_ends = "Completed"
        self.losses: list[float | None] = [0.5, 0.4, None]
        self.models: dict[str, dict[str, Any]] = {}
        self.packages: dict[str, list[dict[str, Any]]] = {}
        self.configs: dict[str, dict[str, Any]] = {}
        self.endpoints: dict[str, dict[str, Any]] = {}
        self.deployments: list[Any] = []
        self.images: set[str] = set()
        self.repositories: set[str] = set()
        self.build_projects: set[str] = set()
        self.build_ends = "SUCCEEDED"
        self._building = ""
        self.logs: dict[str, list[str]] = {}
        self.sparse = False
        self.quotas: dict[str, float] | None = None

    @property
    def state(self) -> dict[str, Any]:
        """Everything that exists, to compare two clouds by."""
        return {
            "buckets": self.buckets,
            "objects": set(self.objects),
            "roles": self.roles,
            "jobs": {name: job["TrainingJobStatus"] for name, job in self.jobs.items()},
            "searches": {
                name: job["HyperParameterTuningJobStatus"] for name, job in self.searches.items()
            },
            "models": set(self.models),
            "configs": set(self.configs),
            "endpoints": {
                name: (found["EndpointStatus"], found["EndpointConfigName"])
                for name, found in self.endpoints.items()
            },
            "images": self.images,
            "versions": {
                name: [one["ModelApprovalStatus"] for one in group]
                for name, group in self.packages.items()
            },
            "alarms": set(self.alarms),
            "scaling": (self.targets, self.policies, self.actions),
        }

    def call(
        self, service: str, operation: str, parameters: Mapping[str, Any], sent: Sent | None = None
    ) -> dict[str, Any]:
        self.calls.append(operation)
        if operation.startswith(READS):
            return dict(getattr(self, operation)(**parameters) or {})
        self._fault(operation, before=True)
        answer = getattr(self, operation)(**parameters) or {}
        self._fault(operation, before=False)
        self.changes += 1
        return dict(answer)

    def _fault(self, operation: str, *, before: bool) -> None:
        if self.changes == self.fail_at and before != self.lost:
            self.changes += 1
            if self.killed:
                raise KeyboardInterrupt
            if self.lost:
                raise ConnectionClosedError(endpoint_url="https://cloud.test")
            raise refused(operation, "AccessDeniedException", "not allowed")

    def client(self, service: str) -> Any:
        raise AssertionError(f"{service} is not called through its client here")

    def address(self, endpoint: str) -> str:
        return f"https://cloud.test/endpoints/{endpoint}/invocations"

    def has_image(self, repository: str, tag: str) -> bool:
        return f"{repository}:{tag}" in self.images

    def push_image(self, repository: str, tag: str, tree: Path) -> None:
        self._fault("push_image", before=True)
        self.images.add(f"{repository}:{tag}")
        self._fault("push_image", before=False)
        self.changes += 1

    # ECR and CodeBuild: a build ends at the second look, as `build_ends`

    def create_repository(self, repositoryName: str, **rest: Any) -> None:
        if repositoryName in self.repositories:
            raise refused("CreateRepository", "RepositoryAlreadyExistsException")
        self.repositories.add(repositoryName)

    def create_project(self, name: str, **rest: Any) -> None:
        if name in self.build_projects:
            raise refused("CreateProject", "ResourceAlreadyExistsException")
        self.build_projects.add(name)

    def delete_project(self, name: str) -> None:
        self.build_projects.discard(name)

    def start_build(self, projectName: str, **rest: Any) -> dict[str, Any]:
        told = {one["name"]: one["value"] for one in rest["environmentVariablesOverride"]}
        self._building = told["IMAGE"].rpartition("/")[2]
        return {"build": {"id": f"{projectName}:1", "buildStatus": "IN_PROGRESS"}}

    def batch_get_builds(self, ids: list[str]) -> dict[str, Any]:
        if self.build_ends == "SUCCEEDED":
            self.images.add(self._building)
        logs = {"groupName": "/aws/codebuild/small-image", "streamName": "build"}
        base = {"name": "BASE_DIGEST", "value": f"python@sha256:{'b' * 64}"}
        build = {"id": ids[0], "buildStatus": self.build_ends, "logs": logs}
        return {"builds": [{**build, "exportedEnvironmentVariables": [base]}]}

    # S3

    def head_bucket(self, Bucket: str) -> None:
        if Bucket not in self.buckets:
            raise refused("HeadBucket", "404")

    def create_bucket(self, Bucket: str, **rest: Any) -> None:
        self.buckets.add(Bucket)

    def put_public_access_block(self, **rest: Any) -> None:
        """Nobody looks at it here."""

    def put_bucket_encryption(self, Bucket: str, ServerSideEncryptionConfiguration: Any) -> None:
        self.encryption[Bucket] = ServerSideEncryptionConfiguration

    def put_bucket_policy(self, Bucket: str, Policy: str) -> None:
        self.bucket_policies[Bucket] = Policy

    def get_bucket_policy(self, Bucket: str) -> dict[str, Any]:
        if Bucket not in self.bucket_policies:
            raise refused("GetBucketPolicy", "NoSuchBucketPolicy")
        return {"Policy": self.bucket_policies[Bucket]}

    def get_bucket_encryption(self, Bucket: str) -> dict[str, Any]:
        rules = self.encryption.get(Bucket, {"Rules": []})
        return {"ServerSideEncryptionConfiguration": rules}

    def list_buckets(self) -> dict[str, Any]:
        return {"Buckets": [{"Name": name} for name in sorted(self.buckets)]}

    def delete_bucket(self, Bucket: str) -> None:
        self.buckets.remove(Bucket)

    def head_object(self, Bucket: str, Key: str) -> None:
        if Key not in self.objects:
            raise refused("HeadObject", "404")

    def get_object(self, Bucket: str, Key: str, **rest: Any) -> dict[str, Any]:
        if Key not in self.objects:
            raise refused("GetObject", "NoSuchKey")
        return {"Body": io.BytesIO(self.objects[Key]), "ETag": self._etag(Key)}

    def _etag(self, key: str) -> str | None:
        return hashlib.sha256(self.objects[key]).hexdigest() if key in self.objects else None

    def put_object(
        self,
        Bucket: str,
        Key: str,
        Body: bytes,
        IfMatch: str | None = None,
        IfNoneMatch: str | None = None,
        **rest: Any,
    ) -> dict[str, Any]:
        if Bucket not in self.buckets:
            raise refused("PutObject", "NoSuchBucket")
        if (IfMatch and IfMatch != self._etag(Key)) or (IfNoneMatch and Key in self.objects):
            raise refused("PutObject", "PreconditionFailed")
        self.objects[Key] = Body
        return {"ETag": self._etag(Key)}

    def upload_file(self, Filename: str, Bucket: str, Key: str, ExtraArgs: Any) -> None:
        self.put_object(Bucket, Key, Path(Filename).read_bytes())

    def copy(self, CopySource: dict[str, str], Bucket: str, Key: str) -> None:
        if CopySource["Key"] not in self.objects:
            raise refused("HeadObject", "404", "Not Found")
        self.objects[Key] = self.objects[CopySource["Key"]]

    def delete_object(self, Bucket: str, Key: str) -> None:
        self.objects.pop(Key, None)

    def delete_objects(self, Bucket: str, Delete: Any) -> dict[str, Any]:
        keys = {entry["Key"] for entry in Delete["Objects"]}
        for key in keys - self.undeletable:
            del self.objects[key]
        errors = [{"Key": key, "Code": "AccessDenied"} for key in keys & self.undeletable]
        return {"Errors": errors} if errors else {}

    def list_objects_v2(self, Bucket: str, Prefix: str = "", **rest: Any) -> dict[str, Any]:
        found = [key for key in self.objects if key.startswith(Prefix)]
        return {"Contents": [{"Key": key, "Size": 1, "ETag": "e"} for key in found]}

    # IAM

    def get_role(self, RoleName: str) -> None:
        if RoleName not in self.roles:
            raise refused("GetRole", "NoSuchEntity")

    def create_role(self, RoleName: str, **rest: Any) -> None:
        if RoleName in self.roles:
            raise refused("CreateRole", "EntityAlreadyExists")
        self.roles[RoleName] = {}

    def delete_role(self, RoleName: str) -> None:
        self.get_role(RoleName)
        del self.roles[RoleName]

    def get_role_policy(self, RoleName: str, PolicyName: str) -> dict[str, Any]:
        if PolicyName not in self.roles.get(RoleName, {}):
            raise refused("GetRolePolicy", "NoSuchEntity")
        return {"PolicyDocument": self.roles[RoleName][PolicyName]}

    def put_role_policy(self, RoleName: str, PolicyName: str, PolicyDocument: str) -> None:
        self.roles[RoleName][PolicyName] = PolicyDocument

    def delete_role_policy(self, RoleName: str, PolicyName: str) -> None:
        self.get_role_policy(RoleName, PolicyName)
        del self.roles[RoleName][PolicyName]

    # Logs

    def describe_log_streams(
        self, logGroupName: str, logStreamNamePrefix: str = "", nextToken: str = "0"
    ) -> Any:
        names = [name for name in self.logs if name.startswith(logStreamNamePrefix)]
        start, end = int(nextToken), int(nextToken) + 50
        more = {"nextToken": str(end)} if end < len(names) else {}
        return {"logStreams": [{"logStreamName": name} for name in names[start:end]], **more}

    def get_log_events(self, logStreamName: str, **rest: Any) -> dict[str, Any]:
        lines = self.logs[logStreamName]
        if self.sparse and "nextToken" not in rest:  # AWS may give empty pages before the end
            return {"events": [], "nextForwardToken": "0"}
        start = int(rest.get("nextToken", 0))
        events = [{"message": line} for line in lines[start:]]
        return {"events": events, "nextForwardToken": str(len(lines))}

    # CloudWatch

    def describe_alarms(
        self, AlarmNamePrefix: str = "", AlarmNames: list[str] | None = None, **rest: Any
    ) -> dict[str, Any]:
        found = [
            alarm
            for name, alarm in self.alarms.items()
            if name.startswith(AlarmNamePrefix) and (AlarmNames is None or name in AlarmNames)
        ]
        return {"MetricAlarms": found, "CompositeAlarms": []}

    def get_metric_data(self, **rest: Any) -> dict[str, Any]:
        return {"MetricDataResults": []}

    def put_metric_alarm(self, AlarmName: str, **rest: Any) -> None:
        self.alarms[AlarmName] = {"AlarmName": AlarmName, "StateValue": "OK", **rest}

    def delete_alarms(self, AlarmNames: list[str]) -> None:
        for name in AlarmNames:
            if name not in self.alarms:
                raise refused("DeleteAlarms", "ResourceNotFound")
            del self.alarms[name]

    # Prices and quotas

    def get_products(self, **wanted: Any) -> dict[str, Any]:
        raise refused("GetProducts", "AccessDeniedException", "not authorized to perform it")

    def list_service_quotas(
        self, ServiceCode: str, MaxResults: int, NextToken: str = "0"
    ) -> dict[str, Any]:
        if self.quotas is None:
            raise refused("ListServiceQuotas", "AccessDeniedException", "not allowed to look")
        names = sorted(self.quotas)
        start, end = int(NextToken), int(NextToken) + 1  # a page each, as there are many on AWS
        page = [{"QuotaName": name, "Value": self.quotas[name]} for name in names[start:end]]
        return {"Quotas": page, **({"NextToken": str(end)} if end < len(names) else {})}

    # SageMaker

    def create_training_job(self, TrainingJobName: str, **rest: Any) -> None:
        self._lagging("create_training_job", "Could not assume role")
        if TrainingJobName in self.jobs:
            raise refused("CreateTrainingJob", "ResourceInUse", "Job name must be unique")
        path = f"{rest['OutputDataConfig']['S3OutputPath']}/{TrainingJobName}/output/model.tar.gz"
        self.jobs[TrainingJobName] = {
            "TrainingJobName": TrainingJobName,
            "TrainingJobStatus": "InProgress",
            "ModelArtifacts": {"S3ModelArtifacts": path},
            **rest,
        }

    def describe_training_job(self, TrainingJobName: str) -> dict[str, Any]:
        job = self._known(self.jobs, TrainingJobName, "DescribeTrainingJob")
        seen = dict(job)
        if job["TrainingJobStatus"] in ("InProgress", "Stopping"):
            stopping = job["TrainingJobStatus"] == "Stopping"
            self.finish_job(TrainingJobName, "Stopped" if stopping else self.job_ends)
        return seen

    def finish_job(self, name: str, status: str) -> None:
        job = self.jobs[name]
        job["TrainingJobStatus"] = status
        if status == "Failed":
            job["FailureReason"] = "AlgorithmError: the data has no rows"
        if status == "Completed":
            uri = job["ModelArtifacts"]["S3ModelArtifacts"]
            self.objects[uri.removeprefix("s3://").partition("/")[2]] = b"bundle"

    def stop_training_job(self, TrainingJobName: str) -> None:
        self.jobs[TrainingJobName]["TrainingJobStatus"] = "Stopping"

    def list_training_jobs(self, StatusEquals: str) -> dict[str, Any]:
        found = [job for job in self.jobs.values() if job["TrainingJobStatus"] == StatusEquals]
        return {"TrainingJobSummaries": found}

    def create_hyper_parameter_tuning_job(
        self, HyperParameterTuningJobName: str, **rest: Any
    ) -> None:
        self._lagging("create_hyper_parameter_tuning_job", "Could not assume role")
        if HyperParameterTuningJobName in self.searches:
            raise refused("CreateHyperParameterTuningJob", "ResourceInUse", "Name must be unique")
        self.searches[HyperParameterTuningJobName] = {
            "HyperParameterTuningJobName": HyperParameterTuningJobName,
            "HyperParameterTuningJobStatus": "InProgress",
            "TrainingJobStatusCounters": {"Completed": 0},
            **rest,
        }

    def describe_hyper_parameter_tuning_job(
        self, HyperParameterTuningJobName: str
    ) -> dict[str, Any]:
        """Its children train while somebody looks: with `losses`, None being a failure."""
        name = HyperParameterTuningJobName
        job = self._known(self.searches, name, "DescribeHyperParameterTuningJob")
        seen = dict(job)
        if job["HyperParameterTuningJobStatus"] == "Stopping":
            job["HyperParameterTuningJobStatus"] = "Stopped"
        elif job["HyperParameterTuningJobStatus"] == "InProgress":
            self.finish_search(name, self.search_ends)
        return seen

    def finish_search(self, name: str, status: str) -> None:
        job = self.searches[name]
        job["HyperParameterTuningJobStatus"] = status
        output = job["TrainingJobDefinition"]["OutputDataConfig"]["S3OutputPath"]
        for number, loss in enumerate(self.losses, start=1):
            child = f"{name}-{number:03}-0123abcd"
            path = f"{output}/{child}/output/model.tar.gz"
            objective = {"MetricName": "val_loss", "Value": loss}
            self.jobs[child] = {
                "TrainingJobName": child,
                "TrainingJobStatus": "Failed" if loss is None else "Completed",
                "ModelArtifacts": {"S3ModelArtifacts": path},
                "TunedHyperParameters": {"dropout": str(number / 10)},
                "TuningJob": name,
                **(
                    {"FailureReason": "AlgorithmError: the loss is not finite"}
                    if loss is None
                    else {"FinalHyperParameterTuningJobObjectiveMetric": objective}
                ),
            }
            if loss is not None:
                key = path.removeprefix("s3://").partition("/")[2]
                self.objects[key] = self.objects[key.replace("model", "output")] = child.encode()
        counted = sum(loss is not None for loss in self.losses)
        job["TrainingJobStatusCounters"] = {"Completed": counted}

    def list_training_jobs_for_hyper_parameter_tuning_job(
        self, HyperParameterTuningJobName: str, NextToken: str = "0", **rest: Any
    ) -> dict[str, Any]:
        known = [
            job for job in self.jobs.values() if job.get("TuningJob") == HyperParameterTuningJobName
        ]
        start, end = int(NextToken), int(NextToken) + 2  # more than one page, as with many on AWS
        more = {"NextToken": str(end)} if end < len(known) else {}
        return {"TrainingJobSummaries": known[start:end], **more}

    def stop_hyper_parameter_tuning_job(self, HyperParameterTuningJobName: str) -> None:
        self.searches[HyperParameterTuningJobName]["HyperParameterTuningJobStatus"] = "Stopping"

    def list_hyper_parameter_tuning_jobs(self, StatusEquals: str) -> dict[str, Any]:
        return {
            "HyperParameterTuningJobSummaries": [
                job
                for job in self.searches.values()
                if job["HyperParameterTuningJobStatus"] == StatusEquals
            ]
        }

    def create_model_package_group(self, ModelPackageGroupName: str, **rest: Any) -> None:
        if ModelPackageGroupName in self.packages:
            raise refused(
                "CreateModelPackageGroup",
                "ValidationException",
                "Model Package Group already exists",
            )
        self.packages[ModelPackageGroupName] = []

    def describe_model_package_group(self, ModelPackageGroupName: str) -> None:
        self._group(ModelPackageGroupName)

    def delete_model_package_group(self, ModelPackageGroupName: str) -> None:
        if self._group(ModelPackageGroupName):
            raise refused("DeleteModelPackageGroup", "ConflictException", "It holds versions")
        del self.packages[ModelPackageGroupName]

    def create_model_package(self, ModelPackageGroupName: str, **rest: Any) -> dict[str, Any]:
        group = self._group(ModelPackageGroupName)
        for known in group:
            if known["ClientToken"] == rest["ClientToken"]:
                return known
        number = 1 + max((one["ModelPackageVersion"] for one in group), default=0)
        arn = "arn:aws:sagemaker:us-east-1:123456789012:model-package/"
        group.append(
            {
                "ModelPackageArn": f"{arn}{ModelPackageGroupName}/{number}",
                "ModelPackageVersion": number,
                **rest,
            }
        )
        return group[-1]

    def describe_model_package(self, ModelPackageName: str) -> dict[str, Any]:
        for group in self.packages.values():
            for one in group:
                if one["ModelPackageArn"] == ModelPackageName:
                    return one
        raise refused(
            "DescribeModelPackage",
            "ValidationException",
            f"ModelPackage {ModelPackageName} does not exist.",
        )

    def update_model_package(self, ModelPackageArn: str, **rest: Any) -> None:
        found = self.describe_model_package(ModelPackageArn)
        properties = rest.pop("CustomerMetadataProperties", {})
        found["CustomerMetadataProperties"] = {**found["CustomerMetadataProperties"], **properties}
        found.update(rest)

    def delete_model_package(self, ModelPackageName: str) -> None:
        found = self.describe_model_package(ModelPackageName)
        for group in self.packages.values():
            if found in group:
                group.remove(found)

    def list_model_packages(self, ModelPackageGroupName: str, **rest: Any) -> dict[str, Any]:
        return {"ModelPackageSummaryList": self._group(ModelPackageGroupName)}

    def _group(self, name: str) -> list[dict[str, Any]]:
        if name not in self.packages:
            raise refused(
                "ListModelPackages",
                "ValidationException",
                f"ModelPackageGroup arn:aws:sagemaker:…/{name} does not exist.",
            )
        return self.packages[name]

    def create_model(self, ModelName: str, **rest: Any) -> None:
        self.models[ModelName] = rest

    def describe_model(self, ModelName: str) -> dict[str, Any]:
        return self._known(self.models, ModelName, "DescribeModel")

    def delete_model(self, ModelName: str) -> None:
        self._known(self.models, ModelName, "DeleteModel")
        del self.models[ModelName]

    def create_endpoint_config(self, EndpointConfigName: str, **rest: Any) -> None:
        self.configs[EndpointConfigName] = rest

    def describe_endpoint_config(self, EndpointConfigName: str) -> dict[str, Any]:
        return self._known(self.configs, EndpointConfigName, "DescribeEndpointConfig")

    def delete_endpoint_config(self, EndpointConfigName: str) -> None:
        self._known(self.configs, EndpointConfigName, "DeleteEndpointConfig")
        del self.configs[EndpointConfigName]

    def create_endpoint(self, EndpointName: str, EndpointConfigName: str, **rest: Any) -> None:
        self._lagging("create_endpoint", "Could not find endpoint configuration")
        self._known(self.configs, EndpointConfigName, "CreateEndpoint")
        if EndpointName in self.endpoints:
            raise refused(
                "CreateEndpoint", "ValidationException", "Cannot create already existing endpoint"
            )
        self.endpoints[EndpointName] = {
            "EndpointStatus": "Creating",
            "EndpointConfigName": EndpointConfigName,
        }

    def update_endpoint(
        self,
        EndpointName: str,
        EndpointConfigName: str,
        DeploymentConfig: Any = None,
        **rest: Any,
    ) -> None:
        found = self._known(self.endpoints, EndpointName, "UpdateEndpoint")
        self.deployments.append(DeploymentConfig)
        found["EndpointStatus"] = "Updating"
        if not self.rolls_back:
            found["EndpointConfigName"] = EndpointConfigName

    def describe_endpoint(self, EndpointName: str) -> dict[str, Any]:
        found = self._known(self.endpoints, EndpointName, "DescribeEndpoint")
        seen = dict(found)
        if found["EndpointStatus"] == "Deleting":
            del self.endpoints[EndpointName]
        elif found["EndpointStatus"] in ("Creating", "Updating", "RollingBack"):
            found["EndpointStatus"] = self.endpoint_ends
            if self.endpoint_ends == "Failed":
                found["FailureReason"] = "The container did not pass the ping health check"
        return seen

    def delete_endpoint(self, EndpointName: str) -> None:
        found = self._known(self.endpoints, EndpointName, "DeleteEndpoint")
        if found["EndpointStatus"] in ("Creating", "Updating", "RollingBack"):
            raise refused(
                "DeleteEndpoint", "ValidationException", "Cannot update in-progress endpoint"
            )
        found["EndpointStatus"] = "Deleting"

    def list_endpoints(self) -> dict[str, Any]:
        return {"Endpoints": list(self.endpoints)}

    def _known(self, things: dict[str, dict[str, Any]], name: str, operation: str) -> Any:
        if name not in things:
            raise refused(operation, "ValidationException", f'Could not find "{name}".')
        return things[name]

    def _lagging(self, operation: str, message: str) -> None:
        if self.lag:
            self.lag -= 1
            raise refused(operation, "ValidationException", message)
