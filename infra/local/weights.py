"""UpdateEndpointWeightsAndCapacities: what variants are to have, and giving it to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from infra.local.fleets import Fleet
from infra.local.instances import FleetError
from infra.local.variants import Variant
from infra.local.wire import invalid, not_offered


@dataclass(frozen=True)
class Change:
    """What a variant is to have."""

    variant: Variant
    weight: float
    count: int


def read(fleet: Fleet, wanted: Sequence[Mapping[str, Any]]) -> list[Change]:
    """What a request asks for.

    Raises:
        RefusalError: a variant that is not there, or something no variant can have.
    """
    changes = {each.name: Change(each, each.weight, each.count) for each in fleet.all}
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
        if fleet.serverless and "DesiredInstanceCount" in each:
            raise invalid(f"The serverless variant {name} has no DesiredInstanceCount.")
        least = 0 if fleet.asynchronous or fleet.serverless else 1
        if changes[name].count < least:
            raise invalid(f"DesiredInstanceCount of variant {name} must be at least {least}.")
    if not any(changes[each.name].weight > 0 for each in fleet.variants):
        raise invalid("At least one production variant must have a weight greater than 0.")
    return list(changes.values())


def now(changes: Sequence[Change]) -> list[Change]:
    """What the same variants have at present."""
    return [Change(each.variant, each.variant.weight, each.variant.count) for each in changes]


def apply(changes: Sequence[Change]) -> str | None:
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


def retain(old: Fleet, new: Fleet, excluded: Sequence[Mapping[str, str]]) -> None:
    """Keep weights and instance counts of variants that both fleets have."""
    left_out = {each["VariantPropertyType"] for each in excluded}
    before = {each.name: each for each in old.all}
    for variant in new.all:
        same = before.get(variant.name)
        if same and "DesiredWeight" not in left_out:
            variant.weight = same.weight
        if same and "DesiredInstanceCount" not in left_out:
            variant.count = same.count
