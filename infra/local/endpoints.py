"""Endpoints: created, updated without a gap, deleted, and invoked.

An endpoint owns one fleet; an update starts a second one, switches the traffic when all of it is
healthy, and ends the first. When the second one fails, the endpoint is in service with its old
configuration and tells why, which is what a rollback looks like on AWS.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from infra.local.environment import ACCOUNT, REGION
from infra.local.fleets import Fleet, FleetError, UnreachableError, Variant, log_group
from infra.local.models import EndpointConfig, Models
from infra.local.state import Answer, Cloud, Operation, arn, log_exception, now, page
from infra.local.tags import as_pairs
from infra.local.wire import RefusalError, invalid, not_offered

LONGEST_REASON = 1024
IN_PROGRESS = ("Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting")
FORWARDED = {
    "ContentType": "Content-Type",
    "Accept": "Accept",
    "CustomAttributes": "X-Amzn-SageMaker-Custom-Attributes",
    "InferenceId": "X-Amzn-SageMaker-Inference-Id",
    "TargetVariant": "X-Amzn-SageMaker-Target-Variant",
}


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
                    "CurrentInstanceCount": sum(one.ready for one in each.instances),
                    "DesiredInstanceCount": each.count,
                }
                for each in variants
            ]
            or None,
        }


class Endpoints:
    """Every endpoint of this cloud."""

    def __init__(self, cloud: Cloud, models: Models) -> None:
        self._cloud = cloud
        self._models = models
        self._endpoints: dict[str, Endpoint] = {}

    def operations(self) -> dict[str, Operation]:
        """What this answers, by the operation's name."""
        return {
            "CreateEndpoint": self.create,
            "DescribeEndpoint": self.describe,
            "ListEndpoints": self.list,
            "UpdateEndpoint": self.update,
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
            self._refuse_in_progress(endpoint)
            if endpoint.status != "InService" or endpoint.fleet is None:
                raise invalid(
                    f'Cannot update endpoint "{endpoint.arn}" in status {endpoint.status}. '
                    "DeleteEndpoint is the only operation that can be performed on it."
                )
            config = self._models.config(request["EndpointConfigName"])
            fleet = self._fleet(endpoint.name, config)
            if request.get("RetainAllVariantProperties"):
                _retain(endpoint.fleet, fleet, request.get("ExcludeRetainedVariantProperties", []))
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
            fleet = endpoint.fleet if endpoint else None
        if fleet is None:
            raise RefusalError(
                "ValidationError", f"Endpoint {name} of account {ACCOUNT} not found."
            )
        target = request.get("TargetVariant")
        chosen = fleet.choose(target)
        if chosen is None:
            if target and all(each.name != target for each in fleet.variants):
                raise RefusalError(
                    "ValidationError",
                    f"Variant {target} not found for Endpoint {name} of account {ACCOUNT}.",
                )
            raise RefusalError(
                "ServiceUnavailable", f"No server of endpoint {name} is up; try again.", 503
            )
        variant, instance = chosen
        headers = {FORWARDED[key]: request[key] for key in FORWARDED if key in request}
        try:
            status, answered, content = instance.call("/invocations", headers, body)
        except TimeoutError:
            raise _model_error(
                name,
                0,
                "Your invocation timed out while waiting for a response from container primary. "
                "Review the latency metrics for each container in Amazon CloudWatch, resolve the "
                "issue, and try again.",
            ) from None
        except UnreachableError:
            raise _model_error(
                name, 0, f"Amazon SageMaker could not get a response from the {name} endpoint."
            ) from None
        finally:
            fleet.done(instance)
        if not 200 <= status < 300:
            raise _model_error(name, status, content.decode("utf-8", "replace"))
        kept = {
            "Content-Type": answered.get("Content-Type", "application/octet-stream"),
            "x-Amzn-Invoked-Production-Variant": variant.name,
        }
        attributes = answered.get("X-Amzn-SageMaker-Custom-Attributes")
        if attributes:
            kept["X-Amzn-SageMaker-Custom-Attributes"] = attributes
        return kept, content

    def _find(self, name: str) -> Endpoint:
        endpoint = self._endpoints.get(name)
        if endpoint is None:
            raise invalid(f'Could not find endpoint "{arn("endpoint", name)}".')
        return endpoint

    def _refuse_in_progress(self, endpoint: Endpoint) -> None:
        if endpoint.status in IN_PROGRESS:
            raise invalid(f'Cannot update in-progress endpoint "{endpoint.arn}".')

    def _fleet(self, name: str, config: EndpointConfig) -> Fleet:
        variants = [
            Variant(each, self._models.model(each["ModelName"])) for each in config.variants
        ]
        return Fleet(self._cloud, name, config.name, variants)

    def _begin(self, work: Any, endpoint: Endpoint, fleet: Fleet | None) -> None:
        threading.Thread(target=work, args=(endpoint, fleet), daemon=True).start()

    def _bring_up(self, endpoint: Endpoint, fleet: Fleet) -> None:
        reason = _start(fleet)
        with self._cloud.lock:
            if reason:
                endpoint.become("Failed", reason)
            else:
                endpoint.fleet = fleet
                endpoint.become("InService")

    def _replace(self, endpoint: Endpoint, fleet: Fleet) -> None:
        reason = _start(fleet)
        if reason:
            with self._cloud.lock:
                endpoint.become("InService", reason)
            return
        with self._cloud.lock:
            old, endpoint.fleet = endpoint.fleet, fleet
            endpoint.config = fleet.config
        if old:
            old.drain()
            old.stop()
        with self._cloud.lock:
            endpoint.become("InService")

    def _take_down(self, endpoint: Endpoint, fleet: Fleet | None) -> None:
        if fleet:
            fleet.drain()
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
        return f"Request to service failed. If failure persists after retry, see cloud.log: {error}"
    return None


def _model_error(endpoint: str, status: int, message: str) -> RefusalError:
    side = "client" if 400 <= status < 500 else "server"
    group = log_group(endpoint)
    return RefusalError(
        "ModelError",
        f'Received {side} error ({status}) from primary with message "{message}". See '
        f"https://{REGION}.console.aws.amazon.com/cloudwatch/home?region={REGION}"
        f"#logEventViewer:group={group} in account {ACCOUNT} for more information.",
        424,
        {
            "OriginalStatusCode": status,
            "OriginalMessage": message,
            "LogStreamArn": f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{group}",
        },
    )


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
