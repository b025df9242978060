"""A local cloud under test: tiny training programs and tiny model servers, run for real."""

from __future__ import annotations

import io
import itertools
import json
import tarfile
import textwrap
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from infra.local import LocalCloud, processes
from tests.support import jobs

ROLE = "arn:aws:iam::123456789012:role/tests"
TRAINING_IMAGE = "763104351884.dkr.ecr.us-east-1.amazonaws.com/tensorflow-training:2.21-cpu-py312"
BUCKET = "local-cloud-tests"
PATIENCE = 60.0
LOSS = {"Name": "loss", "Regex": "loss=([0-9.e+-]+);"}

# Answers with what it was sent; what its environment says decides how it misbehaves.
SERVER = """
import http.server, json, os, signal, sys, time

NAME = os.environ.get("NAME") or "echo"  # make exports a NAME that is empty
if os.environ.get("BROKEN"):
    print("this server refuses to start", flush=True)
    sys.exit(3)

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/execution-parameters":
            self.answer(200, os.environ.get("WANTED", "").encode())
        else:
            self.answer(503 if os.environ.get("UNHEALTHY") else 200, b"")

    def do_POST(self):
        body = self.read_body()
        if body == b"crash":
            os._exit(1)
        if os.environ.get("FAULTY"):
            self.answer(500, NAME.encode())
            return
        if body.startswith(b"status "):
            self.answer(int(body.split()[1]), b"the model says no")
        elif body.startswith(b"sleep "):
            time.sleep(float(body.split()[1]))
            self.answer(200, NAME.encode())
        elif body == b"who":
            self.answer(200, NAME.encode())
        elif body == b"about":
            about = {
                "pid": os.getpid(),
                "headers": dict(self.headers),
                "model": sorted(os.listdir(os.environ["SM_MODEL_DIR"])),
                "modes": oct(os.stat(os.environ["SM_MODEL_DIR"]).st_mode & 0o777),
                "environment": dict(os.environ),
            }
            self.answer(200, json.dumps(about).encode())
        else:
            self.answer(200, body)

    def read_body(self):
        if "Content-Length" in self.headers:
            return self.rfile.read(int(self.headers["Content-Length"]))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def answer(self, status, body):
        head = (
            f"HTTP/1.1 {status} X\\r\\nContent-Type: {self.headers.get('Accept') or 'a/b'}\\r\\n"
            f"X-Amzn-SageMaker-Custom-Attributes: from={NAME}\\r\\n"
            f"Content-Length: {len(body)}\\r\\n\\r\\n"
        )
        self.wfile.write(head.encode() + body)

    def log_message(self, *_):
        pass

print(f"{NAME} is ready", flush=True)
address = os.environ["SERVER_ADDRESS"], int(os.environ["SAGEMAKER_BIND_TO_PORT"])
http.server.ThreadingHTTPServer(address, Handler).serve_forever()
"""


