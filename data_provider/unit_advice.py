"""In which unit do the values outside a range make sense, in how much of the column, and how is that mended?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from data_provider.units import PRESSURES, QUANTITIES, TEMPERATURES, likely_unit

NEARLY_ALL = 0.95
# Zero and small amounts are possible in either unit: the median of the amounts above zero tells a column of
# millimetres or per cent from one with a few wrong rows. A median wet hour of a millimetre falls nowhere.
WHOLE_FROM_MEDIAN = {"tp": 1e-3, "tcc": QUANTITIES["tcc"].high}
FACTORS = {"tp": "mm", "tcc": "%"} | dict.fromkeys(PRESSURES, "hPa") | dict.fromkeys(TEMPERATURES, "degC")
UNKNOWN = "none known: damaged values, or another variable under this name"


@dataclass(frozen=True, kw_only=True)
class UnitGuess:
    """What is likely of the values outside a range.

    Attributes:
        unit: name of the likely unit, or that none is known.
        known: whether it is known.
        whole: whether nearly the whole column is in that unit, and not only some rows.
    """

    unit: str
    known: bool
    whole: bool


def guess_unit(base: str, values: np.ndarray, wrong: np.ndarray, *, wet: bool) -> UnitGuess:
    """Guess the unit of the values outside the range of a variable.

    Args:
        base: the variable, one of `QUANTITIES`.
        values: finite values of the column, any shape.
        wrong: as many, True where the value is not possible.
        wet: whether the mean of rain is more than falls anywhere.
    """
    odd = values[wrong]
    if base in WHOLE_FROM_MEDIAN:
        low, high = (float(odd.min()), float(odd.max())) if len(odd) else (0.0, 1.0)
        unit = likely_unit(base, low, high, too_wet=wet)
        some = values[values > 0]
        whole = len(some) > 0 and float(np.median(some)) > WHOLE_FROM_MEDIAN[base]
        known = whole and unit == FACTORS[base]
        # Small amounts look right in both units: single rows cannot be told to be in the other one.
        return UnitGuess(unit=unit if known else UNKNOWN, known=known, whole=known)
    if base not in FACTORS or not len(odd):
        return UnitGuess(unit=UNKNOWN, known=False, whole=False)
    factor, offset = QUANTITIES[base].accepted[FACTORS[base]]
    converted = odd.astype(np.float64) * factor + offset
    fits = (QUANTITIES[base].low <= converted) & (converted <= QUANTITIES[base].high)
    if fits.mean() < NEARLY_ALL:
        return UnitGuess(unit=UNKNOWN, known=False, whole=False)
    unit = "degrees Celsius" if base in TEMPERATURES else FACTORS[base]
    return UnitGuess(unit=unit, known=True, whole=bool(wrong.mean() >= NEARLY_ALL))


def conversion(base: str, name: str, guess: UnitGuess, odd: np.ndarray) -> str:
    """Return the line that converts a column, or only its wrong rows, to the canonical unit.

    Args:
        base: the variable.
        name: the column.
        guess: a known one.
        odd: the values outside the range.
    """
    quantity = QUANTITIES[base]
    factor, offset = quantity.accepted[FACTORS[base]]
    change = ("+", offset) if offset else ("*", factor)
    if guess.whole:
        return f"df['{name}'] {change[0]} {change[1]:g}"
    column = f"df['{name}']"
    if (odd < quantity.low).all():
        rows = f"{column} < {quantity.low:g}"
    elif (odd > quantity.high).all():
        rows = f"{column} > {quantity.high:g}"
    else:
        rows = f"~{column}.between({quantity.low:g}, {quantity.high:g})"
    return f"df.loc[{rows}, '{name}'] {change[0]}= {change[1]:g}"
