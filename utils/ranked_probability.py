"""The ranked probability score of ordered classes: a miss by two classes costs more than a miss by one.

It is the sum over the thresholds of the Brier score of "reached", so it sees the order that accuracy is blind to.
Source: Epstein (1969), A scoring system for probability forecasts of ranked categories; Wilks (2019).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from utils.forecasts import ClassForecasts, exceedances
from utils.score_info import ScoreInfo

CLASS_SCORES: dict[str, ScoreInfo] = {
    "ranked_probability_score": ScoreInfo(
        "mean of the sum over thresholds of (p - o)^2, p the exceedance probability",
        "0 to the number of thresholds",
        "0",
        "Epstein (1969); Wilks (2019), Statistical Methods in the Atmospheric Sciences",
        "no samples",
    ),
    "ranked_probability_skill_score": ScoreInfo(
        "1 - ranked_probability_score / ranked_probability_score of the monthly training climatology of the region",
        "-infinity to 1",
        "1",
        "Wilks (2019), Statistical Methods in the Atmospheric Sciences",
        "the climatology is itself perfect, or no samples",
    ),
}
_OF_REFERENCES = ("ranked_probability_score_of_climatology", "ranked_probability_score_of_persistence")


def ranked_probability_scores(forecasts: ClassForecasts) -> dict[str, Any]:
    """Return the scores of `CLASS_SCORES`, and the score of both references; None where undefined."""
    if not len(forecasts.observed):
        return dict.fromkeys((*CLASS_SCORES, *_OF_REFERENCES))
    own, climatology, persistence = (
        ranked_probability_score(getattr(forecasts, name), forecasts.observed)
        for name in ("probability", "climatology", "persistence")
    )
    return {
        "ranked_probability_score": own,
        "ranked_probability_skill_score": 1 - own / climatology if climatology > 0 else None,
        **dict(zip(_OF_REFERENCES, (climatology, persistence), strict=True)),
    }


def ranked_probability_score(probability: np.ndarray, observed: np.ndarray) -> float:
    """Return the mean over the samples.

    Args:
        probability: `(N, K)` of the ordered classes, N at least 1.
        observed: `(N,)` class, 0 to K - 1.
    """
    import xarray as xr
    from scores.probability import brier_score

    reached = exceedances(probability)
    happened = np.asarray(observed)[:, None] >= np.arange(1, reached.shape[1] + 1)
    dimensions = ("sample", "threshold")
    by_threshold = brier_score(
        xr.DataArray(reached, dims=dimensions),
        xr.DataArray(happened.astype(np.float64), dims=dimensions),
        preserve_dims="threshold",
    )
    return float(by_threshold.sum())
