"""The references of amounts: what they say, from training samples alone, and the same after saving."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingRegressor

import models
from models import climatology, gradient_boosting, persistence, ridge_regression
from utils import rain_scale
from utils.errors import DataError, UsageError

REFERENCES = [name for name in models.regressors() if models.kind(name) == "reference"]
SETTINGS = {
    "n_quantiles": 5, "n_regions": 2, "seed": 0, "boosting_trees": 8, "boosting_learning_rate": 0.2,
    "boosting_leaves": 7, "boosting_min_samples": 20, "boosting_l2": 0.0, "boosting_feature_share": 1.0,
    "ridge_penalty": None,
}  # fmt: skip


def built(name: str, **changed: Any) -> Any:
    return models.build_for_amounts(name, SimpleNamespace(**{**SETTINGS, **changed}))


def samples(n: int = 400, seed: int = 0) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Rain that grows with the first feature, dry on many days, in two regions and all months."""
    generator = np.random.default_rng(seed)
    features = generator.normal(size=(n, 4))
    rain = np.maximum(0, np.expm1(features[:, 0] + 0.5 * generator.normal(size=n)))
    inputs = {
        "features": features,
        "region": np.arange(n) % 2,
        "month": np.arange(n) // 2 % 12 + 1,
        "past_mm": np.roll(rain, 1),
    }
    return inputs, rain


@pytest.mark.parametrize("name", REFERENCES)
def test_amounts_are_ordered_possible_and_the_same_after_saving(name: str):
    """A saved reference that says something else than it was scored for is worth nothing."""
    inputs, rain = samples()
    model = built(name)
    model.fit({part: inputs[part] for part in model.needs}, rain)
    said = model.predict_amounts(inputs)
    assert said.quantiles.shape == (400, 5) and said.mean.shape == (400,)
    assert (np.diff(said.quantiles, axis=1) >= 0).all() and said.quantiles.min() >= 0 and said.mean.min() >= 0
    again = built(name)
    again.load_state(model.state())
    assert np.array_equal(again.predict_amounts(inputs).quantiles, said.quantiles)
    assert np.array_equal(again.predict_amounts(inputs).mean, said.mean)


@pytest.mark.parametrize("name", ["gradient_boosting", "ridge_regression"])
def test_a_reference_learns_what_there_is_to_learn(name: str):
    """A target on the wrong scale, or shuffled, would still give amounts."""
    inputs, rain = samples()
    others, fell = samples(seed=1)
    model = built(name)
    model.fit(inputs, rain)
    error = np.abs(model.predict_amounts(others).median - fell).mean()
    assert error < 0.85 * np.abs(np.median(rain) - fell).mean()


def test_climatology_is_the_quantiles_of_region_and_month_with_what_is_missing_from_the_region():
    """A month that a region has no sample of would be undefined, or take another region's rain."""
    model = climatology.AmountModel(SimpleNamespace(n_quantiles=3, n_regions=3))
    inputs = {"region": np.array([0, 0, 0, 1]), "month": np.array([1, 1, 2, 1])}
    model.fit(inputs, np.array([0.0, 6.0, 30.0, 9.0]))
    asked = {"region": np.array([0, 0, 1, 2]), "month": np.array([1, 7, 7, 7])}
    said = model.predict_amounts(asked)
    assert said.median.tolist() == [3.0, 6.0, 9.0, 7.5]
    assert said.mean.tolist() == [3.0, 12.0, 9.0, 11.25]
    with pytest.raises(DataError, match="region"):
        model.predict_amounts({"region": np.array([3]), "month": np.array([1])})


def test_persistence_repeats_what_fell_and_says_the_training_rain_where_it_is_not_known():
    """An unknown past taken as 0 would be a dry forecast that nobody made."""
    model = persistence.AmountModel(SimpleNamespace(n_quantiles=3))
    model.fit({}, np.array([0.0, 1.0, 8.0]))
    said = model.predict_amounts({"past_mm": np.array([4.0, np.nan])})
    assert said.quantiles[0].tolist() == [4, 4, 4] and said.mean.tolist() == [4, 3]
    assert said.median[1] == 1


def test_boosted_quantiles_walk_like_scikit_learn_missing_values_too():
    """The trees are stored as plain arrays; a wrong child would go unnoticed in a score."""
    inputs, rain = samples()
    inputs["features"][::7, 1] = np.nan
    model = built("gradient_boosting")
    model.fit(inputs, rain)
    own = [
        HistGradientBoostingRegressor(
            loss="quantile", quantile=level, max_iter=8, learning_rate=0.2, max_leaf_nodes=7, random_state=0,
            early_stopping=False, categorical_features=None,
        )
        .fit(inputs["features"], np.log1p(rain))
        .predict(inputs["features"])
        for level in rain_scale.levels(5)
    ]  # fmt: skip
    expected = np.expm1(np.maximum(np.sort(np.column_stack(own), axis=1), 0))
    assert np.allclose(model.predict_amounts(inputs).quantiles, expected, atol=1e-12)


def test_the_mean_of_the_ridge_is_no_mean_taken_back_from_the_log_scale():
    """That mean would be too low, the more the wider the errors."""
    inputs, rain = samples(4000)
    model = ridge_regression.AmountModel(SimpleNamespace(n_quantiles=5, ridge_penalty=1.0))
    model.fit(inputs, rain)
    fitted = model._fitted
    value = (inputs["features"] - fitted["mean"]) / fitted["scale"] @ fitted["coefficient"] + fitted["intercept"]
    naive, said = np.expm1(np.maximum(value, 0)).mean(), model.predict_amounts(inputs).mean.mean()
    assert abs(said - rain.mean()) < 0.5 * abs(naive - rain.mean())


def test_a_penalty_is_chosen_on_training_or_taken_as_given():
    """A flag without effect, or one that is no penalty."""
    inputs, rain = samples(60)
    weak, strong = built("ridge_regression", ridge_penalty=0.01), built("ridge_regression", ridge_penalty=1e5)
    for model in (weak, strong):
        model.fit(inputs, rain)
    assert np.abs(strong._fitted["coefficient"]).max() < 0.01 < np.abs(weak._fitted["coefficient"]).max()
    with pytest.raises(UsageError, match="ridge_penalty"):
        ridge_regression.Config(ridge_penalty=-1)


def test_missing_features_are_refused_by_the_linear_model_and_learned_by_trees():
    """A NaN in one feature would make every amount NaN without a word."""
    inputs, rain = samples(60)
    inputs["features"][3, 2] = np.nan
    with pytest.raises(DataError, match="DATA_NAN") as caught:
        built("ridge_regression").fit(inputs, rain)
    assert "gradient_boosting" in caught.value.next_command
    trees = gradient_boosting.AmountModel(SimpleNamespace(**SETTINGS))
    trees.fit(inputs, rain)
    assert np.isfinite(trees.predict_amounts(inputs).quantiles).all()
