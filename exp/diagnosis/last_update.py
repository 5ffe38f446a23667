"""The last update of the weights, worked out backwards from AdamW's moments, so that no copy is kept in training.

AdamW: w' = (1 - rate * decay) * w - rate * m / (1 - b1**t) / (sqrt(v / (1 - b2**t)) + epsilon).
Source: Loshchilov and Hutter 2019, arXiv:1711.05101.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn


def weights_before(
    model: nn.Module, optimizer: torch.optim.Optimizer, rates: Sequence[float]
) -> dict[str, torch.Tensor] | None:
    """Return name -> weight as it was before the last applied update, on the CPU in float64.

    Args:
        model: whose parameters the optimizer holds.
        optimizer: AdamW; nothing is changed.
        rates: learning rate of each parameter group at that update.

    Returns:
        None where there was no update yet, the optimizer is no AdamW, or the update cannot be undone.
    """
    if not isinstance(optimizer, torch.optim.AdamW):
        return None
    names = {parameter: name for name, parameter in model.named_parameters()}
    found: dict[str, torch.Tensor] = {}
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        kept = 1 - rate * group["weight_decay"]
        for parameter in group["params"]:
            state = optimizer.state.get(parameter, {})
            if not state or float(state["step"]) == 0 or kept == 0:
                continue
            found[names[parameter]] = (_wide(parameter) + rate * _direction(state, group)) / kept
    return found or None


def update_ratio(model: nn.Module, before: Mapping[str, torch.Tensor]) -> float:
    """Return the norm of the last update divided by the norm of the weights before it, over all tensors."""
    moved = weight = 0.0
    for name, parameter in model.named_parameters():
        if name in before:
            start = _wide(before[name])
            moved += float((_wide(parameter) - start).square().sum())
            weight += float(start.square().sum())
    return math.sqrt(moved / weight) if weight else math.inf


def move_to_share(model: nn.Module, before: Mapping[str, torch.Tensor], share: float) -> None:
    """Set the weights in place to where a `share` of the way from `before` to now would have brought them."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name in before:
                start = _wide(before[name])
                parameter.copy_(start + share * (_wide(parameter) - start))


def _direction(state: Mapping[str, torch.Tensor], group: Mapping[str, Any]) -> torch.Tensor:
    """Return the update of a parameter for a rate of 1."""
    first, second = group["betas"]
    steps = float(state["step"])
    mean = _wide(state["exp_avg"]) / (1 - first**steps)
    spread = (_wide(state["exp_avg_sq"]) / (1 - second**steps)).sqrt()
    return mean / (spread + group["eps"])


def _wide(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().cpu().double()
