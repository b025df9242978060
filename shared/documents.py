"""JSON text and frozen dataclasses, strictly: what a document may hold is what the dataclass says.

Here: reading and writing JSON, and building dataclasses from it by their type hints. Not here: what
the documents mean (schema, problem, transforms, bundle), nor files (files.py).
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal, NoReturn, TypeVar, Union

from shared.errors import KitError, ProjectError, nearest

T = TypeVar("T")
_MISSING = object()
_NAMES = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}


def loads(text: str | bytes, where: str, error: type[KitError] = ProjectError) -> object:
    """Parse JSON in UTF-8; NaN, infinities and a key that is there twice are refused.

    Raises:
        error: the text is not JSON; the message names the line and column.
    """
    try:
        decoded = text.decode() if isinstance(text, bytes) else text
        return json.loads(decoded, parse_constant=_refuse_constant, object_pairs_hook=_refuse_twice)
    except json.JSONDecodeError as exception:
        raise error(
            f"not JSON: {exception.msg} at line {exception.lineno}, column {exception.colno}",
            where=where,
        ) from None
    except (ValueError, RecursionError) as exception:
        raise error(f"not JSON: {exception}", where=where) from None


def dumps(value: object, *, indent: int | None = None) -> str:
    """JSON as ASCII text with a final newline; floats read back exactly."""
    return json.dumps(plain(value), allow_nan=False, indent=indent) + "\n"


def plain(value: object) -> Any:
    """Dataclasses, tuples and mappings as the dicts and lists that JSON knows."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    return value


def decode(kind: type[T], data: object, where: str, error: type[KitError] = ProjectError) -> T:
    """Build `kind` (a dataclass) from parsed JSON, by its type hints.

    Args:
        kind: the dataclass wanted. Its fields may be text, numbers, booleans, literals, tuples,
            mappings with text keys, unions of these, and further dataclasses.
        data: what `loads` gave.
        where: the document's name, which begins the place in every message.
        error: the class of KitError to raise.

    Raises:
        error: a key is unknown (the nearest is named) or missing, or a value is not what its field
            says or what the dataclass itself allows.
    """
    return typing.cast(T, _Decoder(error).value(kind, data, where))


def _refuse_twice(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [key for key, _ in pairs]
        twice = next(key for place, key in enumerate(names) if key in names[:place])
        raise ValueError(f"the key {show(twice)} is there twice")
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


@functools.cache
def _fields(kind: type) -> dict[str, tuple[Any, bool]]:
    """Type and whether it is required, by field name."""
    hints = typing.get_type_hints(kind)
    return {
        field.name: (
            hints[field.name],
            field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING,
        )
        for field in dataclasses.fields(kind)
        if field.init
    }


class _Decoder:
    def __init__(self, error: type[KitError]) -> None:
        self.error = error

    def value(self, hint: Any, data: object, where: str) -> object:
        origin = typing.get_origin(hint)
        if dataclasses.is_dataclass(hint):
            return self._record(typing.cast(type, hint), data, where)
        if origin is Literal:
            return self._literal(typing.get_args(hint), data, where)
        if origin in (Union, types.UnionType):
            return self._union(typing.get_args(hint), data, where)
        if origin is tuple:
            return self._tuple(typing.get_args(hint), data, where)
        if origin is not None and issubclass(origin, Mapping):
            item = typing.get_args(hint)[1]
            pairs = self._dict(data, where).items()
            return {key: self.value(item, entry, f"{where}.{key}") for key, entry in pairs}
        if hint in (object, Any):
            return data
        return self._scalar(hint, data, where)

    def _record(self, kind: type, data: object, where: str) -> object:
        given = self._dict(data, where)
        fields = _fields(kind)
        for key in given:
            if key not in fields:
                raise self.error(f"unknown key {key!r}", where=where, cure=nearest(key, fields))
        values = {}
        for name, (hint, required) in fields.items():
            entry = given.get(name, _MISSING)
            if entry is not _MISSING:
                values[name] = self.value(hint, entry, f"{where}.{name}")
            elif required:
                raise self.error(f"the key {name!r} is missing", where=where)
        try:
            return kind(**values)
        except KitError as exception:
            place = f"{where}: {exception.where}" if exception.where else where
            raise self.error(exception.message, where=place, cure=exception.cure) from None

    def _dict(self, data: object, where: str) -> dict[str, object]:
        if not isinstance(data, dict):
            raise self.error(f"an object is needed, not {show(data)}", where=where)
        return data

    def _literal(self, allowed: tuple[object, ...], data: object, where: str) -> object:
        for choice in allowed:
            if type(choice) is type(data) and choice == data:
                return data
        listed = ", ".join(repr(choice) for choice in allowed)
        raise self.error(f"{show(data)} is not one of {listed}", where=where)

    def _union(self, arms: tuple[Any, ...], data: object, where: str) -> object:
        if data is None and types.NoneType in arms:
            return None
        real = [arm for arm in arms if arm is not types.NoneType]
        problems = []
        for arm in real:
            try:
                return self.value(arm, data, where)
            except self.error as exception:
                problems.append(exception)
        raise (
            problems[0]
            if len(problems) == 1
            else self.error(" / ".join(problem.message for problem in problems), where=where)
        )

    def _tuple(self, items: tuple[Any, ...], data: object, where: str) -> tuple[object, ...]:
        if not isinstance(data, list):
            raise self.error(f"a list is needed, not {show(data)}", where=where)
        if items[-1] is Ellipsis:
            items = (items[0],) * len(data)
        if len(items) != len(data):
            raise self.error(f"{len(items)} items are needed, not {len(data)}", where=where)
        pairs = enumerate(zip(items, data, strict=True))
        return tuple(self.value(item, entry, f"{where}[{i}]") for i, (item, entry) in pairs)

    def _scalar(self, hint: type, data: object, where: str) -> object:
        if hint is float and type(data) in (int, float):
            try:
                number = float(typing.cast(float, data))
            except OverflowError:
                number = math.inf
            if math.isfinite(number):
                return number
        elif type(data) is hint:
            return data
        raise self.error(f"{_NAMES[hint]} is needed, not {show(data)}", where=where)


def show(value: object) -> str:
    """A value as a message may hold it: quoted, escaped and short."""
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 200:
        return f"a whole number of {value.bit_length()} bits"
    try:
        text = repr(value)
    except RecursionError:
        return "what is nested very deeply"
    return text if len(text) <= 60 else f"{text[:57]}..."
