"""Fleets: every server of one endpoint configuration, started as a whole and ended as a whole."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from infra.local.instances import FleetError
from infra.local.models import EndpointConfig, Models
from infra.local.processes import remove_tree
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
        self.variants = [
            Variant(
                cloud,
                each,
                models.model(each["ModelName"]),
                place=self._place / each["VariantName"],
                log_group=log_group(endpoint),
            )
            for each in config.variants
        ]

    def variant(self, name: str) -> Variant | None:
        """The production variant of this name."""
        return next((each for each in self.variants if each.name == name), None)

    def start(self) -> None:
        """Start every server and wait until all are healthy.

        Raises:
            FleetError: one of them is not; the others have been stopped.
        """
        try:
            for variant in self.variants:
                variant.prepare()
            self.scale(lambda variant: variant.count)
        except BaseException:
            self.stop()
            raise

    def scale(self, count: Callable[[Variant], int]) -> None:
        """Run as many instances of each variant as `count` says, all variants at once.

        Raises:
            FleetError: a new one did not become healthy.
        """
        faults = _each(self.variants, lambda variant: _fault(variant, count(variant)))
        for fault in faults:
            if fault:
                raise fault

    def stop(self) -> None:
        """End every server, the last answers given, and remove their files."""
        _each(self.variants, lambda variant: variant.stop())
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
