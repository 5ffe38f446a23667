"""Numbers of any distribution as vectors: standardised, and seen through bins that hold equally many of them.

Axes: B batch, N samples, F features, K bins, D width of one feature's vector.

A feature becomes a line plus a piecewise linear curve with a bend at each quantile, so that "a little rain" and "none"
may mean quite different things although they are near each other. What the bins are is learned from training windows
by `fit`, not by gradients. In training whole features are dropped: neighbours of a feature say nearly the same, and a
head that may lean on one of them alone forgets the others.
Source: Gorishniy, Rubachev and Babenko (2022), On embeddings for numerical features in tabular deep learning.
"""

from __future__ import annotations

import torch
from torch import nn

LIMIT = 8.0  # deviations: what lies further out than anything in training is no further than this
NARROWEST = 1e-3  # deviations: bins of equal values would have no width


class FeatureEmbedding(nn.Module):
    """Embed features.

    Args:
        n_features: F.
        width: D.
        n_bins: K.
        dropout: share of the features that is dropped in training.
    """

    centre: torch.Tensor
    scale: torch.Tensor
    low: torch.Tensor
    slope: torch.Tensor

    def __init__(self, n_features: int, width: int = 8, n_bins: int = 12, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = dropout
        self.line = nn.Parameter(torch.randn(n_features, width) / 2)
        self.bias = nn.Parameter(torch.zeros(n_features, width))
        self.curve = nn.Parameter(torch.zeros(n_features, n_bins, width))
        self.register_buffer("centre", torch.zeros(n_features))
        self.register_buffer("scale", torch.ones(n_features))
        edges = torch.linspace(-2, 2, n_bins + 1).repeat(n_features, 1)
        self.register_buffer("low", edges[:, :-1].clone())
        self.register_buffer("slope", 1 / (edges[:, 1:] - edges[:, :-1]))

    @property
    def n_outputs(self) -> int:
        """Width of what comes out: F times D."""
        return self.line.numel()

    @torch.no_grad()
    def fit(self, features: torch.Tensor) -> None:
        """Take means, deviations and quantiles of training features `(N, F)`; a constant one is left at 0."""
        centre, spread = features.double().mean(0), features.double().std(0, correction=0)
        varies = spread > 1e-6 * centre.abs().clamp(min=1e-30)
        self.centre.copy_(centre)
        self.scale.copy_(torch.where(varies, 1 / spread, 0.0))
        steps = torch.linspace(0, 1, self.low.shape[1] + 1, dtype=torch.float64)
        standard = self.standardised(features.to(self.centre)).double().cpu()
        edges = torch.stack([torch.quantile(column, steps) for column in standard.T])
        for place in range(1, edges.shape[1]):
            edges[:, place] = torch.maximum(edges[:, place], edges[:, place - 1] + NARROWEST)
        self.low.copy_(edges[:, :-1])
        self.slope.copy_(1 / (edges[:, 1:] - edges[:, :-1]))

    def standardised(self, features: torch.Tensor) -> torch.Tensor:
        """Return features `(B, F)` in deviations from their training mean, within `LIMIT`."""
        return ((features - self.centre) * self.scale).clamp(-LIMIT, LIMIT)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Embed `(B, F)`: `(B, F * D)`."""
        x = self.standardised(features)
        vectors = x[..., None] * self.line + self.bias + torch.einsum("bfk,fkd->bfd", self._along(x), self.curve)
        if self.training and self.dropout:
            kept = torch.rand_like(x) >= self.dropout
            vectors = vectors * (kept / (1 - self.dropout))[..., None]
        return vectors.flatten(1)

    def _along(self, x: torch.Tensor) -> torch.Tensor:
        """Return how far each bin is passed, `(B, F, K)`, 0 to 1; the first and the last go on beyond the data."""
        along = (x[..., None] - self.low) * self.slope
        first, inner, last = along[..., :1], along[..., 1:-1], along[..., -1:]
        return torch.cat([first.clamp(max=1), inner.clamp(0, 1), last.clamp(min=0)], dim=-1)
