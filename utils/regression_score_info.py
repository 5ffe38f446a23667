"""What each score of amounts means, written once for the code and docs/glossary.md; and tables of them as text.

Letters: f forecast and o observed amount in millimetres, n cases. The median of the distribution is f in the mean
absolute error and SMAPE, its mean in all scores of squares, since these are what each of the two rewards.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from utils import score_rows
from utils.judgement_text import amount_lines
from utils.score_info import ScoreInfo

_WWRP = "WWRP/WGNE Joint Working Group on Forecast Verification Research"
_NO_SAMPLES = "no samples"

AMOUNT_SCORES: dict[str, ScoreInfo] = {
    "mean_absolute_error": ScoreInfo("mean of |f - o|, f the median, mm", "0 to infinity", "0", _WWRP, _NO_SAMPLES),
    "root_mean_squared_error": ScoreInfo(
        "square root of the mean of (f - o)^2, f the mean, mm", "0 to infinity", "0", _WWRP, _NO_SAMPLES
    ),
    "bias": ScoreInfo("mean of f - o, f the mean, mm", "-infinity to infinity", "0", _WWRP, _NO_SAMPLES),
    "r2": ScoreInfo(
        "1 - sum of (f - o)^2 / sum of (o - mean of o)^2, f the mean",
        "-infinity to 1",
        "1",
        "scikit-learn user guide, 3.4.6 (r2_score)",
        "the same amount observed every time",
    ),
    "correlation": ScoreInfo(
        "Pearson correlation of f and o, f the mean",
        "-1 to 1",
        "1",
        _WWRP,
        "f or o the same every time",
    ),
    "smape": ScoreInfo(
        "mean of |f - o| / ((|f| + |o|) / 2), f the median; 0 / 0, a dry day forecast dry, counts 0",
        "0 to 2",
        "0",
        "Makridakis (1993)",
        _NO_SAMPLES,
    ),
    "continuous_ranked_probability_score": ScoreInfo(
        "mean of the integral over x of (F(x) - [o <= x])^2, F the step function of the quantiles, mm",
        "0 to infinity",
        "0",
        "Matheson and Winkler (1976); Broecker (2012)",
        _NO_SAMPLES,
    ),
    "mae_skill_score": ScoreInfo(
        "1 - mean_absolute_error / mean_absolute_error of the monthly training climatology of the region",
        "-infinity to 1",
        "1",
        "Wilks (2019), Statistical Methods in the Atmospheric Sciences",
        "the climatology is itself perfect, or no samples",
    ),
    "crps_skill_score": ScoreInfo(
        "1 - continuous_ranked_probability_score / that of the monthly training climatology of the region",
        "-infinity to 1",
        "1",
        "Wilks (2019), Statistical Methods in the Atmospheric Sciences",
        "the climatology is itself perfect, or no samples",
    ),
}

_COLUMNS = (
    ("n", "n", 0), ("base", "base_rate", 3), ("mean mm", "mean_observed", 3), ("MAE", "mean_absolute_error", 3),
    ("RMSE", "root_mean_squared_error", 3), ("bias", "bias", 3), ("R2", "r2", 3), ("corr", "correlation", 3),
    ("SMAPE", "smape", 3), ("CRPS", "continuous_ranked_probability_score", 3), ("MAE-SS", "mae_skill_score", 3),
    ("CRPS-SS", "crps_skill_score", 3),
)  # fmt: skip


def format_amounts(scores: Mapping[str, Any], *, is_brief: bool = False) -> str:
    """Write the result of `regression_scores.score_table` as a plain table; "-" stands for an undefined score.

    Args:
        scores: of one forecaster.
        is_brief: leave out intervals and groups.
    """
    lines = [score_rows.header(_COLUMNS, "mm"), score_rows.row("all", scores["overall"], _COLUMNS)]
    lines += [score_rows.row(name, entry, _COLUMNS) for name, entry in scores["references"].items()]
    if not is_brief:
        lines += ["", *amount_lines(scores), "", *score_rows.groups(scores, _COLUMNS)]
    lines.append(
        f"base: share of cases with at least {scores['overall']['rain_threshold_mm']:g} mm; SS: skill against "
        "climatology; =: constant answer; -: undefined"
    )
    return "\n".join(lines)
