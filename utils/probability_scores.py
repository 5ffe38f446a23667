"""Scores of probabilities from sums over cases, many groups of cases at once.

G groups (the whole split, or the draws of a bootstrap), K bins of probability in ascending order. Bins of calibration
are ten of equal width. A score that is undefined is NaN.
"""

from __future__ import annotations

import numpy as np

from utils.contingency import ratio

CALIBRATION_BINS = 10
# At 0 and 1 the economic value has no scale: protecting costs nothing, or as much as the loss.
COST_LOSS_RATIOS = np.arange(1, 100) / 100


def calibration_bin(probability: np.ndarray) -> np.ndarray:
    """Number of the calibration bin of `(N,)` probabilities; a bin holds its lower edge, the last one also 1."""
    edges = np.arange(1, CALIBRATION_BINS) / CALIBRATION_BINS
    return np.searchsorted(edges, probability, side="right")


def calibration_scores(count: np.ndarray, said: np.ndarray, rain: np.ndarray) -> dict[str, np.ndarray]:
    """Reliability, resolution and uncertainty of the Brier score, and the expected calibration error.

    Source: Murphy (1973), A new vector partition of the probability score; Stephenson, Coelho and Jolliffe (2008), Two
    extra components in the Brier score decomposition; Naeini, Cooper and Hauskrecht (2015), Obtaining well calibrated
    probabilities using Bayesian binning.

    Args:
        count: `(K, G)` cases of each bin.
        said: `(K, G)` sum of their probabilities.
        rain: `(K, G)` how many of them had rain.

    Returns:
        name -> `(G,)`. The mean probability of a bin stands for its members, so that reliability - resolution +
        uncertainty is the Brier score up to what probabilities and outcomes do inside of the bins.
    """
    n = count.sum(0)
    base = ratio(rain.sum(0), n)
    with np.errstate(invalid="ignore", divide="ignore"):
        # An empty bin has weight 0, whatever its mean.
        mean, frequency = (np.where(count > 0, values / count, 0.0) for values in (said, rain))
    return {
        "reliability": ratio((count * (mean - frequency) ** 2).sum(0), n),
        "resolution": ratio((count * (frequency - base) ** 2).sum(0), n),
        "uncertainty": base * (1 - base),
        "expected_calibration_error": ratio((count * np.abs(mean - frequency)).sum(0), n),
    }


def economic_value(rain: np.ndarray, dry: np.ndarray) -> np.ndarray:
    """Relative economic value for users who protect themselves where the probability reaches their cost/loss ratio.

    Of a user who can spend the cost C to avoid the loss L: the share of what a perfect forecast would save beyond the
    cheaper of always and never protecting. Source: Richardson (2000), Skill and relative economic value of the ECMWF
    ensemble prediction system.

    Args:
        rain: `(K + 1, G)` rainy cases between the K cost/loss ratios of `COST_LOSS_RATIOS`: below the first, from the
            first on, ...
        dry: `(K + 1, G)` dry cases likewise.

    Returns:
        `(K, G)` value at each ratio; at most 1, 0 where the forecast is worth no more than the base rate.
    """
    ratios = COST_LOSS_RATIOS[:, None]
    misses = np.cumsum(rain, axis=0)[:-1]
    all_rain, all_dry = rain.sum(0), dry.sum(0)
    protected = all_rain - misses + all_dry - np.cumsum(dry, axis=0)[:-1]
    without = np.minimum(ratios * (all_rain + all_dry), all_rain)
    saved = without - (ratios * protected + misses)
    return ratio(saved, without - ratios * all_rain)


def economic_value_curve(observed: np.ndarray, probability: np.ndarray) -> np.ndarray:
    """`(K,)` relative economic value of forecasts `(N,)` at each of `COST_LOSS_RATIOS`; NaN for one class alone."""
    place, length = economic_value_bin(probability), len(COST_LOSS_RATIOS) + 1
    counts = (np.bincount(place, weights=weights, minlength=length)[:, None] for weights in (observed, 1 - observed))
    return economic_value(*counts)[:, 0]


def economic_value_bin(probability: np.ndarray) -> np.ndarray:
    """Number of cost/loss ratios that `(N,)` probabilities reach."""
    return np.searchsorted(COST_LOSS_RATIOS, probability, side="right")


def brier_scores(
    n: np.ndarray, forecast: np.ndarray, climatology: np.ndarray, persistence: np.ndarray
) -> dict[str, np.ndarray]:
    """Brier score and its skill against both references, from `(G,)` counts and sums of squared differences."""
    return {
        "brier_score": ratio(forecast, n),
        "brier_skill_score": 1 - ratio(forecast, climatology),
        "brier_skill_score_persistence": 1 - ratio(forecast, persistence),
    }


def ranking_scores(rain: np.ndarray, dry: np.ndarray) -> dict[str, np.ndarray]:
    """ROC AUC and average precision of cases counted in `(K, G)` bins; inside of a bin all cases count as tied.

    Exact where a bin holds one probability.
    """
    all_rain, all_dry = rain.sum(0), dry.sum(0)
    both = all_rain * all_dry > 0
    dry_below = np.cumsum(dry, axis=0) - dry
    area = ratio((rain * (dry_below + dry / 2)).sum(0), all_rain * all_dry)
    hits, warned = (np.cumsum(values[::-1], axis=0)[::-1] for values in (rain, rain + dry))
    precision = np.divide(hits, warned, out=np.zeros_like(hits, dtype=np.float64), where=warned > 0)
    average = ratio((rain * precision).sum(0), all_rain)
    return {"roc_auc": area, "average_precision": np.where(both, average, np.nan)}