def archive(files: Mapping[str, str | bytes]) -> bytes:
    """A tar.gz of these files."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as members:
        for name, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            member = tarfile.TarInfo(name)
            member.size = len(data)
            members.addfile(member, io.BytesIO(data))
    return packed.getvalue()


def unpacked(data: bytes) -> dict[str, bytes]:
    """The files of a tar.gz."""
    found = {}
    with tarfile.open(fileobj=io.BytesIO(data)) as members:
        for member in members:
            content = members.extractfile(member)
            if content is not None:
                found[member.name] = content.read()
    return found


def until(ask: Callable[[], Any], good: Callable[[Any], bool]) -> Any:
    """Ask again and again until the answer is good; the test fails when it never is."""
    deadline = time.monotonic() + PATIENCE
    while not good(answer := ask()):
        assert time.monotonic() < deadline, f"waited in vain; the last answer: {answer}"
        time.sleep(0.02)
    return answer


def is_gone(pid: int) -> bool:
    """Whether a process runs no more."""
    return processes.identity(pid) is None


class Bench:
    """What a test does with a local cloud, in few words."""

    def __init__(self, cloud: LocalCloud, directory: Path) -> None:
        self.cloud = cloud
        session = cloud.session()
        self.s3 = session.client("s3")
        self.sagemaker = session.client("sagemaker")
        self.runtime = session.client("sagemaker-runtime")
        self.logs = session.client("logs")
        self.s3.create_bucket(Bucket=BUCKET)
        self._directory = directory
        self._numbers = itertools.count(1)

    def name(self, kind: str) -> str:
        """A name that no other test uses."""
        return f"{kind}-{next(self._numbers)}"

    def put(self, key: str, body: bytes | str) -> str:
        """An object; its S3 URI."""
        self.s3.put_object(Bucket=BUCKET, Key=key, Body=body)
        return f"s3://{BUCKET}/{key}"

    def get(self, uri: str) -> bytes:
        """An object's content."""
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        body: bytes = self.s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        return body

    def keys(self, prefix: str) -> list[str]:
        """What is below a prefix, without it."""
        found = self.s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])
        return [each["Key"].removeprefix(prefix) for each in found]

    def job_request(
        self, program: str, hyperparameters: Mapping[str, str] | None = None, **changes: Any
    ) -> dict[str, Any]:
        """A request for a job that runs a program as train.py, in script mode."""
        name = self.name("job")
        source = self.put(
            f"code/{name}/sourcedir.tar.gz", archive({"train.py": textwrap.dedent(program)})
        )
        return {
            "TrainingJobName": name,
            "RoleArn": ROLE,
            "HyperParameters": {
                "sagemaker_program": "train.py",
                "sagemaker_submit_directory": source,
                **(hyperparameters or {}),
            },
            "AlgorithmSpecification": {
                "TrainingImage": TRAINING_IMAGE,
                "TrainingInputMode": "File",
            },
            "OutputDataConfig": {"S3OutputPath": f"s3://{BUCKET}/jobs"},
            "ResourceConfig": {
                "InstanceType": "ml.m5.xlarge",
                "InstanceCount": 1,
                "VolumeSizeInGB": 5,
            },
            "StoppingCondition": {"MaxRuntimeInSeconds": 60},
            **changes,
        }

    def start(self, program: str, **changes: Any) -> str:
        """Start a job; its name."""
        request = self.job_request(program, **changes)
        self.sagemaker.create_training_job(**request)
        return str(request["TrainingJobName"])

    def tuning_request(
        self,
        program: str,
        ranges: Mapping[str, Any],
        *,
        strategy: str = "Random",
        jobs: int | None = 3,
        parallel: int = 1,
        static: Mapping[str, str] | None = None,
        definition: Mapping[str, Any] | None = None,
        **config: Any,
    ) -> dict[str, Any]:
        """A request to tune a program that prints lines such as ``loss=0.5;``."""
        job = self.job_request(program, static, **(definition or {}))
        static_values = job.pop("HyperParameters")
        job["AlgorithmSpecification"]["MetricDefinitions"] = [LOSS]
        del job["TrainingJobName"]
        limits = {"MaxParallelTrainingJobs": parallel}
        if jobs is not None:
            limits["MaxNumberOfTrainingJobs"] = jobs
        return {
            "HyperParameterTuningJobName": self.name("tuning"),
            "HyperParameterTuningJobConfig": {
                "Strategy": strategy,
                "HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": "loss"},
                "ResourceLimits": limits,
                "ParameterRanges": ranges,
                "RandomSeed": 7,
                **config,
            },
            "TrainingJobDefinition": {"StaticHyperParameters": static_values, **job},
        }

    def tuning(self, name: str) -> dict[str, Any]:
        """A tuning job as it is now."""
        found: dict[str, Any] = self.sagemaker.describe_hyper_parameter_tuning_job(
            HyperParameterTuningJobName=name
        )
        return found

    def start_tuning(self, request: Mapping[str, Any]) -> str:
        """Start a tuning job; its name."""
        self.sagemaker.create_hyper_parameter_tuning_job(**request)
        return str(request["HyperParameterTuningJobName"])

    def tuned(self, name: str) -> dict[str, Any]:
        """A tuning job when it has ended."""
        return until(
            lambda: self.tuning(name),
            lambda job: job["HyperParameterTuningJobStatus"] in ("Completed", "Failed", "Stopped"),
        )

    def tune(self, program: str, ranges: Mapping[str, Any], **options: Any) -> dict[str, Any]:
        """Run a tuning job to its end."""
        return self.tuned(self.start_tuning(self.tuning_request(program, ranges, **options)))

    def trials(self, name: str, **options: Any) -> list[dict[str, Any]]:
        """The training jobs of a tuning job, in the order in which they were launched."""
        found: list[dict[str, Any]] = (
            self.sagemaker.list_training_jobs_for_hyper_parameter_tuning_job(
                HyperParameterTuningJobName=name, MaxResults=100, **options
            )["TrainingJobSummaries"]
        )
        return found

    def job(self, name: str) -> dict[str, Any]:
        """A job as it is now."""
        found: dict[str, Any] = self.sagemaker.describe_training_job(TrainingJobName=name)
        return found

    def ended(self, name: str) -> dict[str, Any]:
        """A job when it has ended."""
        return until(
            lambda: self.job(name),
            lambda job: job["TrainingJobStatus"] in ("Completed", "Failed", "Stopped"),
        )

    def run(self, program: str, **changes: Any) -> dict[str, Any]:
        """Run a job to its end."""
        return self.ended(self.start(program, **changes))

    def lines(self, group: str, prefix: str) -> list[str]:
        """What the streams of a log group say; nothing when there are none yet."""
        try:
            streams = self.logs.describe_log_streams(
                logGroupName=group, logStreamNamePrefix=prefix
            )["logStreams"]
        except self.logs.exceptions.ResourceNotFoundException:
            return []
        return [
            event["message"]
            for stream in streams
            for event in self.logs.get_log_events(
                logGroupName=group, logStreamName=stream["logStreamName"], startFromHead=True
            )["events"]
        ]

    def job_lines(self, name: str) -> list[str]:
        """What a job printed."""
        return self.lines("/aws/sagemaker/TrainingJobs", f"{name}/")

    def image(self, program: str = SERVER, command: str = "serve") -> str:
        """An image whose command runs a program; its URI."""
        tree = self._directory / self.name("tree")
        tree.mkdir()
        (tree / "program.py").write_text(textwrap.dedent(program))
        return self.cloud.push_image("tests", tree.name, tree, {command: ["python", "program.py"]})

    def model(self, environment: Mapping[str, str] | None = None, **container: Any) -> str:
        """A model that runs the test server; its name."""
        name = self.name("model")
        details = {"Image": self.image(), "Environment": dict(environment or {}), **container}
        self.sagemaker.create_model(ModelName=name, ExecutionRoleArn=ROLE, PrimaryContainer=details)
        return name

    def variant(self, model: str, **changes: Any) -> dict[str, Any]:
        """A production variant."""
        return {
            "VariantName": "AllTraffic",
            "ModelName": model,
            "InstanceType": "ml.m5.large",
            "InitialInstanceCount": 1,
            **changes,
        }

    def config(self, *variants: Mapping[str, Any]) -> str:
        """An endpoint configuration of these variants; its name."""
        name = self.name("config")
        self.sagemaker.create_endpoint_config(
            EndpointConfigName=name, ProductionVariants=list(variants)
        )
        return name

    def endpoint(self, config: str) -> str:
        """An endpoint, settled; its name."""
        name = self.name("endpoint")
        self.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=config)
        self.settled(name)
        return name

    def deploy(self, environment: Mapping[str, str] | None = None, **container: Any) -> str:
        """An endpoint with the test server behind it; its name."""
        return self.endpoint(self.config(self.variant(self.model(environment, **container))))

    def settled(self, endpoint: str) -> dict[str, Any]:
        """An endpoint when nothing is in progress any more."""
        return until(
            lambda: self.sagemaker.describe_endpoint(EndpointName=endpoint),
            lambda found: found["EndpointStatus"] in ("InService", "Failed"),
        )

    def invoke(self, endpoint: str, body: bytes, **options: Any) -> bytes:
        """What an endpoint answers."""
        answer = self.runtime.invoke_endpoint(EndpointName=endpoint, Body=body, **options)
        content: bytes = answer["Body"].read()
        return content

    def about(self, endpoint: str, **options: Any) -> dict[str, Any]:
        """What the server behind an endpoint says of itself."""
        found: dict[str, Any] = json.loads(self.invoke(endpoint, b"about", **options))
        return found

    def delete(self, endpoint: str) -> None:
        """Delete an endpoint and wait until it is gone."""
        self.sagemaker.delete_endpoint(EndpointName=endpoint)
        until(
            lambda: self.sagemaker.list_endpoints(NameContains=endpoint)["Endpoints"],
            lambda found: endpoint not in [each["EndpointName"] for each in found],
        )


def real_training(
    bench: Bench, scratch: Path, settings: Mapping[str, object], rows: int
) -> dict[str, Any]:
    """What starts the kit's own training code on a small table, all of it in S3."""
    data = jobs.tree(scratch / "ml", jobs.table(rows)) / "input" / "data"
    prefix = bench.name("table")
    channels = []
    for file in sorted(each for each in data.rglob("*") if each.is_file()):
        folder = file.parent.name
        bench.put(f"{prefix}/{folder}/{file.name}", file.read_bytes())
        source = {"S3DataType": "S3Prefix", "S3Uri": f"s3://{BUCKET}/{prefix}/{folder}"}
        channels.append({"ChannelName": folder, "DataSource": {"S3DataSource": source}})
    archive = jobs.code_archive(scratch / "sourcedir.tar.gz")
    code = bench.put(f"{prefix}/sourcedir.tar.gz", archive.read_bytes())
    encoded = {name: json.dumps(each) for name, each in settings.items()}
    return {
        "hyperparameters": {**encoded, "sagemaker_submit_directory": code},
        "InputDataConfig": channels,
    }
