"""Is every known column of a table in its canonical unit? A table of a user's own carries no units to read.

Ranges are those of `data_provider.units`; columns made from a variable inherit its range. A column that is not known
is not judged.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from data_provider.column_statistics import ColumnStatistics, describe
from data_provider.fill_values import find_fill_value
from data_provider.rain_table import RainTable
from data_provider.row_checks import counted, listed
from data_provider.unit_advice import UNKNOWN, UnitGuess, conversion, guess_unit
from data_provider.units import QUANTITIES, too_wet
from utils.findings import Finding

DERIVED = re.compile(r"(?P<base>[a-z]+[0-9]*m?)_(lag|rolling_(?P<statistic>mean|min|max|median|std))_\d+[hd]")
# A table of hourly rain and its sums in millimetres agrees within a few times; a wrong unit is off by a thousand.
AGREEMENT = 30.0
FEWEST_AMOUNTS = 240
PREPARE = "prepare the table anew: bash scripts/prepare_era5.sh"
MILLIMETRES = UnitGuess(unit="mm", known=True, whole=True)


@dataclass(frozen=True, kw_only=True)
class Allowed:
    """Range of a column: `base` is the variable it is made from, `is_value` whether it is in that variable's unit."""

    base: str
    low: float
    high: float
    unit: str
    is_value: bool


def inspect_units(table: RainTable, statistics: ColumnStatistics | None = None) -> list[Finding]:
    """Find columns whose values are not possible in their canonical unit, one finding DATA_RANGE a variable.

    Args:
        table: as read.
        statistics: of its columns over the rows that are present, where the caller has them.

    Returns:
        findings of severity error, or warning where a column looks scaled already.
    """
    statistics = statistics or describe(table.values, table.present)
    faulty: dict[str, list[int]] = {}
    for column, name in enumerate(table.features):
        allowed = allowed_for(name)
        if allowed is not None and _is_outside(column, allowed, statistics, table):
            faulty.setdefault(allowed.base, []).append(column)
    findings = [_finding(table, base, columns, statistics) for base, columns in faulty.items()]
    return findings if "tp" in faulty else [*findings, *_rain_against_label(table)]


def allowed_for(name: str) -> Allowed | None:
    """Return the range of a column, None where no sound one is known."""
    match = DERIVED.fullmatch(name)
    base = match["base"] if match else name
    if base in QUANTITIES:
        quantity = QUANTITIES[base]
        if match and match["statistic"] == "std":
            width = quantity.high - quantity.low
            return Allowed(base=base, low=0.0, high=width, unit=quantity.unit, is_value=False)
        return Allowed(base=base, low=quantity.low, high=quantity.high, unit=quantity.unit, is_value=True)
    if name not in _DEFINED:
        return None
    low, high, unit = _DEFINED[name]
    return Allowed(base=name, low=low, high=high, unit=unit, is_value=False)


_TEMPERATURE, _DEW_POINT, _PRESSURE = QUANTITIES["t2m"], QUANTITIES["d2m"], QUANTITIES["sp"]
_DEFINED = {
    "wind_speed": (0.0, float(np.hypot(QUANTITIES["u10"].high, QUANTITIES["v10"].high)), "m s-1"),
    # 180 degrees west may be written as -180 or as 180: both give the same sine and cosine.
    "wind_direction": (-180.0, 360.0, "degrees"),
    "td_spread": (_DEW_POINT.low - _TEMPERATURE.low, _TEMPERATURE.high - _DEW_POINT.low, "K"),
    # Air over a cold surface may be a little above saturation.
    "relative_humidity": (0.0, 150.0, "%"),
    "pressure_tendency_12h": (_PRESSURE.low - _PRESSURE.high, _PRESSURE.high - _PRESSURE.low, "Pa"),
}


def _is_outside(column: int, allowed: Allowed, seen: ColumnStatistics, table: RainTable) -> bool:
    low, high = seen.low[column], seen.high[column]
    if not low < high:
        return False  # blank, or one value: it says nothing in any unit and is reported as constant
    wet = allowed.is_value and too_wet(allowed.base, seen.mean[column], len(table.times), hours=table.step_hours)
    return bool(low < allowed.low or high > allowed.high or wet)


