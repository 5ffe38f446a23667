"""Attention, one formula: ``softmax(scale * (Q K^T + bias)) V`` over the visible tokens.

Axes: B batch, H heads, T = V*N flattened tokens (variate-major), V variables, N tokens of one variable, E head width.

The learned bias is two numbers per head: one for pairs of the same variable, one for all others. It is scaled too,
as in the published Timer-XL. Three kernels compute the formula and are held equal to it, gradients included:

- without dropout on the CPU, the fused kernel; it takes no mask that needs a gradient, so the two numbers get theirs
  from the diagonal blocks of the map alone (`_BiasGradient`);
- with dropout on the CPU, where no fused kernel exists, the formula written out (`_WrittenOut`);
- on other devices, ``scaled_dot_product_attention`` with the bias as a mask.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch.autograd.function import once_differentiable

from layers.dropout import LEVELS, keep_mask, kept_levels
from layers.masks import AttentionLayout

OTHER, SAME = 0, 1


def attend(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    variate_bias: torch.Tensor,
    layout: AttentionLayout,
    dropout: float = 0.0,
) -> torch.Tensor:
    """Compute attention.

    Args:
        query: `(B, H, T, E)`.
        key: `(B, H, T, E)`.
        value: `(B, H, T, E)`.
        variate_bias: `(2, H)`; row 0 for pairs of different variables, row 1 for pairs of the same one.
        layout: who sees whom.
        dropout: share of the attention map set to zero; pass 0 in evaluation.

    Returns:
        `(B, H, T, E)`.
    """
    scale = query.shape[-1] ** -0.5
    if query.device.type != "cpu":
        mask = additive_mask(variate_bias, layout, scale, query.dtype)
        return F.scaled_dot_product_attention(query, key, value, mask[None], dropout_p=dropout, scale=scale)
    if dropout > 0.0:
        return _WrittenOut.apply(query, key, value, variate_bias, layout, scale, dropout)
    mask = additive_mask(variate_bias.detach(), layout, scale, query.dtype)
    if not (torch.is_grad_enabled() and variate_bias.requires_grad):
        return F.scaled_dot_product_attention(query, key, value, mask[None], scale=scale)
    output, log_sum = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
        query, key, value, attn_mask=mask[None], scale=scale
    )
    return _BiasGradient.apply(output, log_sum, query, key, value, variate_bias, layout, scale)


def additive_mask(
    variate_bias: torch.Tensor, layout: AttentionLayout, scale: float, dtype: torch.dtype
) -> torch.Tensor:
    """Scaled bias where visible, minus infinity where hidden: `(H, T, T)`."""
    other, same = (scale * variate_bias).to(dtype)[..., None, None]
    return torch.where(layout.same_variate, same, other).masked_fill(layout.hidden, float("-inf"))


def _bias_gradient(own_sum: torch.Tensor, n_variates: int) -> torch.Tensor:
    """Gradient `(2, H)` of the bias from the sum `(H,)` of the logits' gradient over pairs of the same variable.

    A softmax row's gradient sums to zero, so the pairs of different variables hold the negative of that sum;
    with one variable the bias shifts whole rows and its gradient is exactly zero.
    """
    if n_variates == 1:
        return own_sum.new_zeros(2, len(own_sum))
    return torch.stack((-own_sum, own_sum))


class _BiasGradient(torch.autograd.Function):
    """Pass the fused kernel's output through; give the bias its gradient from the diagonal blocks."""

    @staticmethod
    def forward(
        ctx: Any,
        output: torch.Tensor,
        log_sum: torch.Tensor,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        variate_bias: torch.Tensor,
        layout: AttentionLayout,
        scale: float,
    ) -> torch.Tensor:
        ctx.save_for_backward(output, log_sum, query, key, value, variate_bias)
        ctx.layout, ctx.scale = layout, scale
        return output.view_as(output)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        output, log_sum, query, key, value, variate_bias = ctx.saved_tensors
        blocks = (ctx.layout.n_variates, ctx.layout.n_tokens)
        hidden = ctx.layout.hidden.unflatten(1, blocks).unflatten(0, blocks).diagonal(dim1=0, dim2=2).movedim(-1, 0)
        wide = log_sum.dtype
        q, k, v, upstream, log_z, row_dot = (
            part.to(wide).unflatten(2, blocks)
            for part in (query, key, value, gradient, log_sum[..., None], (gradient * output).sum(-1, keepdim=True))
        )
        logits = ctx.scale * (q @ k.mT + variate_bias[SAME].to(wide)[:, None, None, None])
        # A share is at most one; with logits of 1e9 rounding alone would put exp beyond float32.
        share = torch.exp((logits.masked_fill(hidden, float("-inf")) - log_z).clamp_max(0.0))
        own = (share * (upstream @ v.mT - row_dot)).sum(dim=(0, 2, 3, 4)) * ctx.scale
        return gradient, *[None] * 4, _bias_gradient(own, blocks[0]).to(variate_bias.dtype), None, None


class _WrittenOut(torch.autograd.Function):
    """The formula step by step with dropout on the map; keeps the map and one byte per dropped element."""

    @staticmethod
    def forward(
        ctx: Any,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        variate_bias: torch.Tensor,
        layout: AttentionLayout,
        scale: float,
        dropout: float,
    ) -> torch.Tensor:
        q, k, v = (part.flatten(0, 1) for part in (query, key, value))
        logits = query.new_empty(*query.shape[:3], query.shape[2])
        logits.copy_(additive_mask(variate_bias, layout, scale, query.dtype))
        logits.view(-1, *logits.shape[2:]).baddbmm_(q, k.mT, alpha=scale)
        wide = torch.promote_types(query.dtype, torch.float32)
        share = torch.softmax(logits, dim=-1, dtype=wide).to(query.dtype)
        keep = keep_mask(share.shape, dropout, share.device)
        ctx.save_for_backward(q, k, v, share, keep)
        ctx.layout, ctx.scale, ctx.factor, ctx.bias_dtype = (
            layout,
            scale,
            LEVELS / kept_levels(dropout),
            variate_bias.dtype,
        )
        dropped = torch.mul(share, keep, out=logits).flatten(0, 1)
        return torch.bmm(dropped, v).mul_(ctx.factor).view(query.shape)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        q, k, v, share, keep = ctx.saved_tensors
        upstream = gradient.flatten(0, 1) * ctx.factor
        dropped = share * keep
        value_gradient = torch.bmm(dropped.flatten(0, 1).mT, upstream)
        logits_gradient = torch.bmm(upstream, v.mT).view(share.shape).mul_(dropped)
        row_dot = logits_gradient.sum(-1, keepdim=True)
        logits_gradient.addcmul_(share, row_dot, value=-1.0)
        flat = logits_gradient.flatten(0, 1)
        # The scale goes into the small factors, never through the map.
        query_gradient, key_gradient = torch.bmm(flat, k * ctx.scale), torch.bmm(flat.mT, q * ctx.scale)
        blocks = (ctx.layout.n_variates, ctx.layout.n_tokens)
        own = logits_gradient.unflatten(3, blocks).unflatten(2, blocks).diagonal(dim1=2, dim2=4)
        own_sum = own.sum(dim=(0, 2, 3, 4), dtype=torch.promote_types(own.dtype, torch.float32)) * ctx.scale
        shape = gradient.shape
        gradients = (part.view(shape) for part in (query_gradient, key_gradient, value_gradient))
        return *gradients, _bias_gradient(own_sum, blocks[0]).to(ctx.bias_dtype), None, None, None
