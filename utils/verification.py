"""Scores of rain forecasts: a thin layer over `scores` (contingency, Brier) and scikit-learn (ranking).

Event: rain (class 1 or higher). A forecast says rain where its probability reaches the cut, and the cut is chosen on
the validation split. A score that is undefined is None, never 0 or NaN. The meaning of each is in `score_info.SCORES`.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from utils.forecasts import ClassForecasts, Forecasts, check_values, month_of
from utils.ranked_probability import ranked_probability_scores
from utils.score_info import SCORES, format_table

__all__ = [
    "CUT_SCORES", "SCORES", "ClassForecasts", "Forecasts", "choose_cut", "class_scores", "contingency_scores",
    "format_table", "score", "score_table",
]  # fmt: skip

logger = logging.getLogger(__name__)

# Names of the counts as the `scores` package wants them.
_COUNTS = {"hits": "tp_count", "misses": "fn_count", "false_alarms": "fp_count", "correct_negatives": "tn_count"}
_FROM_SCORES = (
    "accuracy", "precision", "recall", "probability_of_detection", "false_alarm_ratio",
    "probability_of_false_detection", "critical_success_index", "heidke_skill_score", "peirce_skill_score",
    "frequency_bias",
)  # fmt: skip
CUT_SCORES = (
    "macro_f1", "heidke_skill_score", "peirce_skill_score", "critical_success_index", "f1", "accuracy",
    "matthews_correlation",
)  # fmt: skip


def choose_cut(probability: ArrayLike, observed: ArrayLike, score: str = "macro_f1") -> float:
    """Choose the cut with the highest score; for the validation split, never for the test split.

    Macro F1 is the default because it is the figure the case reports, treats rain and dry alike and, unlike accuracy,
    F1 of rain and the critical success index, is not raised by a forecast that always says the same.
    Cuts between two neighbouring probabilities decide alike: 0.5 stands for its own interval, the middle for others.
    Of several best intervals the one nearest to 0.5 is taken.

    Args:
        probability: `(N,)` probability of rain.
        observed: `(N,)` 0 or 1.
        score: one of `CUT_SCORES`.

    Returns:
        A cut above 0 and below 1; 0.5 where only one class was observed.

    Raises:
        ValueError: the score is not one of `CUT_SCORES`.
        DataError: probabilities or observations out of range.
    """
    if score not in CUT_SCORES:
        raise ValueError(f"no cut can be chosen by {score!r}; choose one of {', '.join(CUT_SCORES)}")
    probability = np.asarray(probability, dtype=np.float64)
    observed = np.asarray(observed)
    check_values("probability", probability)
    check_values("observed", observed.astype(np.float64), binary=True)
    if np.unique(observed).size < 2:
        logger.warning("only one class in %d validation samples: the cut stays at 0.5", observed.size)
        return 0.5
    values, place = np.unique(probability, return_inverse=True)
    rain = np.bincount(place, weights=observed, minlength=values.size)
    dry = np.bincount(place, minlength=values.size) - rain
    below, above = np.concatenate([[0.0], values]), np.concatenate([values, [1.0]])
    cuts = np.where((below < 0.5) & (above >= 0.5), 0.5, (below + above) / 2)
    # misses and correct negatives of cut i are the samples with one of the first i probabilities
    misses, negatives = (np.concatenate([[0.0], np.cumsum(count)]) for count in (rain, dry))
    inside = (cuts > below) & (cuts < 1)
    table = {
        "hits": rain.sum() - misses,
        "misses": misses,
        "false_alarms": dry.sum() - negatives,
        "correct_negatives": negatives,
    }
    reached = np.where(inside, contingency_scores(table)[score], -np.inf)
    best = np.flatnonzero(reached >= np.nanmax(reached) - 1e-12)
    return float(cuts[best[np.argmin(np.abs(cuts[best] - 0.5))]])


def contingency_scores(table: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """All scores of many 2x2 tables at once.

    Args:
        table: `hits`, `misses`, `false_alarms`, `correct_negatives`, each `(G,)`.

    Returns:
        name -> `(G,)` scores, NaN where undefined.
    """
    import xarray as xr
    from scores.categorical import BasicContingencyManager

    hits, misses, false_alarms, negatives = (np.asarray(table[name], dtype=np.float64) for name in _COUNTS)
    rain, dry, forecast, silent = hits + misses, false_alarms + negatives, hits + false_alarms, misses + negatives
    counts = {_COUNTS[name]: xr.DataArray(np.asarray(table[name], dtype=np.float64), dims="table") for name in _COUNTS}
    counts["total_count"] = xr.DataArray(rain + dry, dims="table")
    manager = BasicContingencyManager(counts)
    result = {name: getattr(manager, name)().to_numpy() for name in _FROM_SCORES}
    # 1 / n * n * n is not always n: without this, a constant forecast of a constant observation could score 0 or 1.
    result["heidke_skill_score"] = np.where(rain * silent + forecast * dry > 0, result["heidke_skill_score"], np.nan)
    errors = misses + false_alarms
    result["f1"] = _ratio(2 * hits, 2 * hits + errors)
    result["macro_f1"] = (result["f1"] + _ratio(2 * negatives, 2 * negatives + errors)) / 2
    result["balanced_accuracy"] = (_ratio(hits, rain) + _ratio(negatives, dry)) / 2
    # Square roots one by one: the product of four counts of 100,000 samples would lose digits.
    scale = np.sqrt(rain * dry) * np.sqrt(forecast * silent)
    correlation = _ratio(hits * negatives - misses * false_alarms, np.where(scale > 0, scale, 1.0))
    result["matthews_correlation"] = np.where(rain * dry > 0, correlation, np.nan)
    return result


def score(forecasts: Forecasts) -> dict[str, Any]:
    """All scores of one set of forecasts, ready for JSON.

    Returns:
        `n`, `base_rate`, `cut`, `contingency_table`, `predicted_rain_share`, `constant_answer` (the forecast says the
        same every time, so no score of it is skill) and every name of `score_info.SCORES`; None where undefined.
    """
    observed = np.asarray(forecasts.observed).astype(bool)
    predicted = np.asarray(forecasts.probability) >= forecasts.cut
    table = {
        "hits": int((predicted & observed).sum()),
        "misses": int((~predicted & observed).sum()),
        "false_alarms": int((predicted & ~observed).sum()),
        "correct_negatives": int((~predicted & ~observed).sum()),
    }
    n = observed.size
    result: dict[str, Any] = {
        "n": n,
        "base_rate": float(observed.mean()) if n else None,
        "cut": float(forecasts.cut),
        "contingency_table": table,
        "predicted_rain_share": float(predicted.mean()) if n else None,
        "constant_answer": bool(np.unique(predicted).size < 2),
    }
    contingency = contingency_scores({name: np.array([count]) for name, count in table.items()})
    result |= {name: _number(value[0]) for name, value in contingency.items()}
    return result | _brier(forecasts) | _ranking(forecasts)


def score_table(forecasts: Forecasts | ClassForecasts) -> dict[str, Any]:
    """Scores overall, by region and by calendar month of init_time.

    Returns:
        `{"overall": scores, "by_region": {name: scores}, "by_month": {"01": scores}}`; for several classes
        `{"classes": class scores, "thresholds": {"0.1 mm": the former}}`.
    """
    if isinstance(forecasts, ClassForecasts):
        thresholds = {
            f"{threshold:g} mm": score_table(forecasts.exceedance(j))
            for j, threshold in enumerate(forecasts.threshold_mm)
        }
        return {"classes": class_scores(forecasts), "thresholds": thresholds}
    month = month_of(forecasts.init_time)
    return {
        "overall": score(forecasts),
        "by_region": {name: score(part) for name, part in _groups(forecasts, np.asarray(forecasts.region))},
        "by_month": {name: score(part) for name, part in _groups(forecasts, month)},
    }


def class_scores(forecasts: ClassForecasts) -> dict[str, Any]:
    """Accuracy, macro F1, balanced accuracy, Matthews correlation (R_K) and ranked probability score of the classes.

    Source: Gorodkin (2004), Comparing two K-category assignments by a K-category correlation coefficient.

    Returns:
        `n`, `base_rate` (share of each class), `confusion_matrix` (rows observed, columns forecast), `constant_answer`
        and the scores; None where a class was never observed (or, for macro F1, nor forecast). The ranked probability
        score also of climatology and persistence.
    """
    observed, predicted = np.asarray(forecasts.observed).astype(np.int64), forecasts.predicted_class()
    n_classes = len(forecasts.threshold_mm) + 1
    matrix = np.bincount(observed * n_classes + predicted, minlength=n_classes**2).reshape(n_classes, n_classes)
    n, right = int(matrix.sum()), np.diag(matrix)
    seen, said = matrix.sum(1), matrix.sum(0)
    f1, recall = _ratio(2 * right, seen + said), _ratio(right, seen)
    scale = math.sqrt(float(n * n - said @ said)) * math.sqrt(float(n * n - seen @ seen))
    correlation = float(n * right.sum() - said @ seen) / scale if scale else 0.0
    return {
        "n": n,
        "base_rate": [_number(share) for share in _ratio(seen, np.full(n_classes, n))],
        "confusion_matrix": matrix.tolist(),
        "constant_answer": bool(np.unique(predicted).size < 2),
        "accuracy": float(right.sum() / n) if n else None,
        "macro_f1": _number(f1.mean()),
        "balanced_accuracy": _number(recall.mean()),
        "matthews_correlation": correlation if np.count_nonzero(seen) > 1 else None,
        **ranked_probability_scores(forecasts),
    }


def _brier(forecasts: Forecasts) -> dict[str, float | None]:
    if not len(forecasts.observed):
        return {"brier_score": None, "brier_skill_score": None}
    import xarray as xr
    from scores.probability import brier_score

    observed = xr.DataArray(np.asarray(forecasts.observed, dtype=np.float64), dims="sample")
    value, reference = (
        float(brier_score(xr.DataArray(np.asarray(probability, dtype=np.float64), dims="sample"), observed))
        for probability in (forecasts.probability, forecasts.climatology)
    )
    return {"brier_score": value, "brier_skill_score": 1 - value / reference if reference > 0 else None}


def _ranking(forecasts: Forecasts) -> dict[str, float | None]:
    if np.unique(forecasts.observed).size < 2:
        return {"roc_auc": None, "average_precision": None}
    from sklearn.metrics import average_precision_score, roc_auc_score

    return {
        "roc_auc": float(roc_auc_score(forecasts.observed, forecasts.probability)),
        "average_precision": float(average_precision_score(forecasts.observed, forecasts.probability)),
    }


def _groups(forecasts: Forecasts, key: np.ndarray) -> Iterator[tuple[str, Forecasts]]:
    for name in np.unique(key):
        yield str(name), forecasts.select(key == name)


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Quotient where the denominator is not zero, else NaN."""
    result = np.full(np.shape(denominator), np.nan)
    return np.divide(numerator, denominator, out=result, where=np.asarray(denominator) != 0)


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
