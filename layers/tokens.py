"""Windows to tokens and back.

Axes: B batch, L time steps, C or V variables, N tokens, P token length.
"""

from __future__ import annotations

import torch

from utils.errors import UsageError


def newest_whole_tokens(x: torch.Tensor, token_length: int) -> torch.Tensor:
    """Cut a window `(B, L, C)` to whole tokens, keeping the NEWEST steps and dropping the oldest.

    The reference implementation drops the newest ones: the hours that matter most to a forecast.

    Raises:
        UsageError: the window is shorter than one token.
    """
    steps = x.shape[1]
    if steps < token_length:
        raise UsageError(
            "CONFIG",
            f"the window of {steps} steps is shorter than one token of {token_length} steps",
            where="--seq_len and --input_token_len",
            next_command=f"make --seq_len at least {token_length}, or --input_token_len at most {steps}",
        )
    return x[:, steps % token_length :]


def to_tokens(x: torch.Tensor, token_length: int) -> torch.Tensor:
    """Lay a window `(B, N*P, C)` out as tokens `(B, V, N, P)`, one row of tokens per variable."""
    return x.transpose(1, 2).unflatten(2, (-1, token_length))


def from_tokens(y: torch.Tensor) -> torch.Tensor:
    """Lay tokens `(B, V, N, P)` out as a series `(B, N*P, V)`; the inverse of `to_tokens`."""
    return y.flatten(2).transpose(1, 2)
