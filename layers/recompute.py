"""Layers that keep their input alone and compute the rest again in the backward pass: less memory for more time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint


class _Kept(torch.autograd.Function):
    """The identity; keeps what passes through it.

    The recomputation holds its input where nobody who counts the tensors of a graph sees it
    (`exp.micro_batches.saved_bytes`). Here it is kept once more, which takes no memory, and is counted.
    """

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(x)
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:  # noqa: ARG004 - its signature is torch's
        return gradient


def recomputed(layer: Callable[..., torch.Tensor], x: torch.Tensor, *rest: Any) -> torch.Tensor:
    """Call `layer(x, *rest)` and keep of it its input alone; dropout draws the same numbers both times.

    Args:
        layer: whose answer depends on its arguments, parameters and random numbers alone.
        x: of any shape.
        rest: further arguments that need no gradient.
    """
    answer: torch.Tensor = checkpoint(layer, _Kept.apply(x), *rest, use_reentrant=False)
    return answer
