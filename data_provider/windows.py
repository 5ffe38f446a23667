"""(region, init_time) -> batch: the whole table is one tensor, a batch is one gather.

L time steps, V variables, B windows of a batch, M calendar and region marks.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch

from data_provider.rain_table import RainTable

CALENDAR_MARKS = 4


@dataclass(frozen=True)
class WindowIndex:
    """Which windows there are; one row per window, in the order of region, then init time.

    Attributes:
        end: `(N,)` int64, row of the newest hour in the flattened table `(R * T)`.
        region: `(N,)` int64 region number.
        init_time: `(N,)` datetime64[s].
        label: `(N,)` int64 class, -1 where unknown.
        past_class: `(N,)` int64, class of the period of equal length that ends at the init time; -1 unknown.
        precipitation_mm: `(N,)` float32, rain of the label period in millimetres.
    """

    end: np.ndarray
    region: np.ndarray
    init_time: np.ndarray
    label: np.ndarray
    past_class: np.ndarray
    precipitation_mm: np.ndarray

    def __len__(self) -> int:
        return len(self.end)

    def select(self, mask: np.ndarray) -> WindowIndex:
        """Keep the windows where `mask` is True (or those at the given positions)."""
        return WindowIndex(**{name: getattr(self, name)[mask] for name in self.__dataclass_fields__})

    @property
    def month(self) -> np.ndarray:
        """Calendar month 1..12 of each init time, `(N,)`."""
        return self.init_time.astype("datetime64[M]").astype(np.int64) % 12 + 1


class WindowSet:
    """Windows of one split, with their inputs on a device.

    Args:
        table: `(R * T, V)` float32, shared by all splits; on the training device where it fits.
        index: the windows.
        context_length: L, rows a window holds.
        regions: names of the regions.
        device: where batches are wanted.
    """

    kind: ClassVar[str] = "region"

    def __init__(
        self,
        table: torch.Tensor,
        index: WindowIndex,
        context_length: int,
        regions: tuple[str, ...],
        device: torch.device,
    ) -> None:
        self.table = table
        self.index = index
        self.context_length = context_length
        self.regions = regions
        self.device = device
        self._offsets = torch.arange(1 - context_length, 1, device=table.device)
        self._ends = torch.from_numpy(index.end).to(table.device)
        self.labels = torch.from_numpy(index.label).to(device)
        self.marks = torch.from_numpy(calendar_marks(index, len(regions))).to(device)

    def __len__(self) -> int:
        return len(self.index)

    def inputs(self, ids: torch.Tensor) -> torch.Tensor:
        """Return `(B, L, V)` of the windows `ids` (positions in this split) on the device."""
        rows = self._ends[ids.to(self.table.device)][:, None] + self._offsets
        batch = torch.nn.functional.embedding(rows, self.table)
        return batch.to(self.device, non_blocking=True)

    def targets(self, ids: torch.Tensor) -> torch.Tensor:
        """Return the classes `(B,)` that the windows `ids` are to be given."""
        return self.labels[ids]

    def cells(self, ids: torch.Tensor) -> torch.Tensor:
        """Return every value of the table that a training step on these windows sees."""
        return self.inputs(ids)

    def place(self, window: int, row: int, step_hours: int) -> tuple[str, str]:
        """Return time and region of a row of a window in words."""
        back = self.context_length - 1 - row
        time = self.index.init_time[window] - np.timedelta64(back * step_hours, "h")
        return str(time), self.regions[self.index.region[window]]

    def subset(self, ids: torch.Tensor) -> WindowSet:
        """Return the windows `ids` alone, with a copy of their rows that nobody else sees; its ids begin at 0."""
        rows = self.inputs(ids).flatten(0, 1).clone()
        index = self.index.select(ids.cpu().numpy())
        index = replace(index, end=np.arange(1, len(ids) + 1) * self.context_length - 1)
        alone = WindowSet(rows, index, self.context_length, self.regions, self.device)
        alone.labels = self.labels[ids].clone()
        return alone


def calendar_marks(index: WindowIndex, n_regions: int) -> np.ndarray:
    """Return `(N, 4 + R)` float32: sine and cosine of the day of the year and of the hour, then the region."""
    start_of_year = index.init_time.astype("datetime64[Y]")
    day = (index.init_time - start_of_year) / np.timedelta64(1, "D")
    hour = (index.init_time - index.init_time.astype("datetime64[D]")) / np.timedelta64(1, "h")
    year_angle, day_angle = 2 * np.pi * day / 365.25, 2 * np.pi * hour / 24
    calendar = np.stack([np.sin(year_angle), np.cos(year_angle), np.sin(day_angle), np.cos(day_angle)], axis=1)
    one_hot = np.eye(n_regions)[index.region]
    return np.concatenate([calendar, one_hot], axis=1).astype(np.float32)


def build_index(
    times: np.ndarray,
    present: np.ndarray,
    label: np.ndarray,
    precipitation_mm: np.ndarray,
    *,
    context_length: int,
    stride_hours: int,
    lead_steps: int,
    step_hours: int,
) -> WindowIndex:
    """List every window whose context has all its rows, in one region, without a gap in time.

    Args:
        times: `(T,)` datetime64[s], regular.
        present: `(R, T)` rows that exist.
        label: `(R, T)` class, -1 unknown.
        precipitation_mm: `(R, T)` rain of the label period.
        context_length: L in rows.
        stride_hours: init times are 00 UTC and every so many hours after it.
        lead_steps: rows from an init time to the end of its label period.
        step_hours: hours between rows.
    """
    n_regions, n_times = present.shape
    hours = times.astype("datetime64[h]").astype(np.int64)
    wanted = hours % max(stride_hours, step_hours) == 0 if stride_hours > step_hours else np.ones(n_times, bool)
    seen = np.concatenate([np.zeros((n_regions, 1), np.int64), np.cumsum(present, axis=1)], axis=1)
    whole = np.zeros((n_regions, n_times), bool)
    if n_times >= context_length:
        whole[:, context_length - 1 :] = seen[:, context_length:] - seen[:, :-context_length] == context_length
    region, row = np.nonzero(whole & wanted[None, :])
    past = np.full_like(label, -1)
    past[:, lead_steps:] = label[:, : max(n_times - lead_steps, 0)]
    return WindowIndex(
        end=region * n_times + row,
        region=region,
        init_time=times[row],
        label=label[region, row].astype(np.int64),
        past_class=past[region, row].astype(np.int64),
        precipitation_mm=precipitation_mm[region, row],
    )


def index_of(
    table: RainTable, context_length: int, stride_hours: int, *, present: np.ndarray | None = None
) -> WindowIndex:
    """List the windows of a table, labelled or not.

    Args:
        table: on a regular time axis.
        context_length: L in rows.
        stride_hours: hours between init times.
        present: `(R, T)` rows that count as existing; those of the table when None.
    """
    return build_index(
        table.times,
        table.present if present is None else present,
        table.label,
        table.precipitation_mm,
        context_length=context_length,
        stride_hours=stride_hours,
        lead_steps=table.lead_time_hours // table.step_hours,
        step_hours=table.step_hours,
    )


def touching(rows: np.ndarray, index: WindowIndex, context_length: int) -> np.ndarray:
    """Return `(N,)` True for windows that hold a marked row.

    Args:
        rows: `(R, T)` marked rows.
        index: the windows.
        context_length: L in rows.
    """
    count = np.concatenate([[0], np.cumsum(rows.reshape(-1))])
    return count[index.end + 1] - count[index.end + 1 - context_length] > 0


def with_missing(values: np.ndarray, index: WindowIndex, context_length: int) -> np.ndarray:
    """Return `(N,)` True for windows that hold a missing or infinite value.

    Args:
        values: `(R, T, V)` model inputs.
        index: the windows.
        context_length: L in rows.
    """
    return touching(~np.isfinite(values).all(axis=-1), index, context_length)
