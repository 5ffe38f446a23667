"""Scores of forecast amounts of rain: a thin layer over `scores`, always beside climatology and persistence.

A score that is undefined is None, never 0 or NaN. The meaning of each is in `regression_score_info.AMOUNT_SCORES`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from utils.amount_sums import percentage_errors
from utils.amounts import AmountForecasts, Amounts
from utils.forecasts import REFERENCES, SEASONS, hour_of, month_of, season_of
from utils.regression_score_info import AMOUNT_SCORES, format_amounts

__all__ = ["AMOUNT_SCORES", "format_amounts", "score", "score_table", "smape"]


def score_table(forecasts: AmountForecasts, rain_threshold_mm: float) -> dict[str, Any]:
    """Scores overall, by region, and by calendar month, season and hour (UTC) of init_time, and of both references.

    Args:
        forecasts: of one split.
        rain_threshold_mm: from how much on the base rate counts a case as rain.

    Returns:
        `{"overall": scores, "by_region": {name: scores}, "by_month": {"01": scores}, "by_season": {"wet": scores},
        "by_hour": {"00": scores}, "references": {name: scores}}`. A group without forecasts is not there.
    """
    times = forecasts.init_time
    return {
        "overall": score(forecasts, rain_threshold_mm),
        "by_region": score_groups(forecasts, np.asarray(forecasts.region), rain_threshold_mm),
        "by_month": score_groups(forecasts, month_of(times), rain_threshold_mm),
        "by_season": score_groups(forecasts, season_of(times), rain_threshold_mm, SEASONS),
        "by_hour": score_groups(forecasts, hour_of(times), rain_threshold_mm),
        "references": {name: score(forecasts.reference(name), rain_threshold_mm) for name in REFERENCES},
    }


def score_groups(
    forecasts: AmountForecasts, key: np.ndarray, rain_threshold_mm: float, names: Sequence[str] = ()
) -> dict[str, dict[str, Any]]:
    """Scores of each group of forecasts alone.

    Args:
        forecasts: `N` of them.
        key: `(N,)` name of the group each belongs to.
        rain_threshold_mm: from how much on the base rate counts a case as rain.
        names: the groups in their order; those without forecasts are left out. By default all, sorted.

    Returns:
        name -> scores.
    """
    there = np.unique(key)
    return {
        str(name): score(forecasts.select(key == name), rain_threshold_mm) for name in names or there if name in there
    }


def score(forecasts: AmountForecasts, rain_threshold_mm: float) -> dict[str, Any]:
    """All scores of one set of forecasts, ready for JSON.

    Args:
        forecasts: beside what fell.
        rain_threshold_mm: from how much on the base rate counts a case as rain.

    Returns:
        `n`, `base_rate`, `rain_threshold_mm`, `mean_observed` in millimetres, `constant_answer` (the same is said every
        time, so no score of it is skill) and every name of `AMOUNT_SCORES`; None where undefined.
    """
    amounts = forecasts.forecast
    observed = np.asarray(forecasts.observed, dtype=np.float64)
    n = observed.size
    result: dict[str, Any] = {
        "n": n,
        "base_rate": float((observed >= rain_threshold_mm).mean()) if n else None,
        "rain_threshold_mm": float(rain_threshold_mm),
        "mean_observed": float(observed.mean()) if n else None,
        "constant_answer": amounts.is_constant,
    }
    if not n:
        return result | dict.fromkeys(AMOUNT_SCORES)
    own, reference = _of_distribution(amounts, observed), _of_distribution(forecasts.climatology, observed)
    return (
        result
        | _of_mean(amounts.mean, observed)
        | own
        | {
            "smape": smape(amounts.median, observed),
            "mae_skill_score": _skill(own, reference, "mean_absolute_error"),
            "crps_skill_score": _skill(own, reference, "continuous_ranked_probability_score"),
        }
    )


def smape(forecast: np.ndarray, observed: np.ndarray) -> float:
    """Return the symmetric mean absolute percentage error as a share, 0 to 2.

    Each error is divided by the mean of forecast and observed amount. Where both are zero that is 0 / 0: a dry day
    that was forecast dry is no error and counts 0. A forecast of any rain on a dry day counts 2, however little it is,
    so on rain this score speaks of dry days more than of amounts.

    Args:
        forecast: `(N,)` in millimetres, N at least 1.
        observed: `(N,)` in millimetres.
    """
    return float(percentage_errors(forecast, observed).mean())


def _of_distribution(amounts: Amounts, observed: np.ndarray) -> dict[str, float]:
    """Error of the median, and CRPS of the K quantiles as K equally likely values, which is twice the quantile loss."""
    import xarray as xr
    from scores.continuous import mae
    from scores.probability import crps_for_ensemble

    happened = xr.DataArray(observed, dims="sample")
    quantiles = xr.DataArray(np.asarray(amounts.quantiles, dtype=np.float64), dims=("sample", "quantile"))
    return {
        "mean_absolute_error": float(mae(xr.DataArray(amounts.median, dims="sample"), happened)),
        "continuous_ranked_probability_score": float(
            crps_for_ensemble(quantiles, happened, ensemble_member_dim="quantile", method="ecdf")
        ),
    }


def _of_mean(mean: np.ndarray, observed: np.ndarray) -> dict[str, float | None]:
    """Scores of squares, and the correlation."""
    import xarray as xr
    from scores.continuous import additive_bias, rmse
    from scores.continuous.correlation import pearsonr
    from sklearn.metrics import r2_score

    said, happened = (xr.DataArray(np.asarray(values, dtype=np.float64), dims="sample") for values in (mean, observed))
    varies = np.ptp(observed) > 0
    return {
        "root_mean_squared_error": float(rmse(said, happened)),
        "bias": float(additive_bias(said, happened)),
        "r2": float(r2_score(observed, mean)) if varies else None,
        "correlation": _number(float(pearsonr(said, happened))) if varies and np.ptp(mean) > 0 else None,
    }


def _skill(own: dict[str, float], reference: dict[str, float], name: str) -> float | None:
    return 1 - own[name] / reference[name] if reference[name] > 0 else None


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
