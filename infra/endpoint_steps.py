"""The steps that bring what serves in place: image, model, endpoint config, endpoint. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from infra.alarms import Fleet, alarms, is_alarm_of, judges
from infra.observe import IN_PROGRESS, Observed, ObservedEndpoint
from infra.resources import Desired
from infra.serving import (
    DOWNLOAD_SECONDS,
    STARTUP_SECONDS,
    VARIANT,
    Endpoint,
    Serving,
    is_config_of,
)
from infra.steps import MARGIN_SECONDS, Action, Call, Step, Unchanged, Wait
from shared.errors import DeploymentError


def refuse_a_stranger(desired: Desired, endpoint: ObservedEndpoint | None) -> None:
    """Raise where an endpoint of the project's name runs what this project did not make.

    Raises:
        DeploymentError: it does.
    """
    if endpoint and endpoint.config and not is_config_of(desired.project, endpoint.config):
        raise DeploymentError(
            f"an endpoint of this name exists and runs on {endpoint.config!r}, which this project "
            "did not make",
            where=f"endpoint {endpoint.name}",
            cure="Choose another name in project.toml, or delete that endpoint yourself.",
        )


def serving_steps(
    serving: Serving, observed: Observed, steps: list[Step], same: list[Unchanged]
) -> None:
    """Add what makes model and endpoint config."""
    model, config = serving.model, serving.config
    if model.name in observed.models:
        same.append(Unchanged("model", model.name, "same bundle, same image"))
    else:
        steps.append(
            Step(
                "endpoint",
                "create",
                "model",
                model.name,
                "does not exist for this bundle and image",
                Call("sagemaker", "create_model", model.request()),
            )
        )
    if config.name in observed.configs:
        same.append(Unchanged("endpoint config", config.name, "same model, same settings"))
    else:
        steps.append(
            Step(
                "endpoint",
                "create",
                "endpoint config",
                config.name,
                "does not exist for this model and these settings",
                Call("sagemaker", "create_endpoint_config", config.request()),
            )
        )


def endpoint_steps(
    desired: Desired,
    endpoint: Endpoint,
    observed: Observed,
    steps: list[Step],
    same: list[Unchanged],
) -> None:
    """Add what creates the endpoint, or has it run on its config, and the alarms on the way.

    Raises:
        DeploymentError: an alarm that the rollout names does not exist, or an update and its
            rollback failed.
    """
    seen = observed.endpoint
    limit = STARTUP_SECONDS + DOWNLOAD_SECONDS + MARGIN_SECONDS
    if desired.rollout:
        limit = desired.rollout.limit + MARGIN_SECONDS
    ready = Wait("endpoint", endpoint.name, limit, endpoint.config)
    named = {"EndpointName": endpoint.name}

    def step(action: Action, reason: str, **rest: Any) -> None:
        steps.append(Step("endpoint", action, "endpoint", endpoint.name, reason, **rest))

    def create(action: Action, reason: str) -> None:
        step(
            action,
            reason,
            call=Call("sagemaker", "create_endpoint", endpoint.request()),
            wait=ready,
            undo=Call("sagemaker", "delete_endpoint", named),
        )

    if seen is None:
        create("create", "does not exist")
        return
    if seen.status == "Deleting":
        step("attach", "is being deleted", wait=Wait("gone", endpoint.name, limit))
        create("create", "is being deleted")
        return
    if seen.status == "UpdateRollbackFailed":
        raise half_way(seen)
    if seen.status not in IN_PROGRESS | {"InService"}:
        step(
            "replace",
            f"is {seen.status}: {seen.reason or 'no reason given'}",
            call=Call("sagemaker", "delete_endpoint", named),
            wait=Wait("gone", endpoint.name, limit),
        )
        create("create", "takes the place of the failed one")
        return
    if seen.config == endpoint.config and seen.status == "InService":
        same.append(Unchanged("endpoint", endpoint.name, f"InService on {endpoint.config}"))
        return
    mode = desired.hosting.mode
    if not converts(seen.mode, mode):
        _convert(seen, mode, step, limit)
        create("create", f"is {mode} from now on")
        return
    if observed.scaling.bounds and desired.scaling:
        endpoint = replace(endpoint, scaled=True)
    coming = seen.pending or seen.config
    back = Call(
        "sagemaker",
        "update_endpoint",
        replace(endpoint, config=seen.config).update_request(),
    )
    if seen.status != "InService" and coming != endpoint.config:
        step("attach", f"is {seen.status}", wait=Wait("endpoint", endpoint.name, limit))
    elif seen.status != "InService":
        # What an interrupted run began may prove wrong, too.
        undo = back if coming != seen.config else None
        if seen.status == "Creating":
            undo = Call("sagemaker", "delete_endpoint", named)
        step("attach", f"is {seen.status}", wait=ready, undo=undo)
    if coming != endpoint.config:
        reason = f"runs on {seen.config}"
        if desired.rollout and seen.mode != mode:
            reason += f", which is {seen.mode}: all at once"
        elif desired.rollout and {one.name for one in seen.variants} <= {VARIANT}:
            made, known, names = _new_alarms(desired, endpoint, coming, observed)
            steps += made
            same += known
            endpoint = replace(endpoint, deployment=desired.rollout.request(names))
        elif desired.rollout:
            # SageMaker moves traffic in steps only between variants of the same names.
            reason += ", beside a candidate: all at once"
        step(
            "update",
            reason,
            call=Call("sagemaker", "update_endpoint", endpoint.update_request()),
            wait=ready,
            undo=back,
            traffic=True,
        )


def converts(before: str, after: str) -> bool:
    """Whether SageMaker makes an endpoint of one mode one of another by an update."""
    return before == after or (before, after) == ("serverless", "realtime")


def _convert(seen: ObservedEndpoint, mode: str, step: Callable[..., None], limit: float) -> None:
    """Add what makes room for an endpoint of another mode: SageMaker converts none."""
    if seen.status != "InService":
        step("attach", f"is {seen.status}", wait=Wait("rest", seen.name, limit))
    step(
        "replace",
        f"is {seen.mode} and cannot become {mode}: nothing answers until the new one does",
        call=Call("sagemaker", "delete_endpoint", {"EndpointName": seen.name}),
        wait=Wait("gone", seen.name, limit),
        traffic=True,
    )


def half_way(seen: ObservedEndpoint) -> DeploymentError:
    """An update failed, and so did the way back: nothing we may decide by ourselves."""
    why = f": {seen.reason}" if seen.reason else ""
    return DeploymentError(
        "is UpdateRollbackFailed: an update failed, and going back failed too, so instances of "
        f"both versions may answer{why}",
        where=f"endpoint {seen.name}",
        cure="It may still answer, so it is not deleted unasked, and SageMaker updates it no more. "
        "See why with `make logs`; then `make destroy` and `make deploy` make it again from the "
        "trained model, with a gap in between.",
    )


def _new_alarms(
    desired: Desired, endpoint: Endpoint, before: str, observed: Observed
) -> tuple[list[Step], list[Unchanged], list[str]]:
    """What makes the alarms that are to watch the new fleet, and the names of all that do."""
    way = desired.rollout
    if way is None or way.alarms == "none":
        return [], [], []
    if way.alarms != "default":
        missing = [name for name in way.alarms if name not in observed.alarms]
        if missing:
            raise DeploymentError(
                f"there is no CloudWatch alarm {missing[0]!r} in {desired.account.region}",
                where="endpoint.rollout.alarms",
                cure='Make it first, or write alarms = "default": then we make them.',
            )
        return [], [], list(way.alarms)
    new = Fleet(endpoint.name, VARIANT, endpoint.config)
    made = alarms(new, replace(new, config=before), way.thresholds, desired.tags)
    steps = [
        Step(
            "endpoint",
            "create",
            "alarm",
            alarm.name,
            "watches the new version",
            Call("cloudwatch", "put_metric_alarm", alarm.request()),
        )
        for alarm in made
        if alarm.name not in observed.alarms
    ]
    same = [
        Unchanged("alarm", alarm.name, "watches the same fleet in the same way")
        for alarm in made
        if alarm.name in observed.alarms
    ]
    return steps, same, [alarm.name for alarm in made]


def old_alarms(project: str, config: str, observed: Observed, steps: list[Step]) -> None:
    """Add the deletion of our alarms on fleets that are gone; those of the last update stay."""
    for name in sorted(observed.alarms):
        if is_alarm_of(project, name) and not judges(name, config):
            steps.append(
                Step(
                    "after",
                    "delete",
                    "alarm",
                    name,
                    "watched a version that serves no more",
                    Call("cloudwatch", "delete_alarms", {"AlarmNames": [name]}),
                )
            )
