"""How a training job's program is started: its command, directory and environment.

Three ways, as on SageMaker. A request with a ContainerEntrypoint (the SDK's ModelTrainer) runs
that command. An image that was pushed with a ``train`` command runs that one. AWS's TensorFlow
image, for which the daemon's Python stands in, runs script mode: the program named by
``sagemaker_program`` from the archive at ``sagemaker_submit_directory``, with the hyperparameters
as arguments.

There is no container, so ``/opt/ml`` is a directory of the job. Programs learn of it from the
variables that SageMaker's own toolkit sets; the paths written into ModelTrainer's drivers are
rewritten.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from infra.local import archives
from infra.local.buckets import Buckets, Location, MissingError
from infra.local.images import Image

OPT_ML = "/opt/ml"
DRIVERS = "sm_drivers"
CREDENTIALS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE")


class LaunchError(Exception):
    """The request asks for a program that is not there."""


@dataclass(frozen=True)
class Layout:
    """The directories that a container has below /opt/ml, somewhere else."""

    base: Path

    @property
    def config(self) -> Path:
        """Hyperparameters, channels and hosts as JSON."""
        return self.base / "input" / "config"

    @property
    def data(self) -> Path:
        """One directory per channel."""
        return self.base / "input" / "data"

    @property
    def model(self) -> Path:
        """What becomes model.tar.gz."""
        return self.base / "model"

    @property
    def output(self) -> Path:
        """Holds ``data``, which becomes output.tar.gz, and ``failure``."""
        return self.base / "output"

    @property
    def code(self) -> Path:
        """The unpacked sources of script mode."""
        return self.base / "code"

    def make(self) -> None:
        """Create the directories that every container finds."""
        for path in (self.config, self.data, self.model, self.output / "data", self.code):
            path.mkdir(parents=True, exist_ok=True)

    def relocate(self, text: str) -> str:
        """A text with /opt/ml replaced by where it is here."""
        return text.replace(OPT_ML, str(self.base))

    def path(self, inside: str) -> Path:
        """Where a path of the container is here.

        Raises:
            LaunchError: it is not below /opt/ml, which is all that can be moved.
        """
        place = Path(os.path.normpath(self.relocate(inside)))
        if not place.is_relative_to(self.base):
            raise LaunchError(f"the local cloud only has paths below {OPT_ML}, not {inside}")
        return place


@dataclass(frozen=True)
class Launch:
    """A program ready to be started, and remarks for its log."""

    command: Sequence[str]
    directory: Path
    environment: Mapping[str, str]
    remarks: Sequence[str] = ()


def write_config(
    layout: Layout, request: Mapping[str, Any], host: str, hosts: Sequence[str]
) -> None:
    """The JSON files that SageMaker puts below input/config on one of a job's hosts."""
    instance = request["ResourceConfig"]["InstanceType"]
    group = "homogeneousCluster"
    files: dict[str, Any] = {
        "hyperparameters": request.get("HyperParameters", {}),
        "inputdataconfig": {
            channel["ChannelName"]: _channel(request, channel)
            for channel in request.get("InputDataConfig", [])
        },
        "resourceconfig": {
            "current_host": host,
            "current_instance_type": instance,
            "current_group_name": group,
            "hosts": list(hosts),
            "instance_groups": [
                {"instance_group_name": group, "instance_type": instance, "hosts": list(hosts)}
            ],
            "network_interface_name": "lo",
        },
    }
    if "CheckpointConfig" in request:
        checkpoints = request["CheckpointConfig"]
        local = str(layout.path(checkpoints.get("LocalPath", f"{OPT_ML}/checkpoints")))
        files["checkpointconfig"] = {**checkpoints, "LocalPath": local}
    for name, content in files.items():
        (layout.config / f"{name}.json").write_text(json.dumps(content))


def _channel(request: Mapping[str, Any], channel: Mapping[str, Any]) -> dict[str, str]:
    mode = request["AlgorithmSpecification"].get("TrainingInputMode", "File")
    source = channel["DataSource"]["S3DataSource"]
    return {
        "TrainingInputMode": channel.get("InputMode", mode),
        "S3DistributionType": source.get("S3DataDistributionType", "FullyReplicated"),
        "RecordWrapperType": "None",
        **({"ContentType": channel["ContentType"]} if "ContentType" in channel else {}),
    }


