"""Rotary positions: interleaved pairs, first half of each head, flattened or time-only positions."""

from __future__ import annotations

import math

import pytest
import torch

from layers.rotary import rotary_table, rotate
from tests.eager_timer_xl import rotate_pairs

CPU = torch.device("cpu")


def test_rotation_equals_the_formula_in_float64():
    """Half-split pairs or a base over the full width load the checkpoint without complaint and ruin it."""
    x = torch.randn(2, 12, 3, 16, dtype=torch.float64)
    got = rotate(x, rotary_table(3, 4, 16, False, CPU, torch.float64))
    expected = rotate_pairs(x.transpose(1, 2), torch.arange(12)).transpose(1, 2)
    assert (got - expected).abs().max() < 1e-13


def test_one_pair_by_hand():
    """Head width 4: only the first pair turns, by one radian per position."""
    x = torch.tensor([1.0, 0.0, 5.0, 7.0]).expand(1, 3, 1, 4)
    got = rotate(x, rotary_table(1, 3, 4, False, CPU, torch.float32))[0, 2, 0]
    assert torch.allclose(got, torch.tensor([math.cos(2), math.sin(2), 5.0, 7.0]))


def test_time_only_positions_are_equal_over_variables():
    """With time-only positions the order of the variables must not be part of the model."""
    table = rotary_table(3, 4, 16, True, CPU, torch.float32).view(3, 4, 1, 8)
    assert torch.equal(table[0], table[1])
    assert torch.equal(table[0], rotary_table(1, 4, 16, False, CPU, torch.float32))
    flattened = rotary_table(3, 4, 16, False, CPU, torch.float32).view(3, 4, 1, 8)
    assert not torch.equal(flattened[0], flattened[1])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_comes_back_as_it_went_in(dtype):
    """Complex numbers have no half precision on the CPU; the result must still match the values beside it."""
    x = torch.randn(1, 4, 1, 8).to(dtype)
    got = rotate(x, rotary_table(1, 4, 8, False, CPU, torch.float32))
    assert got.dtype == dtype
    assert torch.allclose(
        got.float(), rotate_pairs(x.float().transpose(1, 2), torch.arange(4)).transpose(1, 2), atol=0.02
    )


def test_the_table_is_built_once_even_when_first_built_in_inference_mode():
    """A cached tensor born in inference mode would break the next training step."""
    with torch.inference_mode():
        table = rotary_table(2, 7, 8, False, CPU, torch.float32)
    assert not table.is_inference()
    assert rotary_table(2, 7, 8, False, CPU, torch.float32) is table
