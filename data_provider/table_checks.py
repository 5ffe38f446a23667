"""Everything that can be said of a table before it is cut into windows, as findings.

R regions, T times, C features.
"""

from __future__ import annotations

import numpy as np

from data_provider.cleaning import CleaningConfig
from data_provider.column_statistics import ColumnStatistics, describe
from data_provider.gap_checks import inside_record, inspect_gaps
from data_provider.rain_table import RainTable
from data_provider.row_checks import counted, inspect_rows, listed
from data_provider.unit_checks import inspect_units
from data_provider.windows import index_of, touching
from utils.findings import Finding


def inspect_table(
    table: RainTable, clean: CleaningConfig, *, context_length: int | None = None, stride_hours: int = 1
) -> list[Finding]:
    """List what is wrong with a table, whatever the windows will be.

    Args:
        table: as `read_table_leniently` returns it.
        clean: its `drop_bad_windows` makes faults of single rows and gaps handled ones.
        context_length: L in rows; with it a gap says how many windows it costs.
        stride_hours: hours between windows.

    Returns:
        findings TIME_UNSORTED, TIME_DUPLICATE, LABEL_RANGE, DATA_INF, TIME_GAP and DATA_RANGE; DATA_NAN as information,
        since only the flags and the windows decide whether blanks do harm.
    """
    statistics = describe(table.values, table.present)
    lost = None if context_length is None else _windows_lost_to_gaps(table, context_length, stride_hours)
    return [
        *inspect_rows(table, drop_bad_windows=clean.drop_bad_windows),
        *inspect_gaps(table, drop_bad_windows=clean.drop_bad_windows, windows=lost),
        *inspect_units(table, statistics),
        *_blanks(table, statistics),
    ]


def _windows_lost_to_gaps(table: RainTable, context_length: int, stride_hours: int) -> tuple[int, int]:
    record = inside_record(table.present)
    index = index_of(table, context_length, stride_hours, present=record)
    return int(touching(~table.present, index, context_length).sum()), len(index)


def _blanks(table: RainTable, statistics: ColumnStatistics) -> list[Finding]:
    """Count the missing values of each column, with the first of them in each region."""
    blank = {name: int(statistics.missing[column]) for column, name in enumerate(table.features)}
    found = {name: count for name, count in blank.items() if count}
    if not found:
        return []
    rows = np.isnan(table.values).any(axis=-1) & table.present
    regions = blank_regions(table, rows)
    first = next(iter(regions.values()))
    return [
        Finding(
            code="DATA_NAN",
            severity="information",
            what=f"{counted(sum(found.values()), 'value is', 'values are')} missing in {int(rows.sum())} of "
            f"{counted(statistics.rows, 'row')}.",
            where=f"{table.source}, {listed(list(found))}, first in region {next(iter(regions))} at {first['first']}",
            evidence=listed([f"{name} {count}" for name, count in found.items()]),
            figures={"columns": found, "rows": int(rows.sum()), "regions": regions},
        )
    ]


def blank_regions(table: RainTable, rows: np.ndarray) -> dict[str, dict[str, int | str]]:
    """Say of each region how many of its rows are marked, and where the first and the last of them stand.

    Args:
        table: as read.
        rows: `(R, T)` marked rows.
    """
    said: dict[str, dict[str, int | str]] = {}
    for region in np.flatnonzero(rows.any(axis=1)):
        at = np.flatnonzero(rows[region])
        said[table.regions[region]] = {
            "rows": len(at),
            "first": table.place(int(region), int(at[0])),
            "last": table.place(int(region), int(at[-1])),
        }
    return said
