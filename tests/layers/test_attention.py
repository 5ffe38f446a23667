"""Attention: every kernel equals the formula written out, in value and in gradient.

Axes: B batch, H heads, T = V*N flattened tokens, E head width.
"""

from __future__ import annotations

import pytest
import torch

from layers import attention
from layers.attention import attend
from layers.dropout import LEVELS, keep_mask, kept_levels
from layers.masks import attention_layout, layout_from_visible
from tests.eager_timer_xl import visible_pairs, written_attention

CPU = torch.device("cpu")
CASES = [(3, 5, False), (3, 5, True), (1, 6, False), (4, 1, False)]


def make_inputs(n_variates: int, n_tokens: int, dtype: torch.dtype = torch.float64) -> list[torch.Tensor]:
    """Query, key, value in the layout the model gives them (heads strided), the bias, and an upstream gradient."""
    generator = torch.Generator().manual_seed(3)
    total = n_variates * n_tokens

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)

    heads = [draw(2, total, 2, 8).transpose(1, 2).requires_grad_() for _ in range(3)]
    return [*heads, draw(2, 2).requires_grad_(), draw(2, 2, total, 8)]


def relative_difference(got: torch.Tensor, expected: torch.Tensor) -> float:
    """Largest difference relative to the largest expected number."""
    got, expected = got.detach(), expected.detach()
    return float((got - expected).abs().max() / expected.abs().max().clamp_min(1e-9))


@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize(("n_variates", "n_tokens", "covariate"), CASES)
def test_value_and_gradients_equal_the_formula_in_float64(n_variates, n_tokens, covariate, dropout):
    """A fast kernel with a wrong mask, an unscaled bias or a wrong hand-made gradient would still train, badly."""
    query, key, value, bias, upstream = make_inputs(n_variates, n_tokens)
    layout = attention_layout(n_variates, n_tokens, covariate, CPU)
    torch.manual_seed(11)
    output = attend(query, key, value, bias, layout, dropout)
    gradients = torch.autograd.grad(output, (query, key, value, bias), upstream)

    kept = None
    if dropout:
        torch.manual_seed(11)
        keep = keep_mask(torch.Size((*query.shape[:3], query.shape[2])), dropout, CPU)
        kept = keep.double() * (LEVELS / kept_levels(dropout))
    visible = visible_pairs(n_variates, n_tokens, covariate)
    expected = written_attention(query, key, value, bias, visible, n_variates, kept)
    expected_gradients = torch.autograd.grad(expected, (query, key, value, bias), upstream)

    assert relative_difference(output, expected) < 1e-12
    for got, wanted in zip(gradients[:3], expected_gradients[:3], strict=True):
        assert relative_difference(got, wanted) < 1e-11
    assert (gradients[3] - expected_gradients[3]).abs().max() < 1e-11


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_a_pattern_of_ones_own_gives_the_bias_the_right_gradient(dropout):
    """The bias's gradient reads only diagonal blocks; a pattern with holes inside them must be respected."""
    query, key, value, bias, upstream = make_inputs(3, 4)
    visible = torch.rand(12, 12, generator=torch.Generator().manual_seed(5)) < 0.5
    visible.fill_diagonal_(True)
    torch.manual_seed(2)
    output = attend(query, key, value, bias, layout_from_visible(visible, 3, CPU), dropout)
    (got,) = torch.autograd.grad(output, bias, upstream)
    kept = None
    if dropout:
        torch.manual_seed(2)
        kept = keep_mask(torch.Size((2, 2, 12, 12)), dropout, CPU).double() * (LEVELS / kept_levels(dropout))
    expected = written_attention(query, key, value, bias, visible, 3, kept)
    (wanted,) = torch.autograd.grad(expected, bias, upstream)
    assert (got - wanted).abs().max() < 1e-12
    assert wanted.abs().max() > 1e-3


def test_all_kernels_agree_without_dropout():
    """Evaluation, training with a frozen bias and training with a learned one must not differ."""
    query, key, value, bias, _ = make_inputs(3, 5)
    layout = attention_layout(3, 5, False, CPU)
    learned = attend(query, key, value, bias, layout)
    with torch.no_grad():
        evaluated = attend(query, key, value, bias, layout)
    mask = attention.additive_mask(bias, layout, 8**-0.5, torch.float64)
    masked = torch.nn.functional.scaled_dot_product_attention(query, key, value, mask[None], scale=8**-0.5)
    assert relative_difference(evaluated, learned) < 1e-12
    assert relative_difference(masked, learned) < 1e-12


def test_the_fused_kernel_runs_when_the_bias_learns():
    """A mask that needs a gradient silently falls back to the slow path; that must not come back unseen."""
    query, key, value, bias, upstream = make_inputs(3, 5, torch.float32)
    with torch.profiler.profile() as profile:
        attend(query, key, value, bias, attention_layout(3, 5, False, CPU)).backward(upstream)
    called = {event.key for event in profile.key_averages()}
    assert "aten::_scaled_dot_product_flash_attention_for_cpu" in called
    assert "aten::_scaled_dot_product_attention_math" not in called


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_with_one_variable_the_bias_has_a_gradient_of_exactly_zero(dropout):
    """Rounding noise as gradient would be blown up by Adam into steps of full size."""
    query, key, value, bias, upstream = make_inputs(1, 6, torch.float32)
    output = attend(query, key, value, bias, attention_layout(1, 6, False, CPU), dropout)
    (gradient,) = torch.autograd.grad(output, bias, upstream)
    assert torch.equal(gradient, torch.zeros_like(bias))


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_bfloat16_stays_close_to_double(dropout):
    """Half precision must pass through every kernel and give its own type back."""
    exact = make_inputs(3, 5)
    rough = [part.detach().to(torch.bfloat16).requires_grad_() for part in exact[:3]]
    bias = exact[3].detach().float().requires_grad_()
    layout = attention_layout(3, 5, False, CPU)
    outputs = []
    for query, key, value, weight in ((*exact[:3], exact[3]), (*rough, bias)):
        torch.manual_seed(4)
        outputs.append(attend(query, key, value, weight, layout, dropout))
    (gradient,) = torch.autograd.grad(outputs[1], bias, exact[4].to(torch.bfloat16))
    assert outputs[1].dtype == torch.bfloat16
    assert gradient.dtype == torch.float32
    assert relative_difference(outputs[1].double(), outputs[0]) < 0.03


def test_logits_of_1e9_leave_the_gradient_of_the_bias_finite():
    """Unscaled pressure gives such logits; rounding alone then put a share beyond float32, and the step was skipped."""
    generator = torch.Generator().manual_seed(0)
    level = torch.randn(3, 1, 2, 8, 1, 8, generator=generator).expand(3, 1, 2, 8, 5, 8).flatten(3, 4)
    wobble = 1e-3 * torch.randn(level.shape, generator=generator)
    query, key, value = 3e4 * (level + wobble)
    bias = torch.zeros(2, 2, requires_grad=True)
    output = attend(query, key, value, bias, attention_layout(8, 5, False, CPU))
    output.backward(torch.randn(output.shape, generator=generator))
    assert torch.isfinite(bias.grad).all()