def _finding(table: RainTable, base: str, columns: Sequence[int], seen: ColumnStatistics) -> Finding:
    """Describe one variable by the first of its columns; the others follow from it."""
    column = columns[0]
    name = table.features[column]
    allowed = allowed_for(name)
    assert allowed is not None
    rows = table.present & ((table.values[..., column] < allowed.low) | (table.values[..., column] > allowed.high))
    low, high, mean = float(seen.low[column]), float(seen.high[column]), float(seen.mean[column])
    scaled = _looks_scaled(low, high, mean, float(seen.deviation[column]))
    wet = allowed.is_value and too_wet(base, mean, len(table.times), hours=table.step_hours)
    finite = table.present & np.isfinite(table.values[..., column])
    guess = _guess(table.values[..., column][finite], rows[finite], allowed, wet)
    odd = table.values[..., column][rows]
    names = [table.regions[number] for number in np.flatnonzero(rows.any(axis=1))]
    others = [table.features[other] for other in columns[1:]]
    return Finding(
        code="DATA_RANGE",
        severity="warning" if scaled else "error",
        what=f"{name} looks scaled already; it will be scaled again."
        if scaled
        else f"{name} holds values outside what is physically possible.",
        where=f"{table.source}, column {name}{_first(table, rows)}",
        evidence=f"seen {low:.6g} to {high:.6g}, mean {mean:.4g}, allowed {allowed.low:g} to {allowed.high:g} "
        f"{allowed.unit}; "
        + (
            f"{int(rows.sum())} of {counted(int(finite.sum()), 'row')}, in {listed(names)}"
            if names
            else "nowhere on Earth is the mean of rain so high"
        )
        + "; likely "
        + ("not in a unit: mean 0 and deviation 1, or 0 to 1" if scaled else _named(guess))
        + (f"; the same in {listed(others)}" if others else ""),
        next_command="give the table unscaled: whoever scaled it with the mean of all years has let the test years in"
        if scaled
        else _fill_cure(name, table.values[..., column][finite], allowed)
        or _advice(allowed, name, guess, odd, _places(table, rows)),
        figures={
            "column": name,
            "seen": [low, high],
            "mean": mean,
            "allowed": [allowed.low, allowed.high],
            "unit": allowed.unit,
            "likely_unit": "scaled" if scaled else guess.unit,
            "rows": int(rows.sum()),
            "regions": names,
            "columns": [name, *others],
        },
    )


def _first(table: RainTable, rows: np.ndarray) -> str:
    if not rows.any():
        return ""
    region, row = (int(axis[0]) for axis in np.nonzero(rows))
    return f", first in region {table.regions[region]} at {table.place(region, row)}"


def _places(table: RainTable, rows: np.ndarray) -> str:
    """Say where the marked rows begin and end."""
    if not rows.any():
        return "nowhere alone"
    region, row = np.nonzero(rows)
    begin, end = ((int(region[at]), int(row[at])) for at in (0, -1))
    first = f"region {table.regions[begin[0]]} at {table.place(*begin)}"
    return first if len(row) == 1 else f"{first} to region {table.regions[end[0]]} at {table.place(*end)}"


def _guess(values: np.ndarray, wrong: np.ndarray, allowed: Allowed, wet: bool) -> UnitGuess:
    if not allowed.is_value:
        return UnitGuess(unit=UNKNOWN, known=False, whole=False)
    return guess_unit(allowed.base, values, wrong, wet=wet)


def _fill_cure(name: str, values: np.ndarray, allowed: Allowed) -> str:
    """Say how to blank a number that stands for missing values, where one is out of range."""
    fill = find_fill_value(values)
    if fill is None or allowed.low <= fill.value <= allowed.high:
        return ""
    return (
        f"{fill} in {counted(fill.count, 'row')} looks like a mark for missing values; leave blank: {fill.cure(name)}"
    )


def _named(guess: UnitGuess) -> str:
    return f"unit: {guess.unit}" if guess.whole or not guess.known else f"unit of these rows alone: {guess.unit}"


def _looks_scaled(low: float, high: float, mean: float, deviation: float) -> bool:
    standard = abs(mean) < 0.5 and 0.5 < deviation < 2.0 and low < 0
    return standard or (abs(low) < 1e-6 and abs(high - 1) < 1e-3)


def _advice(allowed: Allowed, name: str, guess: UnitGuess, odd: np.ndarray, places: str) -> str:
    """Say how to convert a column or its wrong rows, where the unit is known; else where the wrong rows are."""
    if not guess.known:
        return f"mend {name} in these rows ({places}), or {PREPARE}"
    line = conversion(allowed.base, name, guess, odd)
    which = name if guess.whole else f"these rows of {name}"
    return f"write {which} in {allowed.unit}: {line}, or {PREPARE}"


def _rain_against_label(table: RainTable) -> list[Finding]:
    """Compare tp in metres with the rain of the label period in millimetres: dry places hide a wrong unit."""
    known = ~np.isnan(table.precipitation_mm)
    if "tp" not in table.features or known.sum() < FEWEST_AMOUNTS:
        return []
    rain = table.values[..., table.features.index("tp")]
    hourly_m = float(rain[np.isfinite(rain)].mean(dtype=np.float64)) if np.isfinite(rain).any() else 0.0
    amount_mm = float(table.precipitation_mm[known].mean(dtype=np.float64))
    if not (hourly_m > 0 and 0 < amount_mm < np.inf):
        return []
    ratio = amount_mm / (table.accumulation_hours * hourly_m)
    if ratio >= 1000 / table.step_hours / AGREEMENT:
        return []
    return [
        Finding(
            code="DATA_RANGE",
            severity="error",
            what="tp and the rain of the label period do not agree.",
            where=f"{table.source}, columns tp and precipitation",
            evidence=f"mean tp {hourly_m:.3g}, mean precipitation {amount_mm:.3g} in {table.accumulation_hours} h; tp "
            f"in m and precipitation in mm give a ratio of about 1000 an hour, here {ratio:.3g}; likely unit: tp in "
            "mm, or precipitation in m",
            next_command=f"write tp in m: {conversion('tp', 'tp', MILLIMETRES, rain)}, or {PREPARE}",
            figures={"column": "tp", "mean": hourly_m, "precipitation_mean": amount_mm, "likely_unit": "mm"},
        )
    ]
