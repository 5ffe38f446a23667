"""Figures of a batch: range of inputs, outputs, targets and loss terms, and the gradient norm of each parameter."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn


def describe(tensor: torch.Tensor) -> dict[str, Any]:
    """Return shape, minimum, maximum, mean and deviation of the finite values, and how many are NaN or infinite."""
    wide = tensor.detach().float()
    finite = wide[torch.isfinite(wide)].double()
    some = finite.numel() > 0
    return {
        "shape": list(tensor.shape),
        "minimum": finite.min().item() if some else None,
        "maximum": finite.max().item() if some else None,
        "mean": finite.mean().item() if some else None,
        "deviation": finite.std(correction=0).item() if some else None,
        "nan": int(torch.isnan(wide).sum()),
        "infinite": int(torch.isinf(wide).sum()),
    }


def gradient_norms(model: nn.Module) -> dict[str, float]:
    """Return parameter -> exact (float64) gradient norm, largest first; those that are not finite come before all."""
    norms = {
        name: _exact_norm(parameter.grad.detach())
        for name, parameter in model.named_parameters()
        if parameter.grad is not None
    }
    return dict(sorted(norms.items(), key=lambda item: (item[1] == item[1], -item[1])))


def _exact_norm(gradient: torch.Tensor) -> float:
    """Return the norm; in float64 only where float32 overflows, since a wide copy of a large model takes a while."""
    norm = float(torch.linalg.vector_norm(gradient.float()))
    return norm if math.isfinite(norm) else float(gradient.double().norm())


def sentence(figures: Mapping[str, Any]) -> str:
    """Return the figures of `describe` as one short line."""
    if figures["minimum"] is None:
        return f"no finite value, {figures['nan']} NaN, {figures['infinite']} infinite"
    return (
        f"{figures['minimum']:.4g} to {figures['maximum']:.4g}, mean {figures['mean']:.4g}, "
        f"deviation {figures['deviation']:.4g}, {figures['nan']} NaN, {figures['infinite']} infinite"
    )
