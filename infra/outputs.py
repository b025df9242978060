"""What a finished training job left in S3, brought to this machine: the bundle and the report.

No archive is trusted: bundles are opened by shared.bundle, and of the other archive one plain file
of bounded size is read, by name.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from infra.aws import Cloud
from infra.observe import describe
from infra.units import rounded
from shared import archives, files, storage
from shared.errors import BundleError, DeploymentError
from shared.hyperparameters import METRICS

if TYPE_CHECKING:
    from shared.bundle import Bundle

REPORT = "report.html"
_REPORT_BYTES = 64 << 20


def fetch_bundle(cloud: Cloud, uri: str, build: Path) -> Bundle:
    """Download a bundle and open it under ``<build>/bundle``, every digest checked.

    Raises:
        DeploymentError: it is not there.
        BundleError: it cannot be trusted.
    """
    from shared import bundle

    with tempfile.TemporaryDirectory(dir=_made(build)) as temporary:
        archive = Path(temporary) / "model.tar.gz"
        if not _download(cloud, uri, archive):
            raise DeploymentError(
                "the training job left no bundle here",
                where=uri,
                cure="Somebody may have deleted it: `make destroy`, then `make deploy`.",
            )
        shutil.rmtree(build / "bundle", ignore_errors=True)
        return bundle.extract(archive, build / "bundle")


def fetch_report(cloud: Cloud, uri: str, build: Path) -> Path | None:
    """Put the report of a job under ``<build>`` on this machine; None when it left none.

    Args:
        cloud: where it lies.
        build: where it goes.
        uri: the job's model.tar.gz; its output.tar.gz lies beside it.
    """
    with tempfile.TemporaryDirectory(dir=_made(build)) as temporary:
        archive = Path(temporary) / "output.tar.gz"
        if not _download(cloud, uri.rsplit("/", 1)[0] + "/output.tar.gz", archive):
            return None
        try:
            report = archives.member(archive, REPORT, _REPORT_BYTES)
        except (BundleError, OSError):
            report = None
    if report is None:
        return None
    files.write(build / REPORT, report)
    return build / REPORT


def known_metrics(build: Path, job: str) -> Mapping[str, Mapping[str, float]] | None:
    """The metrics of a job's bundle, if it is the one under ``<build>/bundle``."""
    from shared import bundle

    try:
        manifest = bundle.load(build / "bundle").manifest
    except BundleError:
        return None
    return manifest.metrics if manifest.training_job == job else None


def scores(metrics: Mapping[str, Mapping[str, float]]) -> list[tuple[str, str]]:
    """Metrics as (validation, test or baseline, "loss 0.5112   accuracy 0.8123"), in one order.

    The report has all of them; here stand those that SageMaker's metric definitions read, too.
    """
    return [
        (split, "   ".join(_score(name, metrics[split][name]) for name in _ordered(metrics[split])))
        for split in ("validation", "test", "baseline")
        if metrics.get(split)
    ]


def _ordered(found: Mapping[str, float]) -> list[str]:
    known = [name.removeprefix("test_") for name in METRICS if name.startswith("test_")]
    return [name for name in known if name in found]


def _score(name: str, value: float) -> str:
    # Losses and shares have one magnitude, an error in the target's unit has any.
    return f"{name} {rounded(value, 5):.12g}" if name in ("rmse", "mae") else f"{name} {value:.4f}"


def _made(directory: Path) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def _download(cloud: Cloud, uri: str, path: Path) -> bool:
    bucket, key = storage.split(uri)
    if describe(cloud, "s3", "head_object", {"Bucket": bucket, "Key": key}) is None:
        return False
    storage.download(uri, path, cloud.client("s3"))
    return True
