"""The formulas give the operations that torch counts on the real models."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import models
from exp import flops
from exp.diagnosis.model_check import random_windows
from exp.presets import flags_of
from exp.settings import Dimensions

META = torch.device("meta")
NETWORKS = [name for name in models.classifiers() if models.kind(name) == "network"]


@pytest.mark.parametrize("preset", ["full", "small", "tiny"])
@pytest.mark.parametrize("name", NETWORKS)
def test_formulas_agree_with_the_operations_torch_counts(name: str, preset: str) -> None:
    """A layer without a formula would be free of charge, and the forecast of a model with it too low."""
    values = flags_of(preset)
    dimensions = Dimensions(
        n_classes=2,
        n_variables=27,
        context_length=values["seq_len"] // values.get("input_token_len", 96) * values.get("input_token_len", 96),
        n_marks=9,
        n_regions=5,
        step_hours=1,
        pressure_index=3,
    )
    model = models.build(name, SimpleNamespace(**(values | vars(dimensions)))).to(META)
    windows = random_windows(dimensions, META)
    found = flops.of_a_window(model, windows)
    ids = torch.zeros(1, dtype=torch.long, device=META)
    with FlopCounterMode(display=False) as forward:
        output = model.eval()(windows.inputs(ids), windows.marks[ids])
    with FlopCounterMode(display=False) as backward:
        output.sum().backward()
    assert found.forward == forward.get_total_flops() > 0
    assert found.backward == pytest.approx(backward.get_total_flops(), rel=0.001)


def test_a_frozen_layer_needs_no_gradient_of_its_weights() -> None:
    """A frozen encoder makes a step cheaper; a forecast of three times the forward pass would hide it."""
    dimensions = Dimensions(
        n_classes=2, n_variables=27, context_length=168, n_marks=9, n_regions=5, step_hours=1, pressure_index=None
    )
    model = models.build("timer_xl_classifier", SimpleNamespace(**(flags_of("tiny") | vars(dimensions)))).to(META)
    windows = random_windows(dimensions, META)
    whole = flops.of_a_window(model, windows)
    model.freeze_encoder()
    frozen = flops.of_a_window(model, windows)
    assert frozen.forward == whole.forward
    assert frozen.backward < 0.1 * whole.backward
