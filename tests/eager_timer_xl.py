"""Timer-XL written out formula by formula, slowly and plainly, to hold the fast model to.

Axes: B batch, L time steps, C or V variables, N tokens, P token length, T = V*N, D width, H heads, E head width.

Same parameter names as the published checkpoint, so a state dict of either model loads into the other. Masks, bias
and rotary angles are built anew in every call; the MLP is a convolution of one step, as published.
Run ``python -m tests.eager_timer_xl`` to write the project's own golden file anew.
"""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

GOLDEN = Path(__file__).resolve().parent / "golden" / "timer_xl_tiny.npz"


def rotate_pairs(x: torch.Tensor, position: torch.Tensor) -> torch.Tensor:
    """Rotate pairs (0, 1), (2, 3), ... of the first half of the last axis of `x` (B, H, T, E) by position (T,)."""
    half = x.shape[-1] // 2
    rotated, kept = x[..., :half], x[..., half:]
    frequency = 1.0 / 10000.0 ** (torch.arange(0, half, 2, dtype=torch.float64) / half)
    angle = position.double()[:, None] * frequency[None, :]
    cosine = angle.cos().repeat_interleave(2, dim=-1).to(x.dtype)
    sine = angle.sin().repeat_interleave(2, dim=-1).to(x.dtype)
    even, odd = rotated[..., 0::2], rotated[..., 1::2]
    turned = torch.stack((-odd, even), dim=-1).flatten(-2)
    return torch.cat((rotated * cosine + turned * sine, kept), dim=-1)


def visible_pairs(n_variates: int, n_tokens: int, covariate: bool) -> torch.Tensor:
    """(T, T) bool, from the sentences of the paper, token by token."""
    total = n_variates * n_tokens
    visible = torch.zeros(total, total, dtype=torch.bool)
    for row in range(total):
        for column in range(total):
            row_variate, row_time = divmod(row, n_tokens)
            column_variate, column_time = divmod(column, n_tokens)
            causal = column_time <= row_time
            if not covariate:
                visible[row, column] = causal
            elif row_variate == n_variates - 1 and column_variate < n_variates - 1:
                visible[row, column] = True
            else:
                visible[row, column] = causal and row_variate == column_variate
    return visible


def written_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    variate_bias: torch.Tensor,
    visible: torch.Tensor,
    n_variates: int,
    kept: torch.Tensor | None = None,
) -> torch.Tensor:
    """softmax(scale * (Q K^T + bias)) V over the visible; `kept` multiplies the map, as dropout does."""
    n_tokens = query.shape[2] // n_variates
    variate = torch.arange(query.shape[2]) // n_tokens
    same = (variate[:, None] == variate[None, :]).long()
    bias = variate_bias[same].permute(2, 0, 1)
    scores = torch.einsum("bhte,bhse->bhts", query, key) + bias
    scores = scores.masked_fill(~visible, float("-inf"))
    attention = torch.softmax(scores / math.sqrt(query.shape[-1]), dim=-1)
    if kept is not None:
        attention = attention * kept
    return torch.einsum("bhts,bhse->bhte", attention, value)


class Emb(nn.Module):
    """Holder of the bias's published name."""

    def __init__(self, n_heads: int) -> None:
        super().__init__()
        self.emb = nn.Embedding(2, n_heads)


class Inner(nn.Module):
    """Holder of the bias's published name."""

    def __init__(self, n_heads: int) -> None:
        super().__init__()
        self.attn_bias = Emb(n_heads)


class Attention(nn.Module):
    """Multi-head attention over (B, T, D)."""

    def __init__(self, configs: SimpleNamespace) -> None:
        super().__init__()
        self.n_heads, self.dropout = configs.n_heads, configs.dropout
        self.inner_attention = Inner(configs.n_heads)
        width = configs.d_model
        self.query_projection, self.key_projection = nn.Linear(width, width), nn.Linear(width, width)
        self.value_projection, self.out_projection = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x: torch.Tensor, visible: torch.Tensor, n_variates: int) -> torch.Tensor:
        """Map (B, T, D) to (B, T, D)."""
        batch, total, width = x.shape

        def heads(y: torch.Tensor) -> torch.Tensor:
            return y.view(batch, total, self.n_heads, -1).permute(0, 2, 1, 3).contiguous()

        position = torch.arange(total)
        query = rotate_pairs(heads(self.query_projection(x)), position)
        key = rotate_pairs(heads(self.key_projection(x)), position)
        value = heads(self.value_projection(x))
        kept = None
        if self.training and self.dropout > 0:
            kept = F.dropout(torch.ones(batch, self.n_heads, total, total, dtype=x.dtype), self.dropout)
        bias = self.inner_attention.attn_bias.emb.weight
        mixed = written_attention(query, key, value, bias, visible, n_variates, kept)
        return self.out_projection(mixed.permute(0, 2, 1, 3).reshape(batch, total, width))


