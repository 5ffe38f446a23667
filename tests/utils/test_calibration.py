"""Probabilities are corrected by what validation observed: by one number, or by a curve, and never by luck."""

from __future__ import annotations

import numpy as np
import pytest

from utils.calibration import FEWEST_CASES, TEMPERATURES, Calibration, classes_of, fit, in_order, log_loss
from utils.errors import DataError
from utils.forecasts import exceedances


def softmax(logits: np.ndarray) -> np.ndarray:
    """Written out here, so that the tests do not lean on what they test."""
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True)


def cases(n: int, n_classes: int = 2, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return the true probabilities `(N, K)` of random cases and what happened `(N,)`."""
    generator = np.random.default_rng(seed)
    probability = softmax(generator.normal(0, 1.5, (n, n_classes)))
    label = (generator.random(n)[:, None] > probability.cumsum(axis=1)).sum(axis=1)
    return probability, np.minimum(label, n_classes - 1)


@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.5])
def test_the_temperature_that_spoilt_the_probabilities_is_found_again(n_classes: int, temperature: float) -> None:
    """A search that stopped early, or that knew two classes only, would leave the model as sure as it was."""
    truth, label = cases(20_000, n_classes)
    spoilt = softmax(np.log(truth) / temperature)
    found = fit("temperature", spoilt, label)
    assert found.temperature == pytest.approx(1 / temperature, rel=0.05)
    assert np.allclose(found.apply(spoilt), truth, atol=0.02)
    assert found.apply(spoilt).sum(axis=1) == pytest.approx(1)


def test_no_temperature_beside_the_one_found_has_a_lower_log_loss() -> None:
    """The optimiser is handed bounds and a tolerance, and either could be wrong."""
    truth, label = cases(500)
    spoilt = softmax(3 * np.log(truth))
    found = fit("temperature", spoilt, label)
    best = log_loss(found.apply(spoilt), label)
    others = [log_loss(softmax(np.log(spoilt) / other), label) for other in np.geomspace(*TEMPERATURES, 400)]
    assert best <= min(others) and found.validation["log_loss"]["after"] == best


def test_a_network_that_is_calibrated_already_is_hardly_changed() -> None:
    """Calibration is on by default: it must not spoil what was right, beyond what a year of validation leaves open."""
    for seed in range(5):
        truth, label = cases(2_000, seed=seed)
        found = fit("temperature", truth, label)
        assert found.temperature is not None and 0.9 < found.temperature < 1.1
        assert np.abs(found.apply(truth) - truth).max() < 0.02


def test_two_classes_keep_their_order_and_their_roc_auc() -> None:
    """Temperature corrects how sure a forecast is; if it moved ROC AUC it would have reordered the days."""
    from sklearn.metrics import roc_auc_score

    truth, label = cases(2_000)
    for temperature in (0.3, 3.0):
        after = Calibration(method="temperature", temperature=temperature).apply(truth)
        assert np.array_equal(np.argsort(after[:, 1]), np.argsort(truth[:, 1]))
        assert roc_auc_score(label, after[:, 1]) == roc_auc_score(label, truth[:, 1])


def test_certainty_stays_certainty_and_is_told() -> None:
    """Logarithms of 0 must not turn into NaN, nor be clipped to a number that then decides the temperature."""
    truth, label = cases(1_000)
    spoilt = softmax(2 * np.log(truth))
    expected = fit("temperature", spoilt, label).temperature
    wrong = np.zeros((3, 2))
    wrong[:, 0] = 1.0
    found = fit("temperature", np.concatenate([spoilt, wrong]), np.append(label, [1, 1, 1]))
    assert found.temperature == expected and found.validation["impossible"] == 3
    assert found.validation["log_loss"] == {"before": np.inf, "after": np.inf}
    assert np.array_equal(found.apply(wrong), wrong)


def test_a_class_that_training_never_saw_keeps_probability_zero() -> None:
    """Its zeros stand beside other classes that do have to move."""
    truth, label = cases(1_000, 2)
    three = np.concatenate([softmax(2 * np.log(truth)), np.zeros((1_000, 1))], axis=1)
    found = fit("temperature", three, label)
    assert (found.apply(three)[:, 2] == 0).all() and np.isfinite(found.apply(three)).all()
    assert found.temperature == pytest.approx(fit("temperature", three[:, :2], label).temperature)


@pytest.mark.parametrize("method", ["temperature", "isotonic"])
def test_what_is_not_a_number_stays_none_and_is_no_ground_for_a_fit(method) -> None:
    """A NaN that came out as a probability would hide a broken model."""
    truth, label = cases(1_000)
    found = fit(method, truth, label)
    truth[7] = np.nan
    assert np.isnan(found.apply(truth)[7]).all() and np.isfinite(np.delete(found.apply(truth), 7, axis=0)).all()
    with pytest.raises(DataError, match="METRIC_UNDEFINED"):
        fit(method, truth, label)


def test_isotonic_mends_what_no_temperature_can() -> None:
    """A model that says half of the truth is wrong on one side only."""
    truth, label = cases(5_000)
    half = np.stack([1 - truth[:, 1] / 2, truth[:, 1] / 2], axis=1)
    curved, milder = (fit(method, half, label) for method in ("isotonic", "temperature"))
    assert np.abs(curved.apply(half) - truth).mean() < 0.03 < np.abs(milder.apply(half) - truth).mean()
    assert (np.diff(curved.apply(half)[np.argsort(half[:, 1]), 1]) >= 0).all()


def test_isotonic_is_what_scikit_learn_says_between_and_beyond_its_knots() -> None:
    """The knots are kept without the library, so they have to stand for the whole curve."""
    from sklearn.isotonic import IsotonicRegression

    truth, label = cases(400)
    found = fit("isotonic", truth, label)
    new = np.linspace(0, 1, 301)
    expected = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(truth[:, 1], label).predict(new)
    assert np.allclose(found.apply(np.stack([1 - new, new], axis=1))[:, 1], expected, atol=1e-9)


def test_a_higher_threshold_is_never_likelier_than_a_lower_one() -> None:
    """Curves fitted one by one may cross, and a class between them would get a negative probability."""
    low, high = ((0.0, 1.0), (0.2, 0.4)), ((0.0, 1.0), (0.1, 0.9))
    crossing = Calibration(method="isotonic", curves=(low, high))
    probability = np.array([[0.8, 0.1, 0.1], [0.0, 0.0, 1.0]])
    after = crossing.apply(probability)
    assert np.allclose(after, [[1 - 0.24, 0.24 - 0.18, 0.18], [0.6, 0.0, 0.4]]) and (after >= 0).all()
    assert crossing.reordered(probability) == 1


def test_cases_that_isotonic_ties_are_equal_to_the_last_bit() -> None:
    """Differences and sums of thirds round, and a cut could then fall between two cases of one step."""
    truth, label = cases(1_000, 4)
    found = fit("isotonic", truth, label)
    reached = exceedances(found.apply(truth))
    assert np.array_equal(reached, in_order(reached))
    steps: set[float] = set()
    for level, (_, own) in enumerate(found.curves):
        steps |= set(own)  # a case may be brought down to the step of a lower threshold
        assert np.unique(reached[:, level]).size <= len(steps)
    assert np.array_equal(exceedances(classes_of(reached)), reached)


@pytest.mark.parametrize(
    ("method", "n", "words"),
    [("temperature", FEWEST_CASES["temperature"] - 1, "too few"), ("isotonic", FEWEST_CASES["isotonic"] - 1, "200")],
)
def test_too_few_cases_leave_the_probabilities_alone_and_say_so(method, n: int, words: str) -> None:
    """A temperature from a handful of days is noise that looks like a correction."""
    truth, label = cases(n)
    found = fit(method, truth, label)
    assert found.method == "none" and words in found.reason and found.apply(truth) is truth


@pytest.mark.parametrize("method", ["temperature", "isotonic"])
def test_one_class_alone_in_validation_leaves_the_probabilities_alone(method) -> None:
    """A year without rain would make every forecast of dry certain."""
    truth, _ = cases(500)
    found = fit(method, truth, np.zeros(500, int))
    assert found.method == "none" and "only one class" in found.reason


def test_a_threshold_that_validation_never_reached_gets_no_curve() -> None:
    """Its curve would say 0 for ever after."""
    truth, label = cases(500, 3)
    found = fit("isotonic", truth, np.minimum(label, 1))
    assert found.method == "none" and "threshold 2 of 2 was never reached" in found.reason


def test_a_perfect_validation_split_stops_at_the_end_of_the_range() -> None:
    """The best temperature would be 0, and every later probability 0 or 1."""
    label = np.arange(200) % 2
    rain = np.where(label == 1, 0.6, 0.4)
    found = fit("temperature", np.stack([1 - rain, rain], axis=1), label)
    assert found.temperature == pytest.approx(TEMPERATURES[0], rel=1e-3)


def test_a_forecast_that_no_temperature_moves_keeps_the_number_one() -> None:
    """Where all are alike the optimiser would return whatever it looked at last."""
    found = fit("temperature", np.full((300, 2), 0.5), np.arange(300) % 2)
    assert found.temperature == 1.0


@pytest.mark.parametrize(
    "parameters",
    [
        {"method": "temperature"},
        {"method": "temperature", "temperature": float("nan")},
        {"method": "temperature", "temperature": 0.0},
        {"method": "isotonic"},
        {"method": "isotonic", "curves": (((0.0, 1.0), (0.5, 0.4)),)},
        {"method": "isotonic", "curves": (((0.5, 0.5), (0.1, 0.4)),)},
        {"method": "isotonic", "curves": (((0.0, 1.0), (0.5, None)),)},
        {"method": "platt"},
    ],
)
def test_parameters_that_are_none_of_the_method_are_refused(parameters: dict) -> None:
    """A file that was changed by hand must not turn probabilities around."""
    with pytest.raises(ValueError, match="temperature|isotonic|platt"):
        Calibration(**parameters)


def test_curves_for_other_thresholds_are_refused() -> None:
    """The calibration of a run with three thresholds says nothing about one with two."""
    one = Calibration(method="isotonic", curves=(((0.0, 1.0), (0.0, 1.0)),))
    with pytest.raises(ValueError, match="1 isotonic curves do not fit 2 thresholds"):
        one.apply(np.full((2, 3), 1 / 3))
