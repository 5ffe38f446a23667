"""The convolutional reference."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from models.resnet1d import Config, Model
from utils.errors import UsageError


def make(**flags: object) -> Any:
    """A small network of three variables."""
    torch.manual_seed(0)
    return Model(SimpleNamespace(**({"n_variables": 3, "resnet_width": 4} | flags)))


@pytest.mark.parametrize("steps", [1, 24, 61])
def test_any_window_length_gives_logits(steps):
    """Global averaging makes the length free."""
    assert make(n_classes=3).eval()(torch.randn(2, steps, 3)).shape == (2, 3)


def test_channels_are_variables_and_not_time_steps():
    """Convolving over variables would still train."""
    model: Any = make().eval()
    x = torch.randn(1, 40, 3)
    assert model.stages[0].path[0].in_channels == 3
    assert not torch.equal(model(x), model(x.flip(1)))


def test_it_learns_a_burst_in_one_variable():
    """Every parameter must be reached by the gradient, and a dozen steps must lower the loss by half."""
    model: Any = make(resnet_dropout=0.0)
    x = torch.randn(32, 48, 3, generator=torch.Generator().manual_seed(1))
    labels = torch.arange(32) % 2
    x[labels == 1, 20:28, 1] += 4
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    losses = []
    for _ in range(12):
        loss = torch.nn.functional.cross_entropy(model(x), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_marks_are_read_where_the_data_have_them():
    """Built for marks, it must use them and miss them aloud."""
    model: Any = make(n_marks=9).eval()
    x = torch.randn(2, 24, 3)
    assert not torch.equal(model(x, torch.zeros(2, 9)), model(x, torch.ones(2, 9)))
    with pytest.raises(UsageError, match="9 marks"):
        model(x)


def test_what_is_missing_or_impossible_is_refused_by_name():
    """The number of variables is only known from the data."""
    with pytest.raises(UsageError, match="n_variables"):
        Model(Config())
    with pytest.raises(UsageError, match="resnet_width"):
        Config(resnet_width=0)
