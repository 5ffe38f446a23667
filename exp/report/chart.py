"""A line chart as SVG text: axes, ticks, lines, points and areas, coloured by classes of the page's style sheet.

Why not matplotlib, which draws the PNG figures: a page shows some ten charts at the end of every run, and there one
takes a fifth of a second and says its colours in the file; here it takes some milliseconds, follows the reader's light
or dark screen, and its words stay text that scales, can be searched and is read aloud.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

import numpy as np

WIDTH, HEIGHT = 360, 300
LEFT, RIGHT, TOP, BOTTOM = 40, 12, 26, 44
SMALLEST_STEP = 0.5  # pixels: a curve of ten thousand points looks the same without those that hardly move


@dataclass(frozen=True)
class Axis:
    """One axis of a chart.

    Attributes:
        low: value at its start.
        high: value at its end.
        label: what it shows, with the unit.
        ticks: values that are marked; found where none are given.
        words: text of each tick; the number itself where none are given.
        is_log: powers of ten lie equally far apart; `low` is above 0.
    """

    low: float
    high: float
    label: str
    ticks: Sequence[float] = ()
    words: Sequence[str] = ()
    is_log: bool = False

    def place(self, values: float | np.ndarray, start: float, end: float) -> np.ndarray:
        """Return where on a screen from `start` to `end` values lie."""
        low, high, at = self.low, self.high, np.asarray(values, dtype=np.float64)
        if self.is_log:
            low, high, at = math.log10(low), math.log10(high), np.log10(at)
        return start + (at - low) / ((high - low) or 1.0) * (end - start)

    def marked(self) -> list[tuple[float, str]]:
        """Return the ticks and their texts."""
        values = list(self.ticks) or (
            _log_ticks(self.low, self.high) if self.is_log else nice_ticks(self.low, self.high)
        )
        words = list(self.words) or [f"{value:.6g}" for value in values]
        return list(zip(values, words, strict=True))


@dataclass
class Chart:
    """A chart that is drawn piece by piece, from the back to the front.

    Attributes:
        x: the horizontal axis.
        y: the vertical axis.
        width: in user units, which are pixels on a telephone.
        height: likewise.
    """

    x: Axis
    y: Axis
    width: int = WIDTH
    height: int = HEIGHT
    _pieces: list[str] = field(default_factory=list)

    def line(self, x: Sequence[float] | np.ndarray, y: Sequence[float] | np.ndarray, look: str) -> None:
        """Draw a line through `(N,)` points; one that is not finite leaves a gap."""
        path = self._path(x, y)
        if path:
            self._pieces.append(f'<path class="line {look}" d="{path}"/>')

    def area(self, x: Sequence[float] | np.ndarray, y: Sequence[float] | np.ndarray, look: str) -> None:
        """Fill a polygon with `(N,)` corners."""
        self._pieces.append(f'<path class="area {look}" d="{self._path(x, y)}Z"/>')

    def dots(
        self, x: Sequence[float] | np.ndarray, y: Sequence[float] | np.ndarray, look: str, radius: float = 4
    ) -> None:
        """Draw `(N,)` points; those that are not finite are left out."""
        for at_x, at_y in zip(self._x(x).tolist(), self._y(y).tolist(), strict=True):
            if math.isfinite(at_x) and math.isfinite(at_y):
                self._pieces.append(f'<circle class="dot {look}" cx="{at_x:.1f}" cy="{at_y:.1f}" r="{radius:g}"/>')

    def bars(self, edges: Sequence[float] | np.ndarray, heights: Sequence[float] | np.ndarray, look: str) -> None:
        """Draw `(N,)` bars from the horizontal axis up between `(N + 1,)` edges."""
        sides, tops, floor = self._x(edges), self._y(heights), self.height - BOTTOM
        for left, right, top in zip(sides[:-1], sides[1:], tops, strict=True):
            if math.isfinite(top) and top < floor:
                box = f'x="{left + 0.5:.1f}" y="{top:.1f}" width="{right - left - 1:.1f}" height="{floor - top:.1f}"'
                self._pieces.append(f'<rect class="bar {look}" {box}/>')

    def text(self, x: float, y: float, words: str, look: str = "", anchor: str = "middle") -> None:
        """Write a few words at a point."""
        place = f'x="{float(self._x(x)):.1f}" y="{float(self._y(y)):.1f}" text-anchor="{anchor}"'
        self._pieces.append(f'<text class="{look}" {place}>{escape(words)}</text>')

    def svg(self, alt: str) -> str:
        """Return the whole chart.

        Args:
            alt: what a reader learns who does not see it.
        """
        return (
            f'<svg viewBox="0 0 {self.width} {self.height}" role="img" aria-label="{escape(alt)}">'
            f"{self._frame()}{''.join(self._pieces)}</svg>"
        )

    def _frame(self) -> str:
        left, right, top, floor = LEFT, self.width - RIGHT, TOP, self.height - BOTTOM
        parts = []
        for value, words in self.y.marked():
            at = float(self._y(value))
            parts.append(f'<path class="grid" d="M{left} {at:.1f}H{right}"/>')
            parts.append(f'<text x="{left - 7}" y="{at + 4:.1f}" text-anchor="end">{escape(words)}</text>')
        for value, words in self.x.marked():
            at = float(self._x(value))
            parts.append(f'<path class="grid" d="M{at:.1f} {top}V{floor}"/>')
            parts.append(f'<text x="{at:.1f}" y="{floor + 17}" text-anchor="middle">{escape(words)}</text>')
        parts.append(f'<path class="axis" d="M{left} {floor}H{right}"/>')
        parts.append(f'<text class="label" x="4" y="13">{escape(self.y.label)}</text>')
        middle = (left + right) / 2
        parts.append(
            f'<text class="label" x="{middle:.0f}" y="{self.height - 8}" text-anchor="middle">'
            f"{escape(self.x.label)}</text>"
        )
        return "".join(parts)

    def _x(self, values: float | Sequence[float] | np.ndarray) -> np.ndarray:
        return self.x.place(np.asarray(values), LEFT, self.width - RIGHT)

    def _y(self, values: float | Sequence[float] | np.ndarray) -> np.ndarray:
        return self.y.place(np.asarray(values), self.height - BOTTOM, TOP)

    def _path(self, x: Sequence[float] | np.ndarray, y: Sequence[float] | np.ndarray) -> str:
        return path(self._x(x), self._y(y))


def path(x: np.ndarray, y: np.ndarray) -> str:
    """Return the path of a line through `(N,)` points in pixels; what is not finite leaves a gap."""
    words, last, is_drawing = [], (math.inf, math.inf), False
    points = list(zip(x.tolist(), y.tolist(), strict=True))
    for number, (at_x, at_y) in enumerate(points):
        if not (math.isfinite(at_x) and math.isfinite(at_y)):
            is_drawing = False
            continue
        moved = abs(at_x - last[0]) + abs(at_y - last[1])
        if is_drawing and moved < SMALLEST_STEP and number < len(points) - 1:
            continue
        words.append(f"{'L' if is_drawing else 'M'}{at_x:.1f} {at_y:.1f}")
        last, is_drawing = (at_x, at_y), True
    return "".join(words)


def nice_ticks(low: float, high: float, wanted: int = 5) -> list[float]:
    """Return round values from `low` to `high`, about as many as wanted."""
    span = high - low
    if not span > 0:
        return [low]
    rough = span / wanted
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(number * step, 12) + 0.0 for number in range(first, last + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    """Return the powers of ten between two values, and where they are fewer than three also 2 and 5 times them."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1,), (1, 2, 5)):
        ticks = [10.0**power * factor for power in powers for factor in factors]
        inside = [tick for tick in ticks if low * (1 - 1e-9) <= tick <= high * (1 + 1e-9)]
        if len(inside) > 2:
            break
    return inside or [low, high]
