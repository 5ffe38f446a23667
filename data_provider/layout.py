"""From any layout in which ERA5 is delivered to arrays over (time, latitude, longitude).

Layouts: the new one (`valid_time`, scalar `number`, `expver` per time as text), the old one (`time`, int16 packing,
sometimes a DIMENSION `expver` [1, 5]), monthly products (`date` as yyyymmdd); longitudes 0..360 or -180..180;
latitudes in either direction.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr

from utils.errors import DataError

TIME_NAMES = ("valid_time", "time", "date")
RENAMED = {"lat": "latitude", "lon": "longitude", "long": "longitude"}
DIMENSIONS = ("time", "latitude", "longitude")
FINAL_EXPVER = 1
# Coordinates of 0.1 degree written as float32 differ from float64 in the seventh digit: five are kept.
COORDINATE_DIGITS = 5


@dataclass(frozen=True, kw_only=True)
class CanonicalArray:
    """Values of one variable on canonical axes.

    Args:
        values: `(time, latitude, longitude)`, latitude descending, longitude ascending within -180..180.
        times: `(time,)` datetime64[ns], as delivered: perhaps unsorted, perhaps with duplicates.
        preliminary: `(time,)` bool, True where the value is ERA5T.
        latitude: `(latitude,)` degrees north.
        longitude: `(longitude,)` degrees east.
        unit: the `units` attribute of the file.
    """

    values: np.ndarray
    times: np.ndarray
    preliminary: np.ndarray
    latitude: np.ndarray
    longitude: np.ndarray
    unit: str | None


def normalise(dataset: xr.Dataset, *, where: str) -> xr.Dataset:
    """Rename axes to time, latitude and longitude and decode `date`; nothing is loaded but coordinates.

    Raises:
        DataError: ``DATA_FILE`` when there is no time, latitude or longitude.
    """
    time_name = next((name for name in TIME_NAMES if name in dataset.dims), None) or next(
        (name for name in TIME_NAMES if name in dataset.variables), None
    )
    missing = [] if time_name else ["time"]
    renamed = {old: new for old, new in RENAMED.items() if old in dataset.variables and new not in dataset.variables}
    if time_name and time_name != "time":
        renamed[time_name] = "time"
        # A reference time beside a valid time would take the name; only the valid one matters here.
        dataset = dataset.drop_vars([name for name in ("time",) if name in dataset.variables])
    dataset = dataset.rename(renamed)
    missing += [name for name in ("latitude", "longitude") if name not in dataset.variables]
    if missing:
        raise _not_understood(dataset, where, f"no {' and no '.join(missing)}")
    dataset = dataset.set_coords([name for name in DIMENSIONS if name in dataset.variables])
    return dataset.assign_coords(time=_decoded_time(dataset, where))


def canonical_array(dataset: xr.Dataset, name: str, *, where: str) -> CanonicalArray:
    """Load one variable of a `normalise`d dataset and put it on canonical axes.

    Raises:
        DataError: ``DATA_FILE`` for dimensions not understood (an ensemble, pressure levels, forecast steps).
    """
    array = dataset[name].load()
    extra = [dim for dim in array.dims if dim not in (*DIMENSIONS, "expver")]
    crowded = [f"{dim} of {array.sizes[dim]}" for dim in extra if array.sizes[dim] != 1]
    if crowded or any(dataset[dim].ndim > 1 for dim in DIMENSIONS):
        raise _not_understood(dataset, where, f"{name} has {', '.join(crowded) or 'a grid that is not regular'}")
    array = array.isel(dict.fromkeys(extra, 0))
    for dim in DIMENSIONS:
        if dim not in array.dims:
            array = array.expand_dims(dim)
    times = np.atleast_1d(dataset["time"].values)
    if "expver" in array.dims:
        values, preliminary = _merge_expver(array)
    else:
        values = array.transpose(*DIMENSIONS).values
        preliminary = _preliminary(dataset, len(times))
    latitude = np.atleast_1d(np.asarray(dataset["latitude"].values, dtype=np.float64)).round(COORDINATE_DIGITS)
    longitude = np.atleast_1d(np.asarray(dataset["longitude"].values, dtype=np.float64))
    longitude = ((longitude + 180.0) % 360.0 - 180.0).round(COORDINATE_DIGITS)
    # unique sorts and takes the first of the two columns of a globe that holds both 0 and 360.
    latitude, rows = np.unique(latitude, return_index=True)
    longitude, columns = np.unique(longitude, return_index=True)
    rows, latitude = rows[::-1], latitude[::-1]
    if not np.array_equal(rows, np.arange(values.shape[1])) or not np.array_equal(columns, np.arange(values.shape[2])):
        values = values[:, rows][:, :, columns]
    return CanonicalArray(
        values=values,
        times=times,
        preliminary=preliminary,
        latitude=latitude,
        longitude=longitude,
        unit=array.attrs.get("units"),
    )


def _decoded_time(dataset: xr.Dataset, where: str) -> xr.Variable:
    """The time coordinate in nanoseconds; `date` counts yyyymmdd."""
    variable = dataset["time"].variable
    values = np.atleast_1d(variable.values)
    if np.issubdtype(values.dtype, np.datetime64):
        decoded = values.astype("datetime64[ns]")
    else:
        texts = [str(value) for value in values.astype(np.int64)] if values.dtype.kind in "iuf" else []
        if not texts or any(len(text) != 8 for text in texts):
            raise _not_understood(dataset, where, f"times of type {values.dtype} that are no dates")
        try:
            decoded = np.array([f"{t[:4]}-{t[4:6]}-{t[6:]}" for t in texts], dtype="datetime64[ns]")
        except ValueError as error:
            raise _not_understood(dataset, where, f"a date that does not exist ({error})") from error
    if np.isnat(decoded).any():
        raise _not_understood(dataset, where, "missing times")
    return xr.Variable(variable.dims, decoded if variable.ndim else decoded[0])


def _merge_expver(array: xr.DataArray) -> tuple[np.ndarray, np.ndarray]:
    """ERA5 where it is, ERA5T where ERA5 is missing; the flag marks times in which ERA5T filled anything."""
    versions = np.array([int(version) for version in array["expver"].values])
    order = np.argsort(np.where(versions == FINAL_EXPVER, -1, versions))
    slices = array.transpose("expver", *DIMENSIONS).values[order]
    values = slices[0]
    preliminary = np.full(values.shape[0], versions[order[0]] != FINAL_EXPVER)
    for later in slices[1:]:
        filled = np.isnan(values) & ~np.isnan(later)
        values = np.where(filled, later, values)
        preliminary |= filled.any(axis=(1, 2))
    return values, preliminary


def _preliminary(dataset: xr.Dataset, n_times: int) -> np.ndarray:
    """Flags from `expver` as text or number, one for all or one per time; absent means final."""
    if "expver" not in dataset.variables:
        return np.zeros(n_times, dtype=bool)
    versions = [int(version) if str(version).strip() else FINAL_EXPVER for version in dataset["expver"].values.ravel()]
    return np.broadcast_to(np.array(versions) != FINAL_EXPVER, (n_times,)).copy()


def _not_understood(dataset: xr.Dataset, where: str, reason: str) -> DataError:
    sizes = ", ".join(f"{name} {size}" for name, size in dataset.sizes.items())
    return DataError(
        "DATA_FILE",
        f"the file is NetCDF, but not laid out as ERA5 on single levels: {reason}",
        where=where,
        evidence=f"dimensions found: {sizes or 'none'}; variables: {', '.join(map(str, dataset.variables)) or 'none'}; "
        "expected: time (valid_time, date), latitude, longitude",
        next_command="request reanalysis-era5-single-levels, product_type reanalysis, data_format netcdf",
    )
