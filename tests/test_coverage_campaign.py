"""The campaign that counts how often intervals hold the truth: a small one, and what it is made of."""

from __future__ import annotations

import numpy as np
import pytest

from tests import coverage_campaign
from tests.coverage_campaign import SCORES, Weather, coverage, main, simulate, simulate_amounts
from utils.judgement import of_amounts


def test_intervals_hold_the_truth_about_as_often_as_they_say(monkeypatch: pytest.MonkeyPatch) -> None:
    """An interval that forgets how days resemble one another holds the truth in four of five sets only.

    Of 60 sets 57 are expected to hold it; fewer than 51 happen once in a hundred such tests. The full figure is that
    of the long campaign.
    """
    monkeypatch.setattr(coverage_campaign, "TRUTH_DAYS", 60_000)
    found = coverage(Weather(n_days=200), sets=60, draws=200, scores=("brier_skill_score",))
    assert found["brier_skill_score"] >= 51 / 60 and found["difference of brier_skill_score"] >= 51 / 60


def test_the_simulated_weather_persists_and_is_shared_by_regions() -> None:
    """Records of independent cases would make any interval look right."""
    record = simulate(Weather(n_days=3000), seed=1)["good"]
    rain = record.observed.reshape(-1, 2, 5)
    share = rain.mean((1, 2))
    assert 0.4 < np.corrcoef(share[1:], share[:-1])[0, 1] < 0.6
    assert np.corrcoef(rain[:, 0, 0], rain[:, 0, 1])[0, 1] > 0.4
    assert 0.25 < rain.mean() < 0.4


def test_the_simulated_amounts_are_those_of_the_simulated_rain() -> None:
    """Amounts of other weather would have intervals of another kind of record."""
    weather = Weather(n_days=3000)
    amounts, events = simulate_amounts(weather, seed=1), simulate(weather, seed=1)
    assert np.array_equal(amounts["good"].observed > 0, events["good"].observed == 1)
    rain = amounts["good"].observed
    skew = ((rain - rain.mean()) ** 3).mean() / rain.std() ** 3
    assert 2.5 < skew < 5, "a few storms decide the squares"
    good, poor = (of_amounts(0.1).score(amounts[name]) for name in ("good", "poor"))
    assert good["crps_skill_score"] > poor["crps_skill_score"] > 0.1
    assert abs(good["bias"]) < 0.1 * good["mean_observed"]


def test_intervals_of_amounts_hold_the_truth_about_as_often_as_they_say(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Sums of other days than those of the yes/no forecasts, and an interval around another value."""
    monkeypatch.setattr(coverage_campaign, "AMOUNT_TRUTH_DAYS", 20_000)
    scores = ("crps_skill_score",)
    found = coverage(Weather(n_days=200), 40, 200, scores, coverage_campaign.OF_AMOUNTS)
    assert min(found.values()) >= 33 / 40
    monkeypatch.setattr(coverage_campaign, "coverage", lambda *_: {"root_mean_squared_error": 0.85})
    assert main(["--sets", "1000", "--amounts"]) == 0 and "85.0%" in capsys.readouterr().out


def test_coverage_outside_of_the_band_is_a_fault(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A campaign that is always green would be believed."""
    monkeypatch.setattr(coverage_campaign, "TRUTH_DAYS", 20_000)
    monkeypatch.setattr(coverage_campaign, "coverage", lambda *_: dict.fromkeys(SCORES, 0.95) | {"roc_auc": 0.929})
    assert main(["--sets", "1000"]) == 1
    assert "1000 sets of 365 days: intervals hold the truth in 92.9% to 95.0%" in capsys.readouterr().out
    assert main(["--sets", "20"]) == 0, "a few sets decide nothing"
