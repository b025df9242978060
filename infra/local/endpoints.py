"""Endpoints: created, updated, rescaled, deleted and invoked.

An endpoint owns one fleet; an update rolls out a second one and ends the first, or the other way
round: then the endpoint is in service with its old configuration and tells why, which is what a
rollback looks like on AWS.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

from infra.local import deployments, weights
from infra.local.alarms import Alarms
from infra.local.endpoint_state import Endpoint
from infra.local.environment import ACCOUNT
from infra.local.fleets import Fleet
from infra.local.instances import FleetError
from infra.local.invocations import Invocations
from infra.local.meter import Meter
from infra.local.models import EndpointConfig, Models
from infra.local.modes import check_conversion, check_invocation
from infra.local.rollouts import Progress, RollbackError, Rollout, unforeseen
from infra.local.state import Answer, Cloud, Operation, arn, log_exception, now, page
from infra.local.tags import as_pairs
from infra.local.weights import Change
from infra.local.wire import RefusalError, invalid


class Endpoints:
    """Every endpoint of this cloud."""

    def __init__(self, cloud: Cloud, models: Models, alarms: Alarms) -> None:
        self._cloud = cloud
        self._alarms = alarms
        self._invocations = Invocations(Meter(cloud.metrics))
        self._models = models
        self._endpoints: dict[str, Endpoint] = {}

    def operations(self) -> dict[str, Operation]:
        """What this answers, by the operation's name."""
        return {
            "CreateEndpoint": self.create,
            "DescribeEndpoint": self.describe,
            "ListEndpoints": self.list,
            "UpdateEndpoint": self.update,
            "UpdateEndpointWeightsAndCapacities": self.update_weights,
            "DeleteEndpoint": self.delete,
        }

    def create(self, request: dict[str, Any]) -> Answer:
        """Accept an endpoint and start its fleet."""
        name = request["EndpointName"]
        endpoint_arn = arn("endpoint", name)
        with self._cloud.lock:
            config = self._models.config(request["EndpointConfigName"])
            if name in self._endpoints:
                raise invalid(f'Cannot create already existing endpoint "{endpoint_arn}".')
            fleet = self._fleet(name, config)
            self._plan(fleet, request.get("DeploymentConfig"))
            moment = now()
            endpoint = Endpoint(name, endpoint_arn, config.name, moment, moment)
            endpoint.progress = Progress(fleet)
            endpoint.deployment = request.get("DeploymentConfig")
            self._endpoints[name] = endpoint
            self._cloud.tags[endpoint_arn] = as_pairs(request.get("Tags", []))
        self._begin(self._bring_up, endpoint, fleet)
        return {"EndpointArn": endpoint_arn}

    def describe(self, request: dict[str, Any]) -> Answer:
        """An endpoint as it is now."""
        with self._cloud.lock:
            return self._find(request["EndpointName"]).describe()

    def list(self, request: dict[str, Any]) -> Answer:
        """Summaries, filtered and sorted."""
        with self._cloud.lock:
            found, token = page(self._endpoints.values(), request)
            summaries = [
                {
                    "EndpointName": each.name,
                    "EndpointArn": each.arn,
                    "CreationTime": each.created,
                    "LastModifiedTime": each.modified,
                    "EndpointStatus": each.status,
                }
                for each in found
            ]
        return {"Endpoints": summaries, "NextToken": token}

    def update(self, request: dict[str, Any]) -> Answer:
        """Replace an endpoint's fleet by one of another configuration."""
        with self._cloud.lock:
            endpoint = self._find(request["EndpointName"])
            old = endpoint.in_service()
            config = self._models.config(request["EndpointConfigName"])
            fleet = self._fleet(endpoint.name, config)
            check_conversion(old, fleet)
            excluded = request.get("ExcludeRetainedVariantProperties", [])
            if request.get("RetainAllVariantProperties"):
                weights.retain(old, fleet, excluded)
            elif excluded:
                raise invalid(
                    "ExcludeRetainedVariantProperties can only be specified when "
                    "RetainAllVariantProperties is true."
                )
            deployment = request.get("DeploymentConfig")
            if deployment is None and request.get("RetainDeploymentConfig"):
                deployment = endpoint.deployment
            deployments.check_variants(
                deployment or {},
                [each.name for each in old.variants],
                [each.name for each in fleet.variants],
            )
            plan = self._plan(fleet, deployment)
            patience = self._cloud.settings.startup_timeout
            rollout = Rollout(plan, (old, fleet), endpoint.router, self._alarms, patience=patience)
            endpoint.become("Updating")
            endpoint.deployment = deployment
            endpoint.progress = rollout.progress
        self._begin(self._roll_out, endpoint, rollout)
        return {"EndpointArn": endpoint.arn}

    def update_weights(self, request: dict[str, Any]) -> Answer:
        """Change weights at once, and numbers of instances as they come up or go."""
        with self._cloud.lock:
            endpoint = self._find(request["EndpointName"])
            changes = weights.read(endpoint.in_service(), request["DesiredWeightsAndCapacities"])
            endpoint.become("Updating")
        self._begin(self._rescale, endpoint, changes)
        return {"EndpointArn": endpoint.arn}

    def delete(self, request: dict[str, Any]) -> None:
        """End an endpoint's fleet, then forget it."""
        with self._cloud.lock:
            endpoint = self._find(request["EndpointName"])
            endpoint.refuse_in_progress()
            endpoint.become("Deleting")
            fleets = [each for each in (endpoint.fleet, endpoint.stray) if each]
            endpoint.fleet = endpoint.stray = None
        self._begin(self._take_down, endpoint, fleets)

    def invoke(
        self, name: str, request: Mapping[str, Any], body: bytes
    ) -> tuple[dict[str, str], bytes]:
        """Pass a request on to a server; its headers for the client, and its body.

        Raises:
            RefusalError: no such endpoint or variant, no server up, or the model's own error.
        """
        endpoint = self.get(name)
        if endpoint is None or endpoint.fleet is None:
            raise RefusalError(
                "ValidationError", f"Endpoint {name} of account {ACCOUNT} not found."
            )
        check_invocation(name, endpoint.fleet, body)
        return self._invocations.invoke(name, endpoint.router, request, body)

    def get(self, name: str) -> Endpoint | None:
        """The endpoint of this name, if there is one."""
        with self._cloud.lock:
            return self._endpoints.get(name)

    def all(self) -> Sequence[Endpoint]:
        """Every endpoint."""
        with self._cloud.lock:
            return list(self._endpoints.values())

    def _find(self, name: str) -> Endpoint:
        endpoint = self._endpoints.get(name)
        if endpoint is None:
            raise invalid(f'Could not find endpoint "{arn("endpoint", name)}".')
        return endpoint

    def _fleet(self, name: str, config: EndpointConfig) -> Fleet:
        return Fleet(self._cloud, name, config, self._models)

    def _plan(self, fleet: Fleet, config: Mapping[str, Any] | None) -> deployments.Plan:
        if config and fleet.serverless:
            raise invalid(
                "DeploymentConfig cannot be used for serverless endpoints: deployment guardrails "
                "are for real-time and asynchronous ones."
            )
        counts = [each.count for each in fleet.variants]
        return deployments.read(config or {}, counts, self._alarms.missing)

    def _begin(self, work: Any, endpoint: Endpoint, *more: Any) -> None:
        threading.Thread(target=work, args=(endpoint, *more), daemon=True).start()

    def _bring_up(self, endpoint: Endpoint, fleet: Fleet) -> None:
        reason = _start(fleet)
        with self._cloud.lock:
            if reason:
                endpoint.become("Failed", reason)
            else:
                endpoint.fleet = fleet
                endpoint.router.share((fleet, 1.0))
                endpoint.become("InService")

    def _roll_out(self, endpoint: Endpoint, rollout: Rollout) -> None:
        try:
            rollout.run()
        except RollbackError as error:
            with self._cloud.lock:
                endpoint.become("RollingBack", str(error))
            problem = rollout.roll_back()
            with self._cloud.lock:
                if problem:
                    endpoint.stray = rollout.new
                    endpoint.become("UpdateRollbackFailed", f"{error} {problem}")
                else:
                    endpoint.become("InService", str(error))
            return
        with self._cloud.lock:
            endpoint.fleet = rollout.new
            endpoint.config = rollout.new.config
            endpoint.become("InService")

    def _rescale(self, endpoint: Endpoint, changes: Sequence[Change]) -> None:
        before = weights.now(changes)
        reason = weights.apply(changes)
        if reason:
            with self._cloud.lock:
                endpoint.become("RollingBack", reason)
            weights.apply(before)
        with self._cloud.lock:
            endpoint.become("InService", reason)

    def _take_down(self, endpoint: Endpoint, fleets: Sequence[Fleet]) -> None:
        for fleet in fleets:
            fleet.stop()
        with self._cloud.lock:
            del self._endpoints[endpoint.name]
            self._cloud.tags.pop(endpoint.arn, None)


def _start(fleet: Fleet) -> str | None:
    """Start a fleet; why it failed, if it did."""
    try:
        fleet.start()
    except FleetError as error:
        return str(error)
    except Exception as error:
        log_exception()
        return unforeseen(error)
    return None
