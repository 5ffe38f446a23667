"""Are the amounts of rain what a regression can learn? They must be there, and be possible."""

from __future__ import annotations

import numpy as np

from data_provider import splits
from data_provider.cutting import CutTable
from data_provider.rain_table import TARGET_COLUMN, UNKNOWN_LABEL, RainTable
from data_provider.row_checks import counted
from utils.findings import Finding

# The most that ever fell in 24 hours is 1825 mm (Foc-Foc, La Reunion, 1966; World Meteorological Organization).
MOST_MM_A_DAY = 2000.0
SHOWN = 5


def inspect_amounts(cut: CutTable, *, with_missing: bool = False) -> list[Finding]:
    """Find targets of a regression that are missing, infinite, negative or more than can fall, and empty splits.

    Args:
        cut: the labelled windows.
        with_missing: count windows with missing values too, when these are refused and not left out.

    Returns:
        findings TARGET_RANGE, one at most, and SPLIT_EMPTY, one a split at most.
    """
    usable = cut.assigned if with_missing else np.where(cut.missing, splits.NO_SPLIT, cut.assigned)
    empty = [_empty(cut, name) for number, name in enumerate(splits.SPLIT_NAMES) if not (usable == number).any()]
    # Every row and not the windows alone: persistence repeats amounts of rows between them.
    known = cut.table.label != UNKNOWN_LABEL
    amount = cut.table.precipitation_mm
    wrong = known & ~((amount >= 0) & (amount <= most_possible(cut.table.accumulation_hours)))
    return [*empty, *([_out_of_range(cut.table, known, wrong)] if wrong.any() else [])]


def most_possible(accumulation_hours: int) -> float:
    """Return more millimetres than ever fell in so many hours; a shorter time than a day counts as one."""
    return MOST_MM_A_DAY * max(1.0, accumulation_hours / 24)


def _out_of_range(table: RainTable, known: np.ndarray, wrong: np.ndarray) -> Finding:
    """Name the rows `(R, T)` that are marked wrong, their values, and how many of the known ones they are."""
    amount, most = table.precipitation_mm[wrong].astype(np.float64), most_possible(table.accumulation_hours)
    places = list(zip(*(axis.tolist() for axis in np.nonzero(wrong)), strict=True))[:SHOWN]
    rows = [
        f"{value:g} in region {table.regions[region]} at {table.place(region, row)}"
        for (region, row), value in zip(places, amount, strict=False)
    ]
    counts = {
        "missing": int(np.isnan(amount).sum()),
        "infinite": int(np.isinf(amount).sum()),
        "negative": int((np.isfinite(amount) & (amount < 0)).sum()),
        f"above {most:g} mm": int((np.isfinite(amount) & (amount > most)).sum()),
    }
    n_known = int(known.sum())
    return Finding(
        code="TARGET_RANGE",
        severity="error",
        what="The table has no amounts of rain to learn from."
        if counts["missing"] == n_known
        else f"{counted(len(amount), 'target is', 'targets are')} no amount of rain in millimetres.",
        where=f"{table.source}, column {TARGET_COLUMN}: "
        + ", ".join(rows)
        + (f" and {len(amount) - SHOWN} more" if len(amount) > SHOWN else ""),
        evidence=f"{len(amount)} of {n_known} rows with a label: "
        + ", ".join(f"{count} {name}" for name, count in counts.items() if count)
        + f"; possible are 0 to {most:g} mm in {table.accumulation_hours} h",
        next_command="prepare the table again (bash scripts/prepare_era5.sh), or mend that column: the rain of the "
        "label period in millimetres; --task_name classification needs the classes alone",
        figures={
            "counts": counts,
            "rows_with_a_label": n_known,
            "rows": rows,
            "values": [float(value) if np.isfinite(value) else str(value) for value in amount[:SHOWN]],
            "largest_possible_mm": most,
        },
    )


def _empty(cut: CutTable, name: str) -> Finding:
    return Finding(
        code="SPLIT_EMPTY",
        severity="error",
        what=f"The {name} split has no windows.",
        where=str(cut.table.source),
        evidence=f"record {cut.table.times[0]} to {cut.table.times[-1]}",
        next_command="shorten --seq_len, or move --train_until and --validation_until",
        figures={"split": name},
    )
