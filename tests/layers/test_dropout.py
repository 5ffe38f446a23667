"""Dropout with sixteen-bit random numbers: right share, right expectation, right gradient."""

from __future__ import annotations

import torch

from layers.dropout import LEVELS, Dropout, keep_mask, kept_levels

CPU = torch.device("cpu")


def test_the_share_kept_is_the_share_asked_for():
    """An off-by-one in the sixteen-bit threshold would bias every activation."""
    for probability in (0.1, 0.5, 0.9):
        share = keep_mask(torch.Size((1_000_003,)), probability, CPU).double().mean()
        assert abs(share - (1 - probability)) < 2e-3


def test_the_extremes_keep_all_or_almost_nothing():
    """The threshold must not wrap around at the end of the sixteen bits."""
    assert kept_levels(0.0) == LEVELS
    assert keep_mask(torch.Size((100_000,)), 0.0, CPU).all()
    assert keep_mask(torch.Size((100_000,)), 0.99999, CPU).sum() < 20


def test_gradient_flows_through_exactly_the_kept_elements():
    """Forward and backward must use the same mask and the same factor."""
    torch.manual_seed(0)
    layer = Dropout(0.25)
    x = torch.ones(400, dtype=torch.float64, requires_grad=True)
    y = layer(x)
    (gradient,) = torch.autograd.grad(y.sum(), x)
    assert torch.equal(gradient, y.detach())
    assert set(y.detach().unique().tolist()) == {0.0, LEVELS / kept_levels(0.25)}


def test_evaluation_and_probability_zero_are_the_identity():
    """Dropout left on in evaluation would make predictions random."""
    x = torch.randn(5)
    assert Dropout(0.5).eval()(x) is x
    assert Dropout(0.0)(x) is x


def test_equal_seeds_give_equal_masks():
    """Two runs with one seed must be equal."""
    masks = []
    for _ in range(2):
        torch.manual_seed(7)
        masks.append(keep_mask(torch.Size((3, 5, 7)), 0.4, CPU))
    assert torch.equal(*masks)
