"""Every score of a thousand random sets equals `scores`, scikit-learn or the formula written out, within 1e-9.

All sets are scored at once, each as one day: the very sums and formulas that scores and intervals are made from.
"""

from __future__ import annotations

import numpy as np
import pytest
import sklearn.metrics as metrics
import xarray as xr

from utils.day_sums import day_sums
from utils.event_scores import score
from utils.forecasts import Forecasts
from utils.probability_scores import COST_LOSS_RATIOS, economic_value, economic_value_bin
from utils.score_info import SCORES

SETS, CASES, CUT = 1000, 40, 0.4


@pytest.fixture(scope="module")
def arrays() -> dict[str, np.ndarray]:
    """`(SETS, CASES)`; probabilities in steps of 1/128, so that there are ties and every edge of a bin is clear."""
    rng = np.random.default_rng(17)
    base = rng.uniform(0.05, 0.95, (SETS, 1))
    observed = (rng.random((SETS, CASES)) < base).astype(float)
    observed[:, 0], observed[:, 1] = 0, 1
    skill = rng.uniform(0, 0.6, (SETS, 1))
    probability = np.round(128 * np.clip(skill * observed + (1 - skill) * rng.random((SETS, CASES)), 0, 1)) / 128
    probability[:, 2] = 1.0
    persistence = (rng.random((SETS, CASES)) < base).astype(float)
    persistence[:, 3] = 1 - observed[:, 3]
    return {
        "observed": observed,
        "probability": probability,
        "climatology": np.broadcast_to(base, observed.shape).copy(),
        "persistence": persistence,
    }


