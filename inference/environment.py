"""What the container's environment says, read once, here and nowhere else in `inference`.

Names and defaults are those of SageMaker hosting, where it has them: the model lies in
``/opt/ml/model`` and the server answers on ``SAGEMAKER_BIND_TO_PORT``, 8080 unless told otherwise.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from shared.errors import KitError

USAGE = """\
  SM_MODEL_DIR            directory of the model bundle (default: /opt/ml/model)
  SERVER_ADDRESS          IP address to listen on (default: 0.0.0.0)
  SAGEMAKER_BIND_TO_PORT  TCP port to listen on (default: 8080)
  MODEL_SERVER_WORKERS    number of worker processes (default: one per CPU)
  MODEL_POINTER           s3://… or a path of a JSON object {"bundle", "digest"} to follow: the
                          bundle that it names is swapped in (default: none is followed)
  MODEL_POINTER_SECONDS   seconds between two looks at the pointer (default: 60)
"""
"""One line per variable, for ``--help``."""


@dataclass(frozen=True)
class Settings:
    """How one server runs.

    Args:
        model_dir: directory of the bundle.
        address: IP address to listen on.
        port: TCP port to listen on.
        workers: number of processes that answer.
        pointer: where to read which bundle to swap in; None: there is no such place.
        pointer_seconds: between two looks at it.
    """

    model_dir: Path
    address: str
    port: int
    workers: int
    pointer: str | None = None
    pointer_seconds: int = 60


def read(environment: Mapping[str, str] | None = None) -> Settings:
    """The settings in `environment`, by default this process's own.

    An empty variable counts as one that is not set.

    Raises:
        KitError: naming the variable and what it may be.
    """
    given = os.environ if environment is None else environment

    def value(name: str, default: str) -> str:
        return given.get(name, "").strip() or default

    def whole(name: str, default: int, low: int, high: int) -> int:
        text = value(name, str(default))
        if text.isascii() and text.isdigit() and len(text) < 10 and low <= int(text) <= high:
            return int(text)
        raise KitError(
            f"{text!r} is not a whole number between {low} and {high}",
            where=name,
            cure="Correct the variable, or leave it out to get the default",
        )

    return Settings(
        model_dir=Path(value("SM_MODEL_DIR", "/opt/ml/model")),
        address=value("SERVER_ADDRESS", "0.0.0.0"),  # noqa: S104 a container is asked from outside
        port=whole("SAGEMAKER_BIND_TO_PORT", 8080, 1, 65_535),
        workers=whole("MODEL_SERVER_WORKERS", _cpus(), 1, 256),
        pointer=value("MODEL_POINTER", "") or None,
        pointer_seconds=whole("MODEL_POINTER_SECONDS", 60, 1, 86_400),
    )


def tensorflow_serving(environment: Mapping[str, str] | None = None) -> tuple[Path, str]:
    """The bundle's directory, and where TensorFlow Serving predicts with the network in it.

    AWS's TensorFlow Serving image tells the Python service the ports (several servers may run) and
    the model's name.

    Raises:
        KitError: the image did not say.
    """
    given = os.environ if environment is None else environment
    port, name = given.get("TFS_REST_PORTS", "").split(",")[0], given.get("TFS_DEFAULT_MODEL_NAME")
    if not port or not name:
        raise KitError(
            "there is no TensorFlow Serving here",
            where="TFS_REST_PORTS and TFS_DEFAULT_MODEL_NAME",
            cure="Run it in the TensorFlow Serving image, or python -m inference.server anywhere",
        )
    uri = f"http://localhost:{port}/v1/models/{name}:predict"
    return Path(given.get("SM_MODEL_DIR", "").strip() or "/opt/ml/model"), uri


def _cpus() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
