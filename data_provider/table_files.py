"""The processed table: features, rain and label of every time and region, and its three files.

`<stem>.nc`, `<stem>.csv` and `<stem>.json` say the same: the CSV is what the users' notes read, the JSON carries the
attributes for those who read the CSV. All three are written under temporary names and renamed when all are whole.
"""

from __future__ import annotations

import csv
import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from data_provider.precipitation import MISSING_CLASS
from utils.errors import UsageError
from utils.files import sha256, storage_error

# Attributes that are lists or mappings, kept as JSON text in NetCDF and as themselves in the JSON file.
JSON_ATTRIBUTES = (
    "feature_names",
    "threshold_mm",
    "regions",
    "region_latitude",
    "recipe",
    "source_files",
    "missing_features",
    "units",
    "time_gaps",
    "base_rate",
)
PRECIPITATION = "precipitation"


def decoded(attributes: dict[str, Any]) -> dict[str, Any]:
    """Attributes of a table as plain Python values, whether they come from the NetCDF or from the JSON file."""
    plain = {}
    for name, value in attributes.items():
        if name in JSON_ATTRIBUTES and isinstance(value, str):
            plain[name] = json.loads(value)
        else:
            plain[name] = value.item() if isinstance(value, np.generic) else value
    return plain


def encoded(attributes: dict[str, Any]) -> dict[str, Any]:
    """Attributes as NetCDF takes them: lists and mappings become JSON text."""
    return {name: json.dumps(value) if name in JSON_ATTRIBUTES else value for name, value in attributes.items()}


def write_table(table: xr.Dataset, output: Path) -> list[Path]:
    """Write the NetCDF, the CSV and the JSON file of a table; all of them or none.

    Args:
        table: dims (time, region), attributes as in the NetCDF file.
        output: the NetCDF file; the others share its stem.

    Returns:
        the files written.

    Raises:
        StorageError: ``STORAGE_DENIED`` or ``STORAGE_FULL``; nothing new is left behind.
    """
    writers: dict[str, Callable[[Path], None]] = {
        ".nc": lambda path: write_netcdf(table, path),
        ".csv": lambda path: write_csv(table, path),
    }
    temporary = {
        suffix: output.with_name(f".{output.stem}.{os.getpid()}{suffix}.part") for suffix in (*writers, ".json")
    }
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        for suffix, write in writers.items():
            write(temporary[suffix])
        sidecar = decoded(dict(table.attrs)) | {"csv_sha256": sha256(temporary[".csv"])}
        temporary[".json"].write_text(json.dumps(sidecar, indent=1) + "\n", encoding="utf-8")
        for suffix, path in temporary.items():
            path.replace(output.with_suffix(suffix))
    except (OSError, RuntimeError) as error:
        raise storage_error(error, output) from error
    finally:
        for path in temporary.values():
            path.unlink(missing_ok=True)
    return [output.with_suffix(suffix) for suffix in temporary]


def require_writable(output: Path) -> None:
    """Fail before the long work when nothing can be written to the folder of `output`.

    Raises:
        StorageError: ``STORAGE_DENIED``.
    """
    probe = output.with_name(f".{output.stem}.{os.getpid()}.probe")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
        if output.is_dir():
            raise IsADirectoryError(errno.EISDIR, "the output is a folder", str(output))
    except OSError as error:
        raise storage_error(error, output) from error


def write_netcdf(table: xr.Dataset, path: Path) -> None:
    """Write a table to NetCDF-4, compressed."""
    encoding: dict[str, dict[str, Any]] = {
        str(name): {"zlib": True, "complevel": 1, "shuffle": True} for name in table.data_vars
    }
    encoding[table.attrs["label_name"]]["_FillValue"] = np.int8(MISSING_CLASS)
    encoding["time"] = {"units": "seconds since 1970-01-01", "dtype": "int64"}
    table.to_netcdf(path, engine="netcdf4", format="NETCDF4", encoding=encoding)


def write_csv(table: xr.Dataset, path: Path) -> None:
    """Write a table to CSV, region after region, sorted in time; blanks where a value is missing."""
    label_name = table.attrs["label_name"]
    features = json.loads(table.attrs["feature_names"])
    stamps = np.char.replace(np.datetime_as_string(table["time"].values, unit="s"), "T", " ")
    with path.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream, lineterminator="\n").writerow(["timestamp", "region", *features, PRECIPITATION, label_name])
        for region in table["region"].values:
            rows = table.sel(region=region)
            label = rows[label_name].values
            frame = pd.DataFrame(
                {"timestamp": stamps, "region": str(region)}
                | {name: rows[name].values for name in (*features, PRECIPITATION)}
                | {label_name: pd.arrays.IntegerArray(label, label == MISSING_CLASS)}
            )
            frame.to_csv(stream, header=False, index=False, lineterminator="\n")


def require_netcdf_name(output: str) -> None:
    """Raise UsageError where the name of a table to be written is not that of a NetCDF file."""
    if Path(output).suffix != ".nc":
        raise UsageError(
            "CONFIG",
            "--output names the NetCDF file; the CSV and the JSON file get the same name",
            where="--output",
            evidence=f"got {output!r}",
            next_command=f"--output {Path(output).with_suffix('.nc')}",
        )
