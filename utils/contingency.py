"""Scores of 2x2 tables, many tables at once, by the `scores` package; the letters are those of `score_info`."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

# Names of the counts as the `scores` package wants them.
COUNTS = {"hits": "tp_count", "misses": "fn_count", "false_alarms": "fp_count", "correct_negatives": "tn_count"}
_FROM_SCORES = (
    "accuracy", "precision", "recall", "probability_of_detection", "false_alarm_ratio",
    "probability_of_false_detection", "critical_success_index", "equitable_threat_score", "heidke_skill_score",
    "peirce_skill_score", "frequency_bias",
)  # fmt: skip


def contingency_scores(table: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """All scores of many 2x2 tables at once.

    Args:
        table: `hits`, `misses`, `false_alarms`, `correct_negatives`, each `(G,)`.

    Returns:
        name -> `(G,)` scores, NaN where undefined.
    """
    import xarray as xr
    from scores.categorical import BasicContingencyManager

    hits, misses, false_alarms, negatives = (np.asarray(table[name], dtype=np.float64) for name in COUNTS)
    rain, dry, forecast, silent = hits + misses, false_alarms + negatives, hits + false_alarms, misses + negatives
    counts = {COUNTS[name]: xr.DataArray(np.asarray(table[name], dtype=np.float64), dims="table") for name in COUNTS}
    counts["total_count"] = xr.DataArray(rain + dry, dims="table")
    manager = BasicContingencyManager(counts)
    result = {name: getattr(manager, name)().to_numpy() for name in _FROM_SCORES}
    # 1 / n * n * n is not always n: without this, a constant forecast of a constant observation could score 0 or 1.
    both_vary = rain * silent + forecast * dry > 0
    for name in ("heidke_skill_score", "equitable_threat_score"):
        result[name] = np.where(both_vary, result[name], np.nan)
    errors = misses + false_alarms
    result["f1"] = ratio(2 * hits, 2 * hits + errors)
    result["macro_f1"] = (result["f1"] + ratio(2 * negatives, 2 * negatives + errors)) / 2
    result["balanced_accuracy"] = (ratio(hits, rain) + ratio(negatives, dry)) / 2
    # Square roots one by one: the product of four counts of 100,000 samples would lose digits.
    scale = np.sqrt(rain * dry) * np.sqrt(forecast * silent)
    correlation = ratio(hits * negatives - misses * false_alarms, np.where(scale > 0, scale, 1.0))
    result["matthews_correlation"] = np.where(rain * dry > 0, correlation, np.nan)
    return result


def ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Quotient where the denominator is not zero, else NaN."""
    result = np.full(np.shape(denominator), np.nan)
    return np.divide(numerator, denominator, out=result, where=np.asarray(denominator) != 0)
