"""Quantiles as the outputs of a network: never crossing, trained by the quantile loss.

Axes: B batch, K quantiles, lowest first.

The first output is the lowest quantile and each further one a step upwards, so no forecast can contradict itself. All
is on the scale of `utils.rain_scale`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from utils import rain_scale

# Outputs begin near zero, and a step of softplus(0) would put the ninth quantile at 250 mm.
FIRST_STEP = -2.0


def rising(outputs: torch.Tensor) -> torch.Tensor:
    """Turn outputs `(B, K)` into quantiles `(B, K)` on the scale of learning, each at least as high as the last."""
    wide = outputs.to(torch.promote_types(outputs.dtype, torch.float32))
    steps = F.softplus(wide[:, 1:] + FIRST_STEP)
    return torch.cat((wide[:, :1], wide[:, :1] + steps.cumsum(dim=1)), dim=1)


def in_millimetres(outputs: torch.Tensor) -> torch.Tensor:
    """Turn outputs `(B, K)` into quantiles `(B, K)` in millimetres; what lies below zero is no rain."""
    return rain_scale.SCALE_MM * torch.expm1(rising(outputs).clamp(min=0.0))


def quantile_losses(outputs: torch.Tensor, amount_mm: torch.Tensor) -> torch.Tensor:
    """Return the quantile loss of every window, `(B,)`, averaged over the quantiles.

    Quantiles below zero are not cut off here: where they are, they still have to learn to rise.

    Args:
        outputs: `(B, K)`.
        amount_mm: `(B,)` rain in millimetres.
    """
    quantiles = rising(outputs)
    scaled = torch.log1p(amount_mm.to(quantiles.dtype) / rain_scale.SCALE_MM)
    return mean_quantile_losses(quantiles, scaled)


def mean_quantile_losses(quantiles: torch.Tensor, happened: torch.Tensor) -> torch.Tensor:
    """Return the quantile loss averaged over quantiles, `(B,)`; twice that is the CRPS.

    Args:
        quantiles: `(B, K)` on any scale.
        happened: `(B,)` on the same scale.
    """
    count = quantiles.shape[1]
    level = (torch.arange(count, device=quantiles.device, dtype=quantiles.dtype) + 0.5) / count
    error = happened[:, None] - quantiles
    return torch.maximum(level * error, (level - 1) * error).mean(dim=1)


def quantile_loss(outputs: torch.Tensor, amount_mm: torch.Tensor) -> torch.Tensor:
    """Return the mean of `quantile_losses`, a scalar."""
    return quantile_losses(outputs, amount_mm).mean()


def absolute_error(outputs: torch.Tensor, amount_mm: torch.Tensor) -> torch.Tensor:
    """Return the sum over the batch of the absolute error of the median, in millimetres, a scalar.

    Args:
        outputs: `(B, K)`, K odd.
        amount_mm: `(B,)`.
    """
    median = in_millimetres(outputs)[:, outputs.shape[1] // 2]
    return (median - amount_mm).abs().sum()
