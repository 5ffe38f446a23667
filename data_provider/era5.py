"""Any ERA5 file as delivered -> ONE canonical Dataset (time, latitude, longitude), short names, SI units.

`read_era5` reads one file or several eagerly. `open_era5` opens one file and loads variable by variable, so that
preparation needs the memory of one variable of one file.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr

from data_provider.archive import unpack
from data_provider.layout import CanonicalArray, canonical_array, normalise
from data_provider.merging import Merger, Part
from data_provider.sniff import DOWNLOAD_AGAIN, ZIP, require_readable
from data_provider.time_axis import HOUR, stamp
from data_provider.units import QUANTITIES, to_canonical
from utils.errors import DataError, ForeseenError
from utils.files import below

ATTRIBUTION = (
    "Contains modified Copernicus Climate Change Service information. Neither the European Commission nor ECMWF is "
    "responsible for any use that may be made of it."
)
SUFFIXES = (".nc", ".nc4", ".netcdf", ".cdf", ".h5", ".hdf5", ".zip", ".grib", ".grib2", ".grb")
# GRIB names, request names and mean rates under which the same quantities travel.
ALIASES = (
    {"2t": "t2m", "2d": "d2m", "10u": "u10", "10v": "v10"}
    | {quantity.request_name: name for name, quantity in QUANTITIES.items()}
    | {"mtpr": "tp", "avg_tprate": "tp", "mean_total_precipitation_rate": "tp"}
)
BOOKKEEPING = ("expver", "number", "surface", "step", "time_bnds", "time_bounds")
# Whatever the C library underneath raises on a damaged file.
READ_ERRORS = (OSError, RuntimeError, ValueError, KeyError, IndexError, TypeError, AttributeError, OverflowError)


@dataclass(frozen=True, kw_only=True)
class Member:
    """One NetCDF inside a file: itself, or one member of a ZIP; `names` maps short names to the file's own."""

    where: str
    dataset: xr.Dataset
    names: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Era5File:
    """An open ERA5 file; variables are loaded one at a time."""

    path: Path
    members: tuple[Member, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Short names of all variables, in the order of the file."""
        return tuple(dict.fromkeys(name for member in self.members for name in member.names))

    @property
    def times(self) -> np.ndarray:
        """All times of the file, sorted and unique, datetime64[ns]."""
        return np.unique(np.concatenate([np.atleast_1d(member.dataset["time"].values) for member in self.members]))

    @property
    def synthetic(self) -> bool:
        """Whether the file calls itself synthetic."""
        return any(int(member.dataset.attrs.get("synthetic", 0)) == 1 for member in self.members)

    def arrays(self, name: str) -> Iterator[tuple[str, CanonicalArray]]:
        """Load variable `name` from each member that has it: converted, range-checked, canonical.

        Args:
            name: short name. Variables not known to the project keep their unit.

        Yields:
            where it was found, and the values.

        Raises:
            DataError: ``DATA_FILE`` (damaged), ``DATA_UNIT``, ``DATA_RANGE``.
        """
        for member in self.members:
            if name in member.names:
                yield member.where, _load(member, name)


@contextmanager
def open_era5(path: Path) -> Iterator[Era5File]:
    """Open one file as delivered, whatever it is; refuse it by name when it is not ERA5 in NetCDF.

    Raises:
        DataError: ``DATA_FILE`` with the kind found and the way out; ``ARCHIVE_UNSAFE`` for a hostile ZIP.
    """
    with ExitStack() as stack:
        if require_readable(path) is ZIP:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="era5-")))
            places = [(m.path, m.name, f"{path}, member {m.name}") for m in unpack(path, folder)]
        else:
            places = [(path, path.name, str(path))]
        members = []
        for place, name, where in places:
            if place != path:
                _require_netcdf(place, name, where)
            members.append(_member(stack.enter_context(_open(place, name, where)), where))
        _check_members_share_times(path, members)
        yield Era5File(path=path, members=tuple(_without_aliases_twice(members)))


def read_era5(paths: Path | Sequence[Path]) -> xr.Dataset:
    """Read one file or several into the canonical Dataset, in this process: preparation reads in a child instead.

    Args:
        paths: files on one grid; their times may overlap where they agree.

    Returns:
        Dataset with dims (time, latitude, longitude); attributes `preliminary` (the ERA5T spans, or empty),
        `synthetic` (0 or 1) and `attribution`.

    Raises:
        DataError: ``DATA_FILE``, ``DATA_UNIT``, ``DATA_RANGE``, ``DATA_GRID``, ``TIME_DUPLICATE``, ``ARCHIVE_UNSAFE``.
    """
    paths = [paths] if isinstance(paths, Path) else list(paths)
    merger, grid, units, synthetic = Merger(), None, {}, False
    for path in paths:
        with open_era5(path) as file:
            synthetic |= file.synthetic
            for name in file.names:
                for where, array in file.arrays(name):
                    grid = require_same_grid(grid, array, where)
                    part = Part(times=array.times, values=array.values, preliminary=array.preliminary, source=where)
                    merger.add(name, part)
                    units[name] = QUANTITIES[name].unit if name in QUANTITIES else (array.unit or "")
    merged = merger.merged()
    latitude, longitude = grid if grid is not None else (np.array([]), np.array([]))
    return xr.Dataset(
        {
            name: (("time", "latitude", "longitude"), values, {"units": units[name]})
            for name, values in merged.values.items()
        },
        coords={"time": merged.times, "latitude": latitude, "longitude": longitude},
        attrs={
            "preliminary": preliminary_text(merged.times, merged.preliminary),
            "synthetic": int(synthetic),
            "attribution": ATTRIBUTION,
        },
    )


def find_files(folder: Path) -> list[Path]:
    """All files in `folder` (and below) that could hold ERA5, by suffix, sorted; or the one file given.

    Raises:
        DataError: ``DATA_MISSING`` naming the folder and how to get data.
    """
    if folder.is_file():
        return [folder]
    found = [path for path in below(folder) if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")]
    if found:
        return found
    if not folder.is_dir():
        evidence = "the folder does not exist"
    else:
        others = sorted(path.name for path in folder.iterdir())
        evidence = f"the folder holds {', '.join(others[:5]) if others else 'nothing'}" + (
            f" and {len(others) - 5} more" if len(others) > 5 else ""
        )
    raise DataError(
        "DATA_MISSING",
        f"no ERA5 files in {folder}",
        where=str(folder),
        evidence=f"{evidence}; looked for {' '.join(SUFFIXES)}",
        next_command="download ERA5 as docs/data.md says   (or, to see everything work on synthetic data: "
        "bash scripts/quickstart.sh)",
    )


def require_same_grid(
    grid: tuple[np.ndarray, np.ndarray] | None, array: CanonicalArray, where: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return the grid of `array`, which must be `grid` where one is given.

    Raises:
        DataError: ``DATA_GRID`` naming both boxes.
    """
    found = (array.latitude, array.longitude)
    if grid is None or (np.array_equal(grid[0], found[0]) and np.array_equal(grid[1], found[1])):
        return found
    raise DataError(
        "DATA_GRID",
        "the files do not share one grid, so their area means cannot be joined",
        where=where,
        evidence=f"this one: {describe_grid(*found)}; those before: {describe_grid(*grid)}",
        next_command="keep files of one request area and one grid in the folder",
    )


def describe_grid(latitude: np.ndarray, longitude: np.ndarray) -> str:
    """The box and size of a grid, for messages."""
    return (
        f"latitude {latitude.max():g} to {latitude.min():g}, longitude {longitude.min():g} to {longitude.max():g}, "
        f"{len(latitude)} x {len(longitude)} cells"
    )


def preliminary_text(times: np.ndarray, preliminary: np.ndarray) -> str:
    """The spans of ERA5T, ``first..last`` joined by semicolons; empty when there is none."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], preliminary, [False]]).astype(np.int8)))
    return "; ".join(f"{stamp(times[a])}..{stamp(times[b - 1])}" for a, b in zip(edges[::2], edges[1::2], strict=True))


def wind_note(names: Sequence[str]) -> str:
    """A sentence for those who requested the winds at 100 m by mistake; empty for others."""
    mistaken = [name for name in ("u100", "v100") if name in names]
    if not mistaken or {"u10", "v10"} <= set(names):
        return ""
    return (
        f"{' and '.join(mistaken)} are winds at 100 m, which the project does not use; "
        "request 10m_u_component_of_wind and 10m_v_component_of_wind (u10, v10)"
    )


@contextmanager
def _open(path: Path, name: str, where: str) -> Iterator[xr.Dataset]:
    try:
        dataset = xr.open_dataset(path, engine="netcdf4", decode_timedelta=False)
    except MemoryError as error:
        raise _too_large(name, where, str(error)) from error
    except READ_ERRORS as error:
        raise _damaged(name, where, error) from error
    with dataset:
        yield normalise(dataset, where=where)


def _require_netcdf(path: Path, name: str, where: str) -> None:
    if require_readable(path, name=name, where=where) is ZIP:
        raise DataError(
            "DATA_FILE",
            f"{name} is a ZIP archive inside a ZIP archive",
            where=where,
            evidence="kind found: zip; kind expected: NetCDF members",
            next_command="unpack the outer archive by hand and put what is inside into the folder",
        )


def _member(dataset: xr.Dataset, where: str) -> Member:
    names = {}
    for raw in map(str, dataset.data_vars):
        array = dataset[raw]
        gridded = {"time", "latitude", "longitude"} & (set(map(str, array.dims)) | set(map(str, array.coords)))
        if raw not in BOOKKEEPING and array.dtype.kind in "fiu" and len(gridded) == 3:
            short = ALIASES.get(raw, raw)
            names[raw if short in dataset.data_vars else short] = raw
    return Member(where=where, dataset=dataset, names=names)


def _without_aliases_twice(members: list[Member]) -> list[Member]:
    """A quantity under its own name in one member wins over a mean rate under an alias in another."""
    own = {short for member in members for short, raw in member.names.items() if short == raw}
    return [
        Member(
            where=member.where,
            dataset=member.dataset,
            names={s: raw for s, raw in member.names.items() if s == raw or s not in own},
        )
        for member in members
    ]


def _check_members_share_times(path: Path, members: list[Member]) -> None:
    """Instantaneous and accumulated members are joined on their stamps: they must have some in common."""
    times = [np.atleast_1d(member.dataset["time"].values) for member in members if member.names]
    for other in times[1:]:
        if not np.intersect1d(times[0], other).size:
            raise DataError(
                "TIME_GAP",
                f"the members of {path.name} have no time in common",
                where=str(path),
                evidence=f"one begins {stamp(times[0].min())}, another {stamp(other.min())}",
                next_command=DOWNLOAD_AGAIN,
            )


def _load(member: Member, name: str) -> CanonicalArray:
    raw = member.names[name]
    needed, present = member.dataset[raw].nbytes, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > present:
        raise _too_large(raw, member.where, f"{needed:.3g} bytes needed at once, the machine has {present:.3g}")
    try:
        array = canonical_array(member.dataset, raw, where=member.where)
    except ForeseenError:
        raise
    except MemoryError as error:
        raise _too_large(raw, member.where, str(error)) from error
    except READ_ERRORS as error:
        raise _damaged(raw, member.where, error) from error
    if name in QUANTITIES:
        steps = np.diff(np.unique(array.times))
        hourly = not len(steps) or bool(np.median(steps.astype(np.int64)) < 24 * HOUR.astype(np.int64))
        values = to_canonical(name, array.values, array.unit, where=member.where, hourly=hourly)
    else:
        values = np.asarray(array.values, dtype=np.float32)
    return CanonicalArray(
        values=values,
        times=array.times,
        preliminary=array.preliminary,
        latitude=array.latitude,
        longitude=array.longitude,
        unit=array.unit,
    )


def _damaged(name: str, where: str, error: Exception) -> DataError:
    return DataError(
        "DATA_FILE",
        f"{name} begins like NetCDF but cannot be read: it is damaged",
        where=where,
        evidence=f"the NetCDF library says: {error}",
        next_command=DOWNLOAD_AGAIN,
    )


def _too_large(name: str, where: str, evidence: str) -> DataError:
    return DataError(
        "DATA_FILE",
        f"{name} does not fit into memory: it is very large, or damaged where its size is written",
        where=where,
        evidence=evidence,
        next_command=f"if the file is small, {DOWNLOAD_AGAIN}; if it is large, ask for a smaller area or for a month "
        "a file",
    )
