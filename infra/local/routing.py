"""Who answers a request: a fleet by its share, a variant by its weight, its least busy instance.

While an endpoint changes from one fleet to another, both share its traffic. Turns are counted, not
drawn, so that of any n requests each fleet and each variant gets its part. The credit of each grows
with its share, the richest is served, and pays the whole.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from infra.local.fleets import Fleet
from infra.local.instances import Instance
from infra.local.variants import Variant


@dataclass(frozen=True)
class Choice:
    """Who answers one request; the instance has counted it in.

    Attributes:
        instance: None when the variant has none that takes requests.
    """

    fleet: Fleet
    variant: Variant
    instance: Instance | None


@dataclass
class _Route:
    fleet: Fleet
    share: float
    credit: float = 0.0


class Router:
    """The fleets that share an endpoint's traffic."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._routes: list[_Route] = []

    def share(self, *shares: tuple[Fleet, float]) -> None:
        """Send each fleet its part of the requests from now on, and no other fleet any."""
        with self._lock:
            owed = {id(each.fleet): each.credit for each in self._routes}
            self._routes = [
                _Route(fleet, share, owed.get(id(fleet), 0.0))
                for fleet, share in shares
                if share > 0
            ]

    @property
    def shares(self) -> list[tuple[Fleet, float]]:
        """The fleets and their parts, as fractions of all."""
        with self._lock:
            total = sum(each.share for each in self._routes)
            return [(each.fleet, each.share / total) for each in self._routes]

    def choose(self, target: str | None, besides: Collection[Instance] = ()) -> Choice | None:
        """Who answers the next request; None when no fleet has a variant named `target`.

        A fleet none of whose instances is up leaves its turn to another fleet.

        Args:
            target: the variant that the client asked for.
            besides: instances that are not to be chosen.
        """
        with self._lock:
            found = self._candidates(target)
        for fleet, variant in found:
            instance = variant.claim(besides)
            if instance is not None:
                return Choice(fleet, variant, instance)
        return Choice(*found[0], None) if found else None

    def _candidates(self, target: str | None) -> list[tuple[Fleet, Variant]]:
        """The variant whose turn it is, and what could stand in for it."""
        routes = self._routes
        if len(routes) > 1:
            for each in routes:
                each.credit += each.share
            routes = sorted(routes, key=lambda each: each.credit, reverse=True)
            routes[0].credit -= sum(each.share for each in routes)
        found: list[tuple[Fleet, Variant]] = []
        for route in routes:
            name = target or (found[0][1].name if found else "")
            variant = route.fleet.variant(name)
            if variant is None and not target:
                variant = _turn(route.fleet.variants)
            if variant is not None:
                found.append((route.fleet, variant))
        return found


def _turn(variants: Sequence[Variant]) -> Variant:
    """The variant whose turn it is; those without a weight never have one."""
    weighted = [each for each in variants if each.weight > 0]
    if len(weighted) == 1:
        return weighted[0]
    for variant in weighted:
        variant.credit += variant.weight
    chosen = max(weighted, key=lambda each: each.credit)
    chosen.credit -= sum(each.weight for each in weighted)
    return chosen
