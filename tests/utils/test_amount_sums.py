"""Scores of amounts from sums per day: the library's own values, undefined as NaN, intervals that hold the truth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from utils import regression_scores
from utils.amount_sums import amount_sums
from utils.amounts import AmountForecasts, Amounts
from utils.intervals import bootstrap_of
from utils.judgement import of_amounts
from utils.regression_score_info import AMOUNT_SCORES


def year_of_amounts(seed: int = 0, n_days: int = 200, skill: float = 0.6) -> AmountForecasts:
    """Two regions, one hour a day; rain is a share of the day's weather, and the forecast knows `skill` of it."""
    rng = np.random.default_rng(seed)
    n = 2 * n_days
    day = np.repeat(np.arange(n_days), 2)
    known, unknown = rng.gamma(0.6, 6, n), rng.gamma(0.6, 6, n)
    observed = np.where(rng.random(n) < 0.4, 0, skill * known + (1 - skill) * unknown)
    said = np.sort(skill * known[:, None] * np.array([0, 0.5, 1]) + (1 - skill) * np.array([0, 1, 6]), axis=1)
    return AmountForecasts(
        init_time=np.datetime64("2023-01-01", "s") + day * np.timedelta64(24, "h"),
        region=np.tile(["north", "south"], n_days),
        observed=observed,
        forecast=Amounts.of_quantiles(said),
        climatology=Amounts.of_quantiles(np.tile([0.0, 1.0, 6.0], (n, 1))),
        persistence=Amounts.of_quantiles(np.repeat(np.roll(observed, 2)[:, None], 3, axis=1)),
    )


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_scores_of_sums_are_those_of_the_library(seed: int, scale: float) -> None:
    """Intervals would lie around another value than the one they stand beside."""
    whole = year_of_amounts(seed, n_days=60)
    enlarged = {
        name: Amounts.of_quantiles(scale * getattr(whole, name).quantiles)
        for name in ("forecast", "climatology", "persistence")
    }
    whole = replace(whole, observed=scale * whole.observed, **enlarged)
    for forecasts in (whole, whole.reference("climatology"), whole.reference("persistence")):
        found = {name: float(value[0]) for name, value in amount_sums(forecasts).scores().items()}
        expected = regression_scores.score(forecasts, 0.1)
        assert set(found) == set(AMOUNT_SCORES)
        for name, value in found.items():
            assert np.isnan(value) if expected[name] is None else value == pytest.approx(expected[name], abs=1e-9), name


def test_a_draw_is_scored_as_the_cases_it_holds() -> None:
    """Weights of the days, not of the cases: a day drawn twice counts with both of its regions twice."""
    forecasts = year_of_amounts(n_days=40)
    weights = np.random.default_rng(1).integers(0, 3, (40, 4)).astype(float)
    found = amount_sums(forecasts).scores(weights)
    days = forecasts.init_time.astype("datetime64[D]")
    for draw in range(4):
        held = np.repeat(np.arange(len(days)), weights[np.searchsorted(np.unique(days), days), draw].astype(int))
        expected = regression_scores.score(forecasts.select(held), 0.1)
        assert {name: found[name][draw] for name in AMOUNT_SCORES} == pytest.approx(
            {name: expected[name] for name in AMOUNT_SCORES}, abs=1e-9
        )


def test_what_is_undefined_in_a_draw_is_nan_there_alone() -> None:
    """A draw of dry days has no correlation; by rounding it would have one of any size."""
    forecasts = year_of_amounts(n_days=30)
    observed = forecasts.observed.copy()
    observed[:40] = 0.1
    # Said without a doubt, so that this climatology has no error on the first twenty days.
    sure = Amounts.of_quantiles(np.repeat(observed[:, None], 3, axis=1))
    weights = np.stack([np.arange(30) < 20, np.ones(30), np.zeros(30)], axis=1).astype(float)
    found = amount_sums(replace(forecasts, observed=observed, climatology=sure)).scores(weights)
    undefined = {name for name, values in found.items() if np.isnan(values[0])}
    assert undefined == {"r2", "correlation", "mae_skill_score", "crps_skill_score"}
    assert {name for name, values in found.items() if np.isnan(values[1])} == {"mae_skill_score", "crps_skill_score"}
    assert all(np.isnan(values[2]) for values in found.values()), "a draw without a case has no score at all"


def test_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    """An interval that holds it in half of the records would call most differences real that are chance."""
    names = ("mean_absolute_error", "bias", "crps_skill_score")
    truth = regression_scores.score(year_of_amounts(seed=999, n_days=50_000), 0.1)
    held = dict.fromkeys(names, 0)
    records = 80
    for seed in range(records):
        drawn = bootstrap_of(of_amounts(0.1), {"": year_of_amounts(seed, n_days=140)}, draws=200, seed=seed)
        for name in names:
            low, high = drawn.interval("", name)
            held[name] += low <= truth[name] <= high
    assert all(0.88 * records <= count <= records for count in held.values()), held


def test_equal_seeds_give_equal_intervals_of_amounts() -> None:
    """Scores that are made again from the same forecasts must be the same file."""
    given = {"": year_of_amounts()}
    one, again, other = (
        bootstrap_of(of_amounts(0.1), given, draws=100, seed=seed).interval("", "continuous_ranked_probability_score")
        for seed in (1, 1, 2)
    )
    assert one == again != other
