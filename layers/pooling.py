"""Trainable pooling of an encoder's features: over tokens, and over layers. Both begin as the plain mean.

Axes: B batch, K layers, N tokens of one variable, F feature width, H heads, E = F/H.
"""

from __future__ import annotations

import torch
from torch import nn


class AttentionPooling(nn.Module):
    """One learned query per head weighs the tokens; queries of zero weigh all of them alike.

    Args:
        width: feature width F.
        n_heads: number of heads H; divides the width.
    """

    def __init__(self, width: int, n_heads: int) -> None:
        super().__init__()
        self.query = nn.Parameter(torch.zeros(n_heads, width // n_heads))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Pool `(..., N, F)` over its tokens: `(..., F)`."""
        heads = features.unflatten(-1, self.query.shape)
        scores = (heads * self.query).sum(dim=-1, keepdim=True) * self.query.shape[1] ** -0.5
        return (scores.softmax(dim=-3) * heads).sum(dim=-3).flatten(-2)


class LayerMixing(nn.Module):
    """Learned shares of the layers; they are positive and sum to one.

    Args:
        n_layers: number of layers K.
    """

    def __init__(self, n_layers: int) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(n_layers))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Mix `(B, K, ...)` over the layers: `(B, ...)`."""
        return torch.einsum("bk...,k->b...", features, self.logits.softmax(dim=0))
