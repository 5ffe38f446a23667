"""Layers computed again in the backward pass: the same gradients, with dropout too, for a fraction of the memory."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F

import models
from exp.diagnosis.model_check import random_windows
from exp.micro_batches import saved_bytes
from exp.settings import Dimensions

SIZES = {
    "input_token_len": 8, "output_token_len": 8, "d_model": 32, "d_ff": 64, "n_heads": 4, "e_layers": 4, "n_classes": 2,
    "head_dropout": 0.0,
}  # fmt: skip


def build(*, again: bool, dropout: float = 0.3, **changes: Any) -> Any:
    torch.manual_seed(0)
    flags = SIZES | {"dropout": dropout, "activation_checkpointing": again} | changes
    return models.build("timer_xl_classifier", SimpleNamespace(**flags)).train()


def gradients(model: Any, x: torch.Tensor) -> dict[str, torch.Tensor]:
    torch.manual_seed(7)
    F.cross_entropy(model(x), torch.tensor([0, 1, 1])).backward()
    return {name: each.grad for name, each in model.named_parameters() if each.grad is not None}


@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("features", ["forecast", "all_layers"])
def test_the_gradients_are_the_same(dropout: float, features: str) -> None:
    """A dropout mask drawn anew in the backward pass would give the gradients of another step."""
    x = torch.randn(3, 32, 5)
    plain, again = (gradients(build(again=on, dropout=dropout, encoder_features=features), x) for on in (False, True))
    assert plain.keys() == again.keys()
    # A state that is read out and goes on too has its two gradients summed in another order.
    close = 1e-6 if features == "all_layers" else 0.0
    torch.testing.assert_close(plain, again, rtol=close, atol=close)


def test_layers_learn_though_nothing_before_them_does() -> None:
    """With a frozen embedding no input of a layer needs a gradient, and its weights still do."""
    x = torch.randn(3, 32, 5)
    found = []
    for on in (False, True):
        model = build(again=on)
        model.embedding.requires_grad_(False)
        found.append(gradients(model, x))
    assert found[0].keys() == found[1].keys() and any(name.startswith("blocks.attn_layers.0") for name in found[1])
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])


def test_evaluation_is_not_computed_twice() -> None:
    """Without gradients there is nothing to save."""
    model = build(again=True).eval()
    calls = []
    model.blocks.attn_layers[0].register_forward_hook(lambda *_: calls.append(1))
    with torch.no_grad():
        model(torch.randn(3, 32, 5))
    assert len(calls) == 1


def test_what_is_kept_is_counted_and_is_a_fraction() -> None:
    """Batches are split by this count: one that misses what is kept would run out of memory."""
    dimensions = Dimensions(
        n_classes=2, n_variables=5, context_length=32, n_marks=5, n_regions=1, step_hours=1, pressure_index=None
    )
    windows = random_windows(dimensions, torch.device("cpu"))
    plain, again = (saved_bytes(build(again=on), F.cross_entropy, windows) for on in (False, True))
    inputs = 4 * 2 * 5 * 4 * 32 * SIZES["e_layers"]  # float32 x windows x variables x tokens x width x layers
    assert inputs <= again < 0.35 * plain
