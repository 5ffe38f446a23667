"""Which rate for whom: every parameter in exactly one group, layers below slower, norms and biases without decay."""

from __future__ import annotations

import pytest
import torch

from exp import command_line
from exp.rates import groups_of
from exp.stages import Stages
from exp.transfer_config import TransferConfig
from tests.exp.test_stages import classifier, trainer_of


def groups(model: torch.nn.Module, **flags):
    """Return the groups of a run of 30 epochs with a weight decay of 0.1."""
    config = TransferConfig(**flags)
    return groups_of(model, Stages(model, config, 30), config, 0.1)


@pytest.mark.parametrize(
    "flags",
    [
        {},
        {"rate_ratios": (1.0, 4.0, 10.0), "layer_decay": 0.5},
        {"unfreeze_schedule": ("2:layers.3", "4:layers")},
        {"tune": "norm"},
        {"weight_decay_on": "all"},
    ],
)
def test_every_parameter_is_in_exactly_one_group(flags: dict) -> None:
    """One in two groups is stepped twice, one in none never learns; neither shows."""
    model = classifier()
    found = [id(parameter) for group in groups(model, **flags) for parameter in group.parameters]
    assert sorted(found) == sorted(id(parameter) for parameter in model.parameters())


def test_norms_biases_and_the_variate_bias_are_not_pulled_to_zero() -> None:
    """A norm's scale that decays shrinks every layer after it."""
    model = classifier()
    decay = {id(parameter): group.weight_decay for group in groups(model) for parameter in group.parameters}
    for name, parameter in model.named_parameters():
        is_free = name.endswith("bias") or "norm" in name or "attn_bias" in name or name == "classifier.0.weight"
        assert decay[id(parameter)] == (0.0 if is_free else 0.1), name
    assert {group.weight_decay for group in groups(model, weight_decay_on="all")} == {0.1}


def test_ratios_and_the_decay_from_layer_to_layer_multiply() -> None:
    """1 : 4 : 10 of the notes, and each layer at half the rate of the one above it."""
    model = classifier()
    found = groups(model, rate_ratios=(1.0, 4.0, 10.0), layer_decay=0.5)
    factor = {id(parameter): group.rate_factor for group in found for parameter in group.parameters}
    by_name = {name: factor[id(parameter)] for name, parameter in model.named_parameters()}
    layers = [by_name[f"blocks.attn_layers.{number}.conv1.weight"] for number in range(4)]
    assert layers == [0.125, 0.25, 0.5, 1.0] and by_name["embedding.weight"] == 0.0625
    assert by_name["blocks.norm.weight"] == by_name["head.weight"] == 4.0 and by_name["classifier.1.weight"] == 10.0


def test_the_optimizer_steps_with_these_rates() -> None:
    """Groups that are only listed would be a table of wishes."""
    run = trainer_of(classifier(), rate_ratios=(1.0, 4.0, 10.0))
    assert sorted({group["lr"] for group in run.optimizer.param_groups}) == pytest.approx([0.01, 0.04, 0.1])


def test_the_preset_staged_has_the_rates_of_the_forgery_notes() -> None:
    """5e-5 for the encoder, 2e-4 for the neck, 5e-4 for the head; clipped at 0.5, warmed up for three epochs."""
    settings = command_line.read(["--preset", "small", "staged"])
    run = trainer_of(classifier(), rate_ratios=settings.transfer.rate_ratios)
    factors = sorted({group.rate_factor for group in run.groups})
    assert [settings.trainer.learning_rate * factor for factor in factors] == pytest.approx([5e-5, 2e-4, 5e-4])
    assert settings.guard.clip_grad_norm == 0.5 and settings.trainer.warmup_epochs == 3
    assert settings.trainer.cosine and settings.trainer.restart_epochs == 10
