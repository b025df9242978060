"""What a project's features.py may hold, and how what it makes is declared.

It may import numpy and math: where the model serves, nothing else is promised to be there. The
rules keep mistakes out, not attackers: it is code, and is trusted as far as whoever wrote it.

Here: reading it without running it. Not here: running it (features.py).
"""

from __future__ import annotations

import ast
import hashlib
from dataclasses import dataclass

from shared.errors import ProjectError
from shared.schema import Column

FILE = "features.py"
FUNCTION = "features"
MODULES = ("numpy", "math")
# What annotations need; nothing of it does anything when the function runs.
FOR_TYPES = ("__future__", "typing", "collections.abc")
REFUSED = frozenset({"__import__", "eval", "exec", "compile", "open", "input", "globals", "vars"})
DECLARED = "[features.columns]"


@dataclass(frozen=True)
class Declaration:
    """What a project says of its features.py.

    Args:
        columns: what it makes.
        sha256: of the file.

    Raises:
        ProjectError: a column cannot be one that is made.
    """

    columns: tuple[Column, ...]
    sha256: str

    def __post_init__(self) -> None:
        if not self.columns:
            raise ProjectError("one column or more is needed", where=DECLARED)
        for column in self.columns:
            where = f"column {column.name!r}"
            if "." in column.name:
                raise ProjectError("a dot is for the columns of sources", where=where)
            if not column.nullable:
                raise ProjectError(
                    "nullable is for what a request brings; a made value may always be missing",
                    where=where,
                )


def digest(source: bytes) -> str:
    """SHA-256 of a features.py."""
    return hashlib.sha256(source).hexdigest()


def check(source: bytes, where: str = FILE) -> ast.Module:
    """Read a features.py without running it.

    Args:
        source: its bytes.
        where: names it in messages.

    Raises:
        ProjectError: it is not Python, imports what serving has not, has no function `features` of
            one argument, or does what a pure function does not; the message names the line.
    """
    try:
        source.decode()
        tree = ast.parse(source, where)
    except SyntaxError as error:
        line = (error.text or "").strip()
        raise ProjectError(
            f"is not Python: {error.msg}",
            where=f"{where}, line {error.lineno}",
            cure=f"The line is: {line}" if line else None,
        ) from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise ProjectError(f"is not Python: {error}", where=where) from None
    for node in ast.walk(tree):
        problem = _problem(node)
        if problem:
            raise ProjectError(
                problem[0], where=f"{where}, line {getattr(node, 'lineno', 0)}", cure=problem[1]
            )
    found = [
        node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == FUNCTION
    ]
    wanted = f"def {FUNCTION}(columns): ..."
    if not found:
        raise ProjectError(f"has no function {FUNCTION!r}", where=where, cure=f"Write {wanted}")
    given = found[-1].args
    if len(given.posonlyargs + given.args) != 1 or given.kwonlyargs or given.vararg or given.kwarg:
        raise ProjectError(
            f"the function {FUNCTION!r} takes one argument, the columns",
            where=f"{where}, line {found[-1].lineno}",
            cure=f"Write {wanted}",
        )
    return tree


def _problem(node: ast.AST) -> tuple[str, str | None] | None:
    """What is wrong with one node, and what to do."""
    modules: list[str] = []
    if isinstance(node, ast.Import):
        modules = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        modules = ["." * node.level + (node.module or "")]
    for module in modules:
        if module not in FOR_TYPES and module.partition(".")[0] not in MODULES:
            return (
                f"imports {module}",
                f"It may import {' and '.join(MODULES)} only: the endpoint has nothing else",
            )
    if isinstance(node, ast.Name) and node.id in REFUSED:
        return f"uses {node.id}", "The function may know its columns and nothing else"
    if isinstance(node, ast.Global):
        return "keeps state in a global variable", "The same row must always make the same values"
    return None
