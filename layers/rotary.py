"""Rotary position embedding on the first half of each head's width.

Axes: B batch, T = V*N flattened tokens, H heads, E head width.

Pairs are interleaved, (0, 1), (2, 3), ...; the base is 10000 over the rotated half. Seen as complex numbers
the rotation is one multiplication; the half that stays as it is multiplies by one. Source: Su et al. 2021,
RoFormer, arXiv:2104.09864, in the layout of the published Timer-XL.
"""

from __future__ import annotations

from functools import lru_cache

import torch

BASE = 10000.0


@lru_cache(maxsize=32)
def rotary_table(
    n_variates: int, n_tokens: int, head_width: int, time_only: bool, device: torch.device, dtype: torch.dtype
) -> torch.Tensor:
    """Build the complex factors `(T, 1, E/2)` of all positions; kept for the next call.

    Args:
        n_variates: number of variables V.
        n_tokens: number of tokens N of one variable.
        head_width: width E of one head, a multiple of 4.
        time_only: positions are the token's time; otherwise the flattened index variate*N + token,
            as in the published checkpoints, which makes the order of the variables part of a model.
        device: where the table is used.
        dtype: ``torch.float64`` gives double precision; everything else single precision.
    """
    with torch.inference_mode(False):
        position = torch.arange(n_variates * n_tokens, dtype=torch.float64)
        if time_only:
            position = position % n_tokens
        rotated = head_width // 2
        frequency = BASE ** (-torch.arange(0, rotated, 2, dtype=torch.float64) / rotated)
        angle = torch.outer(position, frequency)
        table = torch.cat((torch.polar(torch.ones_like(angle), angle), torch.ones_like(angle)), dim=1)
        complex_dtype = torch.complex128 if dtype == torch.float64 else torch.complex64
        return table.to(complex_dtype).unsqueeze(1).to(device)


def rotate(x: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    """Turn queries or keys `(B, T, H, E)` by their positions; half precision is computed in single."""
    exact = x if x.dtype in (torch.float32, torch.float64) else x.float()
    if torch.compiler.is_compiling():
        return _rotated_in_parts(exact, table).to(x.dtype)
    pairs = torch.view_as_complex(exact.unflatten(-1, (-1, 2)))
    return torch.view_as_real(pairs * table).flatten(-2).to(x.dtype)


def _rotated_in_parts(x: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    """Multiply real and imaginary parts out: compilers make no code for complex numbers."""
    even, odd = x.unflatten(-1, (-1, 2)).unbind(-1)
    cosine, sine = torch.view_as_real(table).unbind(-1)
    return torch.stack((even * cosine - odd * sine, even * sine + odd * cosine), dim=-1).flatten(-2)
