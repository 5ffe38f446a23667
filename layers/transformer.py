"""The Timer-XL encoder's blocks, under the published parameter names.

Axes: B batch, T = V*N flattened tokens (variate-major), D width, H heads, E head width.

Post-norm: ``norm1(x + dropout(attention(x)))``, then ``norm2(x + mlp(x))``; a last norm after the last layer.
Source: Liu et al. 2024, Timer-XL, arXiv:2410.04803, and the published checkpoint's keys.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

from layers.attention import attend
from layers.dropout import Dropout
from layers.masks import AttentionLayout
from layers.recompute import recomputed
from layers.rotary import rotate

ACTIVATIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {"relu": F.relu, "gelu": F.gelu}
SCHEMES: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "xavier": nn.init.xavier_uniform_,
    "kaiming": nn.init.kaiming_uniform_,
}


class PointwiseLinear(nn.Module):
    """A linear map whose weight `(out, in, 1)` has the axis the published one-step convolution left behind.

    Args:
        in_width: width of the input.
        out_width: width of the output.
    """

    def __init__(self, in_width: int, out_width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(out_width, in_width, 1))
        self.bias = nn.Parameter(torch.empty(out_width))
        nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        nn.init.uniform_(self.bias, -(in_width**-0.5), in_width**-0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map `(..., in)` to `(..., out)`."""
        return F.linear(x, self.weight.squeeze(-1), self.bias)


class VariateBias(nn.Module):
    """Two learned numbers per head: row 0 for tokens of another variable, row 1 for the same variable."""

    def __init__(self, n_heads: int) -> None:
        super().__init__()
        self.emb = nn.Embedding(2, n_heads)


class InnerAttention(nn.Module):
    """Holds the variate bias and the dropout of the attention map."""

    def __init__(self, n_heads: int, dropout: float) -> None:
        super().__init__()
        self.attn_bias = VariateBias(n_heads)
        self.dropout = dropout

    def forward(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, layout: AttentionLayout
    ) -> torch.Tensor:
        """Attend over `(B, H, T, E)`; dropout only in training."""
        dropout = self.dropout if self.training else 0.0
        return attend(query, key, value, self.attn_bias.emb.weight, layout, dropout)


class AttentionLayer(nn.Module):
    """Self-attention with rotary positions.

    Args:
        width: model width D.
        n_heads: number of heads H; D / H is a multiple of 4.
        dropout: share of the attention map set to zero in training.
    """

    def __init__(self, width: int, n_heads: int, dropout: float) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.inner_attention = InnerAttention(n_heads, dropout)
        self.query_projection = nn.Linear(width, width)
        self.key_projection = nn.Linear(width, width)
        self.value_projection = nn.Linear(width, width)
        self.out_projection = nn.Linear(width, width)

    def forward(self, x: torch.Tensor, layout: AttentionLayout, table: torch.Tensor) -> torch.Tensor:
        """Map `(B, T, D)` to `(B, T, D)`."""
        heads = (self.n_heads, -1)
        query = rotate(self.query_projection(x).unflatten(-1, heads), table)
        key = rotate(self.key_projection(x).unflatten(-1, heads), table)
        value = self.value_projection(x).unflatten(-1, heads)
        mixed = self.inner_attention(query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2), layout)
        return self.out_projection(mixed.transpose(1, 2).flatten(2))


class EncoderLayer(nn.Module):
    """One post-norm layer: attention, then a two-layer map applied to every token.

    Args:
        width: model width D.
        n_heads: number of heads H.
        mlp_width: inner width of the map.
        dropout: dropout of the attention map, of the attention's output and inside and after the map.
        activation: ``relu`` or ``gelu`` (the exact one).
    """

    def __init__(self, width: int, n_heads: int, mlp_width: int, dropout: float, activation: str) -> None:
        super().__init__()
        self.attention = AttentionLayer(width, n_heads, dropout)
        self.conv1 = PointwiseLinear(width, mlp_width)
        self.conv2 = PointwiseLinear(mlp_width, width)
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)
        self.dropout = Dropout(dropout)
        self.activation = ACTIVATIONS[activation]

    def forward(self, x: torch.Tensor, layout: AttentionLayout, table: torch.Tensor) -> torch.Tensor:
        """Map `(B, T, D)` to `(B, T, D)`."""
        x = self.norm1(x + self.dropout(self.attention(x, layout, table)))
        inner = self.dropout(self.activation(self.conv1(x)))
        return self.norm2(x + self.dropout(self.conv2(inner)))


class Encoder(nn.Module):
    """A stack of layers and a last norm.

    Args:
        n_layers: number of layers.
        width: of the model, and further arguments of `EncoderLayer`.
        n_heads: as there.
        mlp_width: as there.
        dropout: as there.
        activation: as there.
        recompute: keep each layer's input alone for the backward pass, and compute the layer again in it.
    """

    def __init__(
        self,
        n_layers: int,
        width: int,
        n_heads: int,
        mlp_width: int,
        dropout: float,
        activation: str,
        *,
        recompute: bool = False,
    ) -> None:
        super().__init__()
        self.recompute = recompute
        self.attn_layers = nn.ModuleList(
            EncoderLayer(width, n_heads, mlp_width, dropout, activation) for _ in range(n_layers)
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, x: torch.Tensor, layout: AttentionLayout, table: torch.Tensor) -> torch.Tensor:
        """Map `(B, T, D)` to `(B, T, D)`."""
        for layer in self.attn_layers:
            x = self._run(layer, x, layout, table)
        return self.norm(x)

    def every_layer(self, x: torch.Tensor, layout: AttentionLayout, table: torch.Tensor) -> torch.Tensor:
        """Map `(B, T, D)` to what every layer gives, `(B, layers, T, D)`; the last one is what `forward` gives.

        The layers before it end in a norm of their own, so all have one scale without the last norm.
        """
        states = []
        for layer in self.attn_layers:
            x = self._run(layer, x, layout, table)
            states.append(x)
        return torch.stack([*states[:-1], self.norm(x)], dim=1)

    def _run(self, layer: nn.Module, x: torch.Tensor, layout: AttentionLayout, table: torch.Tensor) -> torch.Tensor:
        if self.recompute and torch.is_grad_enabled():
            return recomputed(layer, x, layout, table)
        answer: torch.Tensor = layer(x, layout, table)
        return answer


def initialise(encoder: nn.Module, scheme: str, gain: float) -> None:
    """Give an encoder its initial weights in place.

    Args:
        encoder: the module; its layers already hold the defaults of the reference implementation.
        scheme: ``published`` keeps those defaults; ``xavier`` and ``kaiming`` draw every matrix anew from the
            uniform distribution of that name and set the biases of the maps to zero.
        gain: factor on every matrix afterwards.
    """
    draw = SCHEMES.get(scheme)
    for name, parameter in encoder.named_parameters():
        if parameter.dim() > 1:
            if draw is not None:
                draw(parameter)
            with torch.no_grad():
                parameter.mul_(gain)
        elif draw is not None and name.endswith("bias"):
            nn.init.zeros_(parameter)
