"""What is wrong with single rows of a table: not in order, twice there, infinite, with a label that is no class.

R regions, T times, C features.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from utils.findings import Finding, Severity

if TYPE_CHECKING:
    from data_provider.rain_table import RainTable

LEAVE_OUT = "--drop_bad_windows (leaves the windows that touch them out)"
SHOWN = 5


def inspect_rows(table: RainTable, *, drop_bad_windows: bool = False) -> list[Finding]:
    """List what is wrong with the rows of a table.

    Args:
        table: as `read_table_leniently` returns it.
        drop_bad_windows: whether windows that touch such rows are left out, so that they are handled.

    Returns:
        findings TIME_UNSORTED, TIME_DUPLICATE, LABEL_RANGE, DATA_INF.
    """
    severity: Severity = "handled" if drop_bad_windows else "error"
    return [
        *_unsorted(table),
        *_equal_duplicates(table),
        *_contradictions(table, severity),
        *_wrong_labels(table, severity),
        *_infinite(table, severity),
    ]


def bad_rows(table: RainTable) -> dict[str, np.ndarray]:
    """Mark the rows that no window may touch, `(R, T)` each: contradicting ones and those with an infinite value."""
    contradicting = np.zeros(table.present.shape, bool)
    repeated = table.notes.repeated
    wrong = repeated.contradicts
    contradicting[repeated.region[wrong], np.searchsorted(table.times, repeated.time[wrong])] = True
    return {"contradicting_rows": contradicting, "infinite_values": np.isinf(table.values).any(axis=-1)}


def listed(names: list[str], shown: int = SHOWN) -> str:
    """Name the first few of a list and count the rest."""
    return ", ".join(names[:shown]) + (f" and {len(names) - shown} more" if len(names) > shown else "")


def counted(number: int, one: str, many: str = "") -> str:
    """Say how many there are: "1 row", "2 rows"; `many` where the plural takes more than an s."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def _unsorted(table: RainTable) -> list[Finding]:
    notes = table.notes
    if notes.first_unsorted is None:
        return []
    region, time, line = notes.first_unsorted
    return [
        Finding(
            code="TIME_UNSORTED",
            severity="handled",
            what=f"{counted(notes.n_unsorted, 'row is', 'rows are')} older than the row before in the region; sorted.",
            where=f"{table.source}, first in region {table.regions[region]} at {time}{_in_line(line)}",
            evidence=f"{counted(notes.n_unsorted, 'step')} back in time",
            figures={"rows": notes.n_unsorted, "region": table.regions[region], "time": str(time), "line": line},
        )
    ]


def _equal_duplicates(table: RainTable) -> list[Finding]:
    repeated = table.notes.repeated
    equal = np.flatnonzero(~repeated.contradicts)
    if not len(equal):
        return []
    first = equal[0]
    region, time = table.regions[repeated.region[first]], repeated.time[first]
    return [
        Finding(
            code="TIME_DUPLICATE",
            severity="handled",
            what=f"{counted(len(equal), 'row stands', 'rows stand')} there twice with equal values; merged.",
            where=f"{table.source}, first in region {region} at {time}{_in_line(repeated.line[first])}",
            evidence=f"equal to the row{_in_line(repeated.first_line[first])}" if repeated.line[first] else "",
            figures={"rows": len(equal), "region": region, "time": str(time), "contradicting": False},
        )
    ]


def _contradictions(table: RainTable, severity: Severity) -> list[Finding]:
    repeated = table.notes.repeated
    wrong = np.flatnonzero(repeated.contradicts)
    if not len(wrong):
        return []
    first = wrong[0]
    region, time = table.regions[repeated.region[first]], repeated.time[first]
    return [
        Finding(
            code="TIME_DUPLICATE",
            severity=severity,
            what=f"{counted(len(wrong), 'row repeats', 'rows repeat')} a time of the same region with other values.",
            where=f"{table.source}, first in region {region} at {time}{_in_line(repeated.line[first])}",
            evidence=f"{repeated.first_difference}; the first row with this time"
            f"{_in_line(repeated.first_line[first]) or ' comes before it'}",
            next_command=f"keep the right one of the rows, or {LEAVE_OUT}",
            figures={"rows": len(wrong), "region": region, "time": str(time), "contradicting": True},
        )
    ]


def _wrong_labels(table: RainTable, severity: Severity) -> list[Finding]:
    wrong = table.notes.wrong_labels
    if not len(wrong.value):
        return []
    values, counts = np.unique(wrong.value, return_counts=True)
    region, time = table.regions[wrong.region[0]], wrong.time[0]
    shown = [f"{value:g} in {counted(int(count), 'row')}" for value, count in zip(values, counts, strict=True)]
    thresholds = ", ".join(f"{value:g}" for value in table.thresholds_mm)
    return [
        Finding(
            code="LABEL_RANGE",
            severity=severity,
            what=f"{counted(len(wrong.value), 'label is', 'labels are')} none of the {table.n_classes} classes.",
            where=f"{table.source}, column {table.attributes['label_name']}, first in region {region} at {time}"
            f"{_in_line(wrong.line[0])}",
            evidence=f"value {listed(shown)}; classes are 0 to {table.n_classes - 1} (thresholds {thresholds} mm), "
            "blank where it is not known yet",
            next_command="leave the cell blank where the rain is not known; for more classes write threshold_mm into "
            f"the .json beside the table; or {LEAVE_OUT}",
            figures={
                "rows": len(wrong.value),
                "values": {f"{value:g}": int(count) for value, count in zip(values, counts, strict=True)},
                "lines": wrong.line[:SHOWN].tolist(),
                "region": region,
                "time": str(time),
            },
        )
    ]


def _infinite(table: RainTable, severity: Severity) -> list[Finding]:
    infinite = np.isinf(table.values)
    if not infinite.any():
        return []
    region, row, column = np.nonzero(infinite)
    counts = np.bincount(column, minlength=len(table.features))
    found = {table.features[number]: int(counts[number]) for number in np.flatnonzero(counts)}
    n_rows = int(infinite.any(axis=-1).sum())
    first = f"column {table.features[column[0]]}, first in region {table.regions[region[0]]} at"
    return [
        Finding(
            code="DATA_INF",
            severity=severity,
            what=f"{counted(len(row), 'value is', 'values are')} infinite; one is enough to spoil "
            "the scaling of its column.",
            where=f"{table.source}, {first} {table.place(region[0], row[0])}",
            evidence=f"{listed([f'{name} {count}' for name, count in found.items()])}; {counted(n_rows, 'row')}",
            next_command=f"find the division by zero that made them, leave these cells blank, or {LEAVE_OUT}",
            figures={
                "columns": found,
                "rows": n_rows,
                "regions": [table.regions[number] for number in np.unique(region)],
                "times": [str(table.times[number]) for number in np.unique(row)[:SHOWN]],
            },
        )
    ]


def _in_line(line: int) -> str:
    return f" (line {line})" if line else ""