def prepare(
    request: Mapping[str, Any],
    image: Image,
    layout: Layout,
    buckets: Buckets,
    base_environment: Mapping[str, str],
) -> Launch:
    """What to start for a request whose channels and config files are in place.

    Raises:
        LaunchError: no program is named, or it cannot be fetched.
    """
    specification = request["AlgorithmSpecification"]
    if request.get("EnableNetworkIsolation"):
        base_environment = _without_credentials(base_environment)
    entrypoint = specification.get("ContainerEntrypoint")
    own_command = image.command("train")
    environment = {
        **base_environment,
        "PYTHONUNBUFFERED": "1",
        **{name: layout.relocate(value) for name, value in request.get("Environment", {}).items()},
        **_variables(request, layout),
    }
    if entrypoint:
        _relocate_files(layout.data / DRIVERS, layout)
        words = [*entrypoint, *specification.get("ContainerArguments", [])]
        directory = image.tree or layout.base
        command = [layout.relocate(word) for word in words]
        return Launch(command, directory, environment, _unenforced(request))
    if own_command:
        assert image.tree is not None
        environment["PYTHONPATH"] = str(image.tree)
        words = specification.get("ContainerArguments", [])
        command = [*own_command, *words]
        return Launch(command, image.tree, environment, _unenforced(request))
    if image.tree is not None:
        raise LaunchError(f"the image {image.uri} was pushed without a train command")
    return _script_mode(request, layout, buckets, environment)


def _without_credentials(environment: Mapping[str, str]) -> dict[str, str]:
    """As in an isolated container: nothing that opens S3, and no other place to look for it."""
    nowhere = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    return {name: text for name, text in environment.items() if name not in CREDENTIALS} | nowhere


def _unenforced(request: Mapping[str, Any]) -> list[str]:
    """A remark for each part of a request that is kept and described, and has no effect here."""
    remarks = []
    if "VpcConfig" in request:
        remarks.append("VpcConfig has no effect here: the program has this machine's network")
    if request.get("EnableNetworkIsolation"):
        remarks.append(
            "EnableNetworkIsolation: the program has no credentials, as on AWS; this machine's "
            "network is not taken from it"
        )
    if "VolumeKmsKeyId" in request["ResourceConfig"] or "KmsKeyId" in request["OutputDataConfig"]:
        remarks.append("KMS keys encrypt nothing here")
    return remarks


def _script_mode(
    request: Mapping[str, Any], layout: Layout, buckets: Buckets, environment: Mapping[str, str]
) -> Launch:
    raw = {name: decoded(text) for name, text in request.get("HyperParameters", {}).items()}
    program, source = raw.get("sagemaker_program"), raw.get("sagemaker_submit_directory")
    if not isinstance(program, str) or not isinstance(source, str):
        raise LaunchError(
            "script mode needs the hyperparameters sagemaker_program and sagemaker_submit_directory"
        )
    _fetch(source, layout, buckets)
    arguments: list[str] = []
    for name, value in sorted(_own(raw).items()):
        arguments += [f"--{name}" if len(name) > 1 else f"-{name}", _argument(value)]
    start = [sys.executable] if program.endswith(".py") else ["/bin/sh"]
    variables = {
        "PYTHONPATH": str(layout.code),
        "SM_MODULE_DIR": source,
        "SM_MODULE_NAME": program.removesuffix(".py"),
        "SM_USER_ENTRY_POINT": program,
        "SM_USER_ARGS": json.dumps(arguments),
    }
    return Launch(
        [*start, program, *arguments],
        layout.code,
        {**environment, **variables},
        [*_unenforced(request), *_unmet_requirements(layout.code / "requirements.txt")],
    )


def _fetch(source: str, layout: Layout, buckets: Buckets) -> None:
    if not source.startswith("s3://"):
        given = layout.path(source)
        if given.is_dir():
            shutil.copytree(given, layout.code, dirs_exist_ok=True)
            return
        if not given.is_file():
            raise LaunchError(f"sagemaker_submit_directory {source} is not there")
        _unpack(given, source, layout)
        return
    archive = layout.base / "sourcedir.tar.gz"
    try:
        buckets.download(Location.parse(source), archive)
    except MissingError:
        raise LaunchError(f"sagemaker_submit_directory {source} does not exist") from None
    _unpack(archive, source, layout)
    archive.unlink()


