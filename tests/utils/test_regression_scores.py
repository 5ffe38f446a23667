"""Scores of amounts against hand calculations, scikit-learn and the definition of the CRPS."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn import metrics

from utils import rain_scale, regression_scores
from utils.amounts import AmountForecasts, Amounts
from utils.errors import DataError
from utils.regression_score_info import AMOUNT_SCORES

ROOT = Path(__file__).resolve().parents[2]


def amounts(rows: list[list[float]]) -> Amounts:
    return Amounts.of_quantiles(np.array(rows, dtype=np.float64).reshape(-1, 3))


def forecasts_of(rows: list[list[float]], observed: list[float], climatology: list[float] | None = None, region="a"):
    """Three quantiles a day from January 2024 on, beside a climatology that is always the same."""
    n = len(observed)
    return AmountForecasts(
        init_time=np.datetime64("2024-01-31", "s") + np.arange(n) * np.timedelta64(1, "D"),
        region=np.broadcast_to(region, n),
        observed=np.array(observed, dtype=np.float64),
        forecast=amounts(rows),
        climatology=amounts([climatology or [0.0, 1.0, 5.0]] * n),
        persistence=amounts([[1.0, 1.0, 1.0]] * n),
    )


def test_every_score_is_the_one_calculated_by_hand():
    """A factor or the wrong point of the distribution would still look like a score."""
    found = regression_scores.score(forecasts_of([[0, 1, 2], [1, 2, 6]], [3.0, 0.0]), 0.1)
    assert (found["n"], found["base_rate"], found["mean_observed"]) == (2, 0.5, 1.5)
    # medians 1 and 2; means 1 and 3
    assert found["mean_absolute_error"] == pytest.approx((2 + 2) / 2)
    assert found["root_mean_squared_error"] == pytest.approx(np.sqrt((4 + 9) / 2))
    assert found["bias"] == pytest.approx((-2 + 3) / 2)
    assert found["r2"] == pytest.approx(1 - 13 / 4.5)
    assert found["correlation"] == pytest.approx(-1)
    assert found["smape"] == pytest.approx((2 / 2 + 2 / 1) / 2)
    # First: F is 1/3 from 0, 2/3 from 1, 1 from 2; o = 3: 1/9 + 4/9 + 1. Second, o = 0: 1 + 4/9 + 4 * 1/9.
    first, second = 1 / 9 + 4 / 9 + 1, 1 + 4 / 9 + 4 / 9
    assert found["continuous_ranked_probability_score"] == pytest.approx((first + second) / 2)
    # climatology 0, 1, 5: |1 - 3| and |1 - 0|
    assert found["mae_skill_score"] == pytest.approx(1 - 2 / 1.5)


def test_the_crps_is_twice_the_quantile_loss_that_networks_learn():
    """A network would be trained for another thing than it is scored for."""
    generator = np.random.default_rng(0)
    said, observed = np.sort(generator.gamma(0.5, 4, (400, 3)), axis=1), generator.gamma(0.5, 4, 400)
    level, error = rain_scale.levels(3), observed[:, None] - said
    loss = np.maximum(level * error, (level - 1) * error).mean()
    found = regression_scores.score(forecasts_of(said.tolist(), observed.tolist()), 0.1)
    assert found["continuous_ranked_probability_score"] == pytest.approx(2 * loss, abs=1e-9)


def test_a_certain_forecast_has_its_absolute_error_as_crps():
    """Persistence says one amount, and would stand beside the others on another scale."""
    found = regression_scores.score(forecasts_of([[0, 0, 0]] * 3, [0.0, 2.5, 7.0]).reference("persistence"), 0.1)
    assert found["continuous_ranked_probability_score"] == pytest.approx(found["mean_absolute_error"])
    assert found["mean_absolute_error"] == pytest.approx((1 + 1.5 + 6) / 3)


def test_scores_equal_scikit_learn_on_random_amounts():
    """A thin layer may still pass the arguments in the wrong order."""
    generator = np.random.default_rng(1)
    for _ in range(20):
        said = np.sort(generator.gamma(0.5, 4, (50, 3)), axis=1)
        observed = np.where(generator.random(50) < 0.5, 0, generator.gamma(0.7, 5, 50))
        whole = forecasts_of(said.tolist(), observed.tolist())
        found, mean = regression_scores.score(whole, 0.1), said.mean(axis=1)
        expected = {
            "mean_absolute_error": metrics.mean_absolute_error(observed, said[:, 1]),
            "root_mean_squared_error": metrics.root_mean_squared_error(observed, mean),
            "r2": metrics.r2_score(observed, mean),
            "correlation": np.corrcoef(mean, observed)[0, 1],
            "bias": (mean - observed).mean(),
        }
        assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("forecast", "observed", "share"),
    [([0.0], [0.0], 0.0), ([0.1], [0.0], 2.0), ([0.0], [0.1], 2.0), ([1.0], [3.0], 1.0), ([0.0, 2.0], [0.0, 0.0], 1.0)],
)
def test_smape_counts_a_dry_day_forecast_dry_as_no_error(forecast: list[float], observed: list[float], share: float):
    """0 / 0 was the nan % of the price notes; left out, dry days would vanish from the mean without a word."""
    assert regression_scores.smape(np.array(forecast), np.array(observed)) == pytest.approx(share)


def test_undefined_stays_undefined_and_is_valid_json():
    """A dry month would have a correlation of 0, or a NaN that no JSON reader takes."""
    dry = regression_scores.score_table(forecasts_of([[0, 0, 1]] * 2, [0.0, 0.0], climatology=[0.0, 0.0, 0.0]), 0.1)
    names = ("r2", "correlation", "mae_skill_score", "crps_skill_score")
    assert all(dry["overall"][name] is None for name in names) and dry["overall"]["base_rate"] == 0
    nothing = regression_scores.score(forecasts_of([], []), 0.1)
    assert all(nothing[name] is None for name in AMOUNT_SCORES) and nothing["n"] == 0
    assert json.loads(json.dumps(dry, allow_nan=False)) == dry
    assert "nan" not in regression_scores.format_amounts(dry).lower()


def test_the_same_answer_every_time_is_marked():
    """A climatology of one region and month has an error like any other, and no skill in telling days apart."""
    constant = regression_scores.score_table(forecasts_of([[0, 1, 2]] * 3, [0.0, 1.0, 4.0]), 0.1)
    assert constant["overall"]["constant_answer"] and constant["overall"]["correlation"] is None
    assert any(line.endswith(" =") for line in regression_scores.format_amounts(constant).splitlines())
    assert not regression_scores.score(forecasts_of([[0, 1, 2], [0, 1, 3]], [0.0, 1.0]), 0.1)["constant_answer"]
    collapsed = forecasts_of([[0, 1, 2], [0, 1.001, 2]], [0.0, 1.0])
    assert regression_scores.score(collapsed, 0.1)["constant_answer"], "a network never says quite the same"


def test_groups_are_scored_alone():
    """A region or month would be scored with the samples of another."""
    whole = forecasts_of([[0, 1, 2], [1, 2, 6], [0, 0, 3]], [3.0, 0.0, 1.0], region=["a", "b", "b"])
    table = regression_scores.score_table(whole, 0.1)
    assert table["by_region"]["b"] == regression_scores.score(whole.select(np.array([False, True, True])), 0.1)
    assert {name: entry["n"] for name, entry in table["by_month"].items()} == {"01": 1, "02": 2}


def test_seasons_and_hours_are_those_of_the_init_time():
    """Rain of the wet season would be told of the dry one, and a good hour could not be found."""
    whole = forecasts_of([[0, 1, 2], [1, 2, 6], [0, 0, 3]], [3.0, 0.0, 1.0])
    times = np.array(["2024-12-31T18", "2024-04-01T06", "2024-03-31T18"], dtype="datetime64[s]")
    table = regression_scores.score_table(replace(whole, init_time=times), 0.1)
    found = {key: {name: entry["n"] for name, entry in table[key].items()} for key in ("by_season", "by_hour")}
    assert found == {"by_season": {"wet": 2, "dry": 1}, "by_hour": {"06": 1, "18": 2}}
    assert list(table["by_season"]) == ["wet", "dry"]
    assert table["by_season"]["dry"] == regression_scores.score(whole.select(np.array([False, True, False])), 0.1)
    lines = regression_scores.format_amounts(table).splitlines()
    assert any(line.startswith("Dec-Mar") for line in lines) and len(lines) < 20, "months and hours fill the screen"


@pytest.mark.parametrize("wrong", [float("nan"), -1.0, float("inf")])
def test_what_is_no_amount_of_rain_is_refused(wrong: float):
    """A run that broke would be given a score."""
    with pytest.raises(DataError, match="METRIC_UNDEFINED"):
        forecasts_of([[0, 1, wrong]], [0.0])
    with pytest.raises(DataError, match="observed"):
        forecasts_of([[0, 1, 2]], [wrong])


def test_exceedance_is_read_off_the_quantiles_and_never_rises_with_the_threshold():
    """Yes/no scores are made from it, and 5 mm must not be likelier than 1 mm."""
    said = amounts([[0.0, 2.0, 6.0], [0.0, 0.0, 0.0], [4.0, 4.0, 4.0]])
    # levels 1/6, 1/2, 5/6: half-way from 0 to 2 mm, from 2 to 6, at the last, beyond it
    expected = {1.0: 1 - 1 / 3, 4.0: 1 - 2 / 3, 6.0: 1 / 6, 13.0: 1 / 6 * 7 / 14}
    assert [said.exceedance(mm)[0] for mm in expected] == pytest.approx(list(expected.values()))
    assert said.exceedance(1.0)[1] == pytest.approx(1 / 6 / 2) and said.exceedance(2.0)[2] == pytest.approx(1 - 1 / 12)
    generator = np.random.default_rng(2)
    many = Amounts.of_quantiles(np.sort(generator.gamma(0.3, 5, (500, 9)) * (generator.random((500, 9)) < 0.6), axis=1))
    by_threshold = np.array([many.exceedance(mm) for mm in (0.1, 0.5, 1, 5, 10, 50)])
    assert (np.diff(by_threshold, axis=0) <= 0).all() and by_threshold.min() >= 0 and by_threshold.max() <= 1


def test_a_quantile_taken_back_is_the_quantile_and_a_mean_is_not():
    """The reason why amounts are forecast as quantiles: the mean on the scale of learning is no mean of millimetres."""
    rain = np.random.default_rng(3).gamma(0.5, 6, 20_001)
    scaled = rain_scale.to_scale(rain)
    assert rain_scale.to_millimetres(np.median(scaled)) == pytest.approx(np.median(rain))
    assert rain_scale.to_millimetres(scaled.mean()) < 0.7 * rain.mean()
    assert rain_scale.to_millimetres(np.array([-1.0, 0.0])).tolist() == [0, 0]


def test_the_mean_of_nine_quantiles_misses_four_per_cent_of_an_exponential_tail():
    """The bias of this way to a mean is told in the module, and would be believed to be the model's otherwise."""
    quantiles = -np.log(1 - rain_scale.levels(9))
    assert Amounts.of_quantiles(quantiles[None]).mean[0] == pytest.approx(0.96, abs=0.005)


def test_the_glossary_explains_every_score_as_the_code_does():
    """A reader would meet a score nobody explains, or an explanation that has gone out of date."""
    assert set(AMOUNT_SCORES) <= set(regression_scores.score(forecasts_of([[0, 1, 2]], [1.0]), 0.1))
    lines = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8").splitlines()
    for name, info in AMOUNT_SCORES.items():
        row = next(line for line in lines if line.startswith(f"| `{name}` |"))
        cells = [
            cell.strip().replace("\\|", "|") for cell in row.strip().removeprefix("|").removesuffix("|").split(" | ")
        ]
        assert cells[1:] == [info.formula, info.range, info.perfect, info.undefined, info.source], name
