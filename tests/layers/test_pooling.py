"""Pooling with parameters: it begins as the mean, and learns which tokens and layers to look at."""

from __future__ import annotations

import torch

from layers.pooling import AttentionPooling, LayerMixing


def test_both_poolings_begin_as_the_plain_mean() -> None:
    """A start far from the mean would make attention and mean incomparable from the first step."""
    features = torch.randn(2, 3, 5, 12, dtype=torch.float64)
    pooling, mixing = AttentionPooling(12, 4).double(), LayerMixing(3).double()
    assert torch.allclose(pooling(features), features.mean(dim=2), atol=1e-14)
    assert torch.allclose(mixing(features), features.mean(dim=1), atol=1e-14)


def test_each_head_weighs_the_tokens_by_its_own_query() -> None:
    """Written out for one window: softmax of the scaled products, one head's channels at a time."""
    torch.manual_seed(0)
    pooling = AttentionPooling(6, 2).double()
    torch.nn.init.normal_(pooling.query)
    features = torch.randn(4, 6, dtype=torch.float64)
    query, expected = pooling.query.detach(), []
    for head in range(2):
        part = features[:, 3 * head : 3 * head + 3]
        score = torch.tensor([float(token @ query[head]) / 3**0.5 for token in part], dtype=torch.float64)
        share = score.exp() / score.exp().sum()
        expected.append(sum(share[token] * part[token] for token in range(4)))
    assert torch.allclose(pooling(features), torch.cat(expected), atol=1e-14)


def test_attention_learns_to_find_the_token_that_tells() -> None:
    """Queries of zero must have a gradient, or the pooling stays the mean for ever."""
    torch.manual_seed(0)
    pooling = AttentionPooling(8, 2)
    features = torch.randn(64, 6, 8)
    marked = torch.randint(0, 6, (64,))
    features[torch.arange(64), marked] += 3.0
    wanted = features[torch.arange(64), marked]
    optimizer = torch.optim.Adam(pooling.parameters(), lr=0.1)
    losses = []
    for _ in range(100):
        optimizer.zero_grad()
        loss = (pooling(features) - wanted).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.2 * losses[0]


def test_layers_are_mixed_by_positive_shares_that_sum_to_one() -> None:
    """Free weights would change the scale of what the head's norm sees."""
    mixing = LayerMixing(2).double()
    mixing.logits.data = torch.tensor([0.0, 3.0]).double().log1p()
    features = torch.stack([torch.zeros(1, 4), torch.ones(1, 4)], dim=1).double()
    assert torch.allclose(mixing(features), torch.full((1, 4), 0.8, dtype=torch.float64))


def test_a_missing_value_in_one_token_stays_missing() -> None:
    """A pooling that skips NaN would hide the fault that the guard looks for."""
    features = torch.zeros(1, 3, 4)
    features[0, 1, 2] = float("nan")
    assert AttentionPooling(4, 1)(features).isnan().any()
    assert LayerMixing(3)(features).isnan().any()
