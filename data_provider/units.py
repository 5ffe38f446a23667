"""Units and physical ranges of the ERA5 variables: read, converted to SI, checked; never guessed in silence.

Canonical units: tp metres of water in the hour that ends at the stamp; temperatures K; pressures Pa; winds m s-1;
tcwv kg m-2; cape J kg-1; tcc a fraction; blh m.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from utils.errors import DataError

SECONDS_PER_HOUR = 3600.0
# Packing of the old int16 files leaves amounts of about -1e-19 m; anything below this is a fault, not rounding.
LEAST_RAIN_M = -1e-5
# 0.004 m/h for days on end would be 35 m of water a year; the record of any station on Earth is 26 m.
MOST_MEAN_RAIN_M = 0.004
MEAN_RAIN_FROM_HOURS = 240


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """What one variable is: long name, canonical unit, accepted units as (factor, offset), plausible range."""

    long_name: str
    unit: str
    low: float
    high: float
    accepted: dict[str, tuple[float, float]] = field(default_factory=dict)
    request_name: str = ""


_KELVIN = {"K": (1.0, 0.0), "kelvin": (1.0, 0.0)} | dict.fromkeys(
    ("degC", "deg C", "C", "celsius", "degree_Celsius", "degrees_Celsius", "°C"), (1.0, 273.15)
)
_PASCAL = {"Pa": (1.0, 0.0), "pascal": (1.0, 0.0), "hPa": (100.0, 0.0), "mbar": (100.0, 0.0), "millibar": (100.0, 0.0)}
_SPEED = dict.fromkeys(("m s-1", "m/s", "meter second-1"), (1.0, 0.0)) | {"km/h": (1 / 3.6, 0.0)}
_RATE = SECONDS_PER_HOUR / 1000.0
_RAIN = (
    dict.fromkeys(("m", "metre", "meter", "metres", "meters", "m of water equivalent"), (1.0, 0.0))
    | dict.fromkeys(("mm", "millimetre", "millimeter", "mm/h", "mm h-1", "kg m-2", "kg/m2"), (1e-3, 0.0))
    | dict.fromkeys(("m s-1", "m/s"), (SECONDS_PER_HOUR, 0.0))
    | dict.fromkeys(("kg m-2 s-1", "kg/m2/s", "mm s-1", "mm/s"), (_RATE, 0.0))
)

QUANTITIES: dict[str, Quantity] = {
    "tp": Quantity(
        long_name="total precipitation in the hour that ends at the stamp",
        unit="m",
        low=LEAST_RAIN_M,
        high=0.3,
        accepted=_RAIN,
        request_name="total_precipitation",
    ),
    "t2m": Quantity(
        long_name="temperature at 2 m",
        unit="K",
        low=180.0,
        high=340.0,
        accepted=_KELVIN,
        request_name="2m_temperature",
    ),
    "d2m": Quantity(
        long_name="dew point temperature at 2 m",
        unit="K",
        low=160.0,
        high=320.0,
        accepted=_KELVIN,
        request_name="2m_dewpoint_temperature",
    ),
    "sp": Quantity(
        long_name="pressure at the surface",
        unit="Pa",
        low=45_000.0,
        high=110_000.0,
        accepted=_PASCAL,
        request_name="surface_pressure",
    ),
    "msl": Quantity(
        long_name="pressure reduced to mean sea level",
        unit="Pa",
        low=85_000.0,
        high=110_000.0,
        accepted=_PASCAL,
        request_name="mean_sea_level_pressure",
    ),
    "u10": Quantity(
        long_name="wind at 10 m towards the east",
        unit="m s-1",
        low=-100.0,
        high=100.0,
        accepted=_SPEED,
        request_name="10m_u_component_of_wind",
    ),
    "v10": Quantity(
        long_name="wind at 10 m towards the north",
        unit="m s-1",
        low=-100.0,
        high=100.0,
        accepted=_SPEED,
        request_name="10m_v_component_of_wind",
    ),
    "tcwv": Quantity(
        long_name="water vapour in the whole column of air",
        unit="kg m-2",
        low=-0.5,
        high=120.0,
        accepted=dict.fromkeys(("kg m-2", "kg/m2", "mm"), (1.0, 0.0)),
        request_name="total_column_water_vapour",
    ),
    "cape": Quantity(
        long_name="convective available potential energy",
        unit="J kg-1",
        low=-1.0,
        high=20_000.0,
        accepted=dict.fromkeys(("J kg-1", "J/kg", "m2 s-2"), (1.0, 0.0)),
        request_name="convective_available_potential_energy",
    ),
    "tcc": Quantity(
        long_name="share of the sky covered by cloud",
        unit="1",
        low=-0.01,
        high=1.01,
        accepted={"(0 - 1)": (1.0, 0.0), "0 - 1": (1.0, 0.0), "1": (1.0, 0.0), "%": (0.01, 0.0)},
        request_name="total_cloud_cover",
    ),
    "sst": Quantity(
        long_name="temperature of the sea surface",
        unit="K",
        low=260.0,
        high=320.0,
        accepted=_KELVIN,
        request_name="sea_surface_temperature",
    ),
    "blh": Quantity(
        long_name="height of the boundary layer",
        unit="m",
        low=-50.0,
        high=15_000.0,
        accepted={"m": (1.0, 0.0), "metre": (1.0, 0.0), "km": (1000.0, 0.0)},
        request_name="boundary_layer_height",
    ),
}
CORE = ("tp", "t2m", "d2m", "sp", "msl", "u10", "v10", "tcwv", "cape")
OPTIONAL = ("tcc", "sst", "blh")
PRESSURES = ("sp", "msl")
TEMPERATURES = ("t2m", "d2m", "sst")


def normal_unit(text: str) -> str:
    """One spelling for one unit: ``m s**-1``, ``m s^-1`` and ``m s-1`` are the same."""
    return " ".join(text.replace("**", "").replace("^", "").split())


def to_canonical(name: str, values: np.ndarray, unit: str | None, *, where: str, hourly: bool = True) -> np.ndarray:
    """Convert `values` of variable `name` to the canonical unit and check their physical range.

    Args:
        name: short name; one of `QUANTITIES`.
        values: any shape; NaN marks missing values.
        unit: the file's `units` attribute.
        where: file (and member), for messages.
        hourly: False for monthly and daily products, whose rain is per day.

    Returns:
        float32 values in the canonical unit, same shape; negative traces of rain from packing become 0.

    Raises:
        DataError: ``DATA_UNIT`` for a unit that is missing or not known; ``DATA_RANGE`` for impossible values.
    """
    quantity = QUANTITIES[name]
    spelled = normal_unit(unit or "")
    conversions = {normal_unit(key).lower(): factors for key, factors in quantity.accepted.items()}
    if spelled.lower() not in conversions:
        raise DataError(
            "DATA_UNIT",
            f"{name} ({quantity.long_name}) is in a unit not known here: {spelled or 'none given'}",
            where=where,
            evidence=f"units attribute: {unit!r}; known for {name}: {', '.join(quantity.accepted)}",
            next_command=f"correct the units attribute of {name}, for example: ncatted -a units,{name},o,c,"
            f"'{quantity.unit}' FILE.nc",
        )
    factor, offset = conversions[spelled.lower()]
    converted = np.asarray(values, dtype=np.float32)
    if (factor, offset) != (1.0, 0.0):
        converted = (np.asarray(values, dtype=np.float64) * factor + offset).astype(np.float32)
    check_range(name, converted, unit=spelled, where=where, hourly=hourly)
    if name == "tp":
        # The comparison is False for NaN, so missing rain stays missing.
        converted = np.where(converted < 0, np.float32(0), converted)
    return converted


def check_range(name: str, values: np.ndarray, *, unit: str, where: str, hourly: bool = True) -> None:
    """Refuse values of `name` (canonical unit, NaN allowed) that no weather on Earth has.

    Args:
        name: short name; one of `QUANTITIES`.
        values: any shape; for tp the first axis is time.
        unit: the unit the file claims, for the message.
        where: file (and member), for the message.
        hourly: whether the mean of tp is that of single hours.

    Raises:
        DataError: ``DATA_RANGE`` with variable, seen, allowed and the likely unit.
    """
    seen = values[~np.isnan(values)]
    if seen.size == 0:
        return
    low, high = float(seen.min()), float(seen.max())
    mean = float(seen.mean(dtype=np.float64)) if np.isfinite(high) else high
    wet = hourly and too_wet(name, mean, values.shape[0])
    if in_range(name, low, high) and not wet:
        return
    raise DataError(
        "DATA_RANGE",
        f"{name} ({QUANTITIES[name].long_name}) holds values outside what is physically possible",
        where=where,
        evidence=f"variable {name}; seen {low:.6g} to {high:.6g} {QUANTITIES[name].unit}"
        + (f", {mean:.3g} m/h on average" if wet else "")
        + f" (unit in the file: {unit}); allowed {allowed_text(name)}; "
        + f"likely unit: {likely_unit(name, low, high, too_wet=wet)}",
        next_command=f"correct the units attribute of {name} if it is wrong, or download the file again",
    )


def in_range(name: str, low: float, high: float) -> bool:
    """Whether values from `low` to `high` are physically possible for `name` in its canonical unit."""
    return QUANTITIES[name].low <= low and high <= QUANTITIES[name].high


def allowed_text(name: str) -> str:
    """The physically possible range of `name`, for messages."""
    return f"{QUANTITIES[name].low:g} to {QUANTITIES[name].high:g} {QUANTITIES[name].unit}"


def too_wet(name: str, mean: float, n_times: int, *, hours: int = 1) -> bool:
    """Whether `mean` metres of rain in a row of `hours`, over `n_times` rows, is more than falls anywhere."""
    return name == "tp" and n_times * hours >= MEAN_RAIN_FROM_HOURS and mean > MOST_MEAN_RAIN_M * hours


def likely_unit(name: str, low: float, high: float, *, too_wet: bool = False) -> str:
    """The unit in which values from `low` to `high` would make sense for `name`."""
    if not (np.isfinite(low) and np.isfinite(high)):
        return "none: the file holds infinite values"
    if name == "tp" and low >= LEAST_RAIN_M and (too_wet or high > QUANTITIES["tp"].high):
        return "mm" if high < 300 else "none: damaged values"
    if name in TEMPERATURES and low >= -100 and high <= 70:
        return "degrees Celsius"
    if name in PRESSURES and QUANTITIES[name].low / 100 <= low and high <= QUANTITIES[name].high / 100:
        return "hPa"
    if name == "tcc" and low >= -1 and high <= 101:
        return "%"
    return "none known: damaged values, or another variable under this name"
