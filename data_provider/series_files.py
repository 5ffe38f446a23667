"""Which files hold series, how each kind is read, and one hash for all of them."""

from __future__ import annotations

import hashlib
import logging
import tempfile
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from data_provider import csv_faults
from data_provider.archive import NETCDF_SUFFIXES, unpack
from data_provider.cleaning import split_direction
from data_provider.rain_table import RainTable, read_table
from data_provider.series import Series, lay
from data_provider.sniff import require_readable
from data_provider.table_errors import unreadable
from utils.errors import DataError
from utils.files import below, sha256

if TYPE_CHECKING:
    import xarray as xr

logger = logging.getLogger(__name__)
DATE_NAMES = ("date", "timestamp", "time", "datetime")
SUFFIXES = (".csv", ".zip", *NETCDF_SUFFIXES)


def find(path: Path, exclude: tuple[str, ...] = ()) -> list[Path]:
    """Return the file, or the files below a folder that may hold series, sorted.

    Args:
        path: a file or a folder.
        exclude: patterns of file names that are left out, such as ``ETT*``.

    Raises:
        DataError: ``DATA_MISSING``, there is none.
    """
    usable = [file for file in below(path) if file.suffix.lower() in SUFFIXES and file.name[0] != "."]
    # A prepared table stands there twice, as NetCDF and as CSV.
    tables = {file.with_suffix("") for file in usable if file.suffix == ".nc"}
    usable = [file for file in usable if not (file.suffix == ".csv" and file.with_suffix("") in tables)]
    kept = [file for file in usable if not any(fnmatch(file.name, pattern) for pattern in exclude)]
    if kept:
        return kept
    raise DataError(
        "DATA_MISSING",
        "There are no series." if path.exists() else "There is no such file or folder.",
        where=str(path.resolve()),
        evidence=f"{len(usable)} files end in {', '.join(SUFFIXES)}, {len(usable) - len(kept)} of them left out by "
        "--exclude_series",
        next_command="--root_path FOLDER --data_path FILE with a prepared table or a CSV of a date column and numbers; "
        "bash scripts/quickstart.sh makes a labelled synthetic table in datasets/processed",
    )


def fingerprint(files: list[Path], root: Path) -> str:
    """Return one SHA-256 over the names and contents of files, wherever their folder lies."""
    whole = hashlib.sha256()
    for file in files:
        name = file.relative_to(root) if file != root else Path(file.name)
        whole.update(f"{name.as_posix()} {sha256(file)}\n".encode())
    return whole.hexdigest()


def read(files: list[Path]) -> list[Series]:
    """Read the series of files, each with what is worth telling about it.

    Raises:
        DataError: a file is no set of series; the message names it.
    """
    found: list[Series] = []
    netcdf: dict[tuple[Path, tuple[str, ...]], list[xr.Dataset]] = {}
    for file in files:
        if file.suffix.lower() == ".csv":
            found += _from_csv(file, file.stem)
        elif file.suffix.lower() == ".zip":
            found += _from_zip(file)
        else:
            dataset = _open(file)
            if "region" in dataset.dims:
                found += _from_table(read_table(file), file.stem)
            else:
                netcdf.setdefault((file.parent, _channels(dataset, file)), []).append(dataset)
    return found + [_joined(folder, channels, parts) for (folder, channels), parts in netcdf.items()]


def _from_zip(file: Path) -> list[Series]:
    with tempfile.TemporaryDirectory(prefix="series-") as folder:
        members = unpack(file, Path(folder), (".csv",))
        return [series for member in members for series in _from_csv(member.path, Path(member.name).stem, shown=file)]


def _from_csv(path: Path, name: str, shown: Path | None = None) -> list[Series]:
    shown = shown or path
    csv_faults.require_plain_text(path)
    csv_faults.require_commas(path)
    try:
        frame = _frame(path)
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise unreadable(shown, "is not a CSV table", error) from None
    if {"timestamp", "region"} <= set(frame.columns):
        return _from_table(read_table(path), name)
    return [_from_frame(frame, name, shown)]


