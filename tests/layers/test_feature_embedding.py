"""Features as vectors: standardised with training values, bent at their quantiles, dropped as a whole."""

from __future__ import annotations

import numpy as np
import torch

from layers.feature_embedding import LIMIT, FeatureEmbedding


def skewed(n: int = 500) -> torch.Tensor:
    """Features `(N, 3)`: skewed, mostly zero, and constant."""
    rng = np.random.default_rng(3)
    rain = rng.gamma(0.4, 5.0, n) * (rng.random(n) < 0.3)
    return torch.from_numpy(np.stack([rng.lognormal(size=n), rain, np.full(n, 86_000.0)], axis=1)).float()


def test_standardised_by_training_values_and_no_further_than_the_limit():
    """A value beyond anything in training would drive every neuron to its end."""
    embedding = FeatureEmbedding(3)
    embedding.fit(skewed())
    standard = embedding.standardised(skewed())
    inside = standard[:, 0] < LIMIT
    expected = (skewed()[:, 0] - skewed()[:, 0].mean()) / skewed()[:, 0].std(correction=0)
    assert not inside.all() and torch.allclose(standard[inside, 0], expected[inside], atol=1e-5)
    assert standard.abs().max() <= LIMIT and (standard[:, 2] == 0).all()
    assert embedding.standardised(torch.full((1, 3), 1e9)).tolist()[0][:2] == [LIMIT, LIMIT]
    assert all(torch.isfinite(value).all() for value in embedding.state_dict().values())


def test_every_bin_holds_equally_many_training_values():
    """Bins of equal width would give most of their room to a few storms."""
    embedding = FeatureEmbedding(1, n_bins=4)
    values = skewed(4000)[:, :1]
    embedding.fit(values)
    along = embedding._along(embedding.standardised(values))[:, 0]
    inside = (along > 0) & (along < 1)
    assert all(abs(share - 0.25) < 0.02 for share in inside.float().mean(0).tolist())


def test_along_the_bins_is_continuous_and_rises():
    """A jump at an edge would make two forecasts of nearly the same weather."""
    embedding = FeatureEmbedding(3)
    embedding.fit(skewed())
    ramp = torch.linspace(-1, 40, 400)[:, None].repeat(1, 3)
    passed = embedding._along(embedding.standardised(ramp)).sum(-1)[:, :2]
    steps = passed.diff(dim=0)
    assert (steps >= -1e-5).all() and steps[:, 0].max() < 3


def test_a_new_embedding_is_the_line_alone_and_dropout_takes_whole_features():
    """Half a feature's vector would be another feature."""
    torch.manual_seed(0)
    embedding = FeatureEmbedding(3, width=4, dropout=0.5)
    embedding.fit(skewed())
    x = skewed(8) + 1
    plain = embedding.eval()(x)
    line = embedding.standardised(x)[..., None] * embedding.line + embedding.bias
    assert torch.equal(plain, line.flatten(1))
    dropped = embedding.train()(x).unflatten(1, (3, 4))
    whole = plain.unflatten(1, (3, 4))
    gone = (dropped == 0).all(-1)
    assert gone[:, :2].any() and not gone[:, :2].all()
    assert torch.allclose(dropped[~gone], 2 * whole[~gone])
