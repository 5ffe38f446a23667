"""Files as delivered -> area means of regions over time, file by file in bounded memory."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import xarray as xr
from tqdm import tqdm

from data_provider import regions as region_tools
from data_provider.era5 import Era5File, describe_grid, open_era5, preliminary_text, require_same_grid, wind_note
from data_provider.file_check import UNREADABLE, all_unreadable, require_all_readable
from data_provider.layout import CanonicalArray
from data_provider.merging import Merger, Part
from data_provider.reader_process import ReaderProcess, StoodStillError
from data_provider.units import CORE, OPTIONAL, QUANTITIES
from utils.errors import DataError
from utils.files import sha256

logger = logging.getLogger(__name__)


@dataclass
class RegionalBuilder:
    """Takes ERA5 files one after another and keeps only their area means.

    Args:
        choice: what `--regions` says, or boxes already fixed (at prediction: those of the training table).
        variables: short names to read.
        years: keep only times of these years; empty keeps all.
    """

    choice: str | region_tools.Boxes
    variables: Sequence[str] = (*CORE, *OPTIONAL)
    years: Sequence[int] = ()
    merger: Merger = field(default_factory=Merger)
    boxes: region_tools.Boxes = field(default_factory=dict)
    matrix: np.ndarray | None = None
    grid: tuple[np.ndarray, np.ndarray] | None = None
    seen: dict[str, None] = field(default_factory=dict)
    origins: dict[bool, str] = field(default_factory=dict)
    hashes: dict[str, str] = field(default_factory=dict)

    def add(self, path: Path) -> None:
        """Read the area means of one file; a file of other years is opened but not loaded.

        Raises:
            DataError: whatever `open_era5` refuses; ``DATA_GRID``; ``REGION_EMPTY``; ``SYNTHETIC_MIXED``.
        """
        with open_era5(path) as file:
            self.seen |= dict.fromkeys(file.names)
            wanted = [name for name in self.variables if name in file.names]
            if not wanted:
                logger.warning("%s: none of its variables is used here (%s)", path.name, ", ".join(file.names))
            if not wanted or not self._of_these_years(file.times).any():
                return
            self._note_origin(file)
            for name in wanted:
                for where, array in file.arrays(name):
                    self._reduce(name, array, where)
        name = path.name if path.name not in self.hashes else f"{path.parent.name}/{path.name}"
        self.hashes[name] = sha256(path)

    def dataset(self) -> xr.Dataset:
        """The regional Dataset: dims (time, region), float32, on the times that exist.

        Attributes: `regions` (boxes), `region_latitude`, `source_files` (hashes), all as JSON, `preliminary`,
        `synthetic`, `grid`.
        """
        merged = self.merger.merged()
        data = {
            name: (("time", "region"), merged.values[name], {"units": QUANTITIES[name].unit})
            for name in (*CORE, *OPTIONAL)
            if name in merged.values
        }
        return xr.Dataset(
            data,
            coords={"time": merged.times, "region": np.array(list(self.boxes), dtype=str)},
            attrs={
                "regions": json.dumps(region_tools.boxes_to_dict(self.boxes)),
                "region_latitude": json.dumps(self._latitudes()),
                "source_files": json.dumps(self.hashes),
                "preliminary": preliminary_text(merged.times, merged.preliminary),
                "synthetic": int(True in self.origins),
                "grid": describe_grid(*self.grid) if self.grid is not None else "",
            },
        )

    def finished(self) -> tuple[xr.Dataset, tuple[str, ...]]:
        """The regional Dataset and the short names of all variables that the files hold."""
        return self.dataset(), tuple(self.seen)

    def _of_these_years(self, times: np.ndarray) -> np.ndarray:
        if not len(self.years):
            return np.ones(len(times), dtype=bool)
        return np.isin(times.astype("datetime64[Y]").astype(np.int64) + 1970, self.years)

    def _reduce(self, name: str, array: CanonicalArray, where: str) -> None:
        self.grid = require_same_grid(self.grid, array, where)
        matrix = self._fixed_weights(array)
        keep = self._of_these_years(array.times)
        # The sea surface temperature does not exist on land: see regions.py.
        means = region_tools.area_means(array.values[keep], matrix, missing_cells_take_no_part=name == "sst")
        self.merger.add(
            name,
            Part(times=array.times[keep], values=means, preliminary=array.preliminary[keep], source=where),
        )

    def _fixed_weights(self, array: CanonicalArray) -> np.ndarray:
        """Weights of the regions, fixed with the first array read; all later ones share its grid."""
        if self.matrix is None:
            self.boxes = (
                region_tools.boxes_for(self.choice, array.latitude, array.longitude)
                if isinstance(self.choice, str)
                else self.choice
            )
            self.matrix = region_tools.weights(self.boxes, array.latitude, array.longitude)
            for one, other, n_cells in region_tools.shared_cells(self.matrix, list(self.boxes)):
                logger.info("regions %s and %s overlap: they share %d cells", one, other, n_cells)
        return self.matrix

    def _latitudes(self) -> dict[str, float]:
        """Mean latitude of each region in degrees north."""
        if self.matrix is None or self.grid is None:
            return {}
        return region_tools.mean_latitudes(self.boxes, self.matrix, self.grid[0])

    def _note_origin(self, file: Era5File) -> None:
        self.origins.setdefault(file.synthetic, file.path.name)
        if len(self.origins) == 2:
            raise DataError(
                "SYNTHETIC_MIXED",
                "synthetic and real files lie in one folder",
                where=str(file.path.parent),
                evidence=f"synthetic: {self.origins[True]}; real: {self.origins[False]}",
                next_command="keep them in two folders and point --input_dir at one",
            )


def build_regional(
    paths: Iterable[Path],
    choice: str | region_tools.Boxes,
    *,
    variables: Sequence[str] = (*CORE, *OPTIONAL),
    years: Sequence[int] = (),
    required: Sequence[str] = ("tp",),
) -> xr.Dataset:
    """Area means of all `paths`, with a progress bar over files.

    Args:
        paths: files as delivered.
        choice: what `--regions` says, or fixed boxes.
        variables: short names to read.
        years: keep only these years; empty keeps all.
        required: variables without which nothing can be made.

    Returns:
        the regional Dataset, see `RegionalBuilder.dataset`. A sea surface temperature that some region does not have
        is left out for all.

    Raises:
        DataError: ``DATA_VARIABLE_MISSING`` when a required variable is not there, listing what is; ``YEAR_MISSING``
            naming the years that no file has; ``DATA_FILE`` naming all files that cannot be read, those that crash
            the NetCDF library among them; and all of `RegionalBuilder.add`.
    """
    paths = list(paths)
    regional, seen = _read_all(paths, RegionalBuilder(choice=choice, variables=variables, years=years))
    folder = str(paths[0].parent) if paths else ""
    absent = [name for name in required if name not in seen]
    if absent:
        raise missing_variables(absent, seen, where=folder)
    _require_years(regional, years, where=folder)
    note = wind_note(seen)
    if note:
        logger.warning("%s", note)
    return _without_partial_sea(regional)


def _read_all(paths: Sequence[Path], builder: RegionalBuilder) -> tuple[xr.Dataset, tuple[str, ...]]:
    """The regional Dataset of all files and the names of all variables seen, read in a process of their own.

    A file that turns out to be damaged does not end the reading: the others are read too, so that all damaged ones
    are named at once.
    """
    damaged: list[DataError] = []
    require_all_readable(paths)
    with ReaderProcess(builder) as reader:
        for path in tqdm(paths, desc="reading", unit="file", disable=None):
            try:
                reader.read(path, RegionalBuilder.add, path)
            except DataError as error:
                if error.code in UNREADABLE:
                    damaged.append(error)
                elif not damaged:
                    raise
                if error.code not in UNREADABLE or isinstance(error, StoodStillError):
                    break  # another grid may follow from the damage, and a disk that stands still does so for all
                if path != paths[-1]:
                    logger.warning("%s: %s; reading on to find all such files", error.code, error.what)
        if damaged:
            raise all_unreadable(damaged, len(paths))
        return reader.read(paths[0].parent if paths else Path(), RegionalBuilder.finished)


def missing_variables(names: Sequence[str], seen: Sequence[str], *, where: str) -> DataError:
    """The error for variables that are needed and not there, listing what is."""
    requests = ", ".join(QUANTITIES[name].request_name for name in names)
    note = wind_note(seen)
    return DataError(
        "DATA_VARIABLE_MISSING",
        f"the files lack {', '.join(f'{name} ({QUANTITIES[name].long_name})' for name in names)}",
        where=where,
        evidence=f"variables found: {', '.join(seen) or 'none'}" + (f"; {note}" if note else ""),
        next_command=f"request {requests} too, from the Climate Data Store (docs/data.md says what to ask for)",
    )


def _require_years(regional: xr.Dataset, years: Sequence[int], *, where: str) -> None:
    times = regional["time"].values
    present = set((times.astype("datetime64[Y]").astype(np.int64) + 1970).tolist())
    absent = [year for year in years if year not in present]
    if absent or not len(times):
        raise DataError(
            "YEAR_MISSING",
            f"no file holds the year{'s' if len(absent) > 1 else ''} {', '.join(map(str, absent))}"
            if absent
            else "the files hold no time",
            where=where,
            evidence=f"years found among those asked for: {', '.join(map(str, sorted(present))) or 'none'}",
            next_command="download the missing year (docs/data.md says what to ask for), or ask for other years: "
            "--years FIRST LAST",
        )


def _without_partial_sea(regional: xr.Dataset) -> xr.Dataset:
    if "sst" not in regional:
        return regional
    dry = regional["sst"].isnull().all("time")
    if not bool(dry.any()):
        return regional
    names = regional["region"].values[dry.values].tolist()
    logger.info("sst is left out: no sea in %s", ", ".join(map(str, names)))
    return regional.drop_vars("sst")
