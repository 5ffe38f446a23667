"""Low-rank additions: nothing at first, then exactly U D x beside W x, with W under its own name."""

from __future__ import annotations

import torch
from torch import nn

from layers.low_rank import SCALE, LowRankLinear, add_low_rank


def test_the_addition_changes_nothing_until_it_learns() -> None:
    """A loaded encoder must begin with the numbers it was published with."""
    linear = nn.Linear(5, 3)
    x = torch.randn(7, 5)
    assert torch.equal(LowRankLinear(linear, 2)(x), linear(x))


def test_the_addition_is_the_product_written_out() -> None:
    """One transpose too many would still train, to something else."""
    linear, rank = nn.Linear(5, 3), 2
    adapted = LowRankLinear(linear, rank)
    nn.init.normal_(adapted.lora_up)
    x = torch.randn(7, 5)
    whole = linear.weight + SCALE * adapted.lora_up @ adapted.lora_down
    assert torch.allclose(adapted(x), x @ whole.T + linear.bias, atol=1e-6)


def test_only_the_named_maps_are_replaced_and_keep_their_names() -> None:
    """A checkpoint without the additions must still fit by name."""
    model = nn.ModuleDict({"query_projection": nn.Linear(4, 4), "key_projection": nn.Linear(4, 4)})
    before = dict(model.named_parameters())
    assert add_low_rank(model, ("query_projection",), 2) == 1
    after = dict(model.named_parameters())
    assert all(after[name] is value for name, value in before.items())
    assert sorted(set(after) - set(before)) == ["query_projection.lora_down", "query_projection.lora_up"]
    assert add_low_rank(model, ("query_projection",), 2) == 0, "a second time adds nothing"
