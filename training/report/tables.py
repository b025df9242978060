"""HTML tables and the texts in their cells. Everything that comes from data is escaped here."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape


@dataclass(frozen=True)
class Cell:
    """A cell with looks: classes of the page ("n" for a number given as text), and for a heat
    table how full it is (0 to 1).
    """

    value: object
    look: str = ""
    heat: float | None = None


def table(
    head: Sequence[str],
    rows: Sequence[Sequence[object]],
    *,
    caption: str = "",
    marked: int | None = None,
) -> str:
    """A table; numbers stand on the right, the marked row in bold."""
    numeric = [any(_is_number(row[place]) for row in rows) for place in range(len(head))]
    titles = "".join(
        f'<th scope="col"{_look("n" if right else "")}>{escape(name)}</th>'
        for name, right in zip(head, numeric, strict=True)
    )
    lines = []
    for place, row in enumerate(rows):
        cells = "".join(
            _cell(cell, "n" if right else "") for cell, right in zip(row, numeric, strict=True)
        )
        lines.append(f"<tr{_look('best' if place == marked else '')}>{cells}</tr>")
    said = f"<caption>{escape(caption)}</caption>" if caption else ""
    return (
        f'<div class="wide"><table>{said}<thead><tr>{titles}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


def pairs(values: Mapping[str, object]) -> str:
    """A table of names and values."""
    rows = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{escape(text(value))}</td></tr>'
        for name, value in values.items()
    )
    return f"<table><tbody>{rows}</tbody></table>"


def text(value: object) -> str:
    """A value as a person reads it: five digits at most, thousands apart."""
    if isinstance(value, bool) or value is None:
        return str(value).lower() if value is not None else ""
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.5g}" if math.isfinite(value) else "–"
    return str(value)


def _cell(cell: object, look: str) -> str:
    found = cell if isinstance(cell, Cell) else Cell(cell)
    style = "" if found.heat is None else f' style="--heat:{found.heat:.3f}"'
    heat = "" if found.heat is None else "heat"
    looks = " ".join(dict.fromkeys(filter(None, (look, *found.look.split(), heat))))
    return f"<td{_look(looks)}{style}>{escape(text(found.value))}</td>"


def _look(name: str) -> str:
    return f' class="{name}"' if name else ""


def _is_number(cell: object) -> bool:
    if isinstance(cell, Cell) and "n" in cell.look.split():
        return True
    value = cell.value if isinstance(cell, Cell) else cell
    return isinstance(value, int | float) and not isinstance(value, bool)
