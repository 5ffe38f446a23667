"""The classifier with features of the past month beside its encoder."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from models.timer_xl_classifier import Model
from tests.eager_timer_xl import tiny_configs
from utils.errors import UsageError

VARIABLES = ("tp", "t2m", "sp", "u10", "v10")


def configs(**flags: Any) -> Any:
    """A classifier of windows `(B, 48, 5)` with six marks that reads the newest day by its encoder."""
    told = {
        "history_features": True,
        "encoder_hours": 24,
        "n_marks": 6,
        "n_variables": 5,
        "context_length": 48,
        "step_hours": 1,
        "variables": VARIABLES,
        "centre": (0.0001, 280.0, 86_000.0, 0.0, 0.0),
        "spread": (0.0003, 9.0, 600.0, 2.0, 2.0),
        "head_init_std": 0.5,
        "use_norm": False,
    }
    return tiny_configs(**told | flags)


def batch(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Windows `(6, 48, 5)` and marks `(6, 6)`."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(6, 48, 5, generator=generator), torch.randn(6, 6, generator=generator)


def test_the_head_sees_all_of_the_window_and_the_encoder_its_newest_hours() -> None:
    """The month is what the features are for; attention over it costs twenty times as much."""
    torch.manual_seed(0)
    model: Any = Model(configs()).eval()
    x, marks = batch()
    older = x.clone()
    older[:, :24] += 1
    assert torch.equal(model.encode(x), model.encode(older))
    assert not torch.equal(model(x, marks), model(older, marks))
    assert model(x, marks).shape == (6, 2) and model.encoded_shape(5, 48) == tuple(model.encode(x).shape[1:])
    assert not torch.equal(model(x, marks), model(x, marks + 1))


def test_statistics_of_training_windows_are_part_of_the_state() -> None:
    """A model that is loaded without them would read every feature on another scale."""
    torch.manual_seed(0)
    model: Any = Model(configs()).eval()
    x, marks = batch()
    before = model(x, marks)
    model.fit_inputs([batch(1), batch(2)])
    fitted = model(x, marks)
    assert not torch.equal(fitted, before)
    torch.manual_seed(1)
    other: Any = Model(configs()).eval()
    other.load_state_dict(model.state_dict())
    assert torch.equal(other(x, marks), fitted)


def test_half_precision_does_not_reach_the_features() -> None:
    """Eight bits of a pressure leave nothing of its tendency."""
    torch.manual_seed(0)
    model: Any = Model(configs()).eval()
    x, marks = batch()
    whole = model.history._inputs(x, marks)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(model.history._inputs(x, marks), whole)


def test_a_frozen_encoder_and_its_kept_answer_give_the_same_logits() -> None:
    """The features belong to the head: they go on learning where the encoder does not."""
    torch.manual_seed(0)
    model: Any = Model(configs()).eval()
    x, marks = batch()
    assert model.reads_past_encoder
    assert torch.equal(model.classify(model.encode(x), model.extras(x, marks)), model(x, marks))
    model.freeze_encoder()
    assert all(parameter.requires_grad for parameter in model.history.parameters())
    assert not any(parameter.requires_grad for parameter in model.blocks.parameters())


def test_a_table_without_the_variables_is_refused_with_the_preset_that_fits() -> None:
    """Features of rain without rain would be a table of zeros that trains without complaint."""
    with pytest.raises(UsageError, match="past month") as caught:
        Model(configs(variables=("t2m", "sp", "cape")))
    assert "tp, u10, v10" in caught.value.evidence and "--preset tiny" in caught.value.next_command


def test_hours_of_the_encoder_are_whole_steps_and_not_negative() -> None:
    """Rounding silently would give the encoder other hours than the flag names."""
    with pytest.raises(UsageError, match="--encoder_hours 18 is not a multiple"):
        Model(configs(encoder_hours=18, step_hours=12))
    with pytest.raises(UsageError, match="negative"):
        Model(configs(encoder_hours=-24))
