"""The table as the notes read it: regions stacked one after another, cut into windows as if they were one series.

Nothing here is how this project reads data (see data_provider/windows.py); it is here to show what that reading did.
Letters: R rows, C columns, W windows, L rows of a window, B windows of a batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.preprocessing import StandardScaler

WINDOW_ROWS = 1440
BATCH_WINDOWS = 16
TRAIN_SHARE, VALIDATION_SHARE = 0.7, 0.15
LABEL = "rain_24h"
NOT_FEATURES = ("timestamp", "region", "precipitation", LABEL)


@dataclass(frozen=True)
class StackedTable:
    """Rows of all regions, one region after another.

    Attributes:
        values: `(R, C)` float32, scaled; NaN stays NaN.
        labels: `(R,)` int64, 1 where it rains in the 24 hours after the row.
        columns: C names.
        regions: names, in the order they are stacked.
        heads: first row of each region.
        dropped_rows: rows that the notes' cleaning removed.
        training_rows: the first of all rows, which the notes train on.
    """

    values: torch.Tensor
    labels: torch.Tensor
    columns: tuple[str, ...]
    regions: tuple[str, ...]
    heads: tuple[int, ...]
    dropped_rows: int
    training_rows: int

    @property
    def missing(self) -> np.ndarray:
        """`(R, C)` True where a value is missing."""
        return torch.isnan(self.values).numpy()

    @property
    def blank_rows(self) -> np.ndarray:
        """`(R,)` True for rows with a missing value."""
        return np.asarray(self.missing.any(axis=1))


def read_stacked(path: Path) -> StackedTable:
    """Read and clean a table with the notes' settings.

    Args:
        path: CSV with the columns of docs/data.md.
    """
    frame = pd.read_csv(path)
    features = [name for name in frame.columns if name not in NOT_FEATURES]
    # The notes' cleaning: a row stays when at least half of its features are there, so every blank head row stays.
    kept = frame.dropna(subset=features, thresh=len(features) // 2)
    rows = kept[features].to_numpy(np.float64)
    training_rows = int(TRAIN_SHARE * len(kept))
    # The scaler leaves NaN out of means and deviations and hands it through.
    scaled = StandardScaler().fit(rows[:training_rows]).transform(rows).astype(np.float32)
    region = kept["region"].to_numpy()
    heads = np.flatnonzero(np.concatenate([[True], region[1:] != region[:-1]]))
    return StackedTable(
        values=torch.from_numpy(scaled),
        labels=torch.from_numpy(kept[LABEL].to_numpy(np.int64, copy=True)),
        columns=tuple(features),
        regions=tuple(str(region[row]) for row in heads),
        heads=tuple(int(row) for row in heads),
        dropped_rows=len(frame) - len(kept),
        training_rows=training_rows,
    )


class StackedWindows:
    """Windows of consecutive stacked rows; window w begins at row `starts[w]` and is labelled by its newest row.

    Args:
        table: the stacked rows.
        first: first row that may be part of a window.
        end: row after the last.
    """

    def __init__(self, table: StackedTable, first: int, end: int) -> None:
        self.table = table
        self.starts = torch.arange(first, end - WINDOW_ROWS)
        self._offsets = torch.arange(WINDOW_ROWS)

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def touched(self) -> np.ndarray:
        """`(W,)` True for windows with a missing value."""
        before = np.concatenate([[0], np.cumsum(self.table.blank_rows)])
        starts = self.starts.numpy()
        return np.asarray(before[starts + WINDOW_ROWS] > before[starts])

    def inputs(self, ids: torch.Tensor) -> torch.Tensor:
        """Return the windows `ids` as `(B, L, C)`."""
        return self.table.values[self.starts[ids][:, None] + self._offsets]

    def labels(self, ids: torch.Tensor) -> torch.Tensor:
        """Return the labels `(B,)` of the windows `ids`."""
        return self.table.labels[self.starts[ids] + WINDOW_ROWS - 1]

    def inputs_without_blank_rows(self, ids: torch.Tensor) -> torch.Tensor:
        """Return the same windows `(B, L, C)` cut from the rows that have all values.

        A window keeps its newest row; as many older rows come in as blank ones went out.
        """
        whole = torch.from_numpy(np.flatnonzero(~self.table.blank_rows))
        newest = torch.searchsorted(whole, self.starts[ids] + WINDOW_ROWS - 1, right=True) - 1
        newest = newest.clamp(min=WINDOW_ROWS - 1)
        return self.table.values[whole[newest[:, None] - WINDOW_ROWS + 1 + self._offsets]]


def training_windows(table: StackedTable) -> StackedWindows:
    """Return the windows of the first 70 % of the stacked rows."""
    return StackedWindows(table, 0, table.training_rows)


def validation_windows(table: StackedTable) -> StackedWindows:
    """Return the windows whose newest row lies in the next 15 % of the stacked rows."""
    end = table.training_rows + int(VALIDATION_SHARE * len(table.values))
    return StackedWindows(table, table.training_rows - WINDOW_ROWS, end)
