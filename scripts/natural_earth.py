"""Make exp/report/natural_earth.json, the coasts and borders of the map in the report.

They are public domain data of Natural Earth, as the npm package `world-atlas` packs them. This was run once; nothing of
the project needs it again:

    npm pack world-atlas@2.0.2 && tar xzf world-atlas-2.0.2.tgz
    python -m scripts.natural_earth package

The whole world comes from the 1:110 million lines; the north-west of South America, where the project is at home, from
those of 1:50 million, thinned so that no point moves by more than a few kilometres.
"""

from __future__ import annotations

import json
import math
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

TARGET = Path(__file__).resolve().parent.parent / "exp" / "report" / "natural_earth.json"
SOURCE = "Natural Earth (public domain), 1:110m and 1:50m, by world-atlas 2.0.2"
# Hundredths of a degree, about a kilometre: finer than a pixel of the map.
STEPS_PER_DEGREE = 100
FINE_BOX = (-86.0, -22.0, -64.0, 5.0)  # west, south, east, north: Peru and what its map shows around it
COARSE_TOLERANCE, FINE_TOLERANCE = 0.1, 0.04  # degrees
Point = tuple[float, float]
Line = list[Point]


def main(folder: Path) -> None:
    """Read both files of the package and write the lines."""
    content: dict[str, Any] = {"source": SOURCE, "steps_per_degree": STEPS_PER_DEGREE, "fine_box": FINE_BOX}
    for name, file, tolerance, box in (
        ("world", "countries-110m.json", COARSE_TOLERANCE, None),
        ("fine", "countries-50m.json", FINE_TOLERANCE, FINE_BOX),
    ):
        topology = json.loads((folder / file).read_text(encoding="utf-8"))
        content[name] = {kind: [] for kind in ("coast", "borders")}
        for kind, line in lines(topology):
            parts = [line] if box is None else inside(line, box)
            content[name][kind] += [steps(thinned(part, tolerance)) for part in parts]
    rows = json.dumps(content, separators=(",", ":")).replace("],[", "],\n[").replace('"},', '"},\n')
    TARGET.write_text(rows + "\n", encoding="utf-8")


def lines(topology: dict[str, Any]) -> Iterator[tuple[str, Line]]:
    """Yield every arc once: a border where two countries share it, coast where one has it alone."""
    countries = topology["objects"]["countries"]["geometries"]
    uses = Counter(arc if arc >= 0 else ~arc for country in countries for arc in _arcs(country.get("arcs", [])))
    for number, arc in enumerate(topology["arcs"]):
        for part in _without_jumps(_degrees(arc, topology["transform"])) if uses[number] else ():
            yield "borders" if uses[number] > 1 else "coast", part


def inside(line: Line, box: tuple[float, float, float, float]) -> list[Line]:
    """Return the runs of a line within a box, one point beyond it at each end."""
    west, south, east, north = box
    held = [west <= x <= east and south <= y <= north for x, y in line]
    near = [any(held[max(0, i - 1) : i + 2]) for i in range(len(line))]
    runs: list[Line] = [[]]
    for point, is_near in zip(line, near, strict=True):
        if is_near:
            runs[-1].append(point)
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if len(run) > 1]


def thinned(line: Line, tolerance: float) -> Line:
    """Leave out points that lie within a tolerance of the line without them.

    Source: Douglas and Peucker (1973), Algorithms for the reduction of the number of points.
    """
    if len(line) < 3:
        return line
    away = [_distance(point, line[0], line[-1]) for point in line[1:-1]]
    furthest = max(range(len(away)), key=away.__getitem__)
    if away[furthest] <= tolerance:
        return [line[0], line[-1]]
    middle = furthest + 1
    return thinned(line[: middle + 1], tolerance)[:-1] + thinned(line[middle:], tolerance)


def steps(line: Line) -> list[int]:
    """Return x, y of the first point and then the step to each next one, in hundredths of a degree."""
    points = [(round(x * STEPS_PER_DEGREE), round(y * STEPS_PER_DEGREE)) for x, y in line]
    result = [*points[0]]
    for (x, y), (to_x, to_y) in zip(points[:-1], points[1:], strict=True):
        result += [to_x - x, to_y - y]
    return result


def _arcs(nested: Sequence[Any]) -> Iterator[int]:
    for item in nested:
        if isinstance(item, int):
            yield item
        else:
            yield from _arcs(item)


def _degrees(arc: Sequence[Sequence[int]], transform: dict[str, list[float]]) -> Line:
    """Undo the quantisation of TopoJSON: steps between points, in units of `scale`."""
    x = y = 0
    result = []
    for step_x, step_y in arc:
        x, y = x + step_x, y + step_y
        result.append(
            (
                x * transform["scale"][0] + transform["translate"][0],
                y * transform["scale"][1] + transform["translate"][1],
            )
        )
    return result


def _without_jumps(line: Line) -> list[Line]:
    """Cut a line where it jumps from one end of the map to the other, at 180 degrees."""
    parts: list[Line] = [line[:1]]
    for before, point in zip(line[:-1], line[1:], strict=True):
        if abs(point[0] - before[0]) > 180:
            parts.append([])
        parts[-1].append(point)
    return [part for part in parts if len(part) > 1]


def _distance(point: Point, start: Point, end: Point) -> float:
    """Distance of a point from the stretch between two others."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    length = dx * dx + dy * dy
    share = 0.0 if length == 0 else ((point[0] - start[0]) * dx + (point[1] - start[1]) * dy) / length
    share = min(max(share, 0.0), 1.0)
    return math.hypot(point[0] - start[0] - share * dx, point[1] - start[1] - share * dy)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
