"""A forecast beside its references: what is written to scores.json, what is shown, and the Diebold-Mariano test."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from tests.utils.test_amount_sums import year_of_amounts
from tests.utils.test_intervals import year_of_forecasts
from utils import regression_scores
from utils.diebold_mariano import diebold_mariano
from utils.forecasts import ClassForecasts, Forecasts
from utils.judgement import Terms, judge, judge_amounts
from utils.regression_score_info import AMOUNT_SCORES
from utils.score_info import SCORES, format_table
from utils.verification import score, score_table


def judged(forecasts: Forecasts | ClassForecasts, **terms):
    return judge(score_table(forecasts), forecasts, Terms(**{"draws": 200, **terms}))


@pytest.fixture(scope="module")
def table():
    return judged(year_of_forecasts(), reference_cuts=({"climatology": 0.5, "persistence": 0.4},))


def test_every_score_has_an_interval_and_a_difference_in_strict_json(table) -> None:
    """A reader of scores.json would meet a score without its uncertainty, or a NaN."""
    assert json.loads(json.dumps(table, allow_nan=False)) == table
    for scores in (table["overall"], *table["by_region"].values()):
        assert set(scores["intervals"]) == set(SCORES)
        without = {name for name, ends in scores["intervals"].items() if ends is None}
        assert without == {"reliability", "expected_calibration_error"}, "these have none that could be trusted"
        low, high = scores["intervals"]["roc_auc"]
        assert low < scores["roc_auc"] < high
    for name in ("climatology", "persistence"):
        assert set(table["against"][name]) == set(SCORES) | {"diebold_mariano"}
    assert table["why_no_intervals"] == ""


def test_references_are_scored_with_their_own_cut(table) -> None:
    """A reference with the cut of the forecast could say rain always, and be beaten by anything."""
    forecasts = year_of_forecasts()
    expected = score(forecasts.reference("persistence", 0.4))
    assert table["references"]["persistence"] == expected
    assert table["against"]["persistence"]["macro_f1"]["difference"] == (
        table["overall"]["macro_f1"] - expected["macro_f1"]
    )


def test_skill_against_a_reference_is_the_difference_to_it(table) -> None:
    """The interval of Brier skill and that of the gain over climatology would contradict one another."""
    own, gain = table["overall"], table["against"]["climatology"]["brier_skill_score"]
    assert gain["difference"] == own["brier_skill_score"]
    assert gain["interval"] == pytest.approx(own["intervals"]["brier_skill_score"])
    assert gain["is_real"] is True


def test_without_draws_or_days_the_differences_stay_and_say_why() -> None:
    """A short record would end the run, or show an interval that means nothing."""
    for given, why in (({"draws": 0}, "no draws were asked for"), ({}, "50 days are fewer")):
        found = judged(year_of_forecasts(n_days=50), **given)
        assert found["why_no_intervals"].startswith(why)
        gain = found["against"]["climatology"]["roc_auc"]
        assert gain["difference"] is not None and gain["interval"] is None and gain["is_real"] is None
        text = format_table(found)
        assert f"no intervals: {why}" in text and "distinguishable from climatology: not judged" in text


def test_an_undefined_score_has_no_difference() -> None:
    """All dry is not 0, and no skill of 0 either."""
    dry = year_of_forecasts()
    dry = replace(dry, observed=np.zeros_like(dry.observed), persistence=np.zeros(len(dry.observed)))
    found = judged(dry)
    for name in ("roc_auc", "recall"):
        assert found["overall"]["intervals"][name] is None
        assert found["against"]["climatology"][name] == {"difference": None, "interval": None, "is_real": None}
    assert found["against"]["persistence"]["brier_skill_score_persistence"]["difference"] is None
    assert "None" not in format_table(found)


def test_each_threshold_is_judged_alone() -> None:
    """The second threshold would be judged with the cuts of the first."""
    one = year_of_forecasts()
    said = np.stack([1 - one.probability, one.probability / 2, one.probability / 2], axis=1)
    forecasts = ClassForecasts(
        init_time=one.init_time, region=one.region, probability=said, observed=one.observed.astype(int) * 2,
        climatology=np.full(said.shape, 1 / 3), persistence=np.eye(3)[(2 * one.persistence).astype(int)],
        threshold_mm=(0.1, 5.0), cut=(0.5, 0.3),
    )  # fmt: skip
    found = judged(forecasts, reference_cuts=({"climatology": 0.1}, {"climatology": 0.2}))
    for number, part in enumerate(found["thresholds"].values()):
        assert part["references"]["climatology"]["cut"] == (0.1, 0.2)[number]
        assert part["references"]["persistence"]["cut"] == 0.5
        expected = judged(forecasts.exceedance(number), reference_cuts=({"climatology": (0.1, 0.2)[number]},))
        assert part["against"] == expected["against"]


def test_the_terminal_shows_intervals_gains_and_a_verdict(table) -> None:
    """A gain that chance could have made would be reported as a result."""
    lines = format_table(table).splitlines()
    assert all(len(line) <= 120 for line in lines) and len(lines) <= 45
    row = next(line for line in lines if line.startswith("Brier skill "))
    assert row.count("[") == 3 and row.endswith("real")
    verdicts = [line for line in lines if line.startswith("distinguishable from")]
    assert len(verdicts) == 2 and all("yes, better (Brier scores, Diebold-Mariano: p " in line for line in verdicts)
    brief = format_table(table, is_brief=True).splitlines()
    assert not [line for line in brief if line.startswith("distinguishable")]


def test_the_statistic_is_that_of_harvey_leybourne_and_newbold() -> None:
    """A lag too short takes days that share their rain for independent ones, and finds differences of chance."""
    one = year_of_forecasts(seed=4, skill=0.3)
    other = one.reference("climatology")
    error = (one.probability - one.observed) ** 2 - (other.probability - other.observed) ** 2
    daily = error.reshape(-1, 4).mean(1)
    n, centred = len(daily), daily - daily.mean()
    # Hours 0 and 12 and a lead of 24 h: labels of a day reach into the next one, so that the lag is two days.
    variance = (centred @ centred + 2 * centred[1:] @ centred[:-1]) / n**2
    expected = np.sqrt((n + 1 - 4 + 2 / n) / n) * daily.mean() / np.sqrt(variance)
    found = diebold_mariano(one, other, lead_time_hours=24)
    assert found["statistic"] == pytest.approx(expected) and found["lag_days"] == 2
    assert found["statistic"] < 0 and 0 < found["p_value"] < 0.05
    opposite = diebold_mariano(other, one, lead_time_hours=24)
    assert opposite["statistic"] == pytest.approx(-expected) and opposite["p_value"] == found["p_value"]
    assert diebold_mariano(one, other, lead_time_hours=72)["lag_days"] == 4


def test_a_test_of_nothing_has_no_statistic() -> None:
    """Equal forecasts, or a handful of days, would end in a division by zero or a p of nothing."""
    forecasts = year_of_forecasts()
    assert diebold_mariano(forecasts, forecasts, 24)["p_value"] is None
    few = year_of_forecasts(n_days=29)
    assert diebold_mariano(few, few.reference("climatology"), 24)["statistic"] is None


def amounts_judged(forecasts, draws: int = 200):
    return judge_amounts(regression_scores.score_table(forecasts, 0.1), forecasts, 0.1, draws)


def test_every_score_of_amounts_has_an_interval_and_a_difference_and_keeps_its_value() -> None:
    """The values in scores.json are those of the library; intervals and differences only stand beside them."""
    forecasts = year_of_amounts()
    table, found = regression_scores.score_table(forecasts, 0.1), amounts_judged(forecasts)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    parts = [(found["overall"], table["overall"])]
    parts += [(found["by_region"][name], table["by_region"][name]) for name in table["by_region"]]
    for part, plain in parts:
        assert {name: value for name, value in part.items() if name != "intervals"} == plain
        assert set(part["intervals"]) == set(AMOUNT_SCORES)
        for name, (low, high) in part["intervals"].items():
            assert low < part[name] < high, name
    assert found["references"] == table["references"] and found["why_no_intervals"] == ""
    gain = found["against"]["climatology"]["crps_skill_score"]
    assert gain["difference"] == found["overall"]["crps_skill_score"] and gain["is_real"] is True
    assert gain["interval"] == pytest.approx(found["overall"]["intervals"]["crps_skill_score"])
    assert all(set(each) == set(AMOUNT_SCORES) for each in found["against"].values())


def test_amounts_without_draws_or_days_say_why_and_undefined_stays_undefined() -> None:
    """A dry record has no correlation, no difference of it and no interval."""
    for given, why in ((year_of_amounts(n_days=50), "50 days are fewer"), (year_of_amounts(), "no draws were")):
        found = amounts_judged(given, draws=0 if why.startswith("no") else 100)
        assert found["why_no_intervals"].startswith(why) and set(found["overall"]["intervals"].values()) == {None}
        text = regression_scores.format_amounts(found)
        assert f"no intervals: {why}" in text and "CRPS distinguishable from climatology: not judged" in text
    forecasts = year_of_amounts()
    found = amounts_judged(replace(forecasts, observed=np.zeros_like(forecasts.observed)))
    for name in ("r2", "correlation"):
        assert found["overall"][name] is found["overall"]["intervals"][name] is None
        assert found["against"]["climatology"][name] == {"difference": None, "interval": None, "is_real": None}


def test_the_terminal_says_whether_the_error_of_the_amounts_is_really_lower() -> None:
    """Of an error the lower one is better: a sign read the other way would praise the worse forecast."""
    good = year_of_amounts()
    lines = regression_scores.format_amounts(amounts_judged(good)).splitlines()
    assert all(len(line) <= 120 for line in lines)
    row = next(line for line in lines if line.startswith("CRPS, mm"))
    assert row.count("[") == 3 and row.count(" -0.") + row.count(" -1.") >= 2 and row.endswith("real")
    assert "CRPS distinguishable from climatology: yes, better" in lines
    poor = replace(good, forecast=good.persistence)
    assert "CRPS distinguishable from climatology: yes, worse" in regression_scores.format_amounts(amounts_judged(poor))
    brief = regression_scores.format_amounts(amounts_judged(good), is_brief=True)
    assert "distinguishable" not in brief
