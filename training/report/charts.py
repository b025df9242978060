"""Plain SVG: axes with ticks, lines, dots, bars. Colours are the page's own (page.py).

Not here: what is drawn (figures.py).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape

Point = tuple[float, float]
Range = tuple[float, float]
LEFT, RIGHT, TOP, BOTTOM = 68, 14, 14, 44


class Axes:
    """A chart in the making; coordinates are the data's.

    Args:
        label: what the chart shows, for who cannot see it.
        x, y: from and to.
        x_label, y_label: what the axes are.
        size: width and height in pixels.
        whole: x counts something, so its ticks are whole numbers.
    """

    def __init__(
        self,
        label: str,
        x: Range,
        y: Range,
        x_label: str,
        y_label: str,
        *,
        size: tuple[int, int] = (560, 300),
        whole: bool = False,
    ) -> None:
        self._label = label
        self._width, self._height = size
        self._x, self._y = _wide(x), _wide(y)
        self._parts: list[str] = []
        self._frame(x_label, y_label, whole)

    def line(self, points: Sequence[Point], look: str) -> None:
        """A line through points; `look` is a class of the page."""
        self._parts.append(f'<polyline class="line {look}" points="{self._path(points)}"/>')

    def dots(self, points: Iterable[Point], look: str, *, radius: float = 3) -> None:
        """A dot for each point."""
        drawn = "".join(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}"/>'
            for x, y in map(self._place, points)
        )
        self._parts.append(f'<g class="dot {look}">{drawn}</g>')

    def dot(self, point: Point, look: str, words: str, *, radius: float = 4) -> None:
        """One dot that says something when it is pointed at."""
        x, y = self._place(point)
        self._parts.append(
            f'<circle class="dot {look}" cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}">'
            f"<title>{escape(words)}</title></circle>"
        )

    def whisker(self, x: float, low: float, high: float, look: str) -> None:
        """A vertical line: how far chance goes."""
        self.line([(x, low), (x, high)], look)

    def mark(self, x: float, words: str, look: str = "", *, row: int = 0) -> None:
        """A vertical line from top to bottom, with words beside it, in one of some rows."""
        at, _ = self._place((x, self._y[0]))
        late = at > self._width * 0.7
        self._parts.append(
            f'<line class="mark {look}" x1="{at:.1f}" x2="{at:.1f}" y1="{TOP}" '
            f'y2="{self._height - BOTTOM}"/>'
            f'<text x="{at - 5 if late else at + 5:.1f}" y="{TOP + 12 + 15 * row}" '
            f'text-anchor="{"end" if late else "start"}">{escape(words)}</text>'
        )

    def svg(self) -> str:
        """The chart."""
        return opened(self._label, self._width, self._height) + "".join(self._parts) + "</svg>"

    def _place(self, point: Point) -> Point:
        (x0, x1), (y0, y1) = self._x, self._y
        across = (point[0] - x0) / (x1 - x0) * (self._width - LEFT - RIGHT)
        up = (point[1] - y0) / (y1 - y0) * (self._height - TOP - BOTTOM)
        return LEFT + across, self._height - BOTTOM - up

    def _path(self, points: Iterable[Point]) -> str:
        return " ".join(f"{x:.1f},{y:.1f}" for x, y in map(self._place, points))

    def _frame(self, x_label: str, y_label: str, whole: bool) -> None:
        bottom, right = self._height - BOTTOM, self._width - RIGHT
        for value in ticks(*self._y):
            _, y = self._place((self._x[0], value))
            self._parts.append(
                f'<line class="grid" x1="{LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>'
                f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{number(value)}</text>'
            )
        for value in ticks(*self._x, whole=whole):
            x, _ = self._place((value, self._y[0]))
            self._parts.append(
                f'<text x="{x:.1f}" y="{bottom + 17}" text-anchor="middle">{number(value)}</text>'
            )
        middle = (TOP + bottom) / 2
        self._parts.append(
            f'<line class="axis" x1="{LEFT}" x2="{right}" y1="{bottom}" y2="{bottom}"/>'
            f'<text class="name" x="{(LEFT + right) / 2}" y="{self._height - 8}" '
            f'text-anchor="middle">{escape(x_label)}</text>'
            f'<text class="name" transform="translate(13 {middle:.1f}) rotate(-90)" '
            f'text-anchor="middle">{escape(y_label)}</text>'
        )


def opened(label: str, width: float, height: float) -> str:
    """The beginning of an SVG that says what it shows."""
    said = escape(label)
    return f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{said}">'


def ticks(low: float, high: float, *, whole: bool = False) -> list[float]:
    """Four to eight round numbers between two."""
    step = 10 ** math.floor(math.log10((high - low) / 4))
    for factor in (1, 2, 5, 10):
        if (high - low) / (step * factor) <= 7:
            step *= factor
            break
    if whole:
        step = max(1, round(step))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [place * step for place in range(first, last + 1)]


def number(value: float) -> str:
    """A tick's text: at most five digits."""
    return f"{value:.5g}" if value else "0"


def spread(values: Iterable[float], *, share: float = 0.05) -> Range:
    """From the lowest to the highest value, with a margin on both sides."""
    found = [value for value in values if math.isfinite(value)]
    low, high = min(found), max(found)
    margin = share * (high - low)
    return low - margin, high + margin


def _wide(span: Range) -> Range:
    low, high = span
    if high > low:
        return span
    margin = abs(low) * 0.05 or 0.5
    return low - margin, low + margin
