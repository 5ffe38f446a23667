"""From a probability to a decision: the cut, and what following it costs.

Who can protect at a cost C against a loss L does best, on average, to protect wherever the probability of the event
reaches C / L - if the probabilities are calibrated. Expenses here are in units of the loss, so that protecting costs
r = C / L and an event without protection costs 1.
Source: Richardson (2000), Skill and relative economic value of the ECMWF ensemble prediction system, Quarterly Journal
of the Royal Meteorological Society 126; Murphy (1977), Monthly Weather Review 105.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from utils import verification
from utils.forecasts import Forecasts, exceedances

BY_RATIO = "cost_loss_ratio"


@dataclass(frozen=True)
class Decision:
    """From which probability on an event is said, and why from there.

    Attributes:
        by: the score that the validation split was searched with, or `cost_loss_ratio`.
        cut: one probability per threshold.
        cost_loss_ratio: one per threshold where the cuts are these ratios; else empty.
    """

    by: str
    cut: tuple[float, ...]
    cost_loss_ratio: tuple[float, ...] = ()


def by_score(probability: np.ndarray, label: np.ndarray, score: str) -> Decision:
    """Choose for each threshold the cut with the highest score.

    Args:
        probability: `(N, K)` class probabilities of the validation split, calibrated.
        label: `(N,)` class that was observed.
        score: one of `verification.CUT_SCORES`.
    """
    return Decision(
        score,
        tuple(
            verification.choose_cut(reached, (label >= level).astype(int), score)
            for level, reached in enumerate(exceedances(probability).T, start=1)
        ),
    )


def by_ratio(ratios: Sequence[float], n_thresholds: int) -> Decision:
    """Decide by what protecting costs: the cut is the ratio, and no data are searched.

    Args:
        ratios: cost of protecting / loss without protection, one for all thresholds or one for each.
        n_thresholds: of the table.

    Raises:
        ValueError: another number of ratios.
    """
    if len(ratios) not in (1, n_thresholds):
        raise ValueError(f"{len(ratios)} cost/loss ratios do not fit {n_thresholds} thresholds")
    each = tuple(ratios) if len(ratios) == n_thresholds else tuple(ratios) * n_thresholds
    return Decision(BY_RATIO, each, each)


def expense(forecasts: Forecasts, ratio: float) -> dict[str, float | int | None]:
    """Mean expense a case, in units of the loss, of deciding at the cut of the forecasts.

    Climatology here is the cheaper of protecting always and never, known from the base rate of the same cases; perfect
    knowledge protects where the event comes. Relative value is the share of the way from the one to the other:
    `(climatology - forecast) / (climatology - perfect)`; 1 perfect, 0 no use, negative worse than no forecast.

    Args:
        forecasts: of one event.
        ratio: cost of protecting / loss without protection, above 0 and below 1.

    Returns:
        `n`, `base_rate`, `cost_loss_ratio`, `forecast`, `climatology`, `perfect` and `relative_value`; None where
        undefined (no cases; the event always or never there, so that nothing is left to gain).
    """
    observed = np.asarray(forecasts.observed).astype(bool)
    n = observed.size
    result: dict[str, float | int | None] = {"n": n, "base_rate": None, "cost_loss_ratio": ratio}
    result |= dict.fromkeys(("forecast", "climatology", "perfect", "relative_value"))
    if not n:
        return result
    protects = np.asarray(forecasts.probability) >= forecasts.cut
    base_rate = float(observed.mean())
    spent = float((ratio * protects + (observed & ~protects)).mean())
    constant, perfect = min(ratio, base_rate), ratio * base_rate
    result |= {"base_rate": base_rate, "forecast": spent, "climatology": constant, "perfect": perfect}
    if 0 < base_rate < 1:
        result["relative_value"] = (constant - spent) / (constant - perfect)
    return result
