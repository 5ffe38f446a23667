"""The cut of a user who knows what protecting costs, and what following it is worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from utils.decision import BY_RATIO, by_ratio, by_score, expense
from utils.forecasts import Forecasts


def forecasts(probability: Sequence[float] | np.ndarray, observed: Sequence[int] | np.ndarray, cut: float) -> Forecasts:
    """Return forecasts of one region whose references do not matter here."""
    n = len(observed)
    return Forecasts(
        init_time=np.datetime64("2024-01-01") + np.arange(n),
        region=np.full(n, "costa"),
        probability=np.array(probability),
        observed=np.array(observed),
        climatology=np.full(n, 0.5),
        persistence=np.full(n, 0.5),
        cut=cut,
    )


def drawn(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return calibrated probabilities of rain and what happened."""
    generator = np.random.default_rng(seed)
    rain = generator.beta(0.8, 1.4, n)
    return rain, (generator.random(n) < rain).astype(int)


def test_expenses_are_those_counted_by_hand() -> None:
    """2 hits and 1 false alarm cost 0.25 each, 1 miss costs 1, 4 dry days unprotected cost nothing: 1.75 in 8 days."""
    rain = [0.9, 0.6, 0.3, 0.2, 0.1, 0.1, 0.1, 0.1]
    found = expense(forecasts(rain, [1, 1, 0, 1, 0, 0, 0, 0], 0.25), 0.25)
    assert found["forecast"] == 1.75 / 8
    assert found["climatology"] == 0.25, "protecting always: cheaper than 3 losses in 8 days"
    assert found["perfect"] == 3 * 0.25 / 8
    assert found["relative_value"] == pytest.approx((2 - 1.75) / (2 - 0.75)) and found["n"] == 8


@pytest.mark.parametrize("ratio", [0.05, 0.3, 0.7])
def test_relative_value_is_that_of_the_verification_library(ratio: float) -> None:
    """Another package by other people has to come to the same value."""
    import xarray as xr

    probability = pytest.importorskip("scores.probability")
    if not hasattr(probability, "relative_economic_value"):
        pytest.skip("scores has it since 2.6")
    rain, observed = drawn(500)
    found = expense(forecasts(rain, observed, ratio), ratio)["relative_value"]
    said = xr.DataArray((rain >= ratio).astype(float), dims="case")
    expected = probability.relative_economic_value(said, xr.DataArray(observed, dims="case"), cost_loss_ratios=[ratio])
    assert found == pytest.approx(float(np.squeeze(expected)), abs=1e-12)


@pytest.mark.parametrize("ratio", [0.1, 0.4, 0.8])
def test_no_other_cut_is_cheaper_on_average_than_the_ratio(ratio: float) -> None:
    """The whole reason for the flag: with calibrated probabilities the best cut is known without a search."""
    own = forecasts(*drawn(50_000), ratio)
    spent = [expense(replace(own, cut=cut), ratio)["forecast"] for cut in (ratio, *np.linspace(0.05, 0.95, 19))]
    assert spent[0] == pytest.approx(min(filter(None, spent)), abs=1e-3)


@pytest.mark.parametrize("observed", [[0, 0, 0], [1, 1, 1], []])
def test_where_nothing_can_be_gained_the_value_is_undefined_and_not_zero(observed: list[int]) -> None:
    """In a dry year doing nothing is perfect, and no forecast can be worth anything beside it."""
    found = expense(forecasts([0.5] * len(observed), observed, 0.3), 0.3)
    assert found["relative_value"] is None and found["n"] == len(observed)


def test_one_ratio_serves_all_thresholds_or_each_has_its_own() -> None:
    """Covering the crop against drizzle and moving the cattle before a flood do not cost alike."""
    assert by_ratio([0.2], 3).cut == (0.2, 0.2, 0.2)
    each = by_ratio([0.2, 0.1], 2)
    assert each.cut == each.cost_loss_ratio == (0.2, 0.1) and each.by == BY_RATIO
    with pytest.raises(ValueError, match="2 cost/loss ratios do not fit 3"):
        by_ratio([0.2, 0.1], 3)


def test_a_score_chooses_one_cut_for_each_threshold() -> None:
    """One cut for drizzle and downpour would miss every downpour."""
    label = np.repeat([0, 1, 2], 100)
    probability = np.array([[0.9, 0.08, 0.02], [0.5, 0.4, 0.1], [0.3, 0.4, 0.3]])[label]
    low, high = by_score(probability, label, "macro_f1").cut
    assert 0.1 < low <= 0.5 and 0.1 < high <= 0.3
