"""Series: what a forecast learns from. Any file with a time axis, laid on regular steps, gaps left open.

T rows, V channels. Read are a prepared table of ours (each region is a series), a CSV with a date column and numeric
columns, NetCDF files whose variables have a time axis alone (files of one folder with the same variables are one
series), ZIP archives of such CSV files, and a folder of all these.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from data_provider.fill_values import find_fill_value
from data_provider.row_checks import counted
from utils.errors import DataError


@dataclass(frozen=True, kw_only=True)
class Series:
    """One record of several channels on a regular time axis.

    Attributes:
        name: of the file, with the region behind it where there are regions.
        times: `(T,)` datetime64[s], one step apart.
        channels: `V` names.
        values: `(T, V)` float32, NaN where nothing was measured.
        source: the file, or the folder of the files.
        is_synthetic: made data, which must never pass for measurements.
        is_era5: what is made of it has to name its source.
        notes: what its rows were like in the file, as counts.
    """

    name: str
    times: np.ndarray
    channels: tuple[str, ...]
    values: np.ndarray
    source: Path
    is_synthetic: bool = False
    is_era5: bool = False
    notes: dict[str, Any] = field(default_factory=dict)

    @property
    def step(self) -> np.timedelta64:
        """Time between two rows."""
        return self.times[1] - self.times[0]


def lay(
    name: str, times: np.ndarray, channels: tuple[str, ...], values: np.ndarray, source: Path, **given: Any
) -> Series:
    """Lay rows on a regular time axis: times without a row stay open, and so do marks for "missing".

    Rows of one time that say the same are one row; where they contradict each other, the cells concerned stay open.

    Args:
        name: of the series.
        times: `(N,)` datetime64[s] in any order.
        channels: `V` names.
        values: `(N, V)` float32.
        source: for messages.
        **given: further attributes of the series.

    Raises:
        DataError: ``TIME_GAP`` the times do not stand on equal steps; ``DATA_INF`` a value is infinite.
    """
    order = np.argsort(times, kind="stable")
    times, values = times[order], values[order]
    _require_finite_or_missing(times, channels, values, source)
    axis, row = _axis(times, source)
    laid = np.full((len(axis), len(channels)), np.nan, np.float32)
    first = np.concatenate([[True], np.diff(row) > 0])
    laid[row[first]] = values[first]
    contradicting = 0
    for again in np.flatnonzero(~first):
        before, now = laid[row[again]], values[again]
        wrong = ~((before == now) | (np.isnan(before) & np.isnan(now)))
        laid[row[again], wrong] = np.nan
        contradicting += int(wrong.sum())
    notes = {
        "rows": len(axis),
        "rows_absent": len(axis) - int(first.sum()),
        "rows_repeated": int((~first).sum()),
        "cells_contradicting": contradicting,
        "fill_values": _open_fill_values(laid, channels),
        "cells_missing": int(np.isnan(laid).sum()),
    }
    return Series(name=name, times=axis, channels=channels, values=laid, source=source, notes=notes, **given)


def _axis(times: np.ndarray, source: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return the regular axis and, for each of the sorted times, its place on it."""
    gaps = np.diff(np.unique(times))
    if not len(gaps):
        raise DataError(
            "DATA_TABLE",
            "A series needs at least two times.",
            where=str(source),
            evidence=counted(len(np.unique(times)), "time"),
            next_command=f"--exclude_series '{source.name}', or a file with more rows",
        )
    steps, counts = np.unique(gaps, return_counts=True)
    step = steps[np.argmax(counts)]
    off = (times - times[0]) % step != np.timedelta64(0, "s")
    if off.any():
        at = int(np.argmax(off))
        raise DataError(
            "TIME_GAP",
            "The times of a series do not stand on equal steps.",
            where=f"{source}, {times[at]}",
            evidence=f"the usual step is {step}; {int(off.sum())} of {len(times)} times lie between the steps",
            next_command=f"mend the times of the file, or leave it out: --exclude_series '{source.name}'",
        )
    axis = np.arange(times[0], times[-1] + step, step)
    return axis, ((times - times[0]) // step).astype(np.int64)


def _require_finite_or_missing(times: np.ndarray, channels: tuple[str, ...], values: np.ndarray, source: Path) -> None:
    wrong = np.isinf(values)
    if not wrong.any():
        return
    row, column = np.argwhere(wrong)[0]
    raise DataError(
        "DATA_INF",
        "A value is infinite, or too large for single precision.",
        where=f"{source}, column {channels[column]}, {times[row]}",
        evidence=f"{int(wrong.sum())} infinite values in {len(values)} rows",
        next_command=f"leave such cells blank in the file, or leave it out: --exclude_series '{source.name}'",
    )


def _open_fill_values(values: np.ndarray, channels: tuple[str, ...]) -> dict[str, str]:
    """Open the cells that hold a mark for "missing", such as -9999; return channel -> what was found."""
    found = {}
    for number, channel in enumerate(channels):
        column = values[:, number]
        fill = find_fill_value(column)
        if fill is not None:
            column[column == np.float32(fill.value)] = np.nan
            found[channel] = f"{fill} in {fill.count} cells"
    return found
