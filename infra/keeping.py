"""Keeping what the best trial of a tuning job left, at a place that the job's name gives away.

Here: which trial that is, and the copy. Not here: when it is done (tuning_steps.py).
"""

from __future__ import annotations

from collections.abc import Sequence

from infra.aws import Cloud
from infra.failures import is_missing
from infra.observe import bundle_of
from infra.trials import Trial, children, counted, ranked, why_failed
from shared.errors import DeploymentError


def keep_best(cloud: Cloud, names: Sequence[str], bucket: str, key: str) -> Trial:
    """Copy the best trial's bundle and report.

    The report's archive goes before the bundle, so that a bundle there means that all is there.

    Args:
        cloud: where they are.
        names: of the tuning jobs, the last one being the newest.
        bucket: where the bundle goes.
        key: its key, ending in model.tar.gz.

    Raises:
        DeploymentError: no trial finished, or what they left is gone.
    """
    trials = children(cloud, names)
    for trial in ranked(trials):
        uri = bundle_of(cloud, trial.job)
        if uri is not None:
            _copy(cloud, uri, bucket, key)
            return trial
    if ranked(trials):
        raise DeploymentError(
            "its trials' bundles are gone",
            where=f"tuning job {names[-1]}",
            cure="Somebody deleted them: the same command again searches anew.",
        )
    raise DeploymentError(
        f"no trial finished with a validation loss ({counted(trials) or 'none began'})",
        where=f"tuning job {names[-1]}",
        cure=why_failed(trials),
    )


def _copy(cloud: Cloud, uri: str, bucket: str, key: str) -> None:
    source, _, bundle = uri.removeprefix("s3://").partition("/")
    ours, its = key.rpartition("/")[0], bundle.rpartition("/")[0]
    for name in ("output.tar.gz", "model.tar.gz"):
        place = {"Bucket": source, "Key": f"{its}/{name}"}
        new = {"Bucket": bucket, "Key": f"{ours}/{name}"}
        try:
            cloud.call("s3", "copy", {"CopySource": place, **new})
        except Exception as error:
            if name == "model.tar.gz" or not is_missing(error):  # a job may leave no report
                raise
