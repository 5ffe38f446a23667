"""On which scale amounts of rain are learned, and which quantiles of them a forecast names.

Rain is zero on most days and has a long tail: on the scale of millimetres a few storms decide every fit. Amounts are
therefore learned as log(1 + mm / 1 mm), which keeps zero at zero. The mean on that scale, taken back, is NOT the mean
in millimetres (it is lower); a quantile, taken back, IS the quantile in millimetres, because the scale is monotone. So
forecasts of amounts are quantiles.

The levels are the middles of K equal parts, (k - 1/2) / K. Then twice the mean quantile loss is exactly the CRPS of the
distribution that gives each of the K values the same weight, and the mean of the K values is the midpoint rule for the
mean of the distribution; it misses the tail beyond the last level (4 % of the mean of an exponential distribution with
K = 9).

Sources: Koenker and Bassett (1978), Regression quantiles; Broecker (2012), Evaluating raw ensembles with the continuous
ranked probability score.
"""

from __future__ import annotations

import numpy as np

SCALE_MM = 1.0


def levels(count: int) -> np.ndarray:
    """Return the `count` levels of the quantiles; the middle one of an odd number is the median."""
    return (np.arange(count) + 0.5) / count


def to_scale(amount_mm: np.ndarray) -> np.ndarray:
    """Return amounts of rain, in millimetres, on the scale of learning."""
    return np.log1p(np.asarray(amount_mm, dtype=np.float64) / SCALE_MM)


def to_millimetres(scaled: np.ndarray) -> np.ndarray:
    """Return amounts in millimetres; below zero there is no rain, so that is where the scale ends."""
    return SCALE_MM * np.expm1(np.maximum(np.asarray(scaled, dtype=np.float64), 0.0))
