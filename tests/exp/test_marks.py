"""Forecasts without skill, and one that has seen the answer, are marked; an honest one is not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from data_provider.rain_table import RainTable
from data_provider.windows import WindowIndex
from exp import marks
from tests.utils.test_amount_sums import year_of_amounts
from utils import regression_scores
from utils.forecasts import Forecasts
from utils.judgement import Terms, judge, judge_amounts
from utils.verification import score_table

DAYS, TRAINING_DAYS = 700, 300
DRAWS = 300


def table_of(step_hours: int = 1, seed: int = 0) -> RainTable:
    """Two regions of rain that comes in spells of some days, and one feature that knows the weather ahead a little."""
    rng = np.random.default_rng(seed)
    n = DAYS * 24
    slow = np.convolve(rng.normal(size=n + 96), np.ones(72) / np.sqrt(72), mode="same")[:n]
    hourly = np.maximum(0, slow + rng.normal(0, 0.5, size=(2, n)) - 1)
    total = np.concatenate([np.zeros((2, 1)), np.cumsum(hourly, axis=1)], axis=1)
    ahead = np.full((2, n), np.nan)
    ahead[:, : n - 24] = total[:, 25:] - total[:, 1 : n - 23]
    label = np.where(np.isnan(ahead), -1, ahead >= 2.0).astype(np.int8)
    hint = slow[None] + rng.normal(0, 0.7, (2, n))
    keep = slice(None, None, step_hours)
    return RainTable(
        times=(np.datetime64("2021-01-01", "s") + np.arange(n) * np.timedelta64(1, "h"))[keep],
        regions=("north", "south"),
        features=("hint",),
        values=hint[:, keep, None].astype(np.float32),
        present=np.ones((2, n), dtype=bool)[:, keep],
        label=label[:, keep],
        precipitation_mm=ahead[:, keep].astype(np.float32),
        attributes={"lead_time_hours": 24, "accumulation_hours": 24},
        source=Path("table.csv"),
    )


def daily_windows(table: RainTable, first: int, last: int) -> WindowIndex:
    """One window a day in each region."""
    rows = np.tile(np.arange(first, last) * (24 // table.step_hours), 2)
    region = np.repeat([0, 1], last - first)
    label = table.label[region, rows].astype(np.int64)
    return WindowIndex(
        end=rows + region * len(table.times),
        region=region,
        init_time=table.times[rows],
        label=label,
        past_class=table.label[region, np.maximum(rows - 24 // table.step_hours, 0)].astype(np.int64),
        precipitation_mm=table.precipitation_mm[region, rows],
    )


class Case:
    """A table, its training and test windows, and the marks of any probabilities on the test windows."""

    def __init__(self, step_hours: int = 1) -> None:
        self.table = table_of(step_hours)
        self.training = daily_windows(self.table, 1, TRAINING_DAYS)
        self.test = daily_windows(self.table, TRAINING_DAYS, DAYS - 1)
        self.base_rate = float(self.training.label.mean())

    def hint(self, index: WindowIndex) -> np.ndarray:
        return self.table.values[index.region, index.end - index.region * len(self.table.times)]

    def learned(self, labels: np.ndarray) -> np.ndarray:
        """Probability of a model that was trained on labels."""
        return LogisticRegression().fit(self.hint(self.training), labels).predict_proba(self.hint(self.test))[:, 1]

    def forecasts(self, probability: np.ndarray | float) -> Forecasts:
        n = len(self.test)
        return Forecasts(
            init_time=self.test.init_time,
            region=np.array(self.table.regions)[self.test.region],
            probability=np.broadcast_to(np.asarray(probability, dtype=np.float64), n).copy(),
            observed=self.test.label,
            climatology=np.full(n, self.base_rate),
            persistence=self.test.past_class.astype(np.float64),
        )

    def marks(self, probability: np.ndarray | float, draws: int = DRAWS) -> list[str]:
        forecasts = self.forecasts(probability)
        table = judge(score_table(forecasts), forecasts, Terms(draws=draws))
        knowing = marks.beside_lead_zero(forecasts, self.table, self.test, draws)
        found = marks.find(table, knowing, is_collapsed=table["overall"]["constant_answer"])
        return [mark["code"] for mark in found]


@pytest.fixture(scope="module")
def case() -> Case:
    return Case()


def test_a_constant_forecast_has_collapsed_and_shows_no_skill(case: Case) -> None:
    """The case read three of them as results."""
    assert case.marks(1.0) == ["COLLAPSED", "NO_SKILL"]


def test_the_base_rate_is_no_skill(case: Case) -> None:
    """It beats persistence in Brier score, and has learned nothing but a number."""
    assert case.marks(case.base_rate) == ["COLLAPSED", "NO_SKILL"]


def test_a_model_trained_on_shuffled_labels_shows_no_skill(case: Case) -> None:
    """Of noise, one score in twenty looks like skill: without an interval some would pass."""
    for seed in range(3):
        labels = np.random.default_rng(seed).permutation(case.training.label)
        assert "NO_SKILL" in case.marks(case.learned(labels)), seed


def test_an_honest_model_is_not_marked(case: Case) -> None:
    """A mark that good work gets too would be switched off."""
    probability = case.learned(case.training.label)
    assert case.marks(probability) == []
    assert case.marks(probability, draws=0) == [], "without draws the values decide"


def test_a_model_that_sees_its_label_is_too_good(case: Case) -> None:
    """A column with the rain to come would be the best model that anyone has had."""
    rng = np.random.default_rng(1)
    leaked = np.clip(0.8 * case.test.label + 0.2 * rng.random(len(case.test)), 0, 1)
    assert case.marks(leaked) == ["TOO_GOOD"]
    assert case.marks(leaked, draws=0) == ["TOO_GOOD"]


def test_the_limit_is_the_rain_of_the_period_that_ends_six_hours_earlier(case: Case) -> None:
    """The rain of another row or region as the limit would mark nobody, or everybody."""
    knowing = marks.beside_lead_zero(case.forecasts(0.5), case.table, case.test, 0)
    assert knowing is not None
    row = case.test.end - case.test.region * len(case.table.times)
    expected = case.table.precipitation_mm[case.test.region, row - 6]
    given = knowing.forecasts["lead_zero"].probability
    assert np.allclose(given / given.max(), (expected - expected.min()) / np.ptp(expected), atol=1e-6)
    assert 0.9 < knowing.value("lead_zero", "roc_auc") < 1


def test_a_table_with_labels_alone_has_a_limit_too(case: Case) -> None:
    """A user's own table need not hold the amounts of rain."""
    bare = replace(case.table, precipitation_mm=np.full_like(case.table.precipitation_mm, np.nan))
    knowing = marks.beside_lead_zero(case.forecasts(0.5), bare, case.test, 0)
    assert knowing is not None and set(knowing.forecasts["lead_zero"].probability) == {0.0, 1.0}


