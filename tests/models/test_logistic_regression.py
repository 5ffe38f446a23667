"""The linear reference equals scikit-learn and survives features that are odd, and only those."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from models import logistic_regression
from utils.errors import DataError, UsageError


def config(n_classes=2, **given):
    """All fields of the configuration and the number of classes."""
    return SimpleNamespace(n_classes=n_classes, **vars(logistic_regression.Config(**given)))


def sample(n_classes=2, n=600, seed=0):
    """Features of very different sizes, as pressure in Pa beside rain in metres."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n, 6)) * [1e5, 1e-3, 1, 10, 1, 1] + [1e5, 0, 3, 280, 0, 0]
    drift = (features[:, 0] - 1e5) / 1e5 + rng.logistic(size=n)
    return features.astype(np.float32), np.digitize(drift, np.linspace(-0.5, 1, n_classes - 1))


@pytest.mark.parametrize("n_classes", [2, 4])
def test_probabilities_equal_scikit_learn(n_classes):
    """The tensors that are saved would not be the model that was fitted."""
    features, label = sample(n_classes)
    model = logistic_regression.Model(config(n_classes))
    model.fit({"features": features}, label)
    scaler = StandardScaler().fit(features.astype(np.float64))
    expected = LogisticRegression(max_iter=5000).fit(scaler.transform(features), label)
    assert model.predict_probability({"features": features}) == pytest.approx(
        expected.predict_proba(scaler.transform(features.astype(np.float64))), abs=1e-6
    )


@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_saved_regression_gives_the_same_bits(n_classes):
    """A finished run scored again would show other figures."""
    features, label = sample(n_classes)
    model, other = (logistic_regression.Model(config(n_classes)) for _ in range(2))
    model.fit({"features": features}, label)
    other.load_state(model.state())
    assert np.array_equal(
        model.predict_probability({"features": features}), other.predict_probability({"features": features})
    )


def test_constant_features_change_nothing():
    """A scale of zero, or of rounding noise, would give infinite or wild inputs."""
    features, label = sample()
    constant = np.full((len(features), 2), [0.0, 287.1], dtype=np.float32)
    plain, widened = (logistic_regression.Model(config()) for _ in range(2))
    plain.fit({"features": features}, label)
    widened.fit({"features": np.hstack([features, constant])}, label)
    later = np.hstack([features, constant + np.float32(0.5)])
    assert widened.predict_probability({"features": later}) == pytest.approx(
        plain.predict_probability({"features": features}), abs=1e-4
    )


def test_a_class_that_never_occurs_gets_probability_zero():
    """The columns of the other classes would shift by one."""
    features, label = sample(3)
    model = logistic_regression.Model(config(5))
    model.fit({"features": features}, np.array([0, 2, 4])[label])
    probability = model.predict_probability({"features": features})
    assert probability.shape == (len(features), 5)
    assert (probability[:, [1, 3]] == 0).all() and probability.sum(1) == pytest.approx(1)


def test_missing_values_are_counted_and_named():
    """NaN would spread to every coefficient."""
    features, label = sample()
    features[5, 2] = np.nan
    features[9, 4] = np.inf
    with pytest.raises(DataError, match="2 of 3600") as caught:
        logistic_regression.Model(config()).fit({"features": features}, label)
    assert caught.value.code == "DATA_NAN" and "column 2" in caught.value.where and "sample 5" in caught.value.where


def test_one_class_is_refused():
    """scikit-learn would refuse with a text about its solver."""
    features, label = sample()
    with pytest.raises(DataError, match="class 0") as caught:
        logistic_regression.Model(config()).fit({"features": features}, np.zeros_like(label))
    assert caught.value.code == "ONE_CLASS"


def test_a_fit_that_is_cut_short_says_so(caplog):
    """A reference that is not converged would be beaten too easily, silently."""
    features, label = sample()
    logistic_regression.Model(config(logistic_iterations=1)).fit({"features": features}, label)
    assert "--logistic_iterations" in caplog.text
    caplog.clear()
    logistic_regression.Model(config()).fit({"features": features}, label)
    assert not caplog.records


@pytest.mark.parametrize(
    ("given", "flag"),
    [({"logistic_c": 0.0}, "--logistic_c"), ({"logistic_c": float("nan")}, "--logistic_c"),
     ({"logistic_iterations": 0}, "--logistic_iterations")],
)  # fmt: skip
def test_impossible_settings_name_their_flag(given, flag):
    """The user would get the solver's words instead of the flag."""
    with pytest.raises(UsageError, match=flag):
        logistic_regression.Config(**given)
