"""Fleets: every server of one endpoint configuration, started as a whole and ended as a whole."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from infra.local.instances import FleetError
from infra.local.mode_checks import is_serverless
from infra.local.models import EndpointConfig, Models
from infra.local.processes import remove_tree
from infra.local.serverless import ServerlessVariant
from infra.local.shadows import Mirror
from infra.local.state import Cloud
from infra.local.variants import Variant

Result = TypeVar("Result")


class Fleet:
    """The variants of an endpoint configuration.

    Args:
        cloud: the cloud.
        endpoint: its name.
        config: what it runs.
        models: where the models are found.
    """

    def __init__(self, cloud: Cloud, endpoint: str, config: EndpointConfig, models: Models) -> None:
        self._place = cloud.work / "endpoints" / endpoint / uuid.uuid4().hex[:8]
        self.config = config.name
        self.asynchronous = config.asynchronous
        self.serverless = is_serverless(config.request)

        def made(settings: Mapping[str, Any]) -> Variant:
            kind = ServerlessVariant if "ServerlessConfig" in settings else Variant
            return kind(
                cloud,
                settings,
                models.model(settings["ModelName"]),
                place=self._place / settings["VariantName"],
                log_group=log_group(endpoint),
            )

        self.variants = [made(each) for each in config.variants]
        self.shadows = [made(each) for each in config.shadows]
        self.mirror = Mirror(self.variants[0], self.shadows[0]) if self.shadows else None

    @property
    def all(self) -> list[Variant]:
        """Production and shadow variants."""
        return [*self.variants, *self.shadows]

    @property
    def healthy(self) -> bool:
        """Whether every instance answers its pings."""
        return all(each.running == len(each.instances) for each in self.all)

    def variant(self, name: str) -> Variant | None:
        """The production variant of this name."""
        return next((each for each in self.variants if each.name == name), None)

    def prepare(self) -> None:
        """Fetch what the servers need.

        Raises:
            FleetError: something is not there.
        """
        for variant in self.all:
            variant.prepare()

    def start(self) -> None:
        """Start every server and wait until all are healthy.

        Raises:
            FleetError: one of them is not; the others have been stopped.
        """
        try:
            self.prepare()
            self.scale(lambda variant: variant.count)
        except BaseException:
            self.stop()
            raise

    def scale(self, count: Callable[[Variant], int]) -> None:
        """Run as many instances of each variant as `count` says, all variants at once.

        Raises:
            FleetError: a new one did not become healthy.
        """
        faults = _each(self.all, lambda variant: _fault(variant, count(variant)))
        for fault in faults:
            if fault:
                raise fault

    def stop(self) -> None:
        """End every server, the last answers given, and remove their files."""
        if self.mirror:
            self.mirror.stop()
        _each(self.all, lambda variant: variant.stop())
        remove_tree(self._place)


def _fault(variant: Variant, count: int) -> FleetError | None:
    try:
        variant.scale(count)
    except FleetError as error:
        return error
    return None


def _each(variants: Sequence[Variant], work: Callable[[Variant], Result]) -> list[Result]:
    with ThreadPoolExecutor(len(variants)) as pool:
        return list(pool.map(work, variants))


def log_group(endpoint: str) -> str:
    """The log group of an endpoint."""
    return f"/aws/sagemaker/Endpoints/{endpoint}"
