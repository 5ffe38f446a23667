"""Where a step's time goes: pieces of an encoder layer, forward and backward, against the same piece written out."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from tqdm import tqdm

from exp.step_benchmark import N_VARIABLES, SIZES, Size, timed, where_and_how_often
from layers.attention import attend
from layers.dropout import Dropout
from layers.masks import attention_layout
from layers.rotary import rotary_table, rotate
from layers.transformer import EncoderLayer, PointwiseLinear

Pair = tuple[Callable[[], torch.Tensor], Callable[[], torch.Tensor]]
WARM_UP = 2


def measure(option: str, rounds: int, *, dropout: float = 0.1) -> dict[str, Any]:
    """Return milliseconds of each piece, ours and written out, taken in turn.

    Args:
        option: among `step_benchmark.SIZES`.
        rounds: how often; medians are told.
        dropout: of the attention map, and of the piece called dropout.
    """
    size = SIZES[option]
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    pairs = _pairs(size, dropout, device)
    taken: dict[tuple[str, int], list[float]] = {(name, place): [] for name in pairs for place in (0, 1)}
    for turn in tqdm(range(rounds + WARM_UP), disable=None, leave=False, unit="round"):
        for name, pair in pairs.items():
            for place in (0, 1) if turn % 2 else (1, 0):
                seconds = timed(_both_passes(pair[place]), device)
                if turn >= WARM_UP:
                    taken[name, place].append(seconds)
    return {
        "option": option,
        "dropout": dropout,
        **where_and_how_often(device, rounds),
        "pieces": [_row(name, taken) for name in pairs],
    }


def table(found: dict[str, Any]) -> list[str]:
    """Return the figures of `measure` as lines for the terminal."""
    lines = [
        f"option {found['option']}, dropout {found['dropout']:g}, {found['device']}, {found['threads']} threads, "
        f"{found['rounds']} rounds; forward and backward pass of one layer's pieces",
        f"{'piece':<22} {'ours ms':>9} {'written out ms':>15} {'faster':>8}",
    ]
    for row in found["pieces"]:
        ours, theirs = row["ours_milliseconds"], row["written_out_milliseconds"]
        lines.append(f"{row['piece']:<22} {ours:>9.2f} {theirs:>15.2f} {row['times_faster']:>6.2f} x")
    return lines


def _row(name: str, taken: dict[tuple[str, int], list[float]]) -> dict[str, Any]:
    ours, theirs = taken[name, 0], taken[name, 1]
    return {
        "piece": name,
        "ours_milliseconds": round(1000 * statistics.median(ours), 3),
        "written_out_milliseconds": round(1000 * statistics.median(theirs), 3),
        "times_faster": round(statistics.median(b / a for a, b in zip(ours, theirs, strict=True)), 3),
    }


def _both_passes(piece: Callable[[], torch.Tensor]) -> Callable[[], None]:
    def run() -> None:
        piece().sum().backward()

    return run


def _pairs(size: Size, dropout: float, device: torch.device) -> dict[str, Pair]:
    """Return what is timed: ours, and the same written out."""
    # They live with the tests, which hold the fast model to them; a benchmark is run from a checkout.
    from tests import eager_timer_xl as written

    total = N_VARIABLES * size.tokens
    x = torch.randn(size.batch, total, size.width, device=device, requires_grad=True)
    heads = (size.heads, size.width // size.heads)
    query, key, value = (
        torch.randn(size.batch, size.heads, total, heads[1], device=device, requires_grad=True) for _ in range(3)
    )
    bias = nn.Parameter(torch.zeros(2, size.heads, device=device))
    layout = attention_layout(N_VARIABLES, size.tokens, False, device)
    angles = rotary_table(N_VARIABLES, size.tokens, heads[1], False, device, torch.float32)
    layer = EncoderLayer(size.width, size.heads, size.inner, dropout, "relu").to(device).train()
    configs = written.tiny_configs(
        d_model=size.width, n_heads=size.heads, d_ff=size.inner, dropout=dropout, activation="relu"
    )
    written_layer = written.Layer(configs).to(device).train()
    written_layer.load_state_dict(layer.state_dict())
    linear = PointwiseLinear(size.width, size.inner).to(device)
    convolution = nn.Conv1d(size.width, size.inner, 1).to(device)
    cheap = Dropout(dropout).train()
    position = torch.arange(total, device=device)

    def kept() -> torch.Tensor | None:
        if not dropout:
            return None
        return F.dropout(torch.ones(size.batch, size.heads, total, total, device=device), dropout)

    def pattern() -> torch.Tensor:
        return written.visible_pairs_fast(N_VARIABLES, size.tokens, False).to(device)

    return {
        "whole layer": (lambda: layer(x, layout, angles), lambda: written_layer(x, pattern(), N_VARIABLES)),
        "attention": (
            lambda: attend(query, key, value, bias, layout, dropout),
            lambda: written.written_attention(query, key, value, bias, pattern(), N_VARIABLES, kept()),
        ),
        "MLP's first map": (lambda: linear(x), lambda: convolution(x.transpose(1, 2)).transpose(1, 2)),
        "rotary positions": (
            lambda: rotate(x.unflatten(-1, heads), angles),
            lambda: written.rotate_pairs(x.unflatten(-1, heads).transpose(1, 2), position),
        ),
        "dropout": (lambda: cheap(x), lambda: F.dropout(x, dropout)),
    }
