"""Can something be learned from the labels of each split?"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from data_provider.cutting import CutTable
from data_provider.lead_times import index_at
from data_provider.rain_table import RainTable
from data_provider.splits import SPLIT_NAMES
from data_provider.windows import WindowIndex
from utils.findings import Finding


def inspect_classes(cut: CutTable, *, with_missing: bool = False) -> list[Finding]:
    """Find splits without windows, with one class only, or on one side of one of several thresholds.

    Args:
        cut: the windows.
        with_missing: count windows with missing values too, when these are refused and not left out.

    Returns:
        findings SPLIT_EMPTY and ONE_CLASS, one a split at most; the latter is a warning where other thresholds have
        both classes: the scores of that threshold are undefined there, and the rest is made.
    """
    findings = []
    for number, name in enumerate(SPLIT_NAMES):
        index = cut.index.select(cut.assigned == number) if with_missing else cut.whole_windows(number)
        counts = class_counts(cut, index)
        if (np.array(counts) > 0).sum() < 2:
            findings.append(_finding(cut, name, counts, index))
        elif one_sided := _one_sided(cut, counts):
            findings.append(_of_some_thresholds(cut, name, counts, one_sided))
    return findings + [found for table in cut.further for found in _at_lead(cut, table, with_missing=with_missing)]


def _at_lead(cut: CutTable, table: RainTable, *, with_missing: bool) -> list[Finding]:
    """Find the same at a further lead time, and say which it is."""
    alone = replace(cut, table=table, index=index_at(table, cut.index), further=())
    return [
        replace(found, where=f"{found.where}, {table.lead_time_hours} h ahead (--lead_times)")
        for found in inspect_classes(alone, with_missing=with_missing)
    ]


def class_counts(cut: CutTable, index: WindowIndex) -> list[int]:
    """Number of windows of each class."""
    return np.bincount(index.label, minlength=cut.table.n_classes).tolist()


def _finding(cut: CutTable, name: str, counts: list[int], index: WindowIndex) -> Finding:
    table = cut.table
    thresholds = ", ".join(f"{value:g}" for value in table.thresholds_mm)
    likely = _likely_fault(table.thresholds_mm, index) if len(index) else ""
    return Finding(
        code="ONE_CLASS" if len(index) else "SPLIT_EMPTY",
        severity="error",
        what=f"The {name} split has {'one class only' if len(index) else 'no windows'}.",
        where=str(table.source),
        evidence=f"class counts {counts}, threshold {thresholds} mm, record {table.times[0]} to {table.times[-1]}"
        + (f"; {likely}" if likely else ""),
        next_command="check the threshold (millimetres) and the units of tp, shorten --seq_len, or move "
        "--train_until and --validation_until",
        figures={
            "split": name,
            "counts": counts,
            "threshold_mm": list(table.thresholds_mm),
            "likely": likely,
        },
    )


def _one_sided(cut: CutTable, counts: list[int]) -> dict[float, str]:
    """Return those of several thresholds that always or never are reached, in millimetres, and which of the two."""
    total, reached = sum(counts), np.cumsum(counts[::-1])[::-1][1:]
    return {
        threshold: "always" if number else "never"
        for threshold, number in zip(cut.table.thresholds_mm, reached, strict=True)
        if number in (0, total)
    }


def _of_some_thresholds(cut: CutTable, name: str, counts: list[int], one_sided: dict[float, str]) -> Finding:
    said = ", ".join(f"{threshold:g} mm is {often} reached" for threshold, often in one_sided.items())
    return Finding(
        code="ONE_CLASS",
        severity="warning",
        what=f"The {name} split has one class only of a threshold: {said}. Its scores there are undefined; the rest "
        "is made.",
        where=str(cut.table.source),
        evidence=f"class counts {counts}, thresholds {', '.join(f'{t:g}' for t in cut.table.thresholds_mm)} mm",
        next_command="prepare with other --threshold_mm, or move --train_until and --validation_until",
        figures={"split": name, "counts": counts, "thresholds_mm": list(one_sided)},
    )


def _likely_fault(thresholds_mm: tuple[float, ...], index: WindowIndex) -> str:
    """Say which unit would explain that all windows have one class."""
    amounts = index.precipitation_mm[np.isfinite(index.precipitation_mm)]
    if not len(amounts):
        return "the table has no rain amounts to compare the threshold with"
    least, most, threshold = float(amounts.min()), float(amounts.max()), thresholds_mm[0]
    said = f"rain of {least:.3g} to {most:.3g} mm in the label period"
    if most < threshold <= 1000 * most:
        return f"{said}: likely in metres, or the threshold is too high"
    if least < threshold <= most:
        return f"{said} on both sides of the threshold: the labels were not made from these amounts"
    if least >= threshold:
        return f"{said}, never below the threshold: likely given in metres instead of millimetres, or too low"
    return said
