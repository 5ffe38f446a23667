"""The head of the EEG notes: linear, norm, ReLU, dropout, linear; for classes and for amounts."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from models.timer_xl_classifier import Config, Model
from utils.errors import UsageError

SIZES = {
    "d_model": 8, "n_heads": 2, "e_layers": 1, "d_ff": 8, "input_token_len": 12, "output_token_len": 12,
    "n_variables": 3, "n_marks": 6, "head_hidden": 10,
}  # fmt: skip


def built(**changed) -> Model:
    return Model(SimpleNamespace(**{**SIZES, "head": "projection", **changed}))


def test_the_layers_stand_in_the_order_of_the_notes():
    """A norm before the linear layer is the published head under another name."""
    model = built(n_classes=4)
    kinds = [type(layer) for layer in model.projection]
    assert kinds == [nn.Linear, nn.LayerNorm, nn.ReLU, nn.Dropout, nn.Linear]
    names = [name for name in model.state_dict() if name.startswith("projection.")]
    assert names == [f"projection.{place}.{part}" for place in (0, 1, 4) for part in ("weight", "bias")]
    assert not hasattr(model, "classifier")


@pytest.mark.parametrize("n_outputs", [1, 2, 9])
def test_it_has_as_many_outputs_as_it_is_asked_for_and_takes_the_extras(n_outputs: int):
    """Several quantiles at once, and the last hours beside the encoder, have to fit its first layer."""
    model = built(n_classes=n_outputs, last_hours=6, use_marks=True, level_statistics=True)
    answer = model(torch.randn(5, 48, 3), torch.randn(5, 6))
    assert answer.shape == (5, n_outputs)
    answer.sum().backward()
    assert all(parameter.grad is not None for parameter in model.projection.parameters())


def test_it_is_the_formula_written_out():
    """The pooled features would pass another way than the one that is trained."""
    model = built(n_classes=3).eval()
    pooled, first, norm, last = torch.randn(4, 12), model.projection[0], model.projection[1], model.projection[4]
    hidden = torch.relu(norm(pooled @ first.weight.T + first.bias))
    assert torch.allclose(model.classify(pooled), hidden @ last.weight.T + last.bias, atol=1e-6)


def test_the_published_head_stays_the_default():
    """Every classifier that was trained before would lose its head."""
    model = Model(SimpleNamespace(**SIZES, n_classes=2))
    assert hasattr(model, "classifier") and not hasattr(model, "projection")
    assert Config().head == "classifier"
    with pytest.raises(UsageError, match="head"):
        Config(head="linear")  # type: ignore[arg-type]
