"""Scaling of model inputs with statistics of the training times only."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

ScaleName = Literal["standard", "robust", "minmax", "none"]


@dataclass(frozen=True, kw_only=True)
class ScalingConfig:
    """Scaling."""

    scale: ScaleName = field(
        default="standard",
        metadata={"help": "standard: mean and deviation; robust: median and quartiles; minmax: to 0..1; none"},
    )


def fit_scaling(rows: np.ndarray, kind: ScaleName) -> tuple[np.ndarray, np.ndarray]:
    """Return centre and spread of each column, ignoring missing values.

    Args:
        rows: `(N, C)` values of the training times, NaN where missing; every column has at least one value.
        kind: what centre and spread mean.

    Returns:
        centre `(C,)` and spread `(C,)` in float64; a spread of 0 is replaced by 1.
    """
    rows = rows.astype(np.float64)
    if kind == "standard":
        centre, spread = np.nanmean(rows, axis=0), np.nanstd(rows, axis=0)
    elif kind == "robust":
        low, centre, high = np.nanquantile(rows, [0.25, 0.5, 0.75], axis=0)
        # Rain is zero in more than three quarters of the hours: fall back to the deviation there.
        spread = np.where(high > low, (high - low) / 1.349, np.nanstd(rows, axis=0))
    elif kind == "minmax":
        centre = np.nanmin(rows, axis=0)
        spread = np.nanmax(rows, axis=0) - centre
    else:
        centre, spread = np.zeros(rows.shape[1]), np.ones(rows.shape[1])
    return centre, np.where(spread > 0, spread, 1.0)
