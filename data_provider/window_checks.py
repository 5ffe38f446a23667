"""Do the windows hold what they should: no missing value, one region, the rows before their init time, one split?

R regions, T times, V variables, N windows, L rows of a window.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from data_provider.cleaning import CleaningConfig
from data_provider.cutting import CutTable, longest_run
from data_provider.rain_table import RainTable
from data_provider.region_checks import regions_with_windows
from data_provider.row_checks import counted, listed
from data_provider.splits import AFTER_TEST, NO_SPLIT, SPLIT_NAMES, TRAIN
from data_provider.table_checks import blank_regions
from data_provider.windows import touching
from utils.findings import Finding

# The share of the rows that a loader which knows no regions would take for training.
STACKED_TRAINING_SHARE = 0.7
# A value of two days ago is the oldest that a table of 12-hour steps is advised to repeat.
LONGEST_OFFER_STEPS = 4


def inspect_missing(cut: CutTable, clean: CleaningConfig, batch_size: int | None = None) -> list[Finding]:
    """Say which windows hold missing values, and whether the flags take care of them.

    Args:
        cut: the windows.
        clean: the flags.
        batch_size: windows of a batch, for the share of batches that would be spoiled.

    Returns:
        one finding DATA_NAN, or none.
    """
    raw = np.isnan(cut.table.values) & cut.table.present[..., None]
    if not raw.any() and not cut.missing.any():
        return []
    elsewhere = cut.missing & ~cut.at_head
    refused = bool(elsewhere.any()) and clean.fill != "drop" and not clean.drop_bad_windows
    after = ~np.isfinite(cut.values) & (cut.table.present & ~cut.head)[..., None]
    left, names = (after, cut.preprocessing.variables) if refused else (raw, cut.table.features)
    counts = left.sum(axis=(0, 1))
    columns = {name: int(count) for name, count in zip(names, counts, strict=True) if count}
    rows = left.any(axis=-1)
    touched = elsewhere if refused else cut.missing
    share = float(touched.mean()) if len(touched) else 0.0
    training = touched[cut.assigned == TRAIN]
    share_training = float(training.mean()) if len(training) else 0.0
    stacked = stacked_share(cut.table, cut.context_length) if raw.any() else None
    regions = blank_regions(cut.table, rows)
    figures: dict[str, Any] = {
        "columns": columns,
        "missing_values": int(counts.sum()),
        "rows": int(rows.sum()),
        "regions": regions,
        "windows": len(touched),
        "windows_touched": int(touched.sum()),
        "share_of_windows": share,
        "share_of_training_windows": share_training,
        "share_of_batches": None if batch_size is None else 1 - (1 - share_training) ** batch_size,
        "batch_size": batch_size,
        "rows_after_filling": int(after.any(axis=-1).sum()),
        "windows_over_head_rows": int(cut.at_head.sum()),
        "stacked": stacked,
    }
    region, place = next((name, said["first"]) for name, said in regions.items()) if regions else ("", "")
    return [
        Finding(
            code="DATA_NAN",
            severity="error" if refused else "handled",
            what=f"{100 * share:.1f} % of the windows hold a missing value; one is enough to make an output NaN."
            if refused
            else _handled(cut, figures),
            where=f"{cut.table.source}, {listed(list(columns))}, first in region {region} at {place}",
            evidence=_evidence(figures, refused=refused),
            next_command=_way_out(clean, cut) if refused else "",
            figures=figures,
        )
    ]


def _handled(cut: CutTable, figures: dict[str, Any]) -> str:
    with_windows, of = regions_with_windows(cut), len(cut.table.regions)
    return (
        f"{counted(figures['missing_values'], 'missing value is', 'missing values are')} taken care of; "
        f"{counted(figures['windows_touched'], 'window is', 'windows are')} left out for them"
        + ("." if with_windows == of else f"; {with_windows} of {of} regions still have windows.")
    )


def _way_out(clean: CleaningConfig, cut: CutTable) -> str:
    table = cut.table
    forward = "" if clean.fill.startswith("forward") else "--fill forward"
    longest = _longest_blank(cut)
    if longest and table.step_hours > clean.max_gap_hours:
        steps = min(longest, LONGEST_OFFER_STEPS)
        forward = f"{forward} --max_gap_hours {steps * table.step_hours}".strip() + (
            f" (rows are {table.step_hours} h apart, so {clean.max_gap_hours} h bridges none; this bridges "
            + ("all of them), " if steps == longest else f"{steps} rows, the longest gap has {longest}), ")
        )
    elif forward:
        forward += " (repeat the last value, the default), "
    return (
        f"{forward}--fill forward_then_zero (training mean), --fill drop (leave these windows out), or mend the source "
        "and prepare again"
    )


def _longest_blank(cut: CutTable) -> int:
    """How many rows in a row a column is blank at most; head rows and columns that are not used are passed over."""
    table = cut.table
    head = np.cumsum(~np.isnan(cut.values).any(axis=-1), axis=1) == 0
    used = [name not in cut.preprocessing.dropped for name in table.features]
    blank = np.isnan(table.values[..., used]) & (table.present & ~head)[..., None]
    return longest_run(blank.transpose(0, 2, 1).reshape(-1, len(table.times)))


def _evidence(figures: dict[str, Any], *, refused: bool) -> str:
    said = [
        f"{counted(figures['missing_values'], 'missing value')} in {counted(figures['rows'], 'row')} ("
        + listed([f"{name} {where['rows']}, to {where['last']}" for name, where in figures["regions"].items()], shown=3)
        + ")",
        f"{figures['windows_touched']} of {counted(figures['windows'], 'window')} touched",
    ]
    if refused and figures["share_of_batches"] is not None:
        said.append(
            f"{100 * figures['share_of_training_windows']:.1f} % of those for training, so "
            f"{100 * figures['share_of_batches']:.1f} % of batches of {figures['batch_size']}"
        )
    stacked = figures["stacked"]
    if stacked is not None:
        said.append(
            f"a loader that cuts straight through the rows of the file would touch {100 * stacked['share']:.1f} % "
            f"of its {stacked['windows']} windows"
        )
    return "; ".join(said)


def stacked_share(table: RainTable, context_length: int) -> dict[str, Any] | None:
    """Which share of windows a blank touches when a loader takes the rows of the file for one long series.

    The case did: training on the first 70 % of the rows, one window a row, regions ignored.

    Args:
        table: as read.
        context_length: L in rows.

    Returns:
        rows, windows, touched windows and their share; None for one region or fewer rows than a window holds.
    """
    if len(table.regions) < 2:
        return None
    used = ~np.isnan(table.values).all(axis=(0, 1))
    blank = np.isnan(table.values[..., used]).any(axis=-1)
    lines = table.notes.lines
    if lines is None:
        in_file = blank[table.present]
    else:
        there = lines > 0
        in_file = blank[there][np.argsort(lines[there], kind="stable")]
    n_rows = int(STACKED_TRAINING_SHARE * len(in_file))
    n_windows = n_rows - context_length
    if n_windows < 1:
        return None
    count = np.concatenate([[0], np.cumsum(in_file[:n_rows])])
    touched = int((count[context_length : context_length + n_windows] - count[:n_windows] > 0).sum())
    return {"rows": n_rows, "windows": n_windows, "windows_touched": touched, "share": touched / n_windows}


def verify_windows(cut: CutTable) -> list[Finding]:
    """Check every window against the table: rows of one region, without a gap, up to its init time, label in one split.

    Nothing here uses how the windows were made, so that a mistake there is found.

    Returns:
        findings REGION_CROSS and TIME_GAP; none when all is well.
    """
    table, index = cut.table, cut.index
    n_times = len(table.times)
    first, last = index.end - cut.context_length + 1, index.end
    crosses = (first < 0) | (first // n_times != index.region) | (last // n_times != index.region)
    row = np.clip(last - index.region * n_times, 0, n_times - 1)
    shifted = ~crosses & (table.times[row] != index.init_time)
    foreign = ~crosses & ~shifted & (table.label[index.region, row] != index.label)
    gap = np.zeros_like(crosses) if crosses.any() else touching(~table.present, index, cut.context_length)
    outside = _outside_split(cut)
    findings = []
    for code, wrong, what in (
        ("REGION_CROSS", crosses, ("window holds rows of two regions", "windows hold rows of two regions")),
        ("REGION_CROSS", shifted, ("window does not end at its init time", "windows do not end at their init time")),
        (
            "REGION_CROSS",
            foreign,
            ("window carries the label of another row", "windows carry the label of another row"),
        ),
        (
            "REGION_CROSS",
            outside,
            ("window has a label period out of its split", "windows have a label period out of their split"),
        ),
        ("TIME_GAP", gap, ("window crosses a gap in time", "windows cross a gap in time")),
    ):
        if wrong.any():
            findings.append(_crossing(cut, code, wrong, what))
    return findings


def _outside_split(cut: CutTable) -> np.ndarray:
    """`(N,)` True where the label period of a window is not inside the split it is assigned to."""
    table = cut.table
    begin, finish = cut.ends.train_end, cut.ends.validation_end
    period_end = cut.index.init_time + np.timedelta64(table.lead_time_hours, "h")
    period_start = period_end - np.timedelta64(table.accumulation_hours, "h")
    earliest = np.array([table.times[0], begin, finish])
    latest = np.array([begin, finish, cut.ends.test_end or np.datetime64("9999-01-01T00:00:00")])
    assigned = np.clip(cut.assigned, 0, len(SPLIT_NAMES) - 1)
    inside = (period_start >= earliest[assigned]) & (period_end <= latest[assigned])
    return ~np.isin(cut.assigned, (NO_SPLIT, AFTER_TEST)) & ~inside


def _crossing(cut: CutTable, code: str, wrong: np.ndarray, what: tuple[str, str]) -> Finding:
    number = int(np.argmax(wrong))
    region, init_time = cut.table.regions[cut.index.region[number]], cut.index.init_time[number]
    return Finding(
        code=code,
        severity="error",
        what=f"{counted(int(wrong.sum()), *what)}.",
        where=f"{cut.table.source}, first: region {region}, init time {init_time}",
        evidence=f"{int(wrong.sum())} of {counted(len(wrong), 'window')} of {cut.context_length} rows; "
        f"window ends in row {cut.index.end[number]} of {cut.table.present.size}",
        next_command="this is a fault of the program: please report it with this message",
        figures={
            "windows": int(wrong.sum()),
            "of": len(wrong),
            "region": region,
            "init_time": str(init_time),
            "end_row": int(cut.index.end[number]),
        },
    )
