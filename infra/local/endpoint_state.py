"""One endpoint: its status, its fleets, and how DescribeEndpoint tells of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from infra.local.fleets import Fleet
from infra.local.rollouts import Progress
from infra.local.routing import Router
from infra.local.state import now
from infra.local.variants import Variant
from infra.local.wire import invalid

LONGEST_REASON = 1024
IN_PROGRESS = ("Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting")


@dataclass
class Endpoint:
    """One endpoint.

    Attributes:
        config: the name of the configuration in service.
        fleet: what serves it.
        stray: what serves beside it since a rollback failed.
        router: who gets which share of the requests.
        deployment: the last DeploymentConfig.
        progress: of the deployment that is going on.
    """

    name: str
    arn: str
    config: str
    created: datetime
    modified: datetime
    status: str = "Creating"
    failure_reason: str | None = None
    fleet: Fleet | None = None
    stray: Fleet | None = None
    router: Router = field(default_factory=Router)
    deployment: Mapping[str, Any] | None = None
    progress: Progress | None = None

    def become(self, status: str, reason: str | None = None) -> None:
        """Go to another status."""
        self.status = status
        self.failure_reason = reason[:LONGEST_REASON] if reason else None
        self.modified = now()
        if status not in IN_PROGRESS:
            self.progress = None

    def refuse_in_progress(self) -> None:
        """Refuse what cannot be done while something is going on.

        Raises:
            RefusalError: something is.
        """
        if self.status in IN_PROGRESS:
            raise invalid(f'Cannot update in-progress endpoint "{self.arn}".')

    def in_service(self) -> Fleet:
        """Its fleet.

        Raises:
            RefusalError: the endpoint cannot be changed now.
        """
        self.refuse_in_progress()
        if self.status != "InService" or self.fleet is None:
            raise invalid(
                f'Cannot update endpoint "{self.arn}" in status {self.status}. '
                "DeleteEndpoint is the only operation that can be performed on it."
            )
        return self.fleet

    def describe(self) -> dict[str, Any]:
        """DescribeEndpoint's answer."""
        return {
            "EndpointName": self.name,
            "EndpointArn": self.arn,
            "EndpointConfigName": self.config,
            "EndpointStatus": self.status,
            "FailureReason": self.failure_reason,
            "CreationTime": self.created,
            "LastModifiedTime": self.modified,
            "LastDeploymentConfig": self.deployment,
            "PendingDeploymentSummary": _pending(self.progress) if self.progress else None,
            "ProductionVariants": self._summaries(self.fleet.variants) if self.fleet else None,
            "ShadowProductionVariants": self._summaries(self.fleet.shadows) if self.fleet else None,
            "AsyncInferenceConfig": self.fleet.asynchronous if self.fleet else None,
        }

    def _summaries(self, variants: Sequence[Variant]) -> list[dict[str, Any]] | None:
        return [
            {**_summary(each), "VariantStatus": self._status(each)} for each in variants
        ] or None

    def _status(self, variant: Variant) -> list[dict[str, Any]] | None:
        """What becomes of a variant that is in service."""
        if self.status == "Updating" and self.progress is None:
            if variant.running == variant.count or "ServerlessConfig" in variant.settings:
                return None
            way = "out" if variant.running < variant.count else "in"
            message = f"Scaling {way} desired instance count to {variant.count}."
            return [{"Status": "Updating", "StatusMessage": message, "StartTime": self.modified}]
        if self.progress and self.progress.stage == "Deleting":
            return _stage(self.progress, variant)
        return None


def _summary(variant: Variant) -> dict[str, Any]:
    image = {"SpecifiedImage": variant.image_uri, "ResolvedImage": variant.image_uri}
    return {
        "VariantName": variant.name,
        "DeployedImages": [image],
        "CurrentWeight": variant.weight,
        "DesiredWeight": variant.weight,
        **variant.capacity(),
    }


def _stage(progress: Progress, variant: Variant) -> list[dict[str, Any]]:
    message = progress.message(variant.count)
    return [{"Status": progress.stage, "StatusMessage": message, "StartTime": progress.since}]


def _pending(progress: Progress) -> dict[str, Any]:
    production, shadow = (
        [
            {
                **_summary(each),
                "InstanceType": each.settings.get("InstanceType"),
                "VariantStatus": None if progress.stage == "Deleting" else _stage(progress, each),
            }
            for each in variants
        ]
        or None
        for variants in (progress.fleet.variants, progress.fleet.shadows)
    )
    return {
        "EndpointConfigName": progress.fleet.config,
        "ProductionVariants": production,
        "ShadowProductionVariants": shadow,
        "StartTime": progress.begun,
    }
