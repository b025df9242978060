"""The JSONPath expressions that batch transform knows, and no others.

The developer guide ("Associate Prediction Results with Input Records") lists them: ``$``,
``.name``, ``*``, ``['a','b']``, ``[0,2]``, ``[-1]``, ``[1:3]``; the API reference adds the mixture
``[0,5:]``. A general library would take filters, functions and ``..``, which a job on AWS refuses,
so the list itself is what is read here. The guide says of a slice's end both that it is included
and that the operator is JSONPath's; it is left out here, as in every JSONPath. What happens to a
name that is not there is not said; as with an index, which is "an error", the record fails.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_STEP = re.compile(
    r"""
      \.(?P<name>[^\s.\[\]*'"()?@$,:]+)
    | (?P<star>\.\*|\.?\[\*\])
    | \.?\[(?P<names>'[^']+'(?:\s*,\s*'[^']+')*)\]
    | \.?\[(?P<places>[-0-9:,\s]+)\]
    """,
    re.VERBOSE,
)
_PLACE = re.compile(r"(?P<index>-?\d+)|(?P<start>-?\d+)?\s*:\s*(?P<end>-?\d+)?")


class PathError(ValueError):
    """An expression that batch transform does not support."""


class AbsentError(LookupError):
    """A record has not what an expression asks for."""


@dataclass(frozen=True)
class _Names:
    names: tuple[str, ...]


@dataclass(frozen=True)
class _Places:
    places: tuple[int | slice, ...]


@dataclass(frozen=True)
class _Star:
    pass


_Step = _Names | _Places | _Star


@dataclass(frozen=True)
class Path:
    """An expression, ready to be applied.

    Attributes:
        text: as it was written.
    """

    text: str
    _steps: tuple[_Step, ...]

    @property
    def whole(self) -> bool:
        """Whether it is ``$``, which changes nothing."""
        return not self._steps

    @property
    def by_place(self) -> bool:
        """Whether a row of CSV can be asked for it: by indexes, once."""
        return len(self._steps) <= 1 and not any(isinstance(step, _Names) for step in self._steps)

    def select(self, value: Any) -> Any:
        """What the expression stands for in a JSON value.

        One name or one index gives the element itself, several names an object, anything else an
        array.

        Raises:
            AbsentError: the value has not what is asked for.
        """
        values, several = [value], False
        for step in self._steps:
            found: list[Any] = []
            for each in values:
                chosen, many = _take(each, step, self.text)
                found += chosen
                several = several or many
            values = found
        return values if several else values[0]


def parse(text: str) -> Path:
    """Read an expression.

    Raises:
        PathError: it is not one of those that the developer guide lists.
    """
    steps: list[_Step] = []
    if not text.startswith("$"):
        raise PathError(f"The expression {text!r} does not begin with $.")
    place = 1
    while place < len(text):
        match = _STEP.match(text, place)
        if not match:
            raise PathError(f"The JSONPath {text!r} is not supported from {text[place:]!r} on.")
        if steps and isinstance(steps[-1], _Names) and len(steps[-1].names) > 1:
            raise PathError(f"The JSONPath {text!r} goes on below several child elements.")
        steps.append(_step(match, text))
        place = match.end()
    return Path(text, tuple(steps))


def _step(match: re.Match[str], text: str) -> _Step:
    if match["name"] is not None:
        return _Names((match["name"],))
    if match["star"] is not None:
        return _Star()
    if match["names"] is not None:
        return _Names(tuple(re.findall(r"'([^']+)'", match["names"])))
    places: list[int | slice] = []
    for part in match["places"].split(","):
        found = _PLACE.fullmatch(part.strip())
        if not found:
            raise PathError(f"The JSONPath {text!r} has no index or slice in {part.strip()!r}.")
        if found["index"] is not None:
            places.append(int(found["index"]))
        else:
            places.append(slice(*(None if end is None else int(end) for end in found.groups()[1:])))
    return _Places(tuple(places))


def _take(value: Any, step: _Step, text: str) -> tuple[list[Any], bool]:
    """What a step finds in one value, and whether it may find more or less than one thing."""
    if isinstance(step, _Star):
        if not isinstance(value, dict | list):
            raise AbsentError(f"{text} has no elements below it")
        return list(value.values() if isinstance(value, dict) else value), True
    if isinstance(step, _Names):
        missing = [name for name in step.names if not isinstance(value, dict) or name not in value]
        if missing:
            raise AbsentError(f"{text} finds no {missing[0]!r}")
        if len(step.names) == 1:
            return [value[step.names[0]]], False
        return [{name: value[name] for name in step.names}], False
    if not isinstance(value, list):
        raise AbsentError(f"{text} needs an array")
    return _places(value, step.places, text)


def _places(
    value: Sequence[Any], places: Sequence[int | slice], text: str
) -> tuple[list[Any], bool]:
    chosen: list[Any] = []
    for place in places:
        if isinstance(place, slice):
            chosen += value[place]
        elif -len(value) <= place < len(value):
            chosen.append(value[place])
        else:
            raise AbsentError(f"{text} is outside the {len(value)} elements")
    return chosen, len(places) > 1 or isinstance(places[0], slice)
