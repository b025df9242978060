"""Endpoints: created, updated without a gap, deleted, and invoked.

An endpoint owns one fleet; an update starts a second one, switches the traffic when all of it is
healthy, and ends the first. When the second one fails, the endpoint is in service with its old
configuration and tells why, which is what a rollback looks like on AWS.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from infra.local.alarms import Alarms
from infra.local.environment import ACCOUNT
from infra.local.fleets import Fleet
from infra.local.instances import FleetError
from infra.local.invocations import Invocations
from infra.local.meter import Meter
from infra.local.models import EndpointConfig, Models
from infra.local.routing import Router
from infra.local.state import Answer, Cloud, Operation, arn, log_exception, now, page
from infra.local.tags import as_pairs
from infra.local.variants import Variant
from infra.local.wire import RefusalError, invalid, not_offered

LONGEST_REASON = 1024
IN_PROGRESS = ("Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting")


@dataclass
class Endpoint:
    """One endpoint."""

    name: str
    arn: str
    config: str
    created: datetime
    modified: datetime
    status: str = "Creating"
    failure_reason: str | None = None
    fleet: Fleet | None = None
    router: Router = field(default_factory=Router)
    deployment: Mapping[str, Any] | None = None
    pending: Mapping[str, Any] | None = None

    def become(self, status: str, reason: str | None = None) -> None:
        """Go to another status."""
        self.status = status
        self.failure_reason = reason[:LONGEST_REASON] if reason else None
        self.modified = now()
        self.pending = None

    def describe(self) -> dict[str, Any]:
        """DescribeEndpoint's answer."""
        variants = self.fleet.variants if self.fleet else []
        return {
            "EndpointName": self.name,
            "EndpointArn": self.arn,
            "EndpointConfigName": self.config,
            "EndpointStatus": self.status,
            "FailureReason": self.failure_reason,
            "CreationTime": self.created,
            "LastModifiedTime": self.modified,
            "LastDeploymentConfig": self.deployment,
            "PendingDeploymentSummary": self.pending,
            "ProductionVariants": [
                {
                    "VariantName": each.name,
                    "DeployedImages": [
                        {"SpecifiedImage": each.image_uri, "ResolvedImage": each.image_uri}
                    ],
                    "CurrentWeight": each.weight,
                    "DesiredWeight": each.weight,
                    "CurrentInstanceCount": each.running,
                    "DesiredInstanceCount": each.count,
                }
                for each in variants
            ]
            or None,
        }


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
        _check_deployment(request)
        with self._cloud.lock:
            config = self._models.config(request["EndpointConfigName"])
            if name in self._endpoints:
                raise invalid(f'Cannot create already existing endpoint "{endpoint_arn}".')
            fleet = self._fleet(name, config)
            moment = now()
            endpoint = Endpoint(name, endpoint_arn, config.name, moment, moment)
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
            found, token = page(
                self._endpoints.values(),
                request,
                name=lambda each: each.name,
                created=lambda each: each.created,
                modified=lambda each: each.modified,
                status=lambda each: each.status,
            )
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
        _check_deployment(request)
        with self._cloud.lock:
            endpoint = self._find(request["EndpointName"])
            old = self._in_service(endpoint)
            config = self._models.config(request["EndpointConfigName"])
            fleet = self._fleet(endpoint.name, config)
            if request.get("RetainAllVariantProperties"):
                _retain(old, fleet, request.get("ExcludeRetainedVariantProperties", []))
            endpoint.become("Updating")
            endpoint.pending = {
                "EndpointConfigName": config.name,
                "ProductionVariants": [{"VariantName": each.name} for each in fleet.variants],
                "StartTime": endpoint.modified,
            }
            if "DeploymentConfig" in request or not request.get("RetainDeploymentConfig"):
                endpoint.deployment = request.get("DeploymentConfig")
        self._begin(self._replace, endpoint, fleet)
        return {"EndpointArn": endpoint.arn}

    def update_weights(self, request: dict[str, Any]) -> Answer:
        """Change weights at once, and numbers of instances as they come up or go."""
        with self._cloud.lock:
            endpoint = self._find(request["EndpointName"])
            fleet = self._in_service(endpoint)
            changes = _changes(fleet, request["DesiredWeightsAndCapacities"])
            endpoint.become("Updating")
        self._begin(self._rescale, endpoint, changes)
        return {"EndpointArn": endpoint.arn}

    def delete(self, request: dict[str, Any]) -> None:
        """End an endpoint's fleet, then forget it."""
        with self._cloud.lock:
            endpoint = self._find(request["EndpointName"])
            self._refuse_in_progress(endpoint)
            endpoint.become("Deleting")
            fleet, endpoint.fleet = endpoint.fleet, None
        self._begin(self._take_down, endpoint, fleet)

    def invoke(
        self, name: str, request: Mapping[str, Any], body: bytes
    ) -> tuple[dict[str, str], bytes]:
        """Pass a request on to a server; its headers for the client, and its body.

        Raises:
            RefusalError: no such endpoint or variant, no server up, or the model's own error.
        """
        with self._cloud.lock:
            endpoint = self._endpoints.get(name)
        if endpoint is None or endpoint.fleet is None:
            raise RefusalError(
                "ValidationError", f"Endpoint {name} of account {ACCOUNT} not found."
            )
        return self._invocations.invoke(name, endpoint.router, request, body)

    def _find(self, name: str) -> Endpoint:
        endpoint = self._endpoints.get(name)
        if endpoint is None:
            raise invalid(f'Could not find endpoint "{arn("endpoint", name)}".')
        return endpoint

    def _refuse_in_progress(self, endpoint: Endpoint) -> None:
        if endpoint.status in IN_PROGRESS:
            raise invalid(f'Cannot update in-progress endpoint "{endpoint.arn}".')

    def _in_service(self, endpoint: Endpoint) -> Fleet:
        """The fleet of an endpoint that can be changed."""
        self._refuse_in_progress(endpoint)
        if endpoint.status != "InService" or endpoint.fleet is None:
            raise invalid(
                f'Cannot update endpoint "{endpoint.arn}" in status {endpoint.status}. '
                "DeleteEndpoint is the only operation that can be performed on it."
            )
        return endpoint.fleet

    def _fleet(self, name: str, config: EndpointConfig) -> Fleet:
        return Fleet(self._cloud, name, config, self._models)

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

    def _replace(self, endpoint: Endpoint, fleet: Fleet) -> None:
        reason = _start(fleet)
        if reason:
            with self._cloud.lock:
                endpoint.become("InService", reason)
            return
        with self._cloud.lock:
            old, endpoint.fleet = endpoint.fleet, fleet
            endpoint.router.share((fleet, 1.0))
            endpoint.config = fleet.config
        if old:
            old.stop()
        with self._cloud.lock:
            endpoint.become("InService")

    def _rescale(self, endpoint: Endpoint, changes: Sequence[Change]) -> None:
        before = [Change(each.variant, each.variant.weight, each.variant.count) for each in changes]
        reason = _apply(changes)
        if reason:
            with self._cloud.lock:
                endpoint.become("RollingBack", reason)
            _apply(before)
        with self._cloud.lock:
            endpoint.become("InService", reason)

    def _take_down(self, endpoint: Endpoint, fleet: Fleet | None) -> None:
        if fleet:
            fleet.stop()
        with self._cloud.lock:
            del self._endpoints[endpoint.name]
            self._cloud.tags.pop(endpoint.arn, None)


