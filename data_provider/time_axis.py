"""The time axis of hourly data: its step, its gaps, its duplicates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from data_provider.sniff import DOWNLOAD_AGAIN
from utils.errors import DataError

HOUR = np.timedelta64(3_600_000_000_000, "ns")


@dataclass(frozen=True, kw_only=True)
class Gap:
    """Stamps missing between `before` and `after` (both present)."""

    before: np.datetime64
    after: np.datetime64
    n_missing: int

    def __str__(self) -> str:
        return f"{self.n_missing} missing between {stamp(self.before)} and {stamp(self.after)}"


@dataclass(frozen=True, kw_only=True)
class TimeAxis:
    """A sorted, unique time axis: its regular `step`, the most `usual_step`, and where stamps are missing."""

    first: np.datetime64
    last: np.datetime64
    n: int
    step: np.timedelta64
    usual_step: np.timedelta64
    gaps: tuple[Gap, ...]

    @property
    def step_hours(self) -> float:
        """The step in hours."""
        return float(self.step / HOUR)

    @property
    def n_missing(self) -> int:
        """Stamps missing in all gaps together."""
        return sum(gap.n_missing for gap in self.gaps)

    def __str__(self) -> str:
        text = f"{stamp(self.first)} to {stamp(self.last)}, {self.n} stamps, every {self.step_hours:g} h"
        return text + (f", {self.n_missing} stamps missing in {len(self.gaps)} gaps" if self.gaps else ", no gap")


def stamp(time: np.datetime64) -> str:
    """A time to the minute, as written in messages."""
    return str(time.astype("datetime64[m]")).replace("T", " ")


def examine(times: np.ndarray, *, where: str) -> TimeAxis:
    """Describe a sorted and unique time axis.

    Args:
        times: datetime64[ns], strictly increasing; a single stamp counts as hourly.
        where: file or folder, for messages.

    Returns:
        the description.

    Raises:
        DataError: ``TIME_GAP`` when stamps do not lie on one regular grid; ``DATA_MISSING`` without any stamp.
    """
    if len(times) == 0:
        raise DataError(
            "DATA_MISSING",
            "the files hold no time at all",
            where=where,
            evidence="the time dimension has length 0",
            next_command=DOWNLOAD_AGAIN,
        )
    steps = np.diff(times)
    if len(steps) == 0:
        return TimeAxis(first=times[0], last=times[0], n=1, step=HOUR, usual_step=HOUR, gaps=())
    lengths, counts = np.unique(steps, return_counts=True)
    step = lengths[0]
    odd = np.flatnonzero((steps % step) != np.timedelta64(0, "ns"))
    if len(odd):
        raise DataError(
            "TIME_GAP",
            "the stamps do not lie on one regular grid of times",
            where=f"{where}, after {stamp(times[odd[0]])}",
            evidence=f"the smallest step is {step / HOUR:g} h, but {stamp(times[odd[0]])} is followed by "
            f"{stamp(times[odd[0] + 1])}, {steps[odd[0]] / HOUR:g} h later",
            next_command="keep files of one product and one time step in the folder",
        )
    gaps = tuple(
        Gap(before=times[i], after=times[i + 1], n_missing=int(steps[i] / step) - 1)
        for i in np.flatnonzero(steps > step)
    )
    return TimeAxis(
        first=times[0], last=times[-1], n=len(times), step=step, usual_step=lengths[counts.argmax()], gaps=gaps
    )


def regular(axis: TimeAxis) -> np.ndarray:
    """All stamps from first to last without a gap, datetime64[ns]."""
    return np.arange(axis.first, axis.last + axis.step, axis.step)


def positions(times: np.ndarray, axis: TimeAxis) -> np.ndarray:
    """Position of each of `times` on the regular axis, `(T,)` integers."""
    return ((times - axis.first) // axis.step).astype(np.int64)