class Layer(nn.Module):
    """One post-norm layer with the MLP as a convolution of one step."""

    def __init__(self, configs: SimpleNamespace) -> None:
        super().__init__()
        self.attention = Attention(configs)
        self.conv1 = nn.Conv1d(configs.d_model, configs.d_ff, 1)
        self.conv2 = nn.Conv1d(configs.d_ff, configs.d_model, 1)
        self.norm1, self.norm2 = nn.LayerNorm(configs.d_model), nn.LayerNorm(configs.d_model)
        self.dropout = nn.Dropout(configs.dropout)
        self.activation = F.relu if configs.activation == "relu" else F.gelu

    def forward(self, x: torch.Tensor, visible: torch.Tensor, n_variates: int) -> torch.Tensor:
        """Map (B, T, D) to (B, T, D)."""
        x = self.norm1(x + self.dropout(self.attention(x, visible, n_variates)))
        y = self.dropout(self.activation(self.conv1(x.transpose(1, 2))))
        return self.norm2(x + self.dropout(self.conv2(y).transpose(1, 2)))


class Blocks(nn.Module):
    """The stack of layers and the last norm."""

    def __init__(self, configs: SimpleNamespace) -> None:
        super().__init__()
        self.attn_layers = nn.ModuleList(Layer(configs) for _ in range(configs.e_layers))
        self.norm = nn.LayerNorm(configs.d_model)


class EagerTimerXL(nn.Module):
    """The forecasting model; window lengths must be whole tokens."""

    def __init__(self, configs: SimpleNamespace) -> None:
        super().__init__()
        self.configs = configs
        self.embedding = nn.Linear(configs.input_token_len, configs.d_model)
        self.blocks = Blocks(configs)
        self.head = nn.Linear(configs.d_model, configs.output_token_len)

    def head_of_every_token(self, x: torch.Tensor) -> torch.Tensor:
        """Forecast tokens (B, V, N, P) of a normalised window (B, L, C)."""
        batch, steps, n_variates = x.shape
        n_tokens = steps // self.configs.input_token_len
        tokens = x.permute(0, 2, 1).reshape(batch, n_variates * n_tokens, self.configs.input_token_len)
        visible = visible_pairs_fast(n_variates, n_tokens, self.configs.covariate)
        y = self.embedding(tokens)
        for layer in self.blocks.attn_layers:
            y = layer(y, visible, n_variates)
        return self.head(self.blocks.norm(y)).view(batch, n_variates, n_tokens, -1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Forecast (B, N * output_token_len, C)."""
        mean, deviation = x.new_zeros(()), x.new_ones(())
        if self.configs.use_norm:
            mean = x.mean(dim=1, keepdim=True)
            deviation = torch.sqrt(((x - mean) ** 2).mean(dim=1, keepdim=True) + 1e-5)
        y = self.head_of_every_token((x - mean) / deviation)
        return y.flatten(2).permute(0, 2, 1) * deviation + mean


def visible_pairs_fast(n_variates: int, n_tokens: int, covariate: bool) -> torch.Tensor:
    """The same as `visible_pairs` as Kronecker products, so that timing it is fair."""
    causal, all_times = torch.tril(torch.ones(n_tokens, n_tokens)), torch.ones(n_tokens, n_tokens)
    if not covariate:
        return torch.kron(torch.ones(n_variates, n_variates), causal).bool()
    from_target = torch.zeros(n_variates, n_variates)
    from_target[-1, :-1] = 1
    return (torch.kron(torch.eye(n_variates), causal) + torch.kron(from_target, all_times)).bool()


def tiny_configs(**changes: object) -> SimpleNamespace:
    """Flags of a model small enough for a golden file of a few kilobytes."""
    flags = {
        "input_token_len": 4,
        "output_token_len": 4,
        "d_model": 8,
        "n_heads": 2,
        "e_layers": 2,
        "d_ff": 12,
        "dropout": 0.0,
        "activation": "gelu",
        "use_norm": True,
        "covariate": False,
    }
    return SimpleNamespace(**(flags | changes))


def gradient_norms(model: nn.Module, y: torch.Tensor) -> dict[str, float]:
    """Norm of every parameter's gradient of the loss mean(y**2)."""
    model.zero_grad()
    (y**2).mean().backward()
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    return {name: float(gradient.norm()) for name, gradient in gradients.items() if gradient is not None}


def write_golden(path: Path = GOLDEN) -> None:
    """Write weights, input, outputs and gradient norms of the tiny model, joint and covariate, in double precision."""
    torch.manual_seed(20240229)
    joint = EagerTimerXL(tiny_configs()).double()
    covariate = EagerTimerXL(tiny_configs(covariate=True)).double()
    for parameter in joint.parameters():
        parameter.data = parameter.data.float().double()
    covariate.load_state_dict(joint.state_dict())
    x = torch.randn(2, 12, 3).double()
    arrays: dict[str, Any] = {"x": x.float().numpy()}
    for name, model in (("joint", joint), ("covariate", covariate)):
        y = model(x)
        norms = gradient_norms(model, y)
        arrays[f"y.{name}"] = y.detach().numpy()
        arrays[f"gradient_norms.{name}"] = np.array(list(norms.values()))
    # One flat vector: a member of its own for every tensor would double the file.
    arrays["weights"] = torch.cat([value.flatten() for value in joint.state_dict().values()]).float().numpy()
    path.parent.mkdir(exist_ok=True)
    np.savez_compressed(path, **arrays)


if __name__ == "__main__":
    write_golden()
