"""What the container's environment says, read once, here and nowhere else in `inference`.

Names and defaults are those of SageMaker hosting, where it has them: the model lies in
``/opt/ml/model`` and the server answers on ``SAGEMAKER_BIND_TO_PORT``, 8080 unless told otherwise.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from inference import limits
from shared.errors import KitError

USAGE = """\
  SM_MODEL_DIR            directory of the model bundle (default: /opt/ml/model)
  SERVER_ADDRESS          IP address to listen on (default: 0.0.0.0)
  SAGEMAKER_BIND_TO_PORT  TCP port to listen on (default: 8080)
  MODEL_SERVER_WORKERS    number of worker processes (default: one per CPU)
  MODEL_POINTER           s3://… or a path of a JSON object {"bundle", "digest"} to follow: the
                          bundle that it names is swapped in (default: none is followed)
  MODEL_POINTER_SECONDS   seconds between two looks at the pointer (default: 60)
  LOG_LEVEL               debug, info, warning or error (default: info); where it is not set,
                          SAGEMAKER_CONTAINER_LOG_LEVEL as a number: 10, 20, 30 or 40
  METRICS_SECONDS         seconds between two lines of metrics for CloudWatch; 0: none (default: 60)
  SERVER_COUNTS_DIR       folder in which workers leave their counts for /metrics (default: a new
                          one, in memory where there is /dev/shm)
  ENDPOINT_NAME           name of the endpoint, for metrics (default: none)
  VARIANT_NAME            name of the variant, for metrics (default: AllTraffic)
  ENDPOINT_CONFIG_NAME    name of the endpoint config, for metrics (default: none)
  SAGEMAKER_BATCH         true in a batch transform job: bodies up to 100 MB (default: false)
  SAGEMAKER_MAX_PAYLOAD_IN_MB          largest body of a batch transform job, to 100; 0: 100
  SAGEMAKER_BATCH_STRATEGY             MULTI_RECORD or SINGLE_RECORD (default: MULTI_RECORD)
  SAGEMAKER_MAX_CONCURRENT_TRANSFORMS  requests at once of such a job (default: one per worker)
"""
"""One line per variable, for ``--help``."""

COUNTS_DIR = "SERVER_COUNTS_DIR"
"""The server sets it for its workers."""

_LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
_STRATEGIES = ("MULTI_RECORD", "SINGLE_RECORD")
_MEGABYTE = 1_048_576


@dataclass(frozen=True)
class Batch:
    """What a batch transform job is told at /execution-parameters.

    Args:
        active: this container serves such a job.
        payload: megabytes that a body may have.
        strategy: MULTI_RECORD or SINGLE_RECORD.
        concurrent: requests at once.
    """

    active: bool
    payload: int
    strategy: str
    concurrent: int


@dataclass(frozen=True)
class Settings:
    """How one server runs.

    Args:
        model_dir: directory of the bundle.
        address: IP address to listen on.
        port: TCP port to listen on.
        workers: number of processes that answer.
        batch: what concerns batch transform jobs.
        log_level: of `logging`.
        metrics_seconds: between two lines of metrics; 0: there are none.
        counts: folder in which workers leave their counts; None: nowhere.
        endpoint, variant, config: names, for metrics.
        pointer: where to read which bundle to swap in; None: there is no such place.
        pointer_seconds: between two looks at it.
    """

    model_dir: Path
    address: str
    port: int
    workers: int
    batch: Batch
    log_level: int
    metrics_seconds: int
    counts: Path | None
    endpoint: str
    variant: str
    config: str = ""
    pointer: str | None = None
    pointer_seconds: int = 60

    @property
    def body_bytes(self) -> int:
        """The largest body."""
        return self.batch.payload * _MEGABYTE if self.batch.active else limits.BODY_BYTES

    @property
    def rows(self) -> int:
        """The most rows of a request: in a batch transform job as many as fit into its body.

        SageMaker fills a body with lines up to so many bytes, and counts no rows.
        """
        return self.body_bytes // 2 if self.batch.active else limits.ROWS


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
        raise _wrong(name, f"{text!r} is not a whole number between {low} and {high}")

    def one_of(name: str, choices: Iterable[str], default: str) -> str:
        text = value(name, default)
        for choice in choices:
            if text.lower() == choice.lower():
                return choice
        raise _wrong(name, f"{text!r} is none of {', '.join(choices)}")

    active = one_of("SAGEMAKER_BATCH", ("true", "false"), "false") == "true"
    workers = whole("MODEL_SERVER_WORKERS", _cpus(), 1, 256)
    most = limits.BATCH_BODY_BYTES // _MEGABYTE
    # A transform job may say 0 of both: as much as the container takes.
    usual = most if active else 6
    payload = whole("SAGEMAKER_MAX_PAYLOAD_IN_MB", usual, 0, most) or usual
    usual = min(workers, most // payload)
    concurrent = whole("SAGEMAKER_MAX_CONCURRENT_TRANSFORMS", usual, 0, 1000) or usual
    if value("LOG_LEVEL", ""):
        log_level = _LEVELS[one_of("LOG_LEVEL", _LEVELS, "info")]
    else:
        log_level = whole("SAGEMAKER_CONTAINER_LOG_LEVEL", logging.INFO, 1, 50)
    return Settings(
        model_dir=Path(value("SM_MODEL_DIR", "/opt/ml/model")),
        address=value("SERVER_ADDRESS", "0.0.0.0"),  # noqa: S104 a container is asked from outside
        port=whole("SAGEMAKER_BIND_TO_PORT", 8080, 1, 65_535),
        workers=workers,
        batch=Batch(
            active,
            payload,
            one_of("SAGEMAKER_BATCH_STRATEGY", _STRATEGIES, _STRATEGIES[0]),
            concurrent,
        ),
        log_level=log_level,
        metrics_seconds=whole("METRICS_SECONDS", 60, 0, 3600),
        counts=Path(folder) if (folder := value(COUNTS_DIR, "")) else None,
        endpoint=value("ENDPOINT_NAME", ""),
        variant=value("VARIANT_NAME", "AllTraffic"),
        config=value("ENDPOINT_CONFIG_NAME", ""),
        pointer=value("MODEL_POINTER", "") or None,
        pointer_seconds=whole("MODEL_POINTER_SECONDS", 60, 1, 86_400),
    )


def tensorflow_serving(environment: Mapping[str, str] | None = None) -> str:
    """Where TensorFlow Serving predicts with the bundle's network.

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
    return f"http://localhost:{port}/v1/models/{name}:predict"


def _wrong(name: str, message: str) -> KitError:
    return KitError(
        message, where=name, cure="Correct the variable, or leave it out to get the default"
    )


def _cpus() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
