"""Where a training job finds its input and leaves its output, as one frozen value.

The same code runs under four launchers: the sagemaker-training toolkit, the SageMaker SDK's
ModelTrainer drivers, the local cloud, and a person's shell. They agree on the /opt/ml layout and
differ in variables; what they differ in ends here. Here: the only reading of environment variables
and of the layout, the raw hyperparameters, and the variables that TensorFlow reads when it is
imported. Not here: what a hyperparameter means (shared/hyperparameters.py).
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from shared import documents, hyperparameters, storage
from shared.errors import DataError, HyperparameterError
from shared.feature_rules import FILE
from training import memory

LAYOUT = Path("/opt/ml")
CODE = Path(__file__).parents[1]
SOURCE_PREFIX = "source_"
ALONE = "algo-1"
FIRST_PORT = 7770
HOST_ADDRESSES = "HOST_ADDRESSES"


@dataclass(frozen=True)
class Environment:
    """One training job's places.

    Attributes:
        channels: folder (by hand also a file, or s3://bucket/prefix) of each input channel:
            `train`, `project`, and `source_<name>` for each source; of a retraining also `model`
            and `new`.
        model: what is written here becomes model.tar.gz.
        output: what is written here becomes output.tar.gz: the report and its figures.
        failure: where a failed job says why; its first 1024 characters reach the user.
        checkpoints: a folder, or s3://bucket/prefix; of several hosts the first one's, which all
            read and it alone writes.
        hyperparameters: as given; text by SageMaker's rule, not yet decoded.
        job: the training job's name.
        tuned_by_service: a SageMaker tuning job chose the hyperparameters, so we must not.
        host: the name of this instance.
        hosts: the names of all instances of the job, in one order on each; the first one leads.
        sharded: the channels of which each instance has files of its own.
        memory: bytes that the job may take.
        features: where the project's features.py lies, if it has one: beside the code.
    """

    channels: Mapping[str, Path | str]
    model: Path
    output: Path
    failure: Path
    checkpoints: str
    hyperparameters: Mapping[str, object]
    job: str
    tuned_by_service: bool
    host: str
    hosts: tuple[str, ...]
    sharded: frozenset[str]
    memory: int
    features: Path = CODE / FILE

    @property
    def leads(self) -> bool:
        """Whether it is this instance that writes checkpoints, report and model."""
        return self.host == self.hosts[0]

    def channel(self, name: str) -> Path:
        """The place of one channel on this machine.

        Raises:
            DataError: the job has no such channel, or the place does not exist.
        """
        place = self.table(name)
        if isinstance(place, str):
            raise DataError(f"the channel {name!r} has to be a folder or a file", where=place)
        return place

    def table(self, name: str) -> Path | str:
        """The place of one channel; s3://bucket/prefix if it was given so.

        Raises:
            DataError: the job has no such channel, or the place does not exist.
        """
        if name not in self.channels:
            have = ", ".join(sorted(self.channels)) or "none"
            raise DataError(
                f"the training job has no channel {name!r} (it has: {have})",
                cure=f"Give it as an input channel, or by hand with --channel {name}=PATH",
            )
        place = self.channels[name]
        if isinstance(place, Path) and not place.exists():
            raise DataError(f"there is no such place for the channel {name!r}", where=str(place))
        return place


def read(arguments: Sequence[str], variables: Mapping[str, str] = os.environ) -> Environment:
    """The environment from flags (first), SM_* variables (second) and the /opt/ml layout (last).

    Unknown arguments are ignored: the toolkit repeats every hyperparameter, and `--model_dir`, as
    arguments; the hyperparameters' file says the same with its types intact.

    Raises:
        HyperparameterError: the hyperparameters' file is no JSON object.
        DataError: a flag NAME=VALUE has no "=".
    """
    flags, _ = _parser().parse_known_args(arguments)

    def place(flag: Path | None, variable: str, default: Path) -> Path:
        given = variables.get(variable)
        return flag or (Path(given) if given else default)

    base = place(flags.base, "SAGEMAKER_BASE_DIR", LAYOUT)
    entries = place(None, "SM_INPUT_DIR", base / "input")
    settings = place(None, "SM_INPUT_CONFIG_DIR", entries / "config")
    output = place(None, "SM_OUTPUT_DIR", base / "output")
    file = settings / "hyperparameters.json"
    raw = {**_hyperparameters(file), **_pairs(flags.set, "--set")}
    channels = {**_channels(entries / "data", variables), **_pairs(flags.channel, "--channel")}
    host, hosts = _hosts(settings / "resourceconfig.json")
    return Environment(
        channels={
            name: where if storage.is_s3(where) else Path(where) for name, where in channels.items()
        },
        model=place(flags.model, "SM_MODEL_DIR", base / "model"),
        output=place(flags.output, "SM_OUTPUT_DATA_DIR", output / "data"),
        failure=failure_file(arguments, variables),
        checkpoints=_checkpoints(flags.checkpoints or str(base / "checkpoints"), hosts),
        hyperparameters=raw,
        job=variables.get("TRAINING_JOB_NAME")
        or _plain(raw.get("sagemaker_job_name"))
        or "by-hand",
        tuned_by_service="_tuning_objective_metric" in raw,
        host=host,
        hosts=hosts,
        sharded=_sharded(settings / "inputdataconfig.json"),
        memory=memory.allowance(),
        features=flags.features or CODE / FILE,
    )


def failure_file(arguments: Sequence[str], variables: Mapping[str, str] = os.environ) -> Path:
    """Where to say why the job failed; known even when the rest of the environment is wrong."""
    flags, _ = _parser().parse_known_args(arguments)
    if given := variables.get("SM_OUTPUT_FAILURE"):
        return Path(given)
    base = flags.base or Path(variables.get("SAGEMAKER_BASE_DIR") or LAYOUT)
    return Path(variables.get("SM_OUTPUT_DIR") or base / "output") / "failure"


def prepare_tensorflow(variables: MutableMapping[str, str] = os.environ) -> None:
    """Set what TensorFlow and Keras read at import. Call before the first import of either.

    Quiet, the TensorFlow backend, and oneDNN off unless asked for: its kernels choose their order
    of addition by processor model, so results would differ between machines (measured: no faster
    for networks of this size).
    """
    variables["KERAS_BACKEND"] = "tensorflow"
    variables.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    variables.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")


def _hosts(file: Path) -> tuple[str, tuple[str, ...]]:
    """The current host and all hosts, as SageMaker names them; one host by hand."""
    if not file.is_file():
        return ALONE, (ALONE,)
    found = documents.loads(file.read_bytes(), str(file), DataError)
    if not isinstance(found, dict) or found.get("current_host") not in (found.get("hosts") or ()):
        raise DataError("current_host and hosts are needed", where=str(file))
    # All instances must agree on the order, whoever listed them.
    return found["current_host"], tuple(sorted(found["hosts"], key=_numbered))


def _checkpoints(location: str, hosts: Sequence[str]) -> str:
    """Several hosts share one S3 prefix: there the first one's lie under its name, for all."""
    return location if len(hosts) == 1 else f"{location.rstrip('/')}/{hosts[0]}"


def _sharded(file: Path) -> frozenset[str]:
    """The channels whose S3DataDistributionType is ShardedByS3Key."""
    if not file.is_file():
        return frozenset()
    found = documents.loads(file.read_bytes(), str(file), DataError)
    entries = found.items() if isinstance(found, dict) else ()
    return frozenset(
        name
        for name, entry in entries
        if isinstance(entry, dict) and entry.get("S3DistributionType") == "ShardedByS3Key"
    )


def _numbered(host: str) -> tuple[str, int]:
    """algo-10 comes after algo-9."""
    name, _, number = host.rpartition("-")
    return (name, int(number)) if number.isdecimal() else (host, 0)


def introduce(
    hosts: Sequence[str], rank: int, variables: MutableMapping[str, str] = os.environ
) -> None:
    """Tell TensorFlow where the hosts of a cluster are and which of them this one is.

    A host listens at FIRST_PORT + its place. The local cloud's hosts are one machine's processes;
    there HOST_ADDRESSES says where each of them listens: a JSON object, by host.
    """
    given = json.loads(variables.get(HOST_ADDRESSES) or "{}")
    places = [given.get(host) or f"{host}:{FIRST_PORT + i}" for i, host in enumerate(hosts)]
    told = {"cluster": {"worker": places}, "task": {"type": "worker", "index": rank}}
    variables["TF_CONFIG"] = json.dumps(told)


def _channels(folder: Path, variables: Mapping[str, str]) -> dict[str, str]:
    """Channel folders by name: as the launcher lists them, else every folder under input/data."""
    listed = variables.get("SM_CHANNELS")
    if listed:
        names = json.loads(listed)
    else:
        names = sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []
    return {
        name: variables.get(f"SM_CHANNEL_{name.upper()}") or str(folder / name) for name in names
    }


def _hyperparameters(file: Path) -> dict[str, object]:
    if not file.is_file():
        return {}
    raw = documents.loads(file.read_bytes(), str(file), HyperparameterError)
    if not isinstance(raw, dict):
        raise HyperparameterError("a JSON object of names and values is needed", where=str(file))
    return raw


def _pairs(given: Sequence[str], flag: str) -> dict[str, str]:
    for item in given:
        if "=" not in item:
            raise DataError(f"{flag} needs NAME=VALUE, not {item!r}")
    return {name: value for name, _, value in (item.partition("=") for item in given)}


def _plain(value: object) -> str:
    return str(value).strip('"') if value is not None else ""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m training.train",
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Train one project, as a SageMaker training job or by hand.",
        epilog=f"""\
The job reads two or more channels: `train` (CSV or Parquet files), `project` (project.json, which
says what the columns are, how to split and what to tune), and `source_<name>` for each source.
By hand, for example:

  python -m training.train --base /tmp/job --channel train=data/flights.parquet \\
      --channel project=/tmp/project.json --channel source_weather=data/weather.parquet \\
      --set epochs=3 --set dropout=0.2

leaves the bundle in /tmp/job/model and the report in /tmp/job/output/data. Run it again after an
interruption and it goes on from /tmp/job/checkpoints.

Hyperparameters, each with its default:

{hyperparameters.explained()}""",
    )
    parser.add_argument("--base", type=Path, metavar="DIR", help=f"the job's tree ({LAYOUT})")
    parser.add_argument(
        "--channel",
        action="append",
        default=[],
        metavar="NAME=PATH|S3",
        help="an input channel",
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="a hyperparameter"
    )
    parser.add_argument(
        "--features", type=Path, metavar="FILE", help=f"the project's {FILE} (beside the code)"
    )
    parser.add_argument("--model", type=Path, metavar="DIR", help="for the bundle (BASE/model)")
    parser.add_argument(
        "--output", type=Path, metavar="DIR", help="for the report (BASE/output/data)"
    )
    parser.add_argument(
        "--checkpoints", metavar="DIR|S3", help="folder or s3://bucket/prefix (BASE/checkpoints)"
    )
    return parser
