"""The steps that bring what serves in place: image, model, endpoint config, endpoint. Pure."""

from __future__ import annotations

from typing import Any

from infra.observe import IN_PROGRESS, Observed, ObservedEndpoint
from infra.resources import Desired
from infra.serving import DOWNLOAD_SECONDS, STARTUP_SECONDS, Endpoint, Serving, is_config_of
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


def image_steps(
    desired: Desired, observed: Observed, steps: list[Step], same: list[Unchanged]
) -> None:
    """Add what brings our serving image into the registry."""
    # Before training, so that a missing image is not first told an hour later.
    image = desired.image
    if image is None:
        same.append(Unchanged("image", desired.served_by, "is AWS's own"))
        return
    name = f"{image.repository}:{image.tag}"
    if observed.image:
        same.append(Unchanged("image", name, "the same serving code is there"))
        return
    steps.append(
        Step(
            "upload",
            "create",
            "image",
            name,
            "the serving code is new",
            Call("registry", "push_image", {"repository": image.repository, "tag": image.tag}),
        )
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
                undo=Call("sagemaker", "delete_model", {"ModelName": model.name}),
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
                undo=Call(
                    "sagemaker", "delete_endpoint_config", {"EndpointConfigName": config.name}
                ),
            )
        )


def endpoint_steps(
    endpoint: Endpoint,
    observed: ObservedEndpoint | None,
    steps: list[Step],
    same: list[Unchanged],
) -> None:
    """Add what creates the endpoint, or has it run on its config."""
    limit = STARTUP_SECONDS + DOWNLOAD_SECONDS + MARGIN_SECONDS
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

    if observed is None:
        create("create", "does not exist")
        return
    if observed.status == "Deleting":
        step("attach", "is being deleted", wait=Wait("gone", endpoint.name, limit))
        create("create", "is being deleted")
        return
    if observed.status not in IN_PROGRESS | {"InService"}:
        step(
            "replace",
            f"is {observed.status}: {observed.reason or 'no reason given'}",
            call=Call("sagemaker", "delete_endpoint", named),
            wait=Wait("gone", endpoint.name, limit),
        )
        create("create", "takes the place of the failed one")
        return
    if observed.config == endpoint.config and observed.status == "InService":
        same.append(Unchanged("endpoint", endpoint.name, f"InService on {endpoint.config}"))
        return
    coming = observed.pending or observed.config
    if observed.status != "InService":
        step(
            "attach",
            f"is {observed.status}",
            wait=ready if coming == endpoint.config else Wait("endpoint", endpoint.name, limit),
        )
    if coming != endpoint.config:
        step(
            "update",
            f"runs on {observed.config}",
            call=Call(
                "sagemaker",
                "update_endpoint",
                endpoint.update_request(),
            ),
            wait=ready,
            undo=Call(
                "sagemaker",
                "update_endpoint",
                {**named, "EndpointConfigName": observed.config},
            ),
            traffic=True,
        )
