"""The encoder's blocks: the map with the published weight shape, and the initial weights."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F

from layers.transformer import Encoder, PointwiseLinear, initialise


def test_the_pointwise_map_equals_a_convolution_of_one_step():
    """It loads convolution weights; a transposed reading would only show in the forecast."""
    layer = PointwiseLinear(6, 4).double()
    x = torch.randn(2, 5, 6, dtype=torch.float64)
    expected = F.conv1d(x.transpose(1, 2), layer.weight, layer.bias).transpose(1, 2)
    assert torch.allclose(layer(x), expected, atol=1e-14)


def test_published_initial_weights_have_the_spread_of_torchs_defaults():
    """A model trained from scratch must start where the reference starts."""
    torch.manual_seed(0)
    layer = PointwiseLinear(100, 300)
    assert layer.weight.abs().max() <= 0.1
    assert math.isclose(layer.weight.std().item(), 0.1 / math.sqrt(3), rel_tol=0.02)
    assert layer.bias.abs().max() <= 0.1


def test_xavier_with_gain_has_the_spread_its_name_promises_and_zero_biases():
    """The notes' conservative start is Xavier with a gain of one half."""
    torch.manual_seed(0)
    encoder: Any = Encoder(1, 64, 4, 128, 0.0, "relu")
    initialise(encoder, "xavier", 0.5)
    layer = encoder.attn_layers[0]
    for weight in (layer.conv1.weight, layer.attention.query_projection.weight):
        bound = 0.5 * math.sqrt(6 / (weight.shape[0] + weight.shape[1]))
        assert 0.95 * bound < weight.abs().max() <= bound
    assert not layer.conv1.bias.any()
    assert torch.equal(layer.norm1.weight, torch.ones(64))


def test_kaiming_differs_from_xavier_and_published_keeps_the_defaults():
    """A scheme that is accepted and ignored would make a comparison of schemes meaningless."""
    torch.manual_seed(0)
    encoder: Any = Encoder(1, 16, 2, 64, 0.0, "relu")
    before = encoder.attn_layers[0].conv2.weight.clone()
    initialise(encoder, "published", 1.0)
    assert torch.equal(encoder.attn_layers[0].conv2.weight, before)
    initialise(encoder, "kaiming", 1.0)
    assert 0.9 * math.sqrt(6 / 64) < encoder.attn_layers[0].conv2.weight.abs().max() <= math.sqrt(6 / 64)
