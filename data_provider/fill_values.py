"""Numbers that stand for "missing": other programs write -9999 or 1e20 where a CSV leaves the cell blank."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# What NetCDF, ASCII grids, spreadsheets and old packed files put where nothing was measured.
COMMON = (-99.0, -999.0, 999.0, -9999.0, 9999.0, -99999.0, 99999.0, -32767.0, -32768.0, 32767.0)
# No quantity of the atmosphere in any usual unit comes near it.
HUGE = 1e15


@dataclass(frozen=True, kw_only=True)
class FillValue:
    """A number that looks like a mark for missing values, and how many cells hold it."""

    value: float
    count: int

    def __str__(self) -> str:
        return f"{self.value:.6g}"

    def cure(self, name: str) -> str:
        """Return the line that leaves these cells of a column blank."""
        column = f"df['{name}']"
        if abs(self.value) < HUGE:
            return f"{column} = {column}.replace({self}, float('nan'))"
        # Printed numbers of this size are rounded, so that equality would miss them.
        return f"{column} = {column}.where({column}.abs() < {HUGE:g})"


def find_fill_value(values: np.ndarray) -> FillValue | None:
    """Find a common mark for missing values that lies further from all other values than these lie apart.

    Args:
        values: `(N,)` of one column; what is not finite is passed over.
    """
    known = values[np.isfinite(values)]
    if not len(known):
        return None
    for extreme in (known.min(), known.max()):
        if extreme not in COMMON and abs(extreme) < HUGE:
            continue
        here = known == extreme
        # Two huge marks in one column are both marks.
        rest = known[~here & (np.abs(known) < HUGE)].astype(np.float64)
        if not len(rest):
            continue
        low, high = float(rest.min()), float(rest.max())
        away = max(low - float(extreme), float(extreme) - high)
        if away > high - low:
            return FillValue(value=float(extreme), count=int(here.sum()))
    return None
