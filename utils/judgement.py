"""A forecast judged beside its references: intervals of its scores, and which differences to a reference are real."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from utils import intervals
from utils.diebold_mariano import diebold_mariano
from utils.forecasts import REFERENCES, ClassForecasts, Forecasts
from utils.score_info import SCORES

FORECAST = "forecast"


@dataclass(frozen=True, kw_only=True)
class Terms:
    """On which terms a forecast is judged.

    Attributes:
        draws: of the bootstrap; 0 makes no intervals.
        lead_time_hours: from init_time to the end of the label period.
        reference_cuts: for each threshold the cut of each reference, chosen where that of the forecast was; 0.5
            where there is none.
    """

    draws: int = 1000
    lead_time_hours: int = 24
    reference_cuts: tuple[Mapping[str, float], ...] = field(default_factory=tuple)

    def of_threshold(self, number: int) -> Terms:
        """The terms of one of several thresholds."""
        return replace(self, reference_cuts=self.reference_cuts[number : number + 1])


def judge(table: Mapping[str, Any], forecasts: Forecasts | ClassForecasts, terms: Terms) -> dict[str, Any]:
    """Add intervals and references to the scores of a forecast.

    Args:
        table: `verification.score_table` of the forecasts.
        forecasts: the same.
        terms: on which it is judged.

    Returns:
        The table, its overall scores and those of regions with `intervals` (score -> `[low, high]` or None), and beside
        them `why_no_intervals` (empty where there are), `references` (name -> scores) and `against` (name -> score ->
        `difference`, `interval`, `is_real`, and `diebold_mariano`). Of several thresholds each one alone.
    """
    if isinstance(forecasts, ClassForecasts):
        thresholds = {
            name: judge(part, event, terms.of_threshold(number))
            for number, ((name, part), event) in enumerate(
                zip(table["thresholds"].items(), forecasts.events(), strict=True)
            )
        }
        return {**table, "thresholds": thresholds}
    cuts = terms.reference_cuts[0] if terms.reference_cuts else {}
    references: dict[str, Forecasts] = {name: forecasts.reference(name, cuts.get(name, 0.5)) for name in REFERENCES}
    drawn = intervals.bootstrap({FORECAST: forecasts, **references}, terms.draws)
    return {
        **table,
        "overall": {**table["overall"], "intervals": _listed(drawn)},
        "by_region": {
            name: {**scores, "intervals": _listed(_of_region(forecasts, name, terms))}
            for name, scores in table["by_region"].items()
        },
        "why_no_intervals": drawn.why_none,
        "references": {name: drawn.scores(name) for name in references},
        "against": {
            name: _differences(drawn, name)
            | {"diebold_mariano": diebold_mariano(forecasts, reference, terms.lead_time_hours)}
            for name, reference in references.items()
        },
    }


def _of_region(forecasts: Forecasts, name: str, terms: Terms) -> intervals.Draws:
    chosen = np.asarray(forecasts.region).astype(str) == name
    return intervals.bootstrap({FORECAST: forecasts.select(chosen)}, terms.draws)


def _listed(drawn: intervals.Draws) -> dict[str, list[float] | None]:
    """Intervals as JSON has them."""
    return {score: ends if ends is None else list(ends) for score, ends in drawn.intervals(FORECAST).items()}


def _differences(drawn: intervals.Draws, reference: str) -> dict[str, Any]:
    found = {score: drawn.difference(FORECAST, reference, score) for score in SCORES}
    return {
        score: {
            "difference": each.value,
            "interval": None if each.interval is None else list(each.interval),
            "is_real": each.is_real,
        }
        for score, each in found.items()
    }
