"""Intervals: days drawn in blocks with all their cases, differences on the same draws, none where none can be had."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from utils import intervals
from utils.errors import UsageError
from utils.forecasts import Forecasts


def year_of_forecasts(seed: int = 0, n_days: int = 200, skill: float = 1.0) -> Forecasts:
    """Two regions, two hours a day; the probability knows the day's weather up to noise."""
    rng = np.random.default_rng(seed)
    day = np.repeat(np.arange(n_days), 4)
    weather = np.repeat(np.random.default_rng(99).normal(size=n_days), 4)
    n = len(day)
    hours = np.tile([0, 12, 0, 12], n_days)
    observed = (weather + np.random.default_rng(98).normal(0, 0.5, n) > 0).astype(np.int8)
    return Forecasts(
        init_time=np.datetime64("2023-01-01", "s") + day * np.timedelta64(24, "h") + hours * np.timedelta64(1, "h"),
        region=np.tile(["north", "north", "south", "south"], n_days),
        probability=1 / (1 + np.exp(-skill * (2 * weather + rng.normal(0, 1, n)))),
        observed=observed,
        climatology=np.full(n, 0.5),
        persistence=np.roll(observed, 4).astype(float),
    )


def test_a_draw_is_made_of_whole_blocks_of_neighbouring_days() -> None:
    """Days drawn one by one forget that tomorrow resembles today: intervals too narrow by half."""
    weights = intervals.draw_days(60, 200, 10, seed=3)
    assert (weights.sum(0) == 60).all()
    # A block of ten covers ten neighbours on the circle: the weights change by its ends alone.
    assert (np.abs(np.diff(weights, axis=0, append=weights[:1])).sum(0) <= 2 * 6).all()
    assert weights.mean() == 1 and abs(weights.mean(1) - 1).max() < 0.3


def test_equal_seeds_give_equal_intervals_and_leave_the_shared_random_state_alone() -> None:
    """An interval that changes from one reading to the next would not be believed, nor a training that hangs on it."""
    given = {"model": year_of_forecasts()}
    np.random.seed(7)
    before = np.random.get_state()[1].copy()
    one, again, other = (intervals.bootstrap(given, 100, seed=seed).interval("model", "roc_auc") for seed in (1, 1, 2))
    assert one == again != other
    assert np.array_equal(np.random.get_state()[1], before)


def test_an_interval_holds_the_score_and_a_difference_is_the_difference_of_the_scores() -> None:
    """An interval beside its score, or a difference of other draws, would be noticed by nobody."""
    draws = intervals.bootstrap({"good": year_of_forecasts(), "poor": year_of_forecasts(1, skill=0.1)}, 300)
    low, high = draws.interval("good", "brier_skill_score")
    assert low < draws.value("good", "brier_skill_score") < high
    found = draws.difference("good", "poor", "brier_skill_score")
    assert found.value == draws.value("good", "brier_skill_score") - draws.value("poor", "brier_skill_score")
    assert found.low < found.value < found.high and found.is_real and found.interval == (found.low, found.high)


def test_a_forecast_does_not_differ_from_itself() -> None:
    """Draws that are not shared by the forecasts would find a difference of chance."""
    draws = intervals.bootstrap({"one": year_of_forecasts(), "same": year_of_forecasts()}, 200)
    for score in ("roc_auc", "macro_f1", "brier_score"):
        assert draws.difference("one", "same", score) == intervals.Difference(0.0, 0.0, 0.0, False)


def test_few_days_have_no_interval_and_say_why() -> None:
    """Four weeks in blocks of two are two independent cases: an interval of them would be a fairy tale."""
    draws = intervals.bootstrap({"model": year_of_forecasts(n_days=111)}, 100)
    assert draws.interval("model", "roc_auc") is None
    assert draws.why_none == "111 days are fewer than 8 blocks of 14 days"
    assert intervals.bootstrap({"model": year_of_forecasts(n_days=112)}, 100).interval("model", "roc_auc") is not None
    assert set(draws.intervals("model").values()) == {None}


def test_forecasts_of_other_cases_are_refused_with_the_first_difference() -> None:
    """Scores of different cases differ for reasons that no forecast has to answer for."""
    one = year_of_forecasts()
    order = np.random.default_rng(0).permutation(len(one.observed))
    shuffled = one.select(order)
    assert intervals.bootstrap({"one": one, "shuffled": shuffled}, 50).difference("one", "shuffled", "f1").value == 0
    later = replace(one, init_time=one.init_time + np.timedelta64(1, "h"))
    fewer = one.select(np.arange(len(one.observed)) > 3)
    other = replace(one, observed=1 - one.observed)
    for wrong, words in ((later, "2023-01-01T00:00:00 and 2023-01-01T01:00:00"), (fewer, "800 and 796 cases"),
                         (other, "observations")):  # fmt: skip
        with pytest.raises(UsageError, match=words):
            intervals.bootstrap({"one": one, "other": wrong}, 50)