def _unpack(archive: Path, source: str, layout: Layout) -> None:
    try:
        archives.extract(archive, layout.code)
    except archives.UntrustedError as error:
        raise LaunchError(f"{source} cannot be unpacked: {error}") from None


def decoded(text: str) -> Any:
    """A hyperparameter's value as the toolkit reads it: JSON, or the text itself."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _own(hyperparameters: Mapping[str, Any]) -> dict[str, Any]:
    """The hyperparameters that are the program's, not the platform's."""
    return {
        name: value
        for name, value in hyperparameters.items()
        if not name.startswith("sagemaker_") and name != "_tuning_objective_metric"
    }


def _argument(value: Any) -> str:
    if isinstance(value, Mapping):
        return ",".join(f"{key}={each}" for key, each in sorted(value.items()))
    return "" if value is None else str(value)


def _variables(request: Mapping[str, Any], layout: Layout) -> dict[str, str]:
    """What SageMaker's training toolkit tells a program through its environment."""
    config = {path.stem: json.loads(path.read_text()) for path in layout.config.glob("*.json")}
    hyperparameters = _own(
        {name: decoded(text) for name, text in config["hyperparameters"].items()}
    )
    channels = sorted(config["inputdataconfig"])
    resources = config["resourceconfig"]
    values: dict[str, Any] = {
        "SM_HOSTS": resources["hosts"],
        "SM_CURRENT_HOST": resources["current_host"],
        "SM_CURRENT_INSTANCE_TYPE": resources["current_instance_type"],
        "SM_CURRENT_INSTANCE_GROUP": resources["current_group_name"],
        "SM_NETWORK_INTERFACE_NAME": resources["network_interface_name"],
        "SM_RESOURCE_CONFIG": resources,
        "SM_INPUT_DATA_CONFIG": config["inputdataconfig"],
        "SM_NUM_CPUS": os.cpu_count() or 1,
        "SM_NUM_GPUS": 0,
        "SM_NUM_NEURONS": 0,
        "SM_LOG_LEVEL": 20,
        "SM_CHANNELS": channels,
        "SM_HPS": hyperparameters,
        "SM_FRAMEWORK_PARAMS": {},
        "SM_INPUT_DIR": str(layout.base / "input"),
        "SM_INPUT_CONFIG_DIR": str(layout.config),
        "SM_MODEL_DIR": str(layout.model),
        "SM_OUTPUT_DIR": str(layout.output),
        "SM_OUTPUT_DATA_DIR": str(layout.output / "data"),
        "SM_OUTPUT_INTERMEDIATE_DIR": str(layout.output / "intermediate"),
        **{f"SM_CHANNEL_{name.upper()}": str(layout.data / name) for name in channels},
        **{f"SM_HP_{name.upper()}": value for name, value in hyperparameters.items()},
    }
    values["SM_TRAINING_ENV"] = {
        "hyperparameters": hyperparameters,
        "channel_input_dirs": {name: str(layout.data / name) for name in channels},
        "job_name": request["TrainingJobName"],
        "model_dir": str(layout.model),
        "output_data_dir": str(layout.output / "data"),
        "resource_config": resources,
    }
    texts = {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in values.items()
    }
    return {
        **texts,
        "SAGEMAKER_BASE_DIR": str(layout.base),
        "TRAINING_JOB_NAME": request["TrainingJobName"],
        "TRAINING_JOB_ARN": request["TrainingJobArn"],
    }


def _relocate_files(directory: Path, layout: Layout) -> None:
    for path in directory.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            moved = content.replace(OPT_ML.encode(), str(layout.base).encode())
            if moved != content:
                path.write_bytes(moved)


def _unmet_requirements(file: Path) -> list[str]:
    """A remark for each pinned requirement that this interpreter does not have.

    On SageMaker the toolkit would install them; here the kit's own environment is used as it is.
    """
    if not file.exists():
        return []
    remarks = []
    for line in file.read_text().splitlines():
        match = re.match(r"([A-Za-z0-9][\w.-]*)\s*(?:\[[^]]*])?\s*(?:==\s*([\w.]+))?", line.strip())
        if not match:
            continue
        name, wanted = match.groups()
        try:
            present = metadata.version(name)
        except metadata.PackageNotFoundError:
            remarks.append(f"requirements.txt asks for {name}, which is not installed here")
            continue
        if wanted and wanted != present:
            remarks.append(f"requirements.txt asks for {name}=={wanted}; {present} is used here")
    return remarks
