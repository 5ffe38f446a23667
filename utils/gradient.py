"""From north to south: how a score changes with the latitude of the regions.

A straight line through the scores of the regions, by least squares, every region counting alike. Its slope is per
degree of latitude northwards: above 0 the score is higher in the north. The interval comes from draws of days that all
regions share, so that what they have in common on a day stays together; it says how well the days determine the slope
of these regions, and nothing of regions that are not there. Spearman's rank correlation of score and latitude stands
beside it, since a few regions need not lie on a line. R regions, G draws.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from utils import intervals
from utils.day_sums import DaySums, day_sums
from utils.event_scores import score
from utils.forecasts import Forecasts
from utils.intervals import BLOCK_DAYS
from utils.phase_difference import BASE_RATE, told

SCORES = ("roc_auc", "brier_skill_score", BASE_RATE)
LEAST_REGIONS = 3
# Closer than this is one latitude: a hundredth of a degree is a kilometre.
SAME_DEGREES = 0.01


def gradient(
    forecasts: Forecasts,
    latitude: Mapping[str, float],
    draws: int = 1000,
    block_days: int = BLOCK_DAYS,
    seed: int = 0,
) -> dict[str, Any]:
    """Slope of ROC AUC, Brier skill and base rate over the latitude of the regions.

    Args:
        forecasts: of all regions.
        latitude: region -> degrees north, where it is known.
        draws: of days.
        block_days: days that are drawn together.
        seed: equal ones give equal intervals.

    Returns:
        `latitude`: of the regions with forecasts; `reason`: why there is no slope, else None; `scores`: None without
        a slope, else score -> `slope_per_degree`, `interval`, `is_real`, `rank_correlation`, `regions` (how many have
        this score) and `reason`, each figure None where it is undefined.
    """
    names = [str(name) for name in np.unique(forecasts.region)]
    known = {name: float(latitude[name]) for name in names if name in latitude}
    reason = _why_not(names, known)
    if reason:
        return {"latitude": known, "reason": reason, "scores": None}
    parts = {name: forecasts.select(np.asarray(forecasts.region) == name) for name in known}
    values = {name: score(part) for name, part in parts.items()}
    drawn, n_blocks = _drawn(parts, draws, block_days, seed)
    found = {}
    for wanted in SCORES:
        defined = {name: place for name, place in known.items() if values[name][wanted] is not None}
        found[wanted] = _slope(
            defined,
            {name: values[name][wanted] for name in defined},
            None if drawn is None else np.stack([drawn[wanted][name] for name in defined]) if defined else None,
            n_blocks,
        )
    return {"latitude": known, "reason": None, "scores": found}


def _why_not(names: list[str], known: Mapping[str, float]) -> str | None:
    """Return why no line can be drawn through these regions, None where it can."""
    if len(names) < LEAST_REGIONS:
        return f"{len(names)} region{'s' * (len(names) != 1)}, and a line needs {LEAST_REGIONS} at least"
    if len(known) < LEAST_REGIONS:
        absent = [name for name in names if name not in known]
        return f"the table does not say at which latitude these regions lie: {', '.join(absent[:6])}"
    places = np.sort(list(known.values()))
    different = 1 + int((np.diff(places) > SAME_DEGREES).sum())
    if different == 1:
        return f"all {len(known)} regions lie at one latitude, {places[0]:.2f} degrees north"
    if different < LEAST_REGIONS:
        return f"the regions lie at {different} latitudes, and a line needs {LEAST_REGIONS} at least"
    return None


def _drawn(
    parts: Mapping[str, Forecasts], draws: int, block_days: int, seed: int
) -> tuple[dict[str, dict[str, np.ndarray]] | None, float]:
    """Return score -> region -> `(G,)` values in draws of days common to all regions, and how many blocks there are."""
    sums: dict[str, DaySums] = {name: day_sums(part) for name, part in parts.items()}
    days = np.unique(np.concatenate([each.days for each in sums.values()]))
    n_blocks = len(days) / block_days
    if draws == 0 or n_blocks < intervals.LEAST_BLOCKS:
        return None, n_blocks
    weights = intervals.draw_days(len(days), draws, block_days, seed)
    found: dict[str, dict[str, np.ndarray]] = {name: {} for name in SCORES}
    for region, each in sums.items():
        own = weights[np.searchsorted(days, each.days)]
        scores = each.scores(own) | {BASE_RATE: each.base_rate(own)}
        for name in SCORES:
            found[name][region] = scores[name]
    return found, n_blocks


def _slope(
    latitude: Mapping[str, float], values: Mapping[str, float], drawn: np.ndarray | None, n_blocks: float
) -> dict[str, Any]:
    """Return slope, interval and rank correlation of one score, `drawn (R, G)` in the draws."""
    reason = _why_not(list(latitude), latitude)
    if reason:
        return {
            "slope_per_degree": None, "interval": None, "is_real": None, "rank_correlation": None,
            "regions": len(latitude), "reason": f"with this score: {reason}",
        }  # fmt: skip
    place, value = np.array(list(latitude.values())), np.array(list(values.values()))
    centred = place - place.mean()
    per_region = centred / (centred @ centred)
    slope = float(per_region @ value)
    if drawn is None:
        with_interval = intervals.Difference(slope, None, None, None)
    else:
        with_interval = intervals.difference_of(slope, per_region @ drawn, n_blocks)
    about = told(with_interval)
    return {
        "slope_per_degree": about.pop("difference"),
        **about,
        "rank_correlation": _rank_correlation(place, value),
        "regions": len(latitude),
        "reason": None,
    }


def _rank_correlation(place: np.ndarray, value: np.ndarray) -> float | None:
    from scipy.stats import spearmanr

    if np.ptp(value) == 0:
        return None
    return float(spearmanr(place, value).statistic)
