"""Missing values, outliers and constants; nothing looks forward in time, across regions or past the training times."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from utils.flag_rules import require

FillName = Literal["none", "drop", "forward", "forward_then_zero"]
RAIN_PREFIX = "tp"


@dataclass(frozen=True, kw_only=True)
class CleaningConfig:
    """Cleaning."""

    fill: FillName = field(
        default="forward",
        metadata={
            "help": "missing values: forward drops the head rows that lags leave blank, then repeats the last value "
            "of the same region; forward_then_zero puts the training mean where that is not enough; drop leaves out "
            "every window with a missing value; none changes nothing"
        },
    )
    max_gap_hours: int = field(default=6, metadata={"help": "longest gap that a forward fill may bridge, in hours"})
    clip_quantiles: tuple[float, ...] | None = field(
        default=None,
        metadata={"help": "LOW HIGH: clip features at these training quantiles, such as 0.01 0.99; never rain; off"},
    )
    drop_constant: bool = field(default=True, metadata={"help": "drop features that are constant in training"})
    drop_bad_windows: bool = field(
        default=False,
        metadata={
            "help": "leave out, and count, windows that touch a gap in time, a contradicting duplicate row, a label "
            "that is no class, or a missing or infinite value; without it they end the run"
        },
    )

    def __post_init__(self) -> None:
        require(self, "max_gap_hours", self.max_gap_hours >= 0, "cannot be negative")
        shares = self.clip_quantiles
        rising = shares is None or (len(shares) == 2 and 0 <= shares[0] < shares[1] <= 1)
        example = "--clip_quantiles 0.01 0.99"
        require(self, "clip_quantiles", rising, "takes two shares, low before high", example)


def split_direction(values: np.ndarray, names: tuple[str, ...]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Replace a wind direction in degrees by its sine and cosine, since 359 and 1 degree are neighbours.

    Args:
        values: `(R, T, C)`.
        names: `C` feature names.

    Returns:
        `(R, T, C + 1)` and the new names where there is a `wind_direction`, else the inputs.
    """
    if "wind_direction" not in names:
        return values, names
    at = names.index("wind_direction")
    angle = np.deg2rad(values[..., at : at + 1])
    parts = [values[..., :at], np.sin(angle), np.cos(angle), values[..., at + 1 :]]
    new_names = (*names[:at], "wind_direction_sin", "wind_direction_cos", *names[at + 1 :])
    return np.concatenate(parts, axis=-1).astype(np.float32), new_names


def head_rows(values: np.ndarray, present: np.ndarray) -> np.ndarray:
    """Mark the rows at the head of each region that have a missing value, such as lags before the record.

    Args:
        values: `(R, T, C)`, of the columns that the model uses.
        present: `(R, T)`.

    Returns:
        `(R, T)` True for head rows.
    """
    whole = present & ~np.isnan(values).any(axis=-1)
    return np.cumsum(whole, axis=1) == 0


def fill_forward(values: np.ndarray, present: np.ndarray, max_steps: int) -> np.ndarray:
    """Repeat the last known value of the same region and feature over at most `max_steps` rows.

    A row that is absent from the record stays missing: an hour that was never delivered is not invented.

    Args:
        values: `(R, T, C)`.
        present: `(R, T)`.
        max_steps: how many rows a value may be repeated; how long the gap will be is not known yet at that hour, so
            the first rows of a longer gap are filled too and the rest stay missing.

    Returns:
        `(R, T, C)`, filled.
    """
    missing = np.isnan(values)
    if max_steps == 0 or not missing.any():
        return values
    rows = np.arange(values.shape[1], dtype=np.int32)[None, :, None]
    last = np.maximum.accumulate(np.where(missing, -1, rows), axis=1)
    fillable = missing & (last >= 0) & (rows - last <= max_steps) & present[..., None]
    region, row, column = np.nonzero(fillable)
    filled = values.copy()
    filled[region, row, column] = values[region, last[region, row, column], column]
    return filled


def clip_limits(rows: np.ndarray, names: tuple[str, ...], quantiles: tuple[float, ...]) -> np.ndarray:
    """Return `(2, C)` lower and upper limits from training rows `(N, C)`; rain is never clipped."""
    limits = np.nanquantile(rows.astype(np.float64), quantiles, axis=0)
    rain = np.array([name.startswith(RAIN_PREFIX) for name in names])
    limits[0, rain], limits[1, rain] = -np.inf, np.inf
    return limits


def constant_columns(rows: np.ndarray) -> np.ndarray:
    """Return `(C,)` True for columns with a single value, or none, in the training rows `(N, C)`."""
    known = ~np.isnan(rows)
    low = np.where(known, rows, np.inf).min(axis=0)
    high = np.where(known, rows, -np.inf).max(axis=0)
    return ~(high > low)
