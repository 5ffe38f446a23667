"""The tabular neural reference."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from models.residual_mlp import Config, Model
from utils.errors import UsageError


def make(**flags: object) -> Any:
    """A small network on three variables and four days of hours."""
    torch.manual_seed(0)
    base = {"n_variables": 3, "context_length": 96, "mlp_width": 16, "mlp_dropout": 0.0, "pressure_index": 1}
    return Model(SimpleNamespace(**(base | flags)))


def test_features_and_marks_give_logits():
    """Width of the first layer follows the features that fit the window."""
    model: Any = make(n_marks=9, n_classes=1)
    assert model.layers[1].in_features == model.features.n_features + 9
    assert model(torch.randn(5, 96, 3), torch.randn(5, 9)).shape == (5, 1)
    with pytest.raises(UsageError, match="9 marks"):
        model(torch.randn(5, 96, 3))


def test_inputs_of_different_scales_are_standardised():
    """A variable a hundred times larger than the others must not decide alone."""
    model: Any = make()
    x = torch.randn(64, 96, 3) * torch.tensor([1.0, 100.0, 0.5]) + torch.tensor([0.0, 300.0, 0.0])
    standard = model.standardise(model.features(x))
    assert standard.mean(0).abs().max() < 0.01
    assert (standard.std(0) - 1).abs().max() < 0.2


def test_running_statistics_follow_training_and_rule_evaluation():
    """Statistics that never move would leave evaluation without standardisation."""
    model: Any = make()
    model(5 + torch.randn(32, 96, 3))
    assert model.standardise.running_mean.abs().max() > 0.1
    model.eval()
    x = torch.randn(2, 96, 3)
    assert torch.allclose(model(x)[:1], model(x[:1]), atol=1e-5)


def test_a_last_batch_of_one_sample_trains():
    """A table of 16 k + 1 windows must not end an epoch with an error, nor teach the statistics one sample."""
    model: Any = make()
    before = model.standardise.running_mean.clone()
    model(torch.randn(1, 96, 3)).sum().backward()
    assert torch.equal(model.standardise.running_mean, before)


def test_it_learns_yesterdays_rain():
    """Every parameter must be reached by the gradient, and twenty steps must lower the loss by half."""
    model: Any = make()
    x = torch.randn(64, 96, 3, generator=torch.Generator().manual_seed(1))
    labels = (x[:, -24:, 0].mean(1) > 0).long()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    losses = []
    for _ in range(20):
        loss = torch.nn.functional.cross_entropy(model(x), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_what_is_missing_or_impossible_is_refused_by_name():
    """Context length and number of variables are only known from the data."""
    with pytest.raises(UsageError, match="context_length"):
        Model(SimpleNamespace(n_variables=3))
    with pytest.raises(UsageError, match="mlp_dropout"):
        Config(mlp_dropout=1.0)
