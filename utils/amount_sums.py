"""What every score of forecast amounts can be made from, summed per day; and the scores of such sums.

As `utils.day_sums` for yes/no forecasts: scores of any weighting of the days need no look at the cases. D days, G
weightings.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from utils import rain_scale
from utils.amounts import AmountForecasts, Amounts
from utils.contingency import ratio

# A spread below this share of the mean square is rounding: the same amount every time.
NO_SPREAD = 1e-12


@dataclass(frozen=True)
class AmountSums:
    """Sums per day of one set of forecasts.

    Attributes:
        days: `(D,)` datetime64[D], those with forecasts, in order.
        sums: `(S, D)`.
        names: what each of the S sums is of.
    """

    days: np.ndarray
    sums: np.ndarray
    names: tuple[str, ...]

    def scores(self, weights: np.ndarray | None = None) -> dict[str, np.ndarray]:
        """Every score of `regression_score_info.AMOUNT_SCORES` for each weighting of the days.

        Args:
            weights: `(D, G)`, how often each day counts; by default once, `G` = 1.

        Returns:
            name -> `(G,)`, NaN where undefined.
        """
        totals = self.sums @ (np.ones((len(self.days), 1)) if weights is None else weights)
        total = dict(zip(self.names, totals, strict=True))
        mean = {name: ratio(value, total["n"]) for name, value in total.items()}
        observed, said = (_variance(mean[name], mean[f"{name}_squared"]) for name in ("observed", "said"))
        common = mean["product"] - mean["said"] * mean["observed"]
        return {
            "mean_absolute_error": mean["absolute_error"],
            "root_mean_squared_error": np.sqrt(mean["squared_error"]),
            "bias": mean["error"],
            "r2": 1 - mean["squared_error"] / observed,
            "correlation": common / np.sqrt(observed * said),
            "smape": mean["percentage_error"],
            "continuous_ranked_probability_score": mean["crps"],
            "mae_skill_score": 1 - ratio(mean["absolute_error"], mean["absolute_error_of_climatology"]),
            "crps_skill_score": 1 - ratio(mean["crps"], mean["crps_of_climatology"]),
        }


def amount_sums(forecasts: AmountForecasts) -> AmountSums:
    """Sum everything that scores of amounts are made from over each day."""
    days, day = np.unique(np.asarray(forecasts.init_time).astype("datetime64[D]"), return_inverse=True)
    parts = _parts(forecasts)
    sums = np.stack([np.bincount(day, weights=values, minlength=len(days)) for values in parts.values()])
    return AmountSums(days=days, sums=sums, names=tuple(parts))


def percentage_errors(forecast: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """Return the symmetric percentage error of each case as a share, `(N,)`; 0 where both are zero."""
    middle = (np.abs(forecast) + np.abs(observed)) / 2
    return np.divide(np.abs(forecast - observed), middle, out=np.zeros(len(middle)), where=middle > 0)


def _parts(forecasts: AmountForecasts) -> dict[str, np.ndarray]:
    """Name of a sum -> what each case adds to it, `(N,)`."""
    own, observed = forecasts.forecast, np.asarray(forecasts.observed, dtype=np.float64)
    said = np.asarray(own.mean, dtype=np.float64)
    # Counted from their means, so that variances keep their digits.
    happened, expected = (values - (values.mean() if len(values) else 0.0) for values in (observed, said))
    return {
        "n": np.ones(len(observed)),
        "absolute_error": np.abs(own.median - observed),
        "absolute_error_of_climatology": np.abs(forecasts.climatology.median - observed),
        "error": said - observed,
        "squared_error": (said - observed) ** 2,
        "observed": happened,
        "observed_squared": happened**2,
        "said": expected,
        "said_squared": expected**2,
        "product": expected * happened,
        "percentage_error": percentage_errors(own.median, observed),
        "crps": _crps(own, observed),
        "crps_of_climatology": _crps(forecasts.climatology, observed),
    }


def _crps(amounts: Amounts, observed: np.ndarray) -> np.ndarray:
    """CRPS of each case, `(N,)`: twice the mean quantile loss at `rain_scale.levels`."""
    level = rain_scale.levels(amounts.quantiles.shape[1])
    error = observed[:, None] - amounts.quantiles
    return 2 * np.maximum(level * error, (level - 1) * error).mean(axis=1)


def _variance(mean: np.ndarray, mean_square: np.ndarray) -> np.ndarray:
    """Return `(G,)` variances, NaN where nothing varies."""
    variance = mean_square - mean**2
    return np.where(variance > NO_SPREAD * mean_square, variance, np.nan)
