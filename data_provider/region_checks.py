"""Does every region still have windows? One column blank in the first years can make a region vanish.

R regions, T times, N windows.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from data_provider.cutting import CutTable, longest_run
from data_provider.row_checks import counted, listed
from utils.findings import Finding, Severity

# Lags cost the first days of a record; a loss above this share has another cause than lags.
NOTABLE_SHARE = 0.1
# Below this many rows in a row a shorter context is no way out.
FEWEST_ROWS = 96


def inspect_regions(cut: CutTable, *, refused: bool = False) -> list[Finding]:
    """Find regions without windows, and tables or regions that lose a large share of theirs.

    Args:
        cut: the windows.
        refused: whether missing values end the run anyway; then only what the fill drops, the head rows, is counted.

    Returns:
        DATA_NAN as an error for regions whose windows are all lost to missing values, as a warning for large losses;
        CONTEXT_TOO_LONG as a warning for regions that are too short for any window.
    """
    lost = cut.at_head if refused else cut.missing
    n_regions = len(cut.table.regions)
    windows = np.bincount(cut.index.region, minlength=n_regions)
    gone = np.bincount(cut.index.region[lost], minlength=n_regions)
    findings = _too_short(cut, np.flatnonzero(windows == 0))
    vanished = np.flatnonzero((gone == windows) & (windows > 0))
    if len(vanished):
        findings.append(_finding(cut, "error", vanished, gone, windows))
    if refused:
        return findings
    others = (gone < windows) & (gone > NOTABLE_SHARE * windows)
    # A region that vanished is told already; its loss alone is no second message.
    whole = gone.sum() > NOTABLE_SHARE * windows.sum() and not len(vanished)
    if others.any() or whole:
        findings.append(_finding(cut, "warning", np.flatnonzero(others if others.any() else gone > 0), gone, windows))
    return findings


def regions_with_windows(cut: CutTable) -> int:
    """How many regions have a window without a missing value."""
    return len(np.unique(cut.index.region[~cut.missing]))


def _too_short(cut: CutTable, regions: np.ndarray) -> list[Finding]:
    if not len(regions):
        return []
    table = cut.table
    runs = {table.regions[number]: longest_run(table.present[number : number + 1]) for number in regions}
    shortest = min(runs.values())
    return [
        Finding(
            code="CONTEXT_TOO_LONG",
            severity="warning",
            what=f"{counted(len(runs), 'region has', 'regions have')} no window with a known label.",
            where=f"{table.source}, region {listed(list(runs))}",
            evidence="rows in a row: "
            + listed([f"{name} {count}" for name, count in runs.items()])
            + f"; a window takes {cut.context_length}, and its label the {table.lead_time_hours} h after them",
            next_command="add the rows that are missing, or drop the region "
            f"({_without_regions(runs)})" + (f", or --seq_len {shortest // 2}" if shortest >= FEWEST_ROWS else ""),
            figures={"rows_in_a_row": runs, "context": cut.context_length},
        )
    ]


def _finding(cut: CutTable, severity: Severity, regions: np.ndarray, gone: np.ndarray, windows: np.ndarray) -> Finding:
    table = cut.table
    names = [table.regions[number] for number in regions]
    blanks = {table.regions[number]: _blamed(cut, number) for number in regions}
    columns = list(dict.fromkeys(column for counts in blanks.values() for column in counts))
    said = [
        f"{table.regions[number]} {gone[number]} of {counted(int(windows[number]), 'window')} ("
        + listed([f"{column} {count}" for column, count in blanks[table.regions[number]].items()], shown=3)
        + f" of {counted(int(table.present[number].sum()), 'row')} blank)"
        for number in regions
    ]
    all_of_them = severity == "error"
    return Finding(
        code="DATA_NAN",
        severity=severity,
        what=f"{counted(len(names), 'region loses all its windows', 'regions lose all their windows')} to missing "
        "values; nothing would be learned of " + ("it." if len(names) == 1 else "them.")
        if all_of_them
        else f"{100 * gone.sum() / windows.sum():.1f} % of the windows are lost to missing values, "
        + f"most in region {table.regions[regions[np.argmax(gone[regions] / windows[regions])]]}.",
        where=f"{table.source}, region {listed(names)}, column {listed(columns)}",
        evidence=f"{listed(said)}; {gone.sum()} of {counted(int(windows.sum()), 'window')} of the table; "
        f"{regions_with_windows(cut)} of {counted(len(table.regions), 'region')} still "
        + ("has windows" if len(table.regions) == 1 else "have windows"),
        next_command=_way_out(cut, names, columns, regions, may_drop=all_of_them),
        figures={
            "regions": {
                table.regions[number]: {"windows_lost": int(gone[number]), "windows": int(windows[number])}
                for number in regions
            },
            "columns": columns,
            "blank_rows": blanks,
            "windows_lost": int(gone.sum()),
            "windows": int(windows.sum()),
        },
    )


def _blamed(cut: CutTable, region: int) -> dict[str, int]:
    """Count the blank rows of the columns at fault: those with at least half the blanks of the worst one."""
    table = cut.table
    used = [column for column, name in enumerate(table.features) if name not in cut.preprocessing.dropped]
    blank = np.isnan(table.values[region][:, used])[table.present[region]].sum(axis=0)
    blamed = {
        table.features[used[at]]: int(blank[at]) for at in np.flatnonzero((blank > 0) & (2 * blank >= blank.max()))
    }
    return dict(sorted(blamed.items(), key=lambda item: -item[1]))


def _way_out(cut: CutTable, names: list[str], columns: list[str], regions: np.ndarray, *, may_drop: bool) -> str:
    ways = [f"leave {listed(columns)} out of the table (df.drop(columns={columns}))"]
    if may_drop:
        ways.append(f"drop the {'region' if len(names) == 1 else 'regions'} ({_without_regions(names)})")
    if _filling_helps(cut, regions):
        ways.append("--fill forward_then_zero (training mean)")
    return ", or ".join(ways)


def _filling_helps(cut: CutTable, regions: np.ndarray) -> bool:
    """Whether every one of the regions has a lost window behind its first whole row: no fill touches rows before it."""
    head = np.cumsum(~np.isnan(cut.values).any(axis=-1), axis=1) == 0
    behind = cut.missing & ~head.reshape(-1)[cut.index.end - cut.context_length + 1]
    return bool(np.isin(regions, cut.index.region[behind]).all())


def _without_regions(names: Iterable[str]) -> str:
    return f"df[~df['region'].isin({list(names)})]"
