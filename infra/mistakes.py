"""Everything wrong with one project file, collected and then said in one message.

Each mistake names the key by its dotted path, the value, what is allowed and, for an unknown key,
the nearest known one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

from shared.documents import show
from shared.errors import KitError, ProjectError, nearest

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError

_PLACE = re.compile(r"\(at line (\d+), column (\d+)\)")
_PLAIN = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}


def not_toml(error: ValueError, text: str, where: str) -> ProjectError:
    """What a TOMLDecodeError means: the line's own text, and the usual reason."""
    found = _PLACE.search(str(error))
    if not found:
        return ProjectError(f"is not TOML: {error}", where=where)
    line = text.split("\n")[int(found[1]) - 1].rstrip("\r")
    before, rest = line[: int(found[2]) - 1], line[int(found[2]) - 1 :]
    shown = f"The line is:\n  | {line}\n{_hint(str(error), before, rest)}".rstrip()
    return ProjectError(f"is not TOML: {error}", where=where, cure=shown)


def _hint(message: str, before: str, rest: str) -> str:
    if word := re.match(r"(True|False)\b", rest):
        return f"Write {word[0].lower()}, not {word[0]}."
    if message.startswith(("Expected '=' after a key", "Expected ']' at the end of a table")):
        return 'A name with spaces or dots needs quotes: "my column" = …'
    value = message.startswith(("Invalid value", "Expected newline", "Unclosed"))
    if value and re.match(r"[^\W\d]|[-/.~]", rest):
        return 'Text needs quotes: name = "text"'
    return ""


class Mistakes:
    """Collects mistakes of the file `where`."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._found: list[KitError] = []

    def add(self, key: str, message: str, cure: str | None = None) -> None:
        """Note one mistake."""
        self._found.append(ProjectError(message, where=key, cure=cure))

    def noted(self, key: str) -> _Noted:
        """A block whose KitError is noted instead of passing; `key` is where it is said to be."""
        return _Noted(self, key)

    def add_invalid(self, model: type[BaseModel], error: ValidationError, raw: object) -> None:
        """Note what pydantic found, in our words."""
        seen: set[str] = set()
        for item in error.errors(include_url=False):
            path = [str(part) for part in item["loc"]]
            key = ".".join(path)
            if key in seen:
                continue
            seen.add(key)
            table, field = _look_up(model, path)
            if item["type"] == "extra_forbidden":
                self.add(key, "unknown key", nearest(path[-1], _keys(table)))
            elif item["type"] == "missing":
                self.add(key, f"is missing; it must be {_allowed(field)}")
            elif item["type"] == "not_available":
                self.add(key, item["msg"])
            else:
                value = show(_value(raw, path))
                self.add(key, f"{value} is not allowed; it must be {_allowed(field)}")

    def raise_if_any(self) -> None:
        """Raise one ProjectError that tells all mistakes.

        Raises:
            ProjectError: there are any.
        """
        if len(self._found) == 1:
            one = self._found[0]
            raise ProjectError(one.message, where=f"{self._where}: {one.where}", cure=one.cure)
        if self._found:
            listed = "".join(f"\n  {error}" for error in self._found)
            raise ProjectError(f"{len(self._found)} mistakes{listed}", where=self._where)


class _Noted:
    def __init__(self, mistakes: Mistakes, key: str) -> None:
        self._mistakes = mistakes
        self._key = key

    def __enter__(self) -> None:
        """Begin the block."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        if not isinstance(error, KitError):
            return False
        inside = error.where is not None and error.where.startswith(self._key)
        place = error.where if inside and error.where else self._key
        # "data.split: split, seed" would say split twice.
        own = self._key.rpartition(".")[2]
        place = re.sub(rf"^({re.escape(self._key)}): {re.escape(own)}\b", r"\1", place)
        detail = f" ({error.where})" if error.where and not inside else ""
        self._mistakes.add(place, f"{error.message}{detail}", error.cure)
        return True


def _look_up(model: type[BaseModel], path: Sequence[str]) -> tuple[type[BaseModel], Any]:
    """The model in which a path ends, and the field there (None when it has no such field)."""
    table: type[BaseModel] = model
    current: Any = model
    for part in path:
        if hasattr(current, "model_fields") and part.isdigit():
            continue  # an entry of a list of tables
        if hasattr(current, "model_fields"):
            table = current
            field = _named(table, part)
            if field is None:
                return table, None
            current, last = _inner(field.annotation), field
        else:  # the name of an entry in a table of tables
            last = None
    return table, last


def _keys(table: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in table.model_fields.items()]


def _named(table: type[BaseModel], key: str) -> Any:
    """The field that the file calls so."""
    fields = table.model_fields.items()
    return next((field for name, field in fields if (field.alias or name) == key), None)


def _inner(annotation: Any) -> Any:
    """The model that an annotation holds: X, X | None or dict[str, X]."""
    for argument in getattr(annotation, "__args__", ()):
        if hasattr(argument, "model_fields"):
            return argument
    return annotation


def _allowed(field: Any) -> str:
    if field is None:
        return "a table"
    if field.description:
        return str(field.description)
    return _PLAIN.get(field.annotation, "a table")


def _value(raw: object, path: Sequence[str]) -> object:
    for part in path:
        if isinstance(raw, list) and part.isdigit() and int(part) < len(raw):
            raw = raw[int(part)]
        elif isinstance(raw, Mapping) and part in raw:
            raw = raw[part]
        else:
            break
    return raw
