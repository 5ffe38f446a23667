"""All scores of one set of yes/no forecasts, ready for JSON."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from utils.contingency import COUNTS
from utils.day_sums import day_sums, scores_on_all_days
from utils.forecasts import Forecasts


def score(forecasts: Forecasts) -> dict[str, Any]:
    """All scores of one set of forecasts, ready for JSON; see `score_each`."""
    return score_each([forecasts])[0]


def score_each(several: Sequence[Forecasts]) -> list[dict[str, Any]]:
    """All scores of each of several sets of forecasts, ready for JSON.

    Returns:
        For each `n`, `base_rate`, `cut`, `contingency_table`, `predicted_rain_share`, `constant_answer` (the forecast
        says the same every time, so no score of it is skill) and every name of `score_info.SCORES`; None where
        undefined.
    """
    found = scores_on_all_days([day_sums(each) for each in several])
    return [
        _counts(each) | {name: number(value) for name, value in scores.items()} | _ranking(each)
        for each, scores in zip(several, found, strict=True)
    ]


def _counts(forecasts: Forecasts) -> dict[str, Any]:
    observed = np.asarray(forecasts.observed).astype(bool)
    predicted = np.asarray(forecasts.probability) >= forecasts.cut
    counts = ((predicted & observed), (~predicted & observed), (predicted & ~observed), (~predicted & ~observed))
    n = observed.size
    return {
        "n": n,
        "base_rate": float(observed.mean()) if n else None,
        "cut": forecasts.one_cut,
        "contingency_table": {name: int(count.sum()) for name, count in zip(COUNTS, counts, strict=True)},
        "predicted_rain_share": float(predicted.mean()) if n else None,
        "constant_answer": bool(np.unique(predicted).size < 2),
    }


def _ranking(forecasts: Forecasts) -> dict[str, float | None]:
    """The two scores of the order of all cases, without bins."""
    if np.unique(forecasts.observed).size < 2:
        return {"roc_auc": None, "average_precision": None}
    from sklearn.metrics import average_precision_score, roc_auc_score

    return {
        "roc_auc": float(roc_auc_score(forecasts.observed, forecasts.probability)),
        "average_precision": float(average_precision_score(forecasts.observed, forecasts.probability)),
    }


def number(value: float) -> float | None:
    """A number, or None where it is not finite."""
    return float(value) if math.isfinite(value) else None
