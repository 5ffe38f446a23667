"""Small ERA5 files in every layout in which the Climate Data Store has delivered them."""

from __future__ import annotations

import zipfile
from pathlib import Path

import netCDF4
import numpy as np
import xarray as xr

LATITUDE = np.array([0.0, -0.25, -0.5])
LONGITUDE = np.array([-80.0, -79.75])
UNITS = {
    "tp": "m", "t2m": "K", "d2m": "K", "sp": "Pa", "msl": "Pa", "u10": "m s**-1", "v10": "m s**-1",
    "tcwv": "kg m**-2", "cape": "J kg**-1", "sst": "K", "u100": "m s**-1", "v100": "m s**-1",
}  # fmt: skip
INSTANT, ACCUM = "data_stream-oper_stepType-instant.nc", "data_stream-oper_stepType-accum.nc"


def hours(n: int, *, start: str = "2020-01-01T00", step: int = 1) -> np.ndarray:
    """`n` stamps, every `step` hours."""
    return np.datetime64(start, "ns") + np.arange(n) * np.timedelta64(step, "h").astype("m8[ns]")


def field(name: str, n: int, *, seed: int = 0, shape: tuple[int, int] = (3, 2)) -> np.ndarray:
    """Plausible values `(n, latitude, longitude)` of a variable, float32."""
    noise = np.random.default_rng([seed, sum(map(ord, name))]).random((n, *shape))
    low, high = {
        "tp": (0, 4e-4), "t2m": (285, 300), "d2m": (275, 284), "sp": (9e4, 9.2e4), "msl": (1e5, 1.02e5),
        "tcwv": (20, 50), "cape": (0, 900), "sst": (290, 299),
    }.get(name, (-5, 5))  # fmt: skip
    values = low + noise * (high - low)
    if name == "tp":
        # Rare enough that some days are dry, also as the mean of a column of cells.
        values = np.where(noise < 0.99, 0.0, values)
    return values.astype(np.float32)


def new_layout(
    values: dict[str, np.ndarray],
    times: np.ndarray,
    *,
    units: dict[str, str] | None = None,
    latitude: np.ndarray = LATITUDE,
    longitude: np.ndarray = LONGITUDE,
    expver: np.ndarray | None = None,
) -> xr.Dataset:
    """The layout since 2024: valid_time, scalar number, expver as text per time."""
    return xr.Dataset(
        {
            name: (("valid_time", "latitude", "longitude"), data, {"units": (units or {}).get(name, UNITS[name])})
            for name, data in values.items()
        },
        coords={
            "number": 0,
            "valid_time": times,
            "latitude": latitude,
            "longitude": longitude,
            "expver": ("valid_time", np.full(len(times), "0001") if expver is None else expver),
        },
        attrs={"Conventions": "CF-1.7"},
    )


def write_zip(path: Path, members: dict[str, xr.Dataset]) -> Path:
    """A ZIP (whatever its name) of NetCDF-4 members."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, dataset in members.items():
            inner = path.with_name(f"inner-{name}")
            dataset.to_netcdf(inner, engine="netcdf4")
            archive.write(inner, name)
            inner.unlink()
    return path


def write_month(
    folder: Path,
    name: str = "era5_202001.nc",
    *,
    n: int = 240,
    start: str = "2020-01-01T00",
    variables: tuple[str, ...] = ("t2m", "d2m", "sp", "u10", "v10"),
    seed: int = 0,
    step: int = 1,
) -> Path:
    """One download: a ZIP named .nc with an instant and an accum member."""
    times = hours(n, start=start, step=step)
    instant = {variable: field(variable, n, seed=seed) for variable in variables}
    return write_zip(
        folder / name,
        {INSTANT: new_layout(instant, times), ACCUM: new_layout({"tp": field("tp", n, seed=seed)}, times)},
    )


def write_packed(path: Path, name: str, values: np.ndarray, times: np.ndarray, *, expver: bool = False) -> np.ndarray:
    """The layout before 2024: NetCDF-3, `time`, int16 with scale and offset; returns what unpacking must give.

    With `expver` the values have a dimension expver [1, 5] behind time, and NaN where a version is missing.
    """
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    scale, offset = (high - low) / 65000, (high + low) / 2
    packed = np.where(np.isnan(values), -32767, np.round((values - offset) / scale)).astype(np.int16)
    dims = ("time", "expver", "latitude", "longitude") if expver else ("time", "latitude", "longitude")
    with netCDF4.Dataset(path, "w", format="NETCDF3_64BIT_OFFSET") as file:
        file.createDimension("longitude", len(LONGITUDE))
        file.createDimension("latitude", len(LATITUDE))
        if expver:
            file.createDimension("expver", 2)
            file.createVariable("expver", "i4", ("expver",))[:] = [1, 5]
        file.createDimension("time", None)
        file.createVariable("longitude", "f4", ("longitude",))[:] = LONGITUDE
        file.createVariable("latitude", "f4", ("latitude",))[:] = LATITUDE
        time = file.createVariable("time", "i4", ("time",))
        time.units, time.calendar = "hours since 1900-01-01 00:00:00.0", "gregorian"
        time[:] = (times - np.datetime64("1900-01-01", "ns")) // np.timedelta64(1, "h")
        variable = file.createVariable(name, "i2", dims, fill_value=-32767)
        variable.scale_factor, variable.add_offset = scale, offset
        variable.missing_value, variable.units = np.int16(-32767), UNITS[name]
        variable.set_auto_maskandscale(False)
        variable[:] = packed
    return np.where(packed == -32767, np.nan, packed * scale + offset)
