"""The features of the case: strictly causal, per region, from a regional Dataset of any regular step.

A feature at t uses stamps up to and including t, of its own region alone. History is counted in hours, not in rows:
where the record has a gap, lags, tendencies and rolling windows that reach into it are NaN. Speeds, directions and
humidity are those of the area-mean wind, temperature and dew point.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from data_provider.time_axis import TimeAxis, examine, positions, regular
from data_provider.units import CORE, OPTIONAL, QUANTITIES

DAY_HOURS = 24
ZERO_CELSIUS = 273.15
# Magnus coefficients over water, for temperatures in degrees CELSIUS (Alduchov and Eskridge, 1996).
MAGNUS_SLOPE = 17.625
MAGNUS_CELSIUS = 243.04

Array = np.ndarray


def relative_humidity(temperature_k: Array, dew_point_k: Array) -> Array:
    """Relative humidity over water in per cent.

    Args:
        temperature_k: kelvin, any shape.
        dew_point_k: kelvin, same shape.

    Source: Magnus formula; 298.15 K and 290.15 K give 61.2 %.
    """
    return 100.0 * np.exp(_magnus_exponent(dew_point_k) - _magnus_exponent(temperature_k))


def wind_speed(u: Array, v: Array) -> Array:
    """Speed in m s-1 of a wind with components towards east `u` and north `v`."""
    return np.hypot(u, v)


def wind_direction(u: Array, v: Array) -> Array:
    """Direction FROM which the wind blows, degrees clockwise from north in [0, 360); calm is 0."""
    degrees = np.rad2deg(np.arctan2(u, v)) + 180.0
    # float32 turns 359.99999 into 360, which is the same direction as 0.
    degrees = np.where(degrees.astype(np.float32) >= 360.0, 0.0, degrees)
    return np.where((u == 0) & (v == 0), 0.0, degrees)


def _magnus_exponent(kelvin: Array) -> Array:
    celsius = kelvin - ZERO_CELSIUS
    return MAGNUS_SLOPE * celsius / (celsius + MAGNUS_CELSIUS)


@dataclass(frozen=True, kw_only=True)
class History:
    """Variables on the regular time axis, `(regular time, region)` float64 with NaN in the gaps."""

    values: dict[str, Array]
    step_hours: float

    def lag(self, name: str, hours: int) -> Array:
        """The value `hours` ago."""
        shift = int(hours // self.step_hours)
        values = self.values[name]
        lagged = np.full_like(values, np.nan)
        lagged[shift:] = values[: len(values) - shift] if shift < len(values) else lagged[shift:]
        return lagged

    def rolling(self, name: str, hours: int) -> pd.core.window.rolling.Rolling:
        """Windows (t - `hours`, t], defined only where every stamp is there."""
        width = int(hours // self.step_hours)
        return pd.DataFrame(self.values[name]).rolling(width, min_periods=width)


@dataclass(frozen=True, kw_only=True)
class Feature:
    """One column: what it needs, in which unit it is, how it is made, and the history it looks back on in hours."""

    name: str
    needs: tuple[str, ...]
    unit: str
    make: Callable[[History], Array]
    history_hours: int = 0


def _value(name: str) -> Feature:
    return Feature(name=name, needs=(name,), unit=QUANTITIES[name].unit, make=lambda history: history.values[name])


def _lag(name: str, days: int) -> Feature:
    return Feature(
        name=f"{name}_lag_{days}d",
        needs=(name,),
        unit=QUANTITIES[name].unit,
        make=lambda history: history.lag(name, days * DAY_HOURS),
        history_hours=days * DAY_HOURS,
    )


def _rolling(name: str, statistic: str, days: int) -> Feature:
    return Feature(
        name=f"{name}_rolling_{statistic}_{days}d",
        needs=(name,),
        unit=QUANTITIES[name].unit,
        make=lambda history: getattr(history.rolling(name, days * DAY_HOURS), statistic)().to_numpy(),
        history_hours=days * DAY_HOURS,
    )


FEATURES: tuple[Feature, ...] = (
    *(_value(name) for name in CORE),
    *(_value(name) for name in OPTIONAL),
    Feature(
        name="wind_speed",
        needs=("u10", "v10"),
        unit="m s-1",
        make=lambda h: wind_speed(h.values["u10"], h.values["v10"]),
    ),
    Feature(
        name="wind_direction",
        needs=("u10", "v10"),
        unit="degrees",
        make=lambda h: wind_direction(h.values["u10"], h.values["v10"]),
    ),
    Feature(
        name="td_spread",
        needs=("t2m", "d2m"),
        unit="K",
        make=lambda h: h.values["t2m"] - h.values["d2m"],
    ),
    Feature(
        name="relative_humidity",
        needs=("t2m", "d2m"),
        unit="%",
        make=lambda h: relative_humidity(h.values["t2m"], h.values["d2m"]),
    ),
    Feature(
        name="pressure_tendency_12h",
        needs=("sp",),
        unit="Pa",
        make=lambda h: h.values["sp"] - h.lag("sp", 12),
        history_hours=12,
    ),
    *(_lag(name, days) for name in ("tp", "t2m", "tcwv") for days in (1, 2, 3)),
    *(_rolling(name, statistic, 7) for name in ("tp", "t2m") for statistic in ("mean", "std")),
)
NAMES = tuple(feature.name for feature in FEATURES)
CASE_NAMES = tuple(name for name in NAMES if name not in OPTIONAL)


def makeable(variables: Sequence[str], step_hours: float) -> tuple[str, ...]:
    """Names of the features that can be made, in the order of the case.

    Args:
        variables: short names of the variables there are.
        step_hours: step of the data; a history that it does not divide cannot be looked back on.
    """
    return tuple(
        feature.name
        for feature in FEATURES
        if set(feature.needs) <= set(variables) and feature.history_hours % step_hours == 0
    )


def missing(variables: Sequence[str], step_hours: float) -> tuple[str, ...]:
    """Names of the case's 27 features that cannot be made (optional variables are never missed)."""
    made = makeable(variables, step_hours)
    return tuple(name for name in CASE_NAMES if name not in made)


def needs(columns: Sequence[str]) -> tuple[str, ...]:
    """Variables that `columns` are made from, in the order of the case."""
    wanted = {name for feature in FEATURES if feature.name in columns for name in feature.needs}
    return tuple(name for name in (*CORE, *OPTIONAL) if name in wanted)


def make_features(regional: xr.Dataset, columns: Sequence[str], *, axis: TimeAxis | None = None) -> xr.Dataset:
    """Make features for every time and region of a regional Dataset.

    Args:
        regional: dims (time, region), canonical units, time sorted and unique; gaps allowed.
        columns: names of features that `makeable` allows.
        axis: the description of its time axis, where the caller has it.

    Returns:
        Dataset with dims (time, region), float32, in the order of the case, on the same times; NaN where a variable
        or the history is missing.
    """
    times = regional["time"].values
    axis = axis or examine(times, where="the regional data")
    at = positions(times, axis)
    n_regular, n_regions = len(regular(axis)), regional.sizes["region"]

    def on_regular_axis(name: str) -> Array:
        full = np.full((n_regular, n_regions), np.nan)
        full[at] = regional[name].transpose("time", "region").values
        return full

    history = History(values={name: on_regular_axis(name) for name in needs(columns)}, step_hours=axis.step_hours)
    made = {
        feature.name: (("time", "region"), feature.make(history)[at].astype(np.float32), {"units": feature.unit})
        for feature in FEATURES
        if feature.name in columns
    }
    return xr.Dataset(made, coords={"time": times, "region": regional["region"].values})
