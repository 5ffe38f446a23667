"""Quantiles of a network: in order, learned without bias, and the same in millimetres as on the scale of learning."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from layers import quantiles
from utils import rain_scale


def test_quantiles_never_cross_whatever_the_outputs():
    """A forecast whose median lies above its upper quantile contradicts itself."""
    outputs = torch.randn(200, 9, generator=torch.Generator().manual_seed(0)) * 50
    for found in (quantiles.rising(outputs), quantiles.in_millimetres(outputs / 20)):
        assert found.shape == (200, 9) and bool((found.diff(dim=1) >= 0).all())
    assert bool((quantiles.in_millimetres(outputs) >= 0).all())


def test_the_loss_is_the_one_written_out():
    """Levels the wrong way round would learn low quantiles as high ones."""
    outputs, amount = torch.tensor([[0.3, -1.0, 2.0], [-0.5, 0.0, 0.0]]), torch.tensor([0.0, 4.0])
    said = quantiles.rising(outputs).numpy().astype(np.float64)
    total = 0.0
    for row, happened in zip(said, np.log1p([0.0, 4.0]), strict=True):
        for level, value in zip((1 / 6, 1 / 2, 5 / 6), row, strict=True):
            error = happened - value
            total += level * error if error >= 0 else (level - 1) * error
    assert quantiles.quantile_loss(outputs, amount).item() == pytest.approx(total / 6, rel=1e-6)
    assert quantiles.quantile_losses(outputs, amount).shape == (2,)


def test_steps_begin_small_enough_for_rain():
    """With all outputs at zero the highest of nine quantiles has to be millimetres, not hundreds of them."""
    first = quantiles.in_millimetres(torch.zeros(1, 9))[0]
    assert first[0] == 0 and 1 < first[-1] < 5


def test_minimising_the_loss_finds_the_quantiles_of_the_rain():
    """The whole way: the quantiles that are learned on the log scale are those of the millimetres, dry days too."""
    generator = np.random.default_rng(0)
    rain = np.where(generator.random(1000) < 0.35, 0, generator.gamma(0.6, 6, 1000))
    outputs = torch.zeros(1, 5, requires_grad=True)
    amount = torch.from_numpy(rain).float()
    for step in range(400):
        loss = quantiles.quantile_loss(outputs.expand(len(amount), 5), amount)
        (slope,) = torch.autograd.grad(loss, outputs)
        with torch.no_grad():
            outputs -= 3.0 * (1 - step / 400) * slope
    found = quantiles.in_millimetres(outputs)[0].detach().numpy()
    assert found == pytest.approx(np.quantile(rain, rain_scale.levels(5)), abs=0.15, rel=0.08)
    assert found[0] < 0.01, "more than a third of the days is dry"


def test_the_absolute_error_is_that_of_the_median_in_millimetres():
    """The figure beside the loss would be on another scale than the scores."""
    outputs, amount = torch.zeros(2, 3), torch.tensor([0.0, 10.0])
    median = float(quantiles.in_millimetres(outputs)[0, 1])
    assert quantiles.absolute_error(outputs, amount).item() == pytest.approx(median + (10 - median), rel=1e-6)


def test_huge_and_half_precision_outputs_keep_loss_and_gradient_finite():
    """A step of mixed precision, or one far off, would be skipped for no fault of the data."""
    outputs = torch.tensor([[-60.0, 60.0, -60.0]], dtype=torch.bfloat16, requires_grad=True)
    loss = quantiles.quantile_loss(outputs, torch.tensor([2000.0]))
    loss.backward()
    assert bool(torch.isfinite(loss)) and outputs.grad is not None and bool(torch.isfinite(outputs.grad).all())
