"""Dropout with cheap random numbers on the CPU.

The usual generator spends 32 random bits and a conversion on every element, ten to twenty per cent of a training
step on the CPU. Sixteen bits decide as well: the share kept is a multiple of 1/65536, and the factor that keeps
the expectation is computed from that share, so nothing is biased.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.autograd.function import once_differentiable

LEVELS = 65536


def kept_levels(probability: float) -> int:
    """How many of 65536 equally likely levels are kept for this probability of being dropped."""
    return max(1, round((1.0 - probability) * LEVELS))


def keep_mask(shape: torch.Size, probability: float, device: torch.device) -> torch.Tensor:
    """Draw a bool mask of `shape`, true where an element is kept, from the default generator of `device`."""
    count = shape.numel()
    words = torch.empty((count + 3) // 4, dtype=torch.int64, device=device).random_(-(2**63), None)
    levels = words.view(torch.int16)[:count]
    return (levels <= kept_levels(probability) - 1 - LEVELS // 2).view(shape)


class _Drop(torch.autograd.Function):
    """Multiply by a mask and a factor; keeps only the mask for the backward pass."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, probability: float) -> torch.Tensor:
        keep = keep_mask(x.shape, probability, x.device)
        ctx.save_for_backward(keep)
        ctx.factor = LEVELS / kept_levels(probability)
        return (x * keep).mul_(ctx.factor)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        (keep,) = ctx.saved_tensors
        return (gradient * keep).mul_(ctx.factor), None


class Dropout(nn.Module):
    """Dropout of any tensor; the identity in evaluation or with probability zero.

    Args:
        probability: share of elements set to zero, in [0, 1).
    """

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Drop elements of `x`, of any shape."""
        if not self.training or self.probability == 0.0:
            return x
        if x.device.type != "cpu":
            return F.dropout(x, self.probability)
        return _Drop.apply(x, self.probability)
