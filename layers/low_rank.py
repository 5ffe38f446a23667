"""Low-rank additions to linear maps: y = W x + b + scale * U D x, with U and D learned and W kept.

Axes: I input width, O output width, R rank.

Source: Hu et al. 2021, LoRA: Low-Rank Adaptation of Large Language Models, arXiv:2106.09685.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

# The paper's alpha / R, kept the same for every rank so that the rate need not follow it.
SCALE = 2.0


class LowRankLinear(nn.Linear):
    """A linear map with a low-rank addition that is zero at first, so that it changes nothing until it learns.

    Args:
        linear: the map it takes over, with its own parameters under their own names.
        rank: R.
    """

    def __init__(self, linear: nn.Linear, rank: int) -> None:
        super().__init__(linear.in_features, linear.out_features, bias=linear.bias is not None, device="meta")
        self.weight, self.bias = linear.weight, linear.bias
        self.lora_down = nn.Parameter(linear.weight.new_empty(rank, linear.in_features))
        self.lora_up = nn.Parameter(linear.weight.new_zeros(linear.out_features, rank))
        nn.init.kaiming_uniform_(self.lora_down, a=math.sqrt(5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map `(..., I)` to `(..., O)`."""
        return super().forward(x) + SCALE * F.linear(F.linear(x, self.lora_down), self.lora_up)


def add_low_rank(model: nn.Module, names: tuple[str, ...], rank: int) -> int:
    """Replace every linear map of these names in a model by one with a low-rank addition.

    Args:
        model: changed in place.
        names: last words of the maps' names, such as `query_projection`.
        rank: R.

    Returns:
        How many were replaced.
    """
    found = [(parent, name) for parent in model.modules() for name, child in parent.named_children()
             if name in names and isinstance(child, nn.Linear) and not isinstance(child, LowRankLinear)]  # fmt: skip
    for parent, name in found:
        setattr(parent, name, LowRankLinear(getattr(parent, name), rank))
    return len(found)
