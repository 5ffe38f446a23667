"""A forecast judged beside its references: intervals of its scores, and which differences to a reference are real."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from utils import intervals
from utils.amount_sums import amount_sums
from utils.amounts import AmountForecasts
from utils.diebold_mariano import diebold_mariano
from utils.forecasts import REFERENCES, ClassForecasts, Forecasts
from utils.intervals import Draws, F, Measure
from utils.regression_score_info import AMOUNT_SCORES
from utils.regression_scores import score as amount_score

FORECAST = "forecast"


@dataclass(frozen=True, kw_only=True)
class Terms:
    """On which terms a forecast is judged.

    Attributes:
        draws: of the bootstrap; 0 makes no intervals.
        lead_time_hours: from init_time to the end of the label period.
        reference_cuts: for each threshold the cut of each reference, chosen where that of the forecast was; 0.5
            where there is none, `(N,)` where forecasts of several runs are put together.
    """

    draws: int = 1000
    lead_time_hours: int = 24
    reference_cuts: tuple[Mapping[str, float | np.ndarray], ...] = field(default_factory=tuple)

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
    judged = _judged(table, intervals.OF_EVENTS, {FORECAST: forecasts, **references}, terms.draws)
    for name, reference in references.items():
        test = diebold_mariano(forecasts, reference, terms.lead_time_hours)
        judged["against"][name]["diebold_mariano"] = test
    return judged


def judge_amounts(
    table: Mapping[str, Any], forecasts: AmountForecasts, rain_threshold_mm: float, draws: int
) -> dict[str, Any]:
    """Add intervals, and differences from the references, to the scores of forecast amounts.

    Args:
        table: `regression_scores.score_table` of the forecasts.
        forecasts: the same.
        rain_threshold_mm: from how much on the base rate counts a case as rain.
        draws: of the bootstrap; 0 makes no intervals.

    Returns:
        The table with the same keys beside it as `judge` adds, but for the test of Diebold and Mariano.
    """
    references: dict[str, AmountForecasts] = {name: forecasts.reference(name) for name in REFERENCES}
    return _judged(table, of_amounts(rain_threshold_mm), {FORECAST: forecasts, **references}, draws)


def of_amounts(rain_threshold_mm: float) -> Measure[AmountForecasts]:
    """How forecasts of amounts are scored; the base rate counts a case from so much rain on."""
    return Measure(tuple(AMOUNT_SCORES), partial(amount_score, rain_threshold_mm=rain_threshold_mm), amount_sums)


def _judged(table: Mapping[str, Any], measure: Measure[F], each: Mapping[str, F], draws: int) -> dict[str, Any]:
    """Judge the forecast among `each` beside all others of these."""
    drawn = intervals.bootstrap_of(measure, each, draws)
    references = [name for name in each if name != FORECAST]
    return {
        **table,
        "overall": {**table["overall"], "intervals": _listed(drawn)},
        "by_region": {
            name: {**scores, "intervals": _listed(_of_region(measure, each[FORECAST], name, draws))}
            for name, scores in table["by_region"].items()
        },
        "why_no_intervals": drawn.why_none,
        "references": {name: drawn.scores(name) for name in references},
        "against": {name: _differences(drawn, name) for name in references},
    }


def _of_region(measure: Measure[F], forecasts: F, name: str, draws: int) -> Draws[F]:
    chosen = np.asarray(forecasts.region).astype(str) == name
    return intervals.bootstrap_of(measure, {FORECAST: forecasts.select(chosen)}, draws)


def _listed(drawn: Draws[F]) -> dict[str, list[float] | None]:
    """Intervals as JSON has them."""
    return {score: ends if ends is None else list(ends) for score, ends in drawn.intervals(FORECAST).items()}


def _differences(drawn: Draws[F], reference: str) -> dict[str, Any]:
    found = {score: drawn.difference(FORECAST, reference, score) for score in drawn.measure.names}
    return {
        score: {
            "difference": each.value,
            "interval": None if each.interval is None else list(each.interval),
            "is_real": each.is_real,
        }
        for score, each in found.items()
    }