@dataclass(frozen=True)
class Change:
    """What a variant is to have."""

    variant: Variant
    weight: float
    count: int


def _changes(fleet: Fleet, wanted: list[Mapping[str, Any]]) -> list[Change]:
    """What UpdateEndpointWeightsAndCapacities asks for, checked."""
    changes = {each.name: Change(each, each.weight, each.count) for each in fleet.variants}
    names = [each["VariantName"] for each in wanted]
    for each, name in zip(wanted, names, strict=True):
        if name not in changes:
            raise invalid(f'Could not find variant "{name}".')
        if names.count(name) > 1:
            raise invalid(f"Variant {name} is named more than once.")
        if "ServerlessUpdateConfig" in each:
            raise not_offered("ServerlessUpdateConfig")
        old = changes[name]
        changes[name] = Change(
            old.variant,
            each.get("DesiredWeight", old.weight),
            each.get("DesiredInstanceCount", old.count),
        )
        if changes[name].count < 1:
            raise invalid(f"DesiredInstanceCount of variant {name} must be at least 1.")
    if not any(each.weight > 0 for each in changes.values()):
        raise invalid("At least one production variant must have a weight greater than 0.")
    return list(changes.values())


def _apply(changes: Sequence[Change]) -> str | None:
    """Give variants what they are to have; why it failed, if it did."""
    for each in changes:
        each.variant.weight = each.weight
        each.variant.count = each.count
    try:
        for each in changes:
            each.variant.scale(each.count)
    except FleetError as error:
        return str(error)
    return None


def _start(fleet: Fleet) -> str | None:
    """Start a fleet; why it failed, if it did."""
    try:
        fleet.start()
    except FleetError as error:
        return str(error)
    except Exception as error:
        log_exception()
        return f"Request to service failed. If failure persists after retry, see cloud.log: {error}"
    return None


def _check_deployment(request: Mapping[str, Any]) -> None:
    """All at once is what there is; anything that would be ignored is refused."""
    config = request.get("DeploymentConfig", {})
    if config.get("AutoRollbackConfiguration", {}).get("Alarms"):
        raise not_offered("rollback by alarms")
    if "RollingUpdatePolicy" in config:
        raise not_offered("rolling updates")
    routing = config.get("BlueGreenUpdatePolicy", {}).get("TrafficRoutingConfiguration", {})
    if routing.get("Type", "ALL_AT_ONCE") != "ALL_AT_ONCE":
        raise not_offered(f"{routing['Type']} traffic routing")


def _retain(old: Fleet, new: Fleet, excluded: list[Mapping[str, str]]) -> None:
    """Keep weights and instance counts of variants that both fleets have."""
    left_out = {each["VariantPropertyType"] for each in excluded}
    before = {each.name: each for each in old.variants}
    for variant in new.variants:
        same = before.get(variant.name)
        if same and "DesiredWeight" not in left_out:
            variant.weight = same.weight
        if same and "DesiredInstanceCount" not in left_out:
            variant.count = same.count
