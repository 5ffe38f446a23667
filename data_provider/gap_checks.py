"""Hours that a region's record lacks between its first and its last row, and the windows they cost.

R regions, T times, N windows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from data_provider.rain_table import RainTable
from data_provider.row_checks import SHOWN, counted, listed
from utils.findings import Finding


@dataclass(frozen=True, kw_only=True)
class RegionGap:
    """Rows missing from the record of one region: positions `first` to `last` on the time axis."""

    region: int
    first: int
    last: int

    @property
    def n_rows(self) -> int:
        """How many rows are missing."""
        return self.last - self.first + 1


def inside_record(present: np.ndarray) -> np.ndarray:
    """Mark the rows from the first to the last row of each region, `(R, T)`, whether they are there or not."""
    begun = np.maximum.accumulate(present, axis=1)
    not_over = np.maximum.accumulate(present[:, ::-1], axis=1)[:, ::-1]
    return begun & not_over


def gaps_of(present: np.ndarray) -> list[RegionGap]:
    """List the gaps inside the record of each region, in the order of region and time."""
    gaps = []
    for region, absent in enumerate(inside_record(present) & ~present):
        edges = np.flatnonzero(np.diff(np.concatenate([[False], absent, [False]]).astype(np.int8)))
        gaps += [
            RegionGap(region=region, first=int(first), last=int(end) - 1)
            for first, end in zip(edges[::2], edges[1::2], strict=True)
        ]
    return gaps


def inspect_gaps(
    table: RainTable, *, drop_bad_windows: bool = False, windows: tuple[int, int] | None = None
) -> list[Finding]:
    """Say which hours are absent inside the record of a region.

    Args:
        table: as read.
        drop_bad_windows: whether the windows that touch them are left out, so that they are handled.
        windows: how many windows the gaps cost, and how many there would be without gaps.

    Returns:
        one finding TIME_GAP, or none.
    """
    gaps = gaps_of(table.present)
    if not gaps:
        return []
    n_rows = sum(gap.n_rows for gap in gaps)
    longest = max(gaps, key=lambda gap: gap.n_rows)
    lost = (
        ""
        if windows is None
        else f"; {windows[0]} of {counted(windows[1], 'window')} {'touches' if windows[0] == 1 else 'touch'} a gap"
    )
    return [
        Finding(
            code="TIME_GAP",
            severity="handled" if drop_bad_windows else "error",
            what=f"{counted(n_rows, 'row is', 'rows are')} absent inside the record, in {counted(len(gaps), 'gap')}; "
            "no window may cross one.",
            where=f"{table.source}, {_where(table, gaps)}",
            evidence=f"longest {counted(longest.n_rows, 'row')} ({longest.n_rows * table.step_hours} h) in region "
            f"{table.regions[longest.region]} from {table.times[longest.first]} to {table.times[longest.last]}"
            f"{_blank_rows(table, gaps)}{lost}",
            next_command="--drop_bad_windows (leaves these windows out), or add the files of that time and prepare "
            "the table again",
            figures={
                "rows": n_rows,
                "gaps": [
                    {
                        "region": table.regions[gap.region],
                        "first": str(table.times[gap.first]),
                        "last": str(table.times[gap.last]),
                        "rows": gap.n_rows,
                    }
                    for gap in gaps[:SHOWN]
                ],
                "n_gaps": len(gaps),
                "longest_rows": longest.n_rows,
                "windows_lost": None if windows is None else windows[0],
                "windows": None if windows is None else windows[1],
            },
        )
    ]


def _where(table: RainTable, gaps: Sequence[RegionGap]) -> str:
    """Name the gaps by time, and the regions that have them."""
    by_time: dict[tuple[int, int], list[int]] = {}
    for gap in gaps:
        by_time.setdefault((gap.first, gap.last), []).append(gap.region)
    said = []
    for (first, last), regions in by_time.items():
        everywhere = len(regions) == len(table.regions) > 1
        names = "all regions" if everywhere else "region " + listed([table.regions[number] for number in regions])
        said.append(f"{table.times[first]} to {table.times[last]} in {names}")
    return listed(said, shown=3)


def _blank_rows(table: RainTable, gaps: Sequence[RegionGap]) -> str:
    """Say how many of the absent rows stand in the file, but blank in every feature."""
    lines = table.notes.lines
    if lines is None:
        return ""
    blank = sum(int((lines[gap.region, gap.first : gap.last + 1] > 0).sum()) for gap in gaps)
    return f"; {blank} of them stand in the file, blank in every feature" if blank else ""
