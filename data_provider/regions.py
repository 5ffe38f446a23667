"""Regions: boxes of latitude and longitude, and area means weighted by the cosine of latitude.

A region is a box, edges included. Presets: `default` (nine boxes of Peru that share no cell), `case` (the five boxes
of the users' notes, which overlap), `grid_columns` (one region per longitude, all latitudes) and `cells` (one region
per grid cell); or a YAML file of the user's own::

    lima: {north: -11.5, west: -77.5, south: -12.5, east: -76.5}

The rule for missing values: a mean over cells of which one is NaN is NaN. Skipping the cell would turn the mean of a
region into the mean of another region without a word. The one exception is the sea surface temperature, which does
not exist on land: it is the mean over the cells that are sea at every time.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from data_provider.era5 import describe_grid
from utils.errors import DataError, UsageError

# Longitudes and latitudes are compared within a metre.
EDGE = 1e-5
BLOCK_ROWS = 2048


@dataclass(frozen=True, kw_only=True)
class Box:
    """A box in degrees north and degrees east (-180..180), edges included."""

    north: float
    west: float
    south: float
    east: float

    def __str__(self) -> str:
        return f"north {self.north:g}, west {self.west:g}, south {self.south:g}, east {self.east:g}"


Boxes = dict[str, Box]


def _boxes(**edges: tuple[float, float, float, float]) -> Boxes:
    return {name: Box(north=n, west=w, south=s, east=e) for name, (n, w, s, e) in edges.items()}


# Every edge lies between the points of the 0.25-degree grid (and of coarser ones), so that no cell is in two boxes.
# Boxes cannot follow a coast that runs from north-west to south-east: the coast boxes hold some sea, and the southern
# one some of the western slope.
DEFAULT = _boxes(
    coast_north=(-3.125, -81.625, -8.625, -78.875),
    coast_centre=(-9.125, -78.875, -15.125, -76.125),
    coast_south=(-15.125, -75.625, -18.125, -70.125),
    highlands_north=(-4.625, -78.875, -9.125, -76.875),
    highlands_centre=(-10.125, -76.125, -13.125, -74.125),
    highlands_south=(-13.125, -74.125, -15.125, -69.125),
    jungle_north=(0.125, -76.875, -7.125, -69.875),
    jungle_centre=(-7.125, -75.625, -10.125, -70.125),
    jungle_south=(-10.125, -72.125, -13.125, -68.625),
)
CASE = _boxes(
    costa_norte=(0.0, -82.0, -5.0, -78.0),
    costa_centro=(-5.0, -82.0, -10.0, -76.0),
    costa_sur=(-10.0, -80.0, -18.0, -70.0),
    sierra_norte=(0.0, -78.0, -10.0, -73.0),
    sierra_sur=(-10.0, -76.0, -18.0, -68.0),
)
PRESETS = ("default", "case", "grid_columns", "cells")


def boxes_for(choice: str, latitude: np.ndarray, longitude: np.ndarray) -> Boxes:
    """The boxes that `--regions` means on a grid.

    Args:
        choice: a preset's name or the path of a YAML file.
        latitude: `(latitude,)` degrees north.
        longitude: `(longitude,)` degrees east, -180..180.

    Raises:
        UsageError: ``CONFIG`` for a choice that is neither preset nor file, or a file of another form.
    """
    if choice == "default":
        return DEFAULT
    if choice == "case":
        return CASE
    north, south = float(latitude.max()), float(latitude.min())
    if choice == "grid_columns":
        return {f"lon_{x:g}": Box(north=north, west=x, south=south, east=x) for x in longitude.tolist()}
    if choice == "cells":
        return {
            f"lat_{y:g}_lon_{x:g}": Box(north=y, west=x, south=y, east=x)
            for y in latitude.tolist()
            for x in longitude.tolist()
        }
    return read_boxes(Path(choice))


def read_boxes(path: Path) -> Boxes:
    """Read regions from a YAML file: name: {north, west, south, east}.

    Raises:
        UsageError: ``CONFIG`` naming the file, the region and what is wrong with it.
    """
    import yaml

    if not path.is_file():
        raise _bad_regions(f"--regions {path} is neither a preset nor a file", str(path), "no such file")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise _bad_regions(f"{path.name} cannot be read as YAML", str(path), str(error)) from error
    if not isinstance(content, dict) or not content:
        raise _bad_regions(f"{path.name} does not list any region", str(path), f"it holds {content!r:.100}")
    return {str(name): box_from(edges, name=str(name), where=str(path)) for name, edges in content.items()}


def box_from(edges: object, *, name: str, where: str) -> Box:
    """A checked box from a mapping {north, west, south, east}; longitudes 0..360 are brought to -180..180.

    Raises:
        UsageError: ``CONFIG`` naming the region and what is wrong with it.
    """
    wanted = ("north", "west", "south", "east")
    if not isinstance(edges, dict) or set(edges) != set(wanted):
        raise _bad_regions(f"region {name} needs exactly north, west, south and east", where, f"it has {edges!r:.200}")
    try:
        values = {edge: float(edges[edge]) for edge in wanted}
    except (TypeError, ValueError) as error:
        raise _bad_regions(f"region {name} has an edge that is no number", where, f"{edges!r:.200}") from error
    for edge in ("west", "east"):
        if 180 < values[edge] <= 360:
            values[edge] -= 360
    box = Box(**values)
    sound = -90 <= box.south <= box.north <= 90 and -180 <= box.west <= box.east <= 180
    if not sound or not all(map(math.isfinite, values.values())):
        raise _bad_regions(f"region {name} is not a box: north >= south and east >= west are needed", where, str(box))
    return box


def boxes_to_dict(boxes: Boxes) -> dict[str, dict[str, float]]:
    """Plain numbers, as stored with a table."""
    return {name: asdict(box) for name, box in boxes.items()}


def weights(boxes: Boxes, latitude: np.ndarray, longitude: np.ndarray) -> np.ndarray:
    """Weights of every cell in every region, `(latitude * longitude, region)` float64; each column sums to one.

    Raises:
        DataError: ``REGION_EMPTY`` naming the box of the region and the box of the data.
    """
    matrix = np.zeros((len(latitude) * len(longitude), len(boxes)))
    area = np.repeat(np.cos(np.deg2rad(latitude)), len(longitude))
    for column, (name, box) in enumerate(boxes.items()):
        rows = (latitude <= box.north + EDGE) & (latitude >= box.south - EDGE)
        columns = (longitude >= box.west - EDGE) & (longitude <= box.east + EDGE)
        inside = np.outer(rows, columns).ravel()
        if not inside.any():
            raise DataError(
                "REGION_EMPTY",
                f"region {name} holds no cell of the data",
                where=f"region {name}: {box}",
                evidence=f"the data cover {describe_grid(latitude, longitude)}",
                next_command="choose --regions grid_columns or --regions cells, which fit any area, or write your own "
                "boxes in a YAML file: --regions FILE.yaml",
            )
        matrix[inside, column] = area[inside] / area[inside].sum()
    return matrix


def mean_latitudes(boxes: Boxes, matrix: np.ndarray, latitude: np.ndarray) -> dict[str, float]:
    """Mean latitude of the cells of every region, weighted as their weather is.

    Args:
        boxes: the regions, in the order of the columns.
        matrix: `(latitude * longitude, region)` as from `weights`.
        latitude: `(latitude,)` degrees north.
    """
    of_cells = np.repeat(latitude, len(matrix) // len(latitude))
    return {name: round(float(mean), 4) for name, mean in zip(boxes, of_cells @ matrix, strict=True)}


def shared_cells(matrix: np.ndarray, names: list[str]) -> list[tuple[str, str, int]]:
    """Pairs of regions that share cells, and how many.

    Args:
        matrix: `(cell, region)` as from `weights`.
        names: the regions, in the order of the columns.
    """
    member = (matrix > 0).astype(np.float32)
    common = member.T @ member
    return [
        (names[i], names[j], int(common[i, j]))
        for i, j in zip(*np.triu_indices(len(names), k=1), strict=True)
        if common[i, j] > 0
    ]


def area_means(values: np.ndarray, matrix: np.ndarray, *, missing_cells_take_no_part: bool = False) -> np.ndarray:
    """Area means of every region through one matrix product per block of times.

    Args:
        values: `(time, latitude, longitude)`; NaN marks missing cells.
        matrix: `(latitude * longitude, region)` as from `weights`.
        missing_cells_take_no_part: for a variable that does not exist everywhere (the sea surface temperature):
            cells that are ever NaN are left out at all times; a region without any other cell is NaN.

    Returns:
        `(time, region)` float32, accumulated in float64; NaN where any cell of the region is NaN.
    """
    flat = values.reshape(len(values), -1)
    if missing_cells_take_no_part:
        matrix = matrix * ~np.isnan(flat).any(axis=0)[:, None]
        total = matrix.sum(axis=0)
        matrix = np.divide(matrix, total, out=np.full_like(matrix, np.nan), where=total > 0)
        empty, matrix = total == 0, np.where(total > 0, matrix, 0.0)
    else:
        empty = np.zeros(matrix.shape[1], dtype=bool)
    means = np.empty((len(flat), matrix.shape[1]), dtype=np.float32)
    for start in range(0, len(flat), BLOCK_ROWS):
        block = flat[start : start + BLOCK_ROWS].astype(np.float64)
        means[start : start + BLOCK_ROWS] = _block_means(block, matrix)
    means[:, empty] = np.nan
    return means


def _block_means(block: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    missing = np.isnan(block)
    if not missing.any():
        return block @ matrix
    # 0 * NaN is NaN: without the mask one missing cell would empty every region, also those it is not in.
    touched = missing.astype(np.float64) @ (matrix > 0).astype(np.float64) > 0
    return np.where(touched, np.nan, np.where(missing, 0.0, block) @ matrix)


def _bad_regions(what: str, where: str, evidence: str) -> UsageError:
    return UsageError(
        "CONFIG",
        what,
        where=f"--regions, {where}",
        evidence=evidence,
        next_command=f"--regions {' | '.join(PRESETS)} | FILE.yaml, where the file reads   "
        "lima: {north: -11.5, west: -77.5, south: -12.5, east: -76.5}",
    )
