"""Scores of two phases that share no day: by hand, and how often their interval holds the truth."""

from __future__ import annotations

import json

import numpy as np
import pytest

from utils import phase_difference
from utils.event_scores import score
from utils.forecasts import Forecasts
from utils.intervals import WITHOUT_INTERVALS
from utils.score_info import SCORES


def forecasts(
    n_days: int = 120, rain: float = 0.5, sharp: float = 1.0, start: str = "2020-01-01", seed: int = 0
) -> Forecasts:
    """Two regions, one forecast a day, whose probabilities know as much of the rain as `sharp` says."""
    generator = np.random.default_rng(seed)
    times = np.repeat(np.datetime64(start, "D") + np.arange(n_days), 2).astype("datetime64[s]")
    observed = (generator.random(2 * n_days) < rain).astype(int)
    signal = sharp * (observed - 0.5) + generator.normal(size=2 * n_days)
    return Forecasts(
        init_time=times,
        region=np.tile(["a", "b"], n_days),
        probability=1 / (1 + np.exp(-signal)),
        observed=observed,
        climatology=np.full(2 * n_days, rain),
        persistence=generator.integers(0, 2, 2 * n_days).astype(float),
    )


def test_a_difference_is_that_of_the_two_scores() -> None:
    """Of every score and of the base rate: a sign or a name mixed up would tell El Nino from La Nina wrongly."""
    one, other = forecasts(seed=1), forecasts(rain=0.3, start="2021-01-01", seed=2)
    found = phase_difference.difference(one, other, draws=50)
    assert set(found) == {*SCORES, "base_rate"}
    first, second = score(one), score(other)
    for name in found:
        assert found[name]["difference"] == pytest.approx(first[name] - second[name]), name
        if name in WITHOUT_INTERVALS:
            assert found[name]["interval"] is None
            continue
        low, high = found[name]["interval"]
        assert low <= high and found[name]["is_real"] == (not low <= 0 <= high)
    json.dumps(found, allow_nan=False)


def test_phases_that_differ_are_told_apart_and_equal_ones_are_not() -> None:
    """A sharp forecast in one phase and noise in the other is real; two alike are not."""
    sharp, noise = forecasts(sharp=4, seed=3), forecasts(sharp=0, start="2021-01-01", seed=4)
    alike = forecasts(sharp=4, start="2021-01-01", seed=5)
    assert phase_difference.difference(sharp, noise, draws=200)["roc_auc"]["is_real"] is True
    assert phase_difference.difference(sharp, alike, draws=200)["roc_auc"]["is_real"] is False
    wet = forecasts(rain=0.8, seed=6)
    assert phase_difference.difference(wet, forecasts(rain=0.2, start="2021-01-01", seed=7), 200)["base_rate"][
        "is_real"
    ]


def test_a_phase_of_few_days_or_of_one_class_has_no_interval_or_no_score() -> None:
    """An interval from three weeks would be made up, and a phase without rain has no ROC AUC."""
    found = phase_difference.difference(forecasts(), forecasts(n_days=21, start="2021-01-01"), draws=50)
    assert found["roc_auc"]["difference"] is not None
    assert found["roc_auc"]["interval"] is None and found["roc_auc"]["is_real"] is None
    dry = phase_difference.difference(forecasts(), forecasts(rain=0.0, start="2021-01-01"), draws=50)
    assert dry["roc_auc"] == {"difference": None, "interval": None, "is_real": None}
    assert dry["base_rate"]["difference"] > 0.3


def test_a_rare_event_gives_undefined_scores_in_some_draws_and_no_warning() -> None:
    """Draws without rain have an infinite frequency bias; infinity minus infinity ended the run."""
    rare = [forecasts(rain=0.01, start=f"{year}-01-01", seed=year) for year in (2020, 2021)]
    found = phase_difference.difference(*rare, draws=100)
    json.dumps(found, allow_nan=False)
    assert found["brier_score"]["interval"] is not None


def test_the_interval_of_a_difference_holds_the_truth_about_as_often_as_it_says() -> None:
    """Two phases of the same forecast: 0 lies inside in 95 % of cases, within what 20 sets can tell."""
    held = 0
    for number in range(20):
        one = forecasts(sharp=2, seed=2 * number)
        other = forecasts(sharp=2, start="2021-01-01", seed=2 * number + 1)
        held += phase_difference.difference(one, other, draws=100, seed=number)["brier_score"]["is_real"] is False
    assert held >= 17
