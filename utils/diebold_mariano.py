"""The Diebold-Mariano test: are the Brier scores of two forecasts of the same cases different by more than chance?"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from utils.forecasts import Forecasts

LEAST_DAYS = 30


def diebold_mariano(one: Forecasts, other: Forecasts, lead_time_hours: int) -> dict[str, Any]:
    """Test whether the daily mean difference of the Brier scores is 0.

    The differences of a day say something of the next `lag_days` - 1 days, whose labels share rain with its own: as
    many as lie between the first init time of a day and the end of its last label period. The test is that of Harvey,
    Leybourne and Newbold (1997), Testing the equality of prediction mean squared errors, after Diebold and Mariano
    (1995), Comparing predictive accuracy, by `scores.stats.statistical_tests`.

    Args:
        one: forecasts.
        other: of the same cases in the same order.
        lead_time_hours: from init_time to the end of the label period.

    Returns:
        `statistic` (below 0 where `one` is the better), `p_value` (of both sides, by the t distribution) and
        `lag_days`; the first two are None for fewer than `LEAST_DAYS` days or where the forecasts do not differ.
    """
    day, difference = _daily_difference(one, other)
    hours = (np.asarray(one.init_time) - np.asarray(one.init_time).astype("datetime64[D]")) / np.timedelta64(1, "h")
    spread = float(hours.max() - hours.min()) if len(hours) else 0.0
    lag = max(1, math.ceil((lead_time_hours + spread) / 24))
    nothing = {"statistic": None, "p_value": None, "lag_days": lag}
    if len(day) < max(LEAST_DAYS, lag + 1) or not np.any(difference):
        return nothing
    statistic = _statistic(difference, lag)
    if not math.isfinite(statistic):
        return nothing
    from scipy.stats import t

    return {**nothing, "statistic": statistic, "p_value": float(2 * t.sf(abs(statistic), len(day) - 1))}


def _daily_difference(one: Forecasts, other: Forecasts) -> tuple[np.ndarray, np.ndarray]:
    """Days, and the mean of each of the difference of squared errors."""
    days, day = np.unique(np.asarray(one.init_time).astype("datetime64[D]"), return_inverse=True)
    observed = np.asarray(one.observed, dtype=np.float64)
    ours, theirs = ((np.asarray(each.probability, dtype=np.float64) - observed) ** 2 for each in (one, other))
    count = np.bincount(day, minlength=len(days))
    return days, np.bincount(day, weights=ours - theirs, minlength=len(days)) / count


def _statistic(difference: np.ndarray, lag: int) -> float:
    import xarray as xr
    from scores.stats.statistical_tests import diebold_mariano as test

    series = xr.DataArray(difference[None], dims=("pair", "day"), coords={"pair": [0], "lag": ("pair", [lag])})
    return float(test(series, "pair", "lag", method="HLN", statistic_distribution="t")["dm_test_stat"][0])