def test_rows_further_apart_than_a_quarter_of_the_period_have_no_limit() -> None:
    """Half of the rain is not more than a good forecast knows: an honest one would be called too good."""
    for step_hours, is_judged in ((6, True), (12, False)):
        own = Case(step_hours)
        assert (marks.beside_lead_zero(own.forecasts(0.5), own.table, own.test, 0) is not None) == is_judged


@pytest.mark.parametrize(
    ("skill", "draws", "is_marked"), [(0.6, 200, False), (0.06, 200, True), (0.06, 0, False), (-0.5, 0, True)]
)
def test_amounts_without_a_real_gain_show_no_skill(skill: float, draws: int, is_marked: bool) -> None:
    """A gain in CRPS that chance explains would pass for skill, beside an interval that says so."""
    forecasts = year_of_amounts(skill=max(skill, 0), n_days=160)
    if skill < 0:
        forecasts = forecasts.reference("persistence")
    test = judge_amounts(regression_scores.score_table(forecasts, 0.1), forecasts, 0.1, draws)
    better = {"difference": 0.3, "interval": [0.2, 0.4], "is_real": True}
    against = {"climatology": {"brier_skill_score": better}, "persistence": {"brier_skill_score_persistence": better}}
    found = marks.of_amounts(test | {"events": {"against": against}}, None)
    assert [mark["code"] for mark in found] == ["NO_SKILL"] * is_marked
    if is_marked:
        said = "no real gain over climatology (CRPS skill "
        assert said in found[0]["sentence"] and (" [" in found[0]["sentence"]) == (draws > 0)


def test_a_mark_says_which_reference_was_not_beaten_and_by_what(case: Case) -> None:
    """A mark without its figures cannot be argued with."""
    forecasts = case.forecasts(case.base_rate)
    table = judge(score_table(forecasts), forecasts, Terms(draws=DRAWS))
    found = marks.find(table, None, is_collapsed=True)
    sentence = next(mark["sentence"] for mark in found if mark["code"] == "NO_SKILL")
    assert "no real gain over climatology (Brier skill 0.000 [0.000, 0.000])" in sentence
