"""Scores of rain forecasts: a thin layer over `scores` (contingency) and scikit-learn (ranking).

Event: rain (class 1 or higher). A forecast says rain where its probability reaches the cut, and the cut is chosen on
the validation split. A score that is undefined is None, never 0 or NaN. The meaning of each is in `score_info.SCORES`.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from utils.contingency import contingency_scores, ratio
from utils.event_scores import number, score, score_each
from utils.forecasts import SEASONS, ClassForecasts, Forecasts, check_values, hour_of, month_of, season_of
from utils.ranked_probability import ranked_probability_scores
from utils.score_info import SCORES, format_table

__all__ = [
    "CUT_SCORES", "SCORES", "ClassForecasts", "Forecasts", "choose_cut", "class_scores", "contingency_scores",
    "format_table", "score", "score_groups", "score_table",
]  # fmt: skip

logger = logging.getLogger(__name__)

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


def score_table(forecasts: Forecasts | ClassForecasts) -> dict[str, Any]:
    """Scores overall, by region, and by calendar month, season and hour (UTC) of init_time.

    Returns:
        `{"overall": scores, "by_region": {name: scores}, "by_month": {"01": scores}, "by_season": {"wet": scores},
        "by_hour": {"00": scores}}`; for several classes `{"classes": class scores, "thresholds": {"0.1 mm": the
        former}}`. A group without forecasts is not there.
    """
    if isinstance(forecasts, ClassForecasts):
        thresholds = {
            f"{threshold:g} mm": score_table(forecasts.exceedance(j))
            for j, threshold in enumerate(forecasts.threshold_mm)
        }
        return {"classes": class_scores(forecasts), "thresholds": thresholds}
    times = forecasts.init_time
    return {
        "overall": score(forecasts),
        "by_region": score_groups(forecasts, np.asarray(forecasts.region)),
        "by_month": score_groups(forecasts, month_of(times)),
        "by_season": score_groups(forecasts, season_of(times), SEASONS),
        "by_hour": score_groups(forecasts, hour_of(times)),
    }


def score_groups(forecasts: Forecasts, key: np.ndarray, names: Sequence[str] = ()) -> dict[str, dict[str, Any]]:
    """Scores of each group of forecasts alone.

    Args:
        forecasts: `N` of them.
        key: `(N,)` name of the group each belongs to.
        names: the groups in their order; those without forecasts are left out. By default all, sorted.

    Returns:
        name -> scores.
    """
    there = np.unique(key)
    chosen = [name for name in names or there if name in there]
    found = score_each([forecasts.select(key == name) for name in chosen])
    return dict(zip(map(str, chosen), found, strict=True))


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
    f1, recall = ratio(2 * right, seen + said), ratio(right, seen)
    scale = math.sqrt(float(n * n - said @ said)) * math.sqrt(float(n * n - seen @ seen))
    correlation = float(n * right.sum() - said @ seen) / scale if scale else 0.0
    return {
        "n": n,
        "base_rate": [number(share) for share in ratio(seen, np.full(n_classes, n))],
        "confusion_matrix": matrix.tolist(),
        "constant_answer": bool(np.unique(predicted).size < 2),
        "accuracy": float(right.sum() / n) if n else None,
        "macro_f1": number(f1.mean()),
        "balanced_accuracy": number(recall.mean()),
        "matthews_correlation": correlation if np.count_nonzero(seen) > 1 else None,
        **ranked_probability_scores(forecasts),
    }
