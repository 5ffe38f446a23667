"""Which token sees which, and which tokens belong to the same variable.

Axes: V variables (variates), N tokens of one variable, T = V*N flattened tokens, variate-major.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch

from utils.errors import UsageError


@dataclass(frozen=True, eq=False)
class AttentionLayout:
    """The pattern of one attention map; has no batch axis.

    Attributes:
        n_variates: number of variables V.
        n_tokens: number of tokens N of one variable.
        hidden: `(T, T)` bool, true where the row's token must not see the column's token.
        same_variate: `(T, T)` bool, true where both tokens belong to the same variable.
    """

    n_variates: int
    n_tokens: int
    hidden: torch.Tensor
    same_variate: torch.Tensor


@lru_cache(maxsize=32)
def attention_layout(n_variates: int, n_tokens: int, covariate: bool, device: torch.device) -> AttentionLayout:
    """Build the published pattern for V variables of N tokens; kept for the next call.

    Args:
        n_variates: number of variables V.
        n_tokens: number of tokens N of one variable.
        covariate: false: a token sees every variable's tokens up to its own time. True: covariates see only
            themselves, causally; the last variable sees itself causally and all covariate tokens, future ones too.
        device: where the pattern is used.
    """
    index = torch.arange(n_variates * n_tokens)
    variate, time = index // n_tokens, index % n_tokens
    visible = time[:, None] >= time[None, :]
    if covariate:
        own = variate[:, None] == variate[None, :]
        target_row = variate[:, None] == n_variates - 1
        covariate_column = variate[None, :] < n_variates - 1
        visible = (own & visible) | (target_row & covariate_column)
    return layout_from_visible(visible, n_variates, device)


def layout_from_visible(visible: torch.Tensor, n_variates: int, device: torch.device) -> AttentionLayout:
    """Check a pattern of one's own and make a layout of it.

    Args:
        visible: `(T, T)` bool, true where the row's token sees the column's token.
        n_variates: number of variables V; T is a multiple of it.
        device: where the pattern is used.

    Raises:
        UsageError: ``ATTENTION_MASK_EMPTY``, a token sees nothing. Softmax over nothing is undefined:
            some kernels return zero, others NaN.
    """
    blind = (~visible.any(dim=-1)).nonzero().flatten().tolist()
    if blind:
        raise UsageError(
            "ATTENTION_MASK_EMPTY",
            f"{len(blind)} of {len(visible)} tokens see no token at all",
            where=f"attention mask rows {blind[:8]}",
            evidence="softmax over an empty row is undefined (NaN or zero, depending on the kernel)",
            next_command="let every token see at least itself",
        )
    n_tokens = len(visible) // n_variates
    # Built outside inference mode: a tensor born there could not be used in training later.
    with torch.inference_mode(False):
        variate = torch.arange(len(visible)) // n_tokens
        same_variate = variate[:, None] == variate[None, :]
        return AttentionLayout(n_variates, n_tokens, (~visible).to(device), same_variate.to(device))
