"""Having AWS CodeBuild make the serving image, and waiting for it.

What it is told stands in images.py and resources.py; when, in image_steps.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from infra.aws import Cloud
from infra.images import BASE, BUILD_MINUTES
from infra.progress import Progress
from infra.watch import FailedError
from shared.errors import DeploymentError

_POLL_SECONDS = 5.0
# CodeBuild may let a build wait for a machine before its own time begins.
_QUEUE_MINUTES = 30
_LINES = 20


def by_codebuild(
    cloud: Cloud,
    request: Mapping[str, Any],
    progress: Progress,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
) -> str:
    """Have CodeBuild build and push, and wait; the base it was built from, with its digest.

    Args:
        cloud: where.
        request: parameters of StartBuild.
        progress: shows the phase.
        clock: says what time it is, in seconds.
        sleep: lets seconds pass.

    Raises:
        FailedError: the build ended otherwise than well; with the last lines of its log.
        DeploymentError: it does not end.
    """
    build = cloud.call("codebuild", "start_build", request)["build"]
    end = clock() + 60 * (BUILD_MINUTES + _QUEUE_MINUTES)
    while build["buildStatus"] == "IN_PROGRESS":
        if clock() > end:
            raise DeploymentError(
                "CodeBuild does not come to an end",
                where=f"build {build['id']}",
                cure="Look at it in the CodeBuild console; then run the same command again.",
            )
        progress.status(f"CodeBuild: {build.get('currentPhase', 'SUBMITTED').lower()}")
        sleep(_POLL_SECONDS)
        build = cloud.call("codebuild", "batch_get_builds", {"ids": [build["id"]]})["builds"][0]
    if build["buildStatus"] != "SUCCEEDED":
        raise FailedError(
            f"CodeBuild ended as {build['buildStatus']}{_tail(cloud, build)}",
            where=f"build {build['id']}",
            cure="Its whole log is in the CodeBuild console.",
        )
    told = {one["name"]: one["value"] for one in build.get("exportedEnvironmentVariables", [])}
    return str(told.get("BASE_DIGEST", BASE))


def _tail(cloud: Cloud, build: Mapping[str, Any]) -> str:
    place = build.get("logs", {})
    if "groupName" not in place or "streamName" not in place:
        return ""
    answer = cloud.call(
        "logs",
        "get_log_events",
        {
            "logGroupName": place["groupName"],
            "logStreamName": place["streamName"],
            "limit": _LINES,
            "startFromHead": False,
        },
    )
    lines = [event["message"].rstrip() for event in answer["events"]]
    return "\n".join([". Its last lines:", *lines]) if lines else ""
