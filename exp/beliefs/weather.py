"""The data of the measurements: synthetic weather of five regions, made in the process, SYNTHETIC from end to end.

Two views of it. `weeks`: hourly, clean, a week a window, something to learn. `case`: the case at a third of its size -
twelve-hourly rows, lag columns that leave six blank rows at the head of each region, regions stacked one after another.

Axes: R regions, T times, C columns, N windows, B batch, L time steps.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch

from data_provider.synthetic_weather import LATITUDE, generate
from exp.beliefs.row import Sizes

REGION_COLUMNS = slice(2, 7)
N_REGIONS = 5
START = np.datetime64("2019-01-01T00", "h")
RAIN_MM = 0.5
TRAINING_SHARE = 0.7
WEEK_HOURS, WEEK_STRIDE = 168, 6
CASE_STEP_HOURS = 12
# The case itself: rows of a region, blank rows at its head, training rows, time steps of a window.
CASE_ROWS, CASE_BLANK, CASE_TRAINING, CASE_CONTEXT = 2190, 6, 7664, 1440


@dataclass(frozen=True)
class Windows:
    """Windows of a table.

    Attributes:
        table: `(rows, C)` float32.
        starts: `(N,)` first row of each window.
        labels: `(N,)` class, rain or none.
        length: L.
    """

    table: torch.Tensor
    starts: torch.Tensor
    labels: torch.Tensor
    length: int

    def __len__(self) -> int:
        return len(self.starts)

    def inputs(self, ids: torch.Tensor) -> torch.Tensor:
        """Gather windows `(B, L, C)`."""
        return self.table[self.starts[ids][:, None] + torch.arange(self.length)]

    def with_table(self, table: torch.Tensor) -> Windows:
        """The same windows of another table."""
        return replace(self, table=table)

    def missing(self) -> torch.Tensor:
        """`(N,)` True for windows that hold a missing value."""
        count = torch.cat([torch.zeros(1), self.table.isnan().any(dim=1).float().cumsum(0)])
        return count[self.starts + self.length] > count[self.starts]

    def some(self, mask: torch.Tensor) -> Windows:
        """The windows where `mask` `(N,)` is True."""
        return replace(self, starts=self.starts[mask], labels=self.labels[mask])


@lru_cache(maxsize=2)
def regional(days: int) -> tuple[tuple[str, ...], np.ndarray]:
    """Hourly area means of five longitude columns: names and `(T, R, C)`."""
    fields = generate(START + np.arange(24 * days), 0)
    weight = np.cos(np.deg2rad(LATITUDE))
    means = [np.average(field[:, :, REGION_COLUMNS], axis=1, weights=weight) for field in fields.values()]
    return tuple(fields), np.stack(means, axis=-1)


@lru_cache(maxsize=2)
def cells(days: int) -> tuple[tuple[str, ...], np.ndarray]:
    """The same weather cell by cell, where rain is not yet averaged: names and `(T, cells, C)`."""
    fields = generate(START + np.arange(24 * days), 0)
    flat = [field.reshape(len(field), -1) for field in fields.values()]
    return tuple(fields), np.stack(flat, axis=-1)


def next_day_rain_mm(days: int) -> np.ndarray:
    """Rain of the 24 hours after each hour in millimetres, `(T, R)`; NaN at the end."""
    names, values = regional(days)
    return following_day_mm(values[..., names.index("tp")])


def following_day_mm(tp: np.ndarray) -> np.ndarray:
    """Rain of the 24 hours after each hour in millimetres, of hourly rain `(T, ...)` in metres; NaN at the end."""
    total = np.cumsum(tp * 1000.0, axis=0)
    rain = np.full(total.shape, np.nan)
    rain[:-24] = total[24:] - total[:-24]
    return rain


@lru_cache(maxsize=2)
def weeks(sizes: Sizes) -> tuple[Windows, Windows]:
    """Clean hourly windows of a week, scaled: training and, later in time, validation."""
    names, values = regional(sizes.days)
    n_times = len(values)
    cut = int(TRAINING_SHARE * n_times)
    training = values[:cut].reshape(-1, len(names))
    scaled = (values - training.mean(axis=0)) / training.std(axis=0)
    table = torch.from_numpy(scaled.transpose(1, 0, 2).reshape(-1, len(names)).astype(np.float32))
    label = (next_day_rain_mm(sizes.days) >= RAIN_MM).T.reshape(-1)

    def between(first: int, last: int) -> Windows:
        ends = np.arange(first + WEEK_HOURS - 1, last - 24, WEEK_STRIDE)
        rows = (np.arange(N_REGIONS)[:, None] * n_times + ends).reshape(-1)
        labels = torch.from_numpy(label[rows].astype(np.int64))
        return Windows(table, torch.from_numpy(rows + 1 - WEEK_HOURS), labels, WEEK_HOURS)

    return between(0, cut), between(cut, n_times)


@dataclass(frozen=True)
class Case:
    """The case at a third of its size.

    Attributes:
        columns: names of the columns.
        raw: `(rows, C)` float64, regions stacked, blank rows at the head of each.
        training_rows: rows that the split by row gives to training.
        dirty: scaled training windows, blank rows and all.
        clean: the same without the blank rows.
        rows_per_region: rows of each region.
    """

    columns: tuple[str, ...]
    raw: np.ndarray
    training_rows: int
    dirty: Windows
    clean: Windows
    rows_per_region: int


@lru_cache(maxsize=2)
def case(sizes: Sizes) -> Case:
    """Build the case: lags, blank rows, stacked regions, scaling that passes NaN through."""
    columns, table = _lagged(sizes.days)
    n_times = len(table)
    raw = table.transpose(1, 0, 2).reshape(-1, len(columns))
    rain = next_day_rain_mm(sizes.days)[CASE_STEP_HOURS - 1 :: CASE_STEP_HOURS]
    label = (rain >= RAIN_MM).T.reshape(-1)
    rows = int(TRAINING_SHARE * len(raw))
    whole = ~np.isnan(raw).any(axis=1)
    # The same share of a region's rows as in the case, in five whole tokens.
    context = CASE_CONTEXT * n_times // CASE_ROWS // 5 * 5
    return Case(
        columns,
        raw,
        rows,
        _stacked(scaled(raw[:rows]), label[:rows], context),
        _stacked(scaled(raw[:rows][whole[:rows]]), label[:rows][whole[:rows]], context),
        n_times,
    )


def scaled(rows: np.ndarray) -> np.ndarray:
    """Standardise columns of `(N, C)`, passing NaN through."""
    return (rows - np.nanmean(rows, axis=0)) / np.nanstd(rows, axis=0)


def _stacked(rows: np.ndarray, label: np.ndarray, context: int) -> Windows:
    starts = np.arange(len(rows) - context)
    labels = torch.from_numpy(label[starts + context - 1].astype(np.int64))
    return Windows(torch.from_numpy(rows.astype(np.float32)), torch.from_numpy(starts), labels, context)


def _lagged(days: int) -> tuple[tuple[str, ...], np.ndarray]:
    """Twelve-hourly features with lags, `(T, R, C)`; the week-long rolling columns are left out, as in the case."""
    import xarray as xr  # not at import: training never loads it

    from data_provider.features import CASE_NAMES, make_features

    names, hourly = regional(days)
    rows = hourly[CASE_STEP_HOURS - 1 :: CASE_STEP_HOURS].astype(np.float64)
    rows[..., names.index("tp")] = hourly[..., names.index("tp")].reshape(len(rows), CASE_STEP_HOURS, -1).sum(axis=1)
    times = np.datetime64("2019-01-01T00", "ns") + np.arange(len(rows)) * np.timedelta64(CASE_STEP_HOURS, "h")
    dataset = xr.Dataset(
        {name: (("time", "region"), rows[..., number]) for number, name in enumerate(names)},
        coords={"time": times, "region": [f"region {number}" for number in range(N_REGIONS)]},
    )
    columns = tuple(name for name in CASE_NAMES if "rolling" not in name)
    made = make_features(dataset, columns)
    return columns, np.stack([made[name].values for name in columns], axis=-1).astype(np.float64)


def share_of_windows_with_blanks(context: int) -> float:
    """Share of the windows of the case, at its full size, that hold one of its blank rows."""
    blank = np.zeros(N_REGIONS * CASE_ROWS, bool)
    for region in range(N_REGIONS):
        blank[region * CASE_ROWS : region * CASE_ROWS + CASE_BLANK] = True
    count = np.concatenate([[0], np.cumsum(blank[:CASE_TRAINING])])
    starts = np.arange(CASE_TRAINING - context)
    return float((count[starts + context] > count[starts]).mean())
