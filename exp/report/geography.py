"""The map: regions as boxes coloured by skill, with coasts and borders around them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from exp.report.chart import WIDTH, nice_ticks
from exp.report.figures import Figure
from exp.report.words import Words, number

LINES_FILE = Path(__file__).resolve().parent / "natural_earth.json"
SMALLEST_SPAN = 7.0  # degrees: a small area needs some coast or border around it to be recognised
MARGIN = 0.12  # of the area, on each side
HEIGHTS = (240, 480)  # pixels
DEFAULT_SPACING = 0.25  # degrees, of ERA5: a region of one cell has the size of that cell
SKILL_STEPS = (0.0, 0.1, 0.2, 0.3, 0.4)
LABEL_PIXELS = 11  # a smaller box goes without its number
EDGES = ("north", "west", "south", "east")


@dataclass(frozen=True)
class Frame:
    """The part of the world a map shows, in degrees, and its size in pixels.

    Attributes:
        west: edge.
        south: edge.
        east: edge.
        north: edge.
        height: of the picture; its width is that of every chart.
    """

    west: float
    south: float
    east: float
    north: float
    height: int

    def place(self, longitude: float, latitude: float) -> tuple[float, float]:
        """Return where a point lies in pixels, from the upper left corner."""
        x = (longitude - self.west) / (self.east - self.west) * WIDTH
        return x, (self.north - latitude) / (self.north - self.south) * self.height

    def touches(self, first: tuple[float, float], second: tuple[float, float]) -> bool:
        """Return whether the box around two points shares something with the frame."""
        low_x, high_x = sorted((first[0], second[0]))
        low_y, high_y = sorted((first[1], second[1]))
        return low_x <= self.east and high_x >= self.west and low_y <= self.north and high_y >= self.south


def boxes_of(table: Mapping[str, Any]) -> dict[str, tuple[float, ...]]:
    """Return region -> (north, west, south, east) of the regions whose place a table records."""
    regions = table.get("regions")
    if not isinstance(regions, Mapping):
        return {}
    known = {name: box for name, box in regions.items() if isinstance(box, Mapping) and set(EDGES) <= set(box)}
    return {name: tuple(float(box[edge]) for edge in EDGES) for name, box in known.items()}


def skill_class(skill: float | None) -> str:
    """Return the class of the colour of a skill."""
    if skill is None:
        return "skill-none"
    return f"skill-{sum(skill >= step for step in SKILL_STEPS)}"


def skill_map(boxes: Mapping[str, Sequence[float]], skills: Mapping[str, float | None], words: Words) -> Figure:
    """Draw the map.

    Args:
        boxes: region -> (north, west, south, east), those that are drawn.
        skills: region -> Brier skill of all regions, in the order of the table; the place in it is the number.
        words: of the page.
    """
    sized = _with_size(boxes)
    frame = frame_around(sized)
    numbers = {name: place for place, name in enumerate(skills, start=1)}
    drawn = [name for name in skills if name in sized]
    coast, borders = ("".join(_paths(kind, frame)) for kind in ("coast", "borders"))
    parts = [
        _graticule(frame, words),
        "".join(_box(sized[name], frame, skill_class(skills[name]), f"{numbers[name]} {name}") for name in drawn),
        f'<path class="borders" d="{borders}"/><path class="coast" d="{coast}"/>',
        "".join(_number(sized[name], frame, numbers[name]) for name in drawn),
    ]
    spoken = [
        words("places.map_region", number=numbers[name], name=name, skill=number(skills[name], 2)) for name in drawn
    ]
    alt = words("places.map_alt", regions=" ".join(spoken))
    svg = f'<svg class="map" viewBox="0 0 {WIDTH} {frame.height}" role="img" aria-label="{escape(alt)}">'
    return Figure(words("places.map_title"), f"{svg}{''.join(parts)}</svg>", words("places.map_note"), _legend(words))


def frame_around(boxes: Mapping[str, Sequence[float]]) -> Frame:
    """Return a frame around `(north, west, south, east)` boxes that keeps distances true at its middle."""
    edges = np.array(list(boxes.values()))
    north, west, south, east = edges[:, 0].max(), edges[:, 1].min(), edges[:, 2].min(), edges[:, 3].max()
    middle = ((west + east) / 2, (south + north) / 2)
    shrink = max(math.cos(math.radians(middle[1])), 0.1)
    across = max((east - west) * (1 + 2 * MARGIN), SMALLEST_SPAN)
    up = max((north - south) * (1 + 2 * MARGIN), SMALLEST_SPAN * shrink * 0.6)
    height = int(min(max(WIDTH * up / (across * shrink), HEIGHTS[0]), HEIGHTS[1]))
    # Whichever side is too short for this height grows.
    across, up = max(across, up * WIDTH / height / shrink), max(up, across * shrink * height / WIDTH)
    return Frame(middle[0] - across / 2, middle[1] - up / 2, middle[0] + across / 2, middle[1] + up / 2, height)


@cache
def _lines() -> dict[str, Any]:
    return json.loads(LINES_FILE.read_text(encoding="utf-8"))


def _paths(kind: str, frame: Frame) -> Iterator[str]:
    """Yield paths of the pieces of lines that touch the frame."""
    content = _lines()
    west, south, east, north = content["fine_box"]
    is_fine = west <= frame.west and south <= frame.south and frame.east <= east and frame.north <= north
    for steps in content["fine" if is_fine else "world"][kind]:
        points = np.cumsum(np.array(steps).reshape(-1, 2), axis=0) / content["steps_per_degree"]
        is_drawing = False
        for first, second in zip(points[:-1].tolist(), points[1:].tolist(), strict=True):
            if not frame.touches(first, second):
                is_drawing = False
                continue
            if not is_drawing:
                yield "M{:.1f} {:.1f}".format(*frame.place(*first))
            yield "L{:.1f} {:.1f}".format(*frame.place(*second))
            is_drawing = True


def _with_size(boxes: Mapping[str, Sequence[float]]) -> dict[str, tuple[float, ...]]:
    """Give a box whose edges lie on one row or column of cells the width of a cell."""
    spacing = []
    for first, second in ((1, 3), (0, 2)):
        edges = np.unique(np.round([box[edge] for box in boxes.values() for edge in (first, second)], 4))
        spacing.append(float(np.diff(edges).min()) if len(edges) > 1 else DEFAULT_SPACING)
    across, up = (min(space, DEFAULT_SPACING) / 2 for space in spacing)
    result: dict[str, tuple[float, ...]] = {}
    for name, (north, west, south, east) in boxes.items():
        x, y = (across if west == east else 0.0), (up if north == south else 0.0)
        result[name] = (north + y, west - x, south - y, east + x)
    return result


def _box(box: Sequence[float], frame: Frame, look: str, title: str) -> str:
    (x, y), (right, floor) = frame.place(box[1], box[0]), frame.place(box[3], box[2])
    size = f'x="{x:.1f}" y="{y:.1f}" width="{right - x:.1f}" height="{floor - y:.1f}"'
    return f'<rect class="region {look}" {size}><title>{escape(title)}</title></rect>'


def _number(box: Sequence[float], frame: Frame, place: int) -> str:
    (x, y), (right, floor) = frame.place(box[1], box[0]), frame.place(box[3], box[2])
    if min(right - x, floor - y) < LABEL_PIXELS:
        return ""
    middle = f'x="{(x + right) / 2:.1f}" y="{(y + floor) / 2 + 4:.1f}" text-anchor="middle"'
    return f'<text class="number" {middle}>{place}</text>'


def _graticule(frame: Frame, words: Words) -> str:
    parts = []
    for longitude in nice_ticks(frame.west, frame.east, 4):
        x = frame.place(longitude, frame.south)[0]
        parts.append(f'<path class="grid" d="M{x:.1f} 0V{frame.height}"/>')
        side = words("places.west_letter" if longitude < 0 else "places.east_letter")
        if 20 < x < WIDTH - 20:
            text = f"{abs(longitude):g}° {side}"
            parts.append(f'<text class="small" x="{x:.1f}" y="{frame.height - 6}" text-anchor="middle">{text}</text>')
    for latitude in nice_ticks(frame.south, frame.north, 4):
        y = frame.place(frame.west, latitude)[1]
        parts.append(f'<path class="grid" d="M0 {y:.1f}H{WIDTH}"/>')
        side = words("places.south_letter" if latitude < 0 else "places.north_letter")
        if 14 < y < frame.height - 22:
            parts.append(f'<text class="small" x="5" y="{y - 4:.1f}">{abs(latitude):g}° {side}</text>')
    return "".join(parts)


def _legend(words: Words) -> list[tuple[str, str]]:
    steps = [f"{step:g}" for step in SKILL_STEPS]
    between = [f"{low} – {high}" for low, high in zip(steps[:-1], steps[1:], strict=True)]
    texts = [f"< 0 ({words('places.worse')})", *between, f"≥ {steps[-1]}"]
    return [(f"chip skill-{place}", text) for place, text in enumerate(texts)]
