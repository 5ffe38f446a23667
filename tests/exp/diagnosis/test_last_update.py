"""The weights before the last update come out of AdamW's moments, so that training keeps no copy of them."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from exp.diagnosis import last_update


def trained(steps: int, rate: float, decay: float) -> tuple[nn.Module, torch.optim.Optimizer, dict[str, torch.Tensor]]:
    """Return a network after some steps, its optimizer, and its weights before the last of them."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 1))
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=decay, fused=True)
    before: dict[str, torch.Tensor] = {}
    for _ in range(steps):
        before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
        optimizer.zero_grad()
        model(torch.randn(8, 5)).square().mean().backward()
        optimizer.step()
    return model, optimizer, before


@pytest.mark.parametrize("steps", [1, 2, 20])
@pytest.mark.parametrize(("rate", "decay"), [(1e-3, 0.01), (0.1, 0.0), (1.0, 0.3), (1e5, 0.0)])
def test_the_last_update_can_be_undone(steps: int, rate: float, decay: float) -> None:
    """A replay with a tenth of a wrong update would convict or acquit the learning rate by chance."""
    model, optimizer, before = trained(steps, rate, decay)
    found = last_update.weights_before(model, optimizer, (rate,))
    assert found is not None and set(found) == set(before)
    for name, weight in before.items():
        size = max(float(weight.abs().max()), float(model.get_parameter(name).detach().abs().max()))
        assert torch.allclose(found[name].float(), weight, rtol=0, atol=1e-5 * size), name


def test_the_share_moves_from_the_old_weights_to_the_new() -> None:
    """Share 1 must leave the weights where they are and 0 bring the old ones back."""
    model, optimizer, before = trained(5, 0.1, 0.01)
    after = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    found = last_update.weights_before(model, optimizer, (0.1,))
    assert found is not None
    expected = sum(float((after[n] - before[n]).square().sum()) for n in after) ** 0.5
    expected /= sum(float(before[n].square().sum()) for n in after) ** 0.5
    assert last_update.update_ratio(model, found) == pytest.approx(expected, rel=1e-4)
    last_update.move_to_share(model, found, 1.0)
    assert all(torch.equal(after[name], parameter) for name, parameter in model.named_parameters())
    last_update.move_to_share(model, found, 0.0)
    assert all(torch.allclose(before[name], parameter, atol=1e-5) for name, parameter in model.named_parameters())


def test_without_an_update_or_without_adamw_nothing_is_claimed() -> None:
    """None means: the rate cannot have done it, or nobody knows."""
    model, optimizer, _ = trained(0, 0.1, 0.0)
    assert last_update.weights_before(model, optimizer, (0.1,)) is None
    plain = torch.optim.SGD(model.parameters(), lr=0.1)
    assert last_update.weights_before(model, plain, (0.1,)) is None
    model, optimizer, _ = trained(2, 0.5, 2.0)
    assert last_update.weights_before(model, optimizer, (0.5,)) is None, "rate x decay = 1 forgets the old weights"
