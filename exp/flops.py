"""Arithmetic of a network by formula: what the matrix products of one window cost, forward and backward.

A multiplication and an addition are two operations, as usual. What is done element by element (norms, activations,
dropout, rotations) is left out: it costs time, but next to no arithmetic.

Axes: B batch, T tokens, H heads, E head width, L time steps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from exp.objective import Windows
from layers.transformer import InnerAttention, PointwiseLinear


@dataclass(frozen=True)
class Flops:
    """Floating point operations of one window.

    Attributes:
        forward: of a forecast.
        backward: of its gradients, beside the forward pass.
    """

    forward: int
    backward: int

    @property
    def training(self) -> int:
        """Of a window's share in a training step, without the optimizer."""
        return self.forward + self.backward


def of_a_window(model: nn.Module, windows: Windows) -> Flops:
    """Add up the matrix products of one window.

    Args:
        model: called as `model(windows.inputs(ids), marks (B, M))`; on the device `meta` nothing is computed.
        windows: on the device of the model.
    """
    forward, backward = 0, 0

    def see(module: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        nonlocal forward, backward
        cost = FORMULAS[type(module)](module, inputs[0], output)
        forward += cost
        # The gradient of the weights (in attention: of one factor) costs as much again, and so does that of the input.
        backward += cost * (_learns(module, inputs[0]) + inputs[0].requires_grad)

    hooks = [module.register_forward_hook(see) for module in model.modules() if type(module) in FORMULAS]
    modes = {module: module.training for module in model.modules()}
    try:
        model.eval()
        ids = torch.zeros(1, dtype=torch.long, device=windows.device)
        model(windows.inputs(ids), windows.marks[ids])
    finally:
        for module, mode in modes.items():
            module.training = mode
        for hook in hooks:
            hook.remove()
    return Flops(forward, backward)


def _learns(module: nn.Module, first: torch.Tensor) -> bool:
    """Say whether the second factor of a product needs a gradient: the weights, or the keys and values."""
    if isinstance(module, InnerAttention):
        return first.requires_grad
    return any(parameter.requires_grad for parameter in module.parameters())


def _linear(module: nn.Module, x: torch.Tensor, output: torch.Tensor) -> int:  # noqa: ARG001 - one signature for all
    """Every number of the output is a sum over the width of the input."""
    return 2 * output.numel() * x.shape[-1]


def _convolution(module: nn.Conv1d, x: torch.Tensor, output: torch.Tensor) -> int:  # noqa: ARG001 - as above
    """Every number of the output is a sum over the kernel and the channels it sees."""
    return 2 * output.numel() * module.kernel_size[0] * module.in_channels // module.groups


def _attention(module: nn.Module, query: torch.Tensor, output: torch.Tensor) -> int:  # noqa: ARG001 - as above
    """Two products over the whole map `(T, T)`: hidden pairs are computed too, and thrown away."""
    return 4 * query.numel() * query.shape[-2]


FORMULAS: dict[type[nn.Module], Callable[[Any, torch.Tensor, torch.Tensor], int]] = {
    nn.Linear: _linear,
    PointwiseLinear: _linear,
    nn.Conv1d: _convolution,
    InnerAttention: _attention,
}