@pytest.fixture(scope="module")
def found(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Name -> `(SETS,)`."""
    day = np.repeat(np.arange(SETS), CASES) * np.timedelta64(1, "D")
    forecasts = Forecasts(
        init_time=np.datetime64("2000-01-01", "D") + day,
        region=np.full(day.shape, "a"),
        **{name: values.ravel() for name, values in arrays.items()},
        cut=CUT,
    )
    return day_sums(forecasts).scores(np.eye(SETS))


def data(values: np.ndarray) -> xr.DataArray:
    return xr.DataArray(values, dims=("set", "case"))


def test_no_score_is_left_out_here(found: dict[str, np.ndarray]) -> None:
    """A score that is added would be checked by nobody."""
    here = {"scores": FROM_SCORES, "scikit-learn": FROM_SCIKIT_LEARN, "written out": BY_HAND}
    assert {name for names in here.values() for name in names} == set(SCORES) == set(found)


FROM_SCORES = {
    name: name
    for name in (
        "accuracy", "precision", "recall", "probability_of_detection", "false_alarm_ratio",
        "probability_of_false_detection", "critical_success_index", "equitable_threat_score", "heidke_skill_score",
        "peirce_skill_score", "frequency_bias",
    )
} | {"f1": "f1_score"}  # fmt: skip


def test_contingency_scores_equal_those_of_scores(arrays: dict[str, np.ndarray], found: dict[str, np.ndarray]) -> None:
    """Counts of another day or a cut on the wrong side would go unnoticed in any single score."""
    from scores.categorical import BinaryContingencyManager

    said = (arrays["probability"] >= CUT).astype(float)
    manager = BinaryContingencyManager(data(said), data(arrays["observed"])).transform(preserve_dims="set")
    for name, theirs in FROM_SCORES.items():
        np.testing.assert_allclose(found[name], getattr(manager, theirs)(), atol=1e-9, err_msg=name)


FROM_SCIKIT_LEARN = {
    "macro_f1": lambda o, p: metrics.f1_score(o, p >= CUT, average="macro"),
    "balanced_accuracy": lambda o, p: metrics.balanced_accuracy_score(o, p >= CUT),
    "matthews_correlation": lambda o, p: metrics.matthews_corrcoef(o, p >= CUT),
    "average_precision": metrics.average_precision_score,
    "roc_auc": metrics.roc_auc_score,
}


def pair_by_pair(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The scores of `FROM_SCIKIT_LEARN` from every pair of cases, and from the counts of the 2x2 table."""
    o, p = arrays["observed"], arrays["probability"]
    said = p >= CUT
    a, b, c, d = (np.sum(x, axis=1) for x in (said * o, said * (1 - o), ~said * o, ~said * (1 - o)))
    higher = (p[:, :, None] > p[:, None, :]) + 0.5 * (p[:, :, None] == p[:, None, :])
    pairs = o[:, :, None] * (1 - o[:, None, :])
    as_high = p[:, None, :] >= p[:, :, None]
    precision = (as_high * o[:, None, :]).sum(2) / as_high.sum(2)
    product = (a + b) * (a + c) * (b + d) * (c + d)
    return {
        "macro_f1": a / (2 * a + b + c) + d / (2 * d + b + c),
        "balanced_accuracy": (a / (a + c) + d / (b + d)) / 2,
        "matthews_correlation": np.where(product > 0, (a * d - b * c) / np.sqrt(np.maximum(product, 1)), 0),
        "average_precision": (precision * o).sum(1) / o.sum(1),
        "roc_auc": (higher * pairs).sum((1, 2)) / pairs.sum((1, 2)),
    }


def test_rankings_and_f1_equal_scikit_learn_and_their_formulas(
    arrays: dict[str, np.ndarray], found: dict[str, np.ndarray]
) -> None:
    """Users check these with scikit-learn first."""
    written = pair_by_pair(arrays)
    for name, theirs in FROM_SCIKIT_LEARN.items():
        np.testing.assert_allclose(found[name], written[name], atol=1e-9, err_msg=name)
        some = [theirs(arrays["observed"][k], arrays["probability"][k]) for k in range(60)]
        np.testing.assert_allclose(found[name][:60], some, atol=1e-9, err_msg=name)


def brier(arrays: dict[str, np.ndarray], name: str) -> np.ndarray:
    from scores.probability import brier_score

    return brier_score(data(arrays[name]), data(arrays["observed"]), preserve_dims="set").to_numpy()


def in_bins(arrays: dict[str, np.ndarray]) -> list[list[tuple[int, float, float]]]:
    """Cases, mean probability and share of rain of each bin of each set, bin by bin."""
    result = []
    for observed, probability in zip(arrays["observed"], arrays["probability"], strict=True):
        bins = []
        for number in range(10):
            inside = (probability >= number / 10) & ((probability < (number + 1) / 10) | (number == 9))
            if inside.any():
                bins.append((int(inside.sum()), probability[inside].mean(), observed[inside].mean()))
        result.append(bins)
    return result


def written_out(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The formulas of the glossary, case by case."""
    base, bins = arrays["observed"].mean(1), in_bins(arrays)
    both = list(zip(bins, base, strict=True))
    return {
        "brier_score": brier(arrays, "probability"),
        "brier_skill_score": 1 - brier(arrays, "probability") / brier(arrays, "climatology"),
        "brier_skill_score_persistence": 1 - brier(arrays, "probability") / brier(arrays, "persistence"),
        "reliability": np.array([sum(n * (p - o) ** 2 for n, p, o in each) / CASES for each in bins]),
        "resolution": np.array([sum(n * (o - s) ** 2 for n, _, o in each) / CASES for each, s in both]),
        "uncertainty": base * (1 - base),
        "expected_calibration_error": np.array([sum(n * abs(p - o) for n, p, o in each) / CASES for each in bins]),
        "maximum_economic_value": economic_values(arrays).max(1),
    }


def economic_values(arrays: dict[str, np.ndarray]) -> np.ndarray:
    """`(SETS, ratios)` from what the users spend and lose."""
    columns = []
    for ratio in COST_LOSS_RATIOS:
        acts, rain = arrays["probability"] >= ratio, arrays["observed"] == 1
        spent = np.where(acts, ratio, np.where(rain, 1.0, 0.0)).mean(1)
        cheaper = np.minimum(ratio, rain.mean(1))
        columns.append((cheaper - spent) / (cheaper - ratio * rain.mean(1)))
    return np.stack(columns, axis=1)


BY_HAND = (
    "brier_score", "brier_skill_score", "brier_skill_score_persistence", "reliability", "resolution", "uncertainty",
    "expected_calibration_error", "maximum_economic_value",
)  # fmt: skip


def test_scores_of_probabilities_equal_their_formulas(
    arrays: dict[str, np.ndarray], found: dict[str, np.ndarray]
) -> None:
    """A bin that takes its upper edge, or a reference of another day, would shift scores by a few per cent."""
    expected = written_out(arrays)
    assert set(expected) == set(BY_HAND)
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, atol=1e-9, err_msg=name)


def test_the_economic_value_equals_that_of_scores(arrays: dict[str, np.ndarray]) -> None:
    """The curve of the report would not be the one of the literature."""
    from scores.probability import relative_economic_value

    few = {name: values[:20] for name, values in arrays.items()}
    theirs = relative_economic_value(
        data(few["probability"]), data(few["observed"]), cost_loss_ratios=list(COST_LOSS_RATIOS), reduce_dims="case",
        probability_thresholds=list(COST_LOSS_RATIOS), generate_equilibrium_point_rev=True,
    )["equilibrium_point"].transpose("set", ...).to_numpy()  # fmt: skip
    place, number = economic_value_bin(few["probability"]), len(COST_LOSS_RATIOS) + 1
    rain, dry = (
        np.stack([np.bincount(p, weights=w, minlength=number) for p, w in zip(place, weights, strict=True)], axis=1)
        for weights in (few["observed"], 1 - few["observed"])
    )
    np.testing.assert_allclose(economic_value(rain, dry).T, theirs, atol=1e-9)


def test_the_parts_of_the_brier_score_add_up_where_a_bin_has_one_probability() -> None:
    """Reliability, resolution and uncertainty would not be parts of anything."""
    rng = np.random.default_rng(2)
    probability = rng.choice(np.arange(10) / 10 + 0.05, 500)
    observed = (rng.random(500) < probability**2).astype(float)
    result = score(
        Forecasts(
            init_time=np.full(500, np.datetime64("2020-01-01", "s")), region=np.full(500, "a"),
            probability=probability, observed=observed, climatology=probability, persistence=observed,
        )
    )  # fmt: skip
    parts = result["reliability"] - result["resolution"] + result["uncertainty"]
    assert result["brier_score"] == pytest.approx(parts, abs=1e-12)
    assert result["brier_skill_score_persistence"] is None, "persistence is perfect here"


def test_a_ranking_in_a_thousand_bins_is_that_of_all_cases() -> None:
    """Intervals of the ROC AUC would lie beside it; half of these probabilities are crowded below 0.001."""
    rng = np.random.default_rng(3)
    n = 50_000
    probability = np.where(rng.random(n) < 0.5, rng.random(n) / 1000, rng.random(n))
    observed = (rng.random(n) < 0.2 + 0.6 * probability).astype(float)
    day = np.arange(n) // 100 * np.timedelta64(1, "D")
    forecasts = Forecasts(
        init_time=np.datetime64("2000-01-01", "D") + day, region=np.full(n, "a"), probability=probability,
        observed=observed, climatology=np.full(n, 0.3), persistence=observed,
    )  # fmt: skip
    binned, exact = day_sums(forecasts).scores(), score(forecasts)
    assert abs(binned["roc_auc"][0] - exact["roc_auc"]) < 1e-5
    assert abs(binned["average_precision"][0] - exact["average_precision"]) < 1e-3
