"""The ranked probability score against hand calculations, and the order of the classes it rests on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from utils import verification
from utils.forecasts import ClassForecasts, exceedances
from utils.ranked_probability import CLASS_SCORES, ranked_probability_score

ROOT = Path(__file__).resolve().parents[2]


def forecasts_of(
    probability: list[list[float]], observed: list[int], climatology: list[float] | None = None
) -> ClassForecasts:
    """Forecasts of dry, some and much rain, 0.1 and 5 mm apart."""
    n = len(observed)
    return ClassForecasts(
        init_time=np.datetime64("2024-01-01", "s") + np.arange(n) * np.timedelta64(1, "D"),
        region=np.array(["a"] * n),
        probability=np.array(probability, dtype=np.float64).reshape(n, 3),
        observed=np.array(observed, dtype=np.int64),
        climatology=np.tile(climatology or [0.5, 0.3, 0.2], (n, 1)),
        persistence=np.tile([1.0, 0.0, 0.0], (n, 1)),
        threshold_mm=(0.1, 5.0),
    )


def test_the_score_is_the_one_calculated_by_hand():
    """A formula that is off by the number of classes would still look like a score."""
    # First: exceedance .7 and .4, reached 1 and 0: .3^2 + .4^2 = .25. Second: .2 and .1, reached 1 and 1: .64 + .81.
    found = verification.class_scores(forecasts_of([[0.3, 0.3, 0.4], [0.8, 0.1, 0.1]], [1, 2]))
    assert found["ranked_probability_score"] == pytest.approx((0.25 + 1.45) / 2, abs=1e-12)
    # Climatology: exceedance .5 and .2: .25 + .04, and .25 + .64.
    assert found["ranked_probability_score_of_climatology"] == pytest.approx((0.29 + 0.89) / 2, abs=1e-12)
    assert found["ranked_probability_score_of_persistence"] == pytest.approx((1 + 2) / 2, abs=1e-12)
    assert found["ranked_probability_skill_score"] == pytest.approx(1 - 1.7 / 1.18, abs=1e-12)


def test_it_is_the_sum_of_the_brier_scores_of_the_thresholds():
    """The classes would be scored otherwise than the events they are made of."""
    generator = np.random.default_rng(0)
    probability = generator.dirichlet([1, 1, 1], 300)
    whole = forecasts_of(probability.tolist(), generator.integers(0, 3, 300).tolist())
    events = [verification.score(whole.exceedance(number))["brier_score"] for number in range(2)]
    found = ranked_probability_score(whole.probability, whole.observed)
    assert found == pytest.approx(sum(events), abs=1e-12)


def test_a_miss_by_two_classes_costs_more_than_a_miss_by_one():
    """Accuracy calls both wrong; the order of the classes is what this score is for."""
    near, far = (
        ranked_probability_score(np.eye(3)[[1]], np.array([2])),
        ranked_probability_score(np.eye(3)[[0]], np.array([2])),
    )
    assert near == 1.0 and far == 2.0


def test_undefined_stays_undefined():
    """No samples, or a climatology without error, would end in a division by zero or pass as skill."""
    nothing = verification.class_scores(forecasts_of([], []))
    assert all(nothing[name] is None for name in CLASS_SCORES)
    perfect = verification.class_scores(forecasts_of([[0.2, 0.3, 0.5]], [2], climatology=[0.0, 0.0, 1.0]))
    assert perfect["ranked_probability_skill_score"] is None and perfect["ranked_probability_score"] is not None


def test_exceedance_never_rises_with_the_threshold():
    """5 mm would be more likely than 0.1 mm, by rounding, on one day of a thousand."""
    generator = np.random.default_rng(1)
    probability = generator.dirichlet([0.05] * 5, 5000).astype(np.float32)
    reached = exceedances(probability)
    assert (np.diff(reached, axis=1) <= 0).all() and reached.min() >= 0 and reached.max() <= 1


def test_the_events_and_the_class_that_is_forecast_keep_the_order():
    """The events of a run are scored one by one, and nothing else says that they belong together."""
    generator = np.random.default_rng(2)
    whole = forecasts_of(generator.dirichlet([0.1] * 3, 2000).tolist(), [0] * 2000)
    first, second = (whole.exceedance(number) for number in range(2))
    for name in ("probability", "climatology", "persistence", "observed"):
        assert (getattr(second, name) <= getattr(first, name)).all()
    said = whole.predicted_class()
    assert (first.probability[said >= 1] >= 0.5).all() and (second.probability[said == 2] >= 0.5).all()


def test_the_glossary_explains_the_scores_of_classes_as_the_code_does():
    """A reader would meet a score nobody explains, or an explanation that has gone out of date."""
    lines = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8").splitlines()
    for name, info in CLASS_SCORES.items():
        row = next(line for line in lines if line.startswith(f"| `{name}` |"))
        cells = [cell.strip() for cell in row.strip("|").split(" | ")]
        assert cells[1:] == [info.formula, info.range, info.perfect, info.undefined, info.source], name