def _from_frame(frame: pd.DataFrame, name: str, shown: Path) -> Series:
    dates = [column for column in frame.columns if str(column).strip().lower() in DATE_NAMES]
    if not dates:
        columns = ", ".join(map(str, frame.columns[:8]))
        raise _no_series("The file has no column of dates.", shown, f"columns: {columns}")
    numbers = frame.drop(columns=dates).select_dtypes("number")
    text = [str(column) for column in frame.columns if column not in numbers.columns and column not in dates]
    if text or numbers.empty:
        raise _no_series("Columns hold text where numbers are expected.", shown, ", ".join(text) or "no other column")
    try:
        stamps = pd.to_datetime(frame[dates[0]], format="ISO8601", utc=True).dt.tz_convert(None)
    except (ValueError, TypeError) as error:
        raise _no_series("A date is not written as 2019-01-31 18:00:00.", shown, str(error).splitlines()[0]) from None
    if stamps.isna().any():
        raise _no_series("A date is blank.", shown, f"line {int(np.argmax(stamps.isna())) + 2}")
    # What is too large for single precision becomes infinite, and is reported as such.
    with np.errstate(over="ignore"):
        values = numbers.to_numpy(np.float32)
    times = stamps.to_numpy().astype("datetime64[s]")
    return lay(name, times, tuple(map(str, numbers.columns)), values, shown)


def _frame(path: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(path)
    except UnicodeDecodeError:
        logger.info("%s: not UTF-8; its names are read as Latin-1, its numbers are the same in both.", path)
        return pd.read_csv(path, encoding="latin-1")


def _from_table(table: RainTable, name: str) -> list[Series]:
    values, features = split_direction(table.values, table.features)
    return [
        lay(
            f"{name}/{region}",
            table.times,
            features,
            np.array(values[number], np.float32),
            table.source,
            is_synthetic=table.is_synthetic,
            is_era5=not table.is_synthetic,
        )
        for number, region in enumerate(table.regions)
    ]


def _open(file: Path) -> xr.Dataset:
    import xarray as xr

    require_readable(file)
    try:
        with xr.open_dataset(file, engine="netcdf4", decode_timedelta=False) as dataset:
            return dataset.load()
    except (OSError, ValueError, RuntimeError) as error:
        raise unreadable(file, "cannot be read as NetCDF", error) from None


def _channels(dataset: xr.Dataset, file: Path) -> tuple[str, ...]:
    """Return the variables that have a time axis and no other."""
    names = [str(name) for name in dataset.data_vars if dataset[name].dtype.kind in "fiu"]
    alone = tuple(name for name in names if dataset[name].dims == ("time",))
    if alone and dataset["time"].dtype.kind == "M":
        return alone
    gridded = [name for name in names if "time" in dataset[name].dims or "valid_time" in dataset[name].dims]
    if gridded:
        raise DataError(
            "DATA_TABLE",
            "This file holds fields on a grid, and a series has one place.",
            where=str(file),
            evidence=f"{gridded[0]} has the dimensions {', '.join(map(str, dataset[gridded[0]].dims))}",
            next_command=f"make regional series of it: bash scripts/prepare_era5.sh --input_dir {file.parent}",
        )
    raise _no_series("No variable of this file has a time axis.", file, f"variables: {', '.join(names) or 'none'}")


def _joined(folder: Path, channels: tuple[str, ...], parts: list[xr.Dataset]) -> Series:
    """Return the files of one folder with the same variables as one series."""
    times = np.concatenate([part["time"].to_numpy().astype("datetime64[s]") for part in parts])
    with np.errstate(over="ignore"):
        columns = [np.stack([part[name].to_numpy().astype(np.float32) for name in channels], axis=1) for part in parts]
    is_synthetic = any(int(part.attrs.get("synthetic", 0)) for part in parts)
    is_era5 = "era5" in folder.name.lower()
    values = np.concatenate(columns)
    return lay(folder.name, times, channels, values, folder, is_synthetic=is_synthetic, is_era5=is_era5)


def _no_series(what: str, file: Path, evidence: str) -> DataError:
    return DataError(
        "DATA_TABLE",
        what,
        where=str(file),
        evidence=evidence,
        next_command=f"a CSV of series has a column date and numeric columns; mend the file, or leave it out: "
        f"--exclude_series '{file.name}'",
    )
