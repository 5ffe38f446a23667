"""Scores over latitude: a slope by hand, its interval, and when there is none."""

from __future__ import annotations

import json

import numpy as np
import pytest

from utils.event_scores import score
from utils.forecasts import Forecasts
from utils.gradient import gradient

LATITUDE = {"north": -4.0, "middle": -8.0, "south": -12.0, "far_south": -18.0}


def forecasts(
    sharp: dict[str, float], rain: dict[str, float] | None = None, n_days: int = 200, seed: int = 0
) -> Forecasts:
    """One forecast a day and region, whose probabilities know as much of the rain as `sharp` says."""
    generator = np.random.default_rng(seed)
    region = np.tile(list(sharp), n_days)
    share = np.array([(rain or {}).get(name, 0.5) for name in region])
    observed = (generator.random(len(region)) < share).astype(int)
    signal = np.array([sharp[name] for name in region]) * (observed - 0.5) + generator.normal(size=len(region))
    return Forecasts(
        init_time=np.repeat(np.datetime64("2020-01-01") + np.arange(n_days), len(sharp)).astype("datetime64[s]"),
        region=region,
        probability=1 / (1 + np.exp(-signal)),
        observed=observed,
        climatology=share,
        persistence=np.zeros(len(region)),
    )


def test_the_slope_is_that_of_a_line_through_the_regions() -> None:
    """Against NumPy's own line: per degree northwards, so a forecast that is better in the south falls."""
    made = forecasts({"north": 0.2, "middle": 1.0, "south": 2.0, "far_south": 4.0})
    found = gradient(made, LATITUDE, draws=200)
    json.dumps(found, allow_nan=False)
    assert found["reason"] is None and found["latitude"] == {name: LATITUDE[name] for name in sorted(LATITUDE)}
    for name in ("roc_auc", "brier_skill_score", "base_rate"):
        by_region = {region: score(made.select(made.region == region))[name] for region in LATITUDE}
        expected = np.polyfit(list(LATITUDE.values()), list(by_region.values()), 1)[0]
        assert found["scores"][name]["slope_per_degree"] == pytest.approx(expected)
    auc = found["scores"]["roc_auc"]
    assert auc["slope_per_degree"] < 0 and auc["is_real"] and auc["interval"][1] < 0
    assert auc["rank_correlation"] == pytest.approx(-1) and auc["regions"] == 4
    assert found["scores"]["base_rate"]["is_real"] is False


def test_regions_at_one_latitude_have_no_gradient_and_it_says_so() -> None:
    """Columns of a grid all reach from its north to its south: a slope over them would divide by zero."""
    found = gradient(forecasts(dict.fromkeys("abcde", 1.0)), dict.fromkeys("abcde", 40.25))
    assert found["scores"] is None and found["reason"] == "all 5 regions lie at one latitude, 40.25 degrees north"


@pytest.mark.parametrize(
    ("regions", "latitude", "word"),
    [
        ("a", {"a": 1.0}, "1 region, and"),
        ("ab", {"a": 1.0, "b": 2.0}, "2 regions"),
        ("abc", {"a": 1.0}, "does not say at which latitude these regions lie: b, c"),
        ("abcd", {"a": 1.0, "b": 1.001, "c": 3.0, "d": 3.0}, "2 latitudes"),
    ],
)
def test_too_few_regions_or_latitudes_are_a_reason_and_no_error(regions: str, latitude: dict, word: str) -> None:
    """A line through two points says nothing of a trend; the rest of the scores is made all the same."""
    found = gradient(forecasts(dict.fromkeys(regions, 1.0)), latitude)
    assert found["scores"] is None and word in found["reason"]


def test_a_region_without_rain_is_left_out_of_the_scores_it_does_not_have() -> None:
    """A desert has no ROC AUC, and still a base rate; with two regions left there is no line."""
    dry = forecasts(dict.fromkeys(LATITUDE, 1.0), rain={"far_south": 0.0})
    found = gradient(dry, LATITUDE, draws=50)["scores"]
    assert found["roc_auc"]["regions"] == 3 and found["roc_auc"]["slope_per_degree"] is not None
    assert found["base_rate"]["regions"] == 4
    desert = gradient(forecasts(dict.fromkeys(LATITUDE, 1.0), rain={"south": 0.0, "far_south": 0.0}), LATITUDE, 50)
    assert desert["scores"]["roc_auc"]["slope_per_degree"] is None
    assert "2 regions" in desert["scores"]["roc_auc"]["reason"]
    assert desert["scores"]["base_rate"]["is_real"] is True


def test_few_days_give_a_slope_without_an_interval() -> None:
    """Three weeks hold too few independent days for any interval."""
    found = gradient(forecasts(dict.fromkeys(LATITUDE, 1.0), n_days=21), LATITUDE)["scores"]["roc_auc"]
    assert found["slope_per_degree"] is not None and found["interval"] is None and found["is_real"] is None
