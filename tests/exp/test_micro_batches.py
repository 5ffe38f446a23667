"""What a window keeps for the backward pass is counted as it is, whatever the precision and the device."""

from __future__ import annotations

import gc
from types import SimpleNamespace

import pytest
import torch
from torch import nn

import models
from data_provider.windows import WindowSet
from exp.diagnosis.model_check import random_windows
from exp.micro_batches import fitting_batch_size, measure, saved_bytes, state_bytes
from exp.presets import flags_of
from exp.settings import Dimensions

CPU, BF16 = torch.device("cpu"), torch.bfloat16
LOSS = nn.functional.cross_entropy


def tiny(device: torch.device = CPU) -> tuple[nn.Module, WindowSet]:
    """Return the tiny option on random numbers in three variables."""
    dimensions = Dimensions(
        n_classes=2, n_variables=3, context_length=168, n_marks=9, n_regions=5, step_hours=1, pressure_index=None
    )
    model = models.build("timer_xl_classifier", SimpleNamespace(**(flags_of("tiny") | vars(dimensions))))
    return model.to(device), random_windows(dimensions, device)


def test_what_a_window_keeps_is_told_from_what_every_batch_keeps() -> None:
    """A copy of the weights in half precision, counted once a window, would split batches that fit."""
    model, windows = tiny()
    found = measure(model, LOSS, windows, BF16)
    matrices = sum(value.numel() for value in model.blocks.parameters() if value.dim() > 1)  # type: ignore[union-attr]
    assert found.fixed >= 2 * matrices
    assert found.of(7) == pytest.approx(saved_bytes(model, LOSS, windows, 7, BF16), rel=0.001)


def test_mixed_precision_fits_more_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted in float32, a batch that fits in bfloat16 would be cut for nothing."""
    model, windows = tiny()
    room = 2 * measure(model, LOSS, windows, BF16).of(64) + state_bytes(model)
    monkeypatch.setattr("exp.micro_batches.total_memory", lambda device: room)
    assert fitting_batch_size(model, LOSS, windows, 64, BF16) == 64
    assert fitting_batch_size(model, LOSS, windows, 64) < 64


def test_counting_leaves_nothing_behind() -> None:
    """What two windows keep of a large model is hundreds of megabytes, for as long as the process lives."""
    model, windows = tiny()
    counts = []
    for _ in range(3):
        saved_bytes(model, LOSS, windows, 3)
        gc.collect()
        counts.append(sum(issubclass(type(value), torch.Tensor) for value in gc.get_objects()))
    assert counts[2] == counts[1] == counts[0]


def test_a_model_without_numbers_can_be_counted() -> None:
    """A model that fits no machine here is counted on the device `meta`, where nothing is computed or kept."""
    (model, windows), (empty, no_windows) = tiny(), tiny(torch.device("meta"))
    here, there = measure(model, LOSS, windows), measure(empty, LOSS, no_windows)
    assert here.per_window < there.per_window < 4 * here.per_window
