"""The first sentence is honest: about what is undefined, about one answer, about an interval that holds 0."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exp.report import headline, words
from exp.report.record import Cases, Event, Record
from utils.event_scores import score
from utils.forecasts import Forecasts

ENGLISH = words.read("en")


def event(observed: list[int], probability: list[float], **changes: Any) -> Event:
    """Make an event of one region and one forecast a day."""
    n = len(observed)
    forecasts = Forecasts(
        init_time=np.datetime64("2024-01-01") + np.arange(n) * np.timedelta64(1, "D"),
        region=np.array(["costa"] * n),
        probability=np.array(probability),
        observed=np.array(observed, dtype=np.int8),
        climatology=np.full(n, 0.5),
        persistence=np.zeros(n),
        cut=0.5,
    )
    arrays = (forecasts.init_time, forecasts.region, forecasts.probability, forecasts.observed)
    return Event(0.1, {"overall": score(forecasts) | changes}, Cases(*arrays, cut=forecasts.cut))


def told(one: Event, hours: int = 24) -> list[str]:
    record = Record(Path(), {"accumulation_hours": hours}, {}, {}, {}, None, [], [one])
    return headline.sentences(one, record, ENGLISH)


GOOD = event([1, 1, 1, 1, 0, 0, 0, 0], [0.9, 0.9, 0.9, 0.1, 0.1, 0.1, 0.1, 0.9], intervals={})


def test_hits_and_false_warnings_are_told_of_a_hundred() -> None:
    """Three of four rainy days seen, one of four warnings false: a reader needs no formula for that."""
    assert told(GOOD)[0] == "Of 100 rainy days it saw 75; of 100 warnings 25 were false."
    assert "rainy days" not in told(GOOD, hours=6)[0]


def test_a_gain_without_an_interval_says_so() -> None:
    """Without it, a figure from eight days reads like one from eight years."""
    assert told(GOOD)[2] == "Its probabilities are 16 % better than climatology (no interval was calculated)."


@pytest.mark.parametrize(
    ("interval", "expected"),
    [
        ([0.1, 0.2], "better than climatology (95 % interval 10 to 20 %)"),
        ([-0.1, 0.4], "not shown to be better than climatology: 16 % (95 % interval −10 to 40 %)"),
    ],
)
def test_an_interval_that_holds_nothing_gained_decides_the_words(interval: list[float], expected: str) -> None:
    """A gain that chance explains must not be announced as one."""
    one = Event(
        GOOD.threshold_mm, {"overall": {**GOOD.overall, "intervals": {"brier_skill_score": interval}}}, GOOD.cases
    )
    assert expected in told(one)[2]


def test_a_loss_is_called_worse_with_its_interval_turned_round() -> None:
    """Worse by 30 % (20 to 40) must not be shown as -40 to -20."""
    overall = {**GOOD.overall, "brier_skill_score": -0.3, "intervals": {"brier_skill_score": [-0.4, -0.2]}}
    assert (
        "30 % worse than climatology (95 % interval 20 to 40 %)"
        in told(Event(0.1, {"overall": overall}, GOOD.cases))[2]
    )


def test_one_answer_is_not_told_as_a_hit_rate() -> None:
    """Always saying rain sees 100 of 100 rainy days, which sounds like the best forecast there is."""
    always = event([1, 0, 1], [0.9, 0.9, 0.9])
    assert told(always)[0] == "It said rain every time, so none of its yes/no scores is skill."
    never = event([1, 0, 1], [0.1, 0.1, 0.1])
    assert told(never)[0].startswith("It never said rain")


def test_a_period_without_rain_has_no_hit_rate() -> None:
    """Undefined is not 0."""
    dry = event([0, 0, 0], [0.1, 0.9, 0.1])
    assert told(dry) == ["It never rained in the test period, so nothing can be said about how much rain it sees."]
    assert [tile["value"] for tile in headline.tiles(dry, ENGLISH)][0] == "–"


def test_marks_come_first_and_those_of_earlier_runs_are_found() -> None:
    """A collapsed run without a banner is what the case read as a result."""
    overall = {**GOOD.overall, "brier_skill_score": -0.1}
    assert headline.marks({"collapsed": True}, overall) == [{"code": "COLLAPSED"}]
    assert headline.marks({"collapsed": False}, overall) == [{"code": "NO_SKILL"}]
    assert headline.marks({"marks": []}, overall) == []
    scores = {"synthetic": True, "marks": [{"code": "TOO_GOOD", "sentence": "the ROC AUC is above ..."}]}
    banners = headline.banners(Record(Path(), scores, {}, {}, {}, None, [], [GOOD]), ENGLISH)
    assert [banner["title"] for banner in banners] == ["Synthetic data, not ERA5", "Too good to be true"]
