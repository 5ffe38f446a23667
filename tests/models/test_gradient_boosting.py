"""The stored trees give what scikit-learn's own give, missing values included."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import threadpool_limits

from models import gradient_boosting
from utils.errors import DataError, UsageError


@pytest.fixture(autouse=True)
def one_thread():
    """Several test workers with waiting OpenMP threads each would slow one another down many times over."""
    with threadpool_limits(1):
        yield


def config(n_classes=2, **given):
    """All fields of the configuration, few trees unless told, the number of classes and the seed."""
    fields = vars(gradient_boosting.Config(**({"boosting_trees": 25} | given)))
    return SimpleNamespace(n_classes=n_classes, seed=3, **fields)


def sample(n_classes=2, n=1500, seed=0):
    """Features with missing values, one of them nowhere known, and a label that depends on them."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n, 8))
    drift = features[:, 0] * features[:, 1] + features[:, 2] + rng.logistic(size=n)
    features[rng.random(features.shape) < 0.15] = np.nan
    drift += np.isnan(features[:, 3])
    features[:, 7] = np.nan
    features[:, 6] = np.round(features[:, 6])
    return features.astype(np.float32), np.digitize(drift, np.linspace(-0.5, 1.5, n_classes - 1))


def known(features):
    """The features scikit-learn can bin: without the one that is nowhere known."""
    return features[:, :7]


@pytest.mark.parametrize("n_classes", [2, 4])
def test_probabilities_equal_scikit_learn(n_classes):
    """The arrays that are saved would not be the trees that were grown."""
    features, label = sample(n_classes)
    model = gradient_boosting.Model(config(n_classes, boosting_learning_rate=0.1))
    model.fit({"features": features}, label)
    expected = HistGradientBoostingClassifier(
        max_iter=25, learning_rate=0.1, max_leaf_nodes=31, early_stopping=False, random_state=3
    ).fit(known(features), label)
    later = sample(n_classes, n=1111, seed=1)[0]
    later[0], later[1, 0], later[2, 0] = np.nan, np.inf, -np.inf
    later[:50, 7] = 1.0
    for given in (features, later):
        ours, theirs = model.predict_probability({"features": given}), expected.predict_proba(known(given))
        assert np.abs(ours - theirs).max() < 1e-12
        assert ours.dtype == np.float64 and ours.shape == (len(given), n_classes)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_saved_trees_give_the_same_bits(n_classes):
    """A finished run scored again would show other figures."""
    features, label = sample(n_classes)
    model, other = (gradient_boosting.Model(config(n_classes)) for _ in range(2))
    model.fit({"features": features}, label)
    other.load_state(model.state())
    assert np.array_equal(
        model.predict_probability({"features": features}), other.predict_probability({"features": features})
    )


def test_the_state_is_plain_tensors_that_load_without_pickle(tmp_path):
    """A run could not be opened with `weights_only=True`."""
    features, label = sample()
    model = gradient_boosting.Model(config())
    model.fit({"features": features}, label)
    torch.save(model.state(), tmp_path / "best.pt")
    loaded = torch.load(tmp_path / "best.pt", weights_only=True)
    assert loaded.keys() == model.state().keys()
    assert all(torch.equal(loaded[name], value) for name, value in model.state().items())


def test_one_sample_and_none_can_be_predicted():
    """The walk over chunks would stumble over a short one."""
    features, label = sample()
    model = gradient_boosting.Model(config())
    model.fit({"features": features}, label)
    whole = model.predict_probability({"features": features})
    assert np.array_equal(model.predict_probability({"features": features[:1]}), whole[:1])
    assert model.predict_probability({"features": features[:0]}).shape == (0, 2)


def test_trees_of_a_single_leaf_give_the_base_rate():
    """With no split possible the root is a leaf; the walk must end there."""
    features, label = sample()
    model = gradient_boosting.Model(config())
    model.fit({"features": np.zeros_like(features)}, label)
    assert model.predict_probability({"features": features})[:, 1] == pytest.approx(label.mean(), abs=1e-9)


def test_a_class_that_never_occurs_gets_probability_zero():
    """The columns of the other classes would shift by one."""
    features, label = sample(2)
    model = gradient_boosting.Model(config(4))
    model.fit({"features": features}, np.array([1, 3])[label])
    probability = model.predict_probability({"features": features})
    assert (probability[:, [0, 2]] == 0).all() and probability.sum(1) == pytest.approx(1)
    assert np.corrcoef(probability[:, 3], label)[0, 1] > 0.3


def test_one_class_is_refused():
    """Trees of a single class would be a constant answer."""
    features, label = sample()
    with pytest.raises(DataError, match="class 1"):
        gradient_boosting.Model(config()).fit({"features": features}, np.ones_like(label))


@pytest.mark.parametrize(
    ("given", "flag"),
    [({"boosting_trees": 0}, "--boosting_trees"), ({"boosting_learning_rate": 0.0}, "--boosting_learning_rate"),
     ({"boosting_leaves": 1}, "--boosting_leaves"), ({"boosting_min_samples": 0}, "--boosting_min_samples"),
     ({"boosting_l2": -1.0}, "--boosting_l2"), ({"boosting_feature_share": 0.0}, "--boosting_feature_share")],
)  # fmt: skip
def test_impossible_settings_name_their_flag(given, flag):
    """The user would get scikit-learn's parameter names instead of the flag."""
    with pytest.raises(UsageError, match=flag):
        gradient_boosting.Config(**given)


def test_every_setting_reaches_the_trees():
    """A flag that does nothing would be tuned for a day."""
    features, label = sample()

    def probability(**given: float) -> np.ndarray:
        model = gradient_boosting.Model(config(**given))
        model.fit({"features": features}, label)
        return model.predict_probability({"features": features})

    usual = probability()
    for given in (
        {"boosting_leaves": 5}, {"boosting_learning_rate": 0.1}, {"boosting_min_samples": 200},
        {"boosting_l2": 50.0}, {"boosting_feature_share": 0.3},
    ):  # fmt: skip
        assert not np.array_equal(probability(**given), usual), given
