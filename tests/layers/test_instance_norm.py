"""Instance norm: the published statistics, and an exact way back."""

from __future__ import annotations

import math

import torch

from layers.instance_norm import normalise, restore, window_statistics


def test_statistics_by_hand():
    """The sample variance instead of the population's moves every output of a loaded checkpoint."""
    statistics = window_statistics(torch.tensor([[[1.0], [3.0]]]))
    assert statistics.mean.item() == 2.0
    assert math.isclose(statistics.deviation.item(), math.sqrt(1.0 + 1e-5), rel_tol=1e-6)


def test_a_constant_variable_stays_finite():
    """A dry month is a constant series; dividing by zero would make the whole window NaN."""
    x = torch.full((1, 5, 1), 3.0)
    assert torch.equal(normalise(x, window_statistics(x)), torch.zeros(1, 5, 1))


def test_restoring_undoes_normalising():
    """A forecast must come back in the window's own units."""
    x = 40 + 7 * torch.randn(2, 9, 3, dtype=torch.float64)
    statistics = window_statistics(x)
    assert torch.allclose(restore(normalise(x, statistics), statistics), x, atol=1e-12)
