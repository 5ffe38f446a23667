"""Windows whose target is the amount of rain of the label period, in millimetres, instead of a class.

B windows of a batch, N windows of a split, R regions, T times.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from data_provider.factory import Splits
from data_provider.rain_table import RainTable
from data_provider.windows import WindowIndex, WindowSet


class AmountWindows(WindowSet):
    """Windows of one split with amounts as targets, and the amount of the period before, which persistence repeats.

    Args:
        windows: the same windows, with classes as targets.
        rain: the prepared table that they were cut from.
    """

    def __init__(self, windows: WindowSet, rain: RainTable) -> None:
        super().__init__(windows.table, windows.index, windows.context_length, windows.regions, windows.device)
        self.labels = torch.from_numpy(self.amount_mm.astype(np.float32)).to(windows.device)
        self.past_mm = past_amount(rain, windows.index)

    @property
    def amount_mm(self) -> np.ndarray:
        """Rain of the label period in millimetres, `(N,)` float64; NaN where it is not known yet."""
        return np.asarray(self.index.precipitation_mm, dtype=np.float64)


def past_amount(rain: RainTable, index: WindowIndex) -> np.ndarray:
    """Return the rain of the period of equal length that ends at each init time, `(N,)` in millimetres.

    It is the label of the window `lead_time_hours` earlier, so nothing after the init time is in it; NaN where that
    period is not complete.

    Args:
        rain: the prepared table.
        index: windows of that table.
    """
    n_times = len(rain.times)
    row = index.end - index.region * n_times - rain.lead_time_hours // rain.step_hours
    past = rain.precipitation_mm[index.region, np.maximum(row, 0)].astype(np.float64)
    return np.where(row >= 0, past, np.nan)


def with_amounts(splits: Splits) -> Splits:
    """Return the splits of a table with amounts as targets."""
    train, validation, test = (AmountWindows(windows, splits.table) for windows in splits.sets)
    return replace(splits, train=train, validation=validation, test=test)
