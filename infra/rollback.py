"""Going back to an earlier release: which one, why it may be impossible, and the one step it takes.

The endpoint is updated, all at once, to the config of that release, which still exists together
with its model and bundle; nothing is trained or made. Pure but for `refuse_what_is_gone`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from infra.aws import Cloud
from infra.endpoint_steps import converts, half_way
from infra.observe import IN_PROGRESS, ObservedEndpoint, describe, mode_of
from infra.record import Record, Release
from infra.rolling import alarm_names
from infra.serving import DOWNLOAD_SECONDS, STARTUP_SECONDS, Endpoint
from infra.steps import MARGIN_SECONDS, Call, Step, Wait
from shared.errors import DeploymentError


def chosen(record: Record, serving: str, number: int | None) -> Release:
    """The release to go back to.

    Args:
        record: the project's.
        serving: the config that the endpoint runs on.
        number: as asked for; None: the last verified one before what serves. Where an earlier
            release serves again and the record does not say so, as after an interruption, it is
            that one.

    Raises:
        DeploymentError: there is no such release, it never served, or it serves already.
    """
    unnoted = record.live is not None and record.live.config != serving
    if number is None:
        earlier = [one for one in record.releases if one.outcome == "live"]
        again = [one for one in earlier if one.config == serving]
        if unnoted and again:
            return again[-1]
        while earlier and earlier[-1].config == serving:
            earlier.pop()
        if not earlier:
            raise DeploymentError(
                "there is no earlier release to go back to",
                where=f"the record of {record.project}",
                cure="The releases are those that `make status` lists.",
            )
        return earlier[-1]
    found = next((one for one in record.releases if one.number == number), None)
    known = ", ".join(str(one.number) for one in record.releases if one.outcome == "live")
    if found is None:
        raise DeploymentError(
            f"there is no release {number}",
            where=f"the record of {record.project}",
            cure=f"There are: {known or 'none'}",
        )
    if found.outcome != "live":
        raise DeploymentError(
            f"release {number} never served: it was {found.outcome}",
            where=f"the record of {record.project}",
            cure=f"These did: {known or 'none'}",
        )
    if found.config == serving and not unnoted:
        raise DeploymentError(
            f"release {number} serves already", where=f"endpoint {record.project}"
        )
    return found


def refuse_what_cannot_change(
    seen: ObservedEndpoint | None, description: Mapping[str, Any], project: str, cli: str
) -> None:
    """Raise where the endpoint cannot be updated now, and say what can be done.

    Args:
        seen: the endpoint; None: there is none.
        description: DescribeEndpoint's answer.
        project: its name.
        cli: how the AWS CLI is typed to reach the endpoint's account.

    Raises:
        DeploymentError: it is not there, is changing, or is stuck.
    """
    where = f"endpoint {project}"
    if seen is None:
        raise DeploymentError(
            "there is no endpoint", where=where, cure="`make deploy` makes it again."
        )
    if seen.status == "UpdateRollbackFailed":
        raise half_way(seen)
    if seen.status in IN_PROGRESS:
        alarms = alarm_names(description)
        cure = "Wait until it is at rest: `make status` shows how far it is."
        if alarms and seen.status == "Updating":
            cure += (
                " To have SageMaker go back at once, set off one of the alarms that it listens to: "
                f"{cli} cloudwatch set-alarm-state --alarm-name {alarms[0]} --state-value ALARM "
                "--state-reason stop"
            )
        raise DeploymentError(
            f"is {seen.status}, and SageMaker changes nothing meanwhile", where=where, cure=cure
        )
    if seen.status != "InService":
        raise DeploymentError(
            f"is {seen.status}: {seen.reason or 'no reason given'}",
            where=where,
            cure="It cannot be updated any more: `make deploy` makes it again.",
        )


def refuse_what_is_gone(cloud: Cloud, release: Release) -> None:
    """Raise where a part of the release does not exist any more, and say how to get it back.

    Raises:
        DeploymentError: its config, model or bundle is gone.
    """
    bucket, _, key = release.data.removeprefix("s3://").partition("/")
    parts: list[tuple[str, str, str, dict[str, object]]] = [
        (
            f"endpoint config {release.config}",
            "sagemaker",
            "describe_endpoint_config",
            {"EndpointConfigName": release.config},
        ),
        (f"model {release.model}", "sagemaker", "describe_model", {"ModelName": release.model}),
        (f"bundle {release.data}", "s3", "head_object", {"Bucket": bucket, "Key": key}),
    ]
    for what, service, operation, parameters in parts:
        if describe(cloud, service, operation, parameters) is None:
            raise DeploymentError(
                f"release {release.number} cannot come back: its {what} was deleted",
                where=f"release {release.number} of {release.at}",
                cure="Check out the code and project.toml of that time and run `make deploy`: "
                "names carry digests, so what still exists is found and the rest is made again"
                + ("." if what.startswith("bundle") else ", without training."),
            )


def refuse_another_mode(cloud: Cloud, seen: ObservedEndpoint, release: Release) -> None:
    """Raise where an update cannot make the endpoint what it was in the release.

    Raises:
        DeploymentError: it was of a mode to which SageMaker converts none.
    """
    place = {"EndpointConfigName": release.config}
    mode = mode_of(describe(cloud, "sagemaker", "describe_endpoint_config", place) or {})
    if not converts(seen.mode, mode):
        raise DeploymentError(
            f"release {release.number} was {mode}, and an endpoint that is {seen.mode} cannot "
            "become that by an update",
            where=f"endpoint {seen.name}",
            cure="Check out the project.toml of that time and run `make deploy`: it makes the "
            "endpoint anew from what is there, with a gap in between.",
        )


def step(release: Release, endpoint: str, serving: str, *, scaled: bool) -> Step:
    """The update that brings the release back, and the one that undoes it.

    Where the release serves by now, as after an interruption, there is nothing to update.

    Args:
        release: to go back to.
        endpoint: its name.
        serving: the config that it runs on.
        scaled: whether the number of instances is what scaling made of it, and stays.
    """
    seconds = STARTUP_SECONDS + DOWNLOAD_SECONDS + MARGIN_SECONDS

    wait = Wait("endpoint", endpoint, seconds, release.config)
    if release.config == serving:
        return Step("endpoint", "attach", "endpoint", endpoint, "serves by now", wait=wait)

    def update(config: str) -> Call:
        return Call(
            "sagemaker",
            "update_endpoint",
            Endpoint(endpoint, config, scaled=scaled).update_request(),
        )

    return Step(
        "endpoint",
        "update",
        "endpoint",
        endpoint,
        f"back to release {release.number}",
        call=update(release.config),
        wait=wait,
        undo=update(serving),
        traffic=True,
    )
