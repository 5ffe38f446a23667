"""Are the data what a model can learn from? Table, labels, splits and windows, all findings at once."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from data_provider.cutting import CutTable, cut_table
from data_provider.factory import Splits, place_table, splits_of
from data_provider.rain_table import RainTable, read_table_leniently
from data_provider.split_checks import describe_columns, inspect_splits, told_once
from data_provider.splits import TEST, TRAIN, VALIDATION
from data_provider.table_checks import inspect_table
from data_provider.windows import WindowSet
from exp.diagnosis.report import Answer, Check, MissingMap
from exp.rain_splits import with_targets
from exp.settings import Settings
from utils.errors import DataError
from utils.findings import Finding

SLICES = 73
ABSENT = "(no row)"
SCALED = {"minimum": "low", "maximum": "high", "mean": "mean", "deviation": "deviation"}


@dataclass
class DataReport:
    """What was seen of the data.

    Attributes:
        check: the answer.
        findings: errors first.
        splits: the windows, where all of them can be used.
        cut: the table cut into windows, None where it cannot be.
        ranges: one row per variable, the target last.
        missing: for the picture.
    """

    check: Check
    findings: list[Finding] = field(default_factory=list)
    splits: Splits | None = None
    cut: CutTable | None = None
    ranges: list[dict[str, Any]] = field(default_factory=list)
    missing: MissingMap | None = None

    @property
    def errors(self) -> list[Finding]:
        """The findings for which the run must not start."""
        return [finding for finding in self.findings if finding.severity == "error"]


def examine(settings: Settings, context_length: int, device: torch.device) -> DataReport:
    """Read the table and look at everything the windows will be made of."""
    started = time.monotonic()
    try:
        table = read_table_leniently(settings.data.path)
    except DataError as error:
        answer: Answer = "not checked" if error.code == "DATA_MISSING" else "guilty"
        return DataReport(Check("data", answer, f"{error.code}: {error.what}"), [Finding.from_error(error)])
    report = DataReport(Check("data", "innocent", ""), missing=missing_map(table))
    stride, batch_size = settings.data.sample_stride_hours, settings.trainer.batch_size
    found = inspect_table(table, settings.cleaning, context_length=context_length, stride_hours=stride)
    try:
        report.cut = cut_table(
            table,
            settings.split,
            settings.cleaning,
            settings.scaling,
            context_length=context_length,
            stride_hours=stride,
            lead_times=settings.data.lead_times,
        )
    except DataError as error:
        found.append(Finding.from_error(error))
    else:
        found += inspect_splits(report.cut, settings.cleaning, batch_size=batch_size, of_amounts=settings.is_regression)
        report.ranges = _ranges(describe_columns(report.cut))
    order = ("error", "warning", "handled", "information")
    report.findings = sorted(told_once(found), key=lambda finding: order.index(finding.severity))
    if report.cut is not None and all(len(report.cut.whole_windows(split)) for split in (TRAIN, VALIDATION, TEST)):
        splits = splits_of(report.cut, device, findings=tuple(report.findings))
        report.splits = with_targets(splits, settings)
    report.check = _answer(report, table, time.monotonic() - started)
    return report


def has_touched(report: DataReport) -> bool:
    """Say whether a window holds a missing value that the flags do not take care of."""
    return report.cut is not None and bool((report.cut.missing & ~report.cut.at_head).any())


def touched_windows(cut: CutTable, device: torch.device, count: int) -> WindowSet:
    """Return a few windows with a missing value that the flags do not take care of, to show what it does to a step."""
    index = cut.index.select(np.flatnonzero(cut.missing & ~cut.at_head)[:count])
    return WindowSet(place_table(cut.values, device), index, cut.context_length, cut.table.regions, device)


def missing_map(table: RainTable) -> MissingMap | None:
    """Return where in time values or whole rows are missing, None where nothing is."""
    slices = min(SLICES, len(table.times))
    edges = np.linspace(0, len(table.times), slices + 1).astype(int)
    blank = np.isnan(table.values) & table.present[..., None]
    names = [name for name, is_blank in zip(table.features, blank.any(axis=(0, 1)), strict=True) if is_blank]
    columns = blank[..., [table.features.index(name) for name in names]].mean(axis=0).T
    absent = (~table.present).mean(axis=0)
    if absent.any():
        names, columns = [*names, ABSENT], np.vstack([columns, absent[None]])
    if not names:
        return None
    share = np.add.reduceat(columns, edges[:-1], axis=1) / np.diff(edges)
    step = np.timedelta64(table.step_hours, "h")
    return MissingMap(share, tuple(names), np.append(table.times, table.times[-1] + step)[edges])


def _answer(report: DataReport, table: RainTable, seconds: float) -> Check:
    cells = f"{len(table.regions)} regions x {len(table.times)} times x {len(table.features)} columns"
    errors = [finding for finding in report.findings if finding.severity == "error"]
    handled = [finding.code for finding in report.findings if finding.severity == "handled"]
    if errors:
        codes = ", ".join(dict.fromkeys(finding.code for finding in errors))
        return Check("data", "guilty", f"{codes}: {errors[0].what}", seconds)
    if handled:
        return Check("data", "handled", f"{cells}; handled by the flags: {', '.join(dict.fromkeys(handled))}", seconds)
    return Check("data", "innocent", f"{cells}, nothing wrong", seconds)


def _ranges(columns: dict[str, Any]) -> list[dict[str, Any]]:
    """Return raw and scaled range of each variable, side by side, and of the target."""
    rows = []
    for name in dict.fromkeys((*columns["scaled_training"], *columns["raw"])):
        raw, scaled = columns["raw"].get(name, {}), columns["scaled_training"].get(name, {})
        row = {"variable": name, "minimum": raw.get("low"), "maximum": raw.get("high"), "missing": raw.get("missing")}
        row |= {f"scaled_{word}": scaled.get(key) for word, key in SCALED.items()}
        rows.append(row)
    target = columns["target"]["precipitation"]
    rows.append(
        {"variable": "target, mm", "minimum": target["low"], "maximum": target["high"], "missing": target["missing"]}
    )
    return rows
