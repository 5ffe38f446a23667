"""Which rate for whom: parameter groups of encoder, neck and head, layer by layer, and their schedules."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from exp.parts import part_of
from exp.stages import Stages
from exp.transfer_config import TransferConfig

Section = Literal["encoder", "neck", "head"]
SECTIONS: tuple[Section, ...] = ("encoder", "neck", "head")
# The last norm and the forecast head stand between the encoder's layers and the classifier.
NECK = ("norm", "head")


@dataclass(frozen=True)
class Group:
    """Parameters that share a rate.

    Attributes:
        name: such as `encoder layers.3`; for the log.
        parameters: of the model.
        rate_factor: on the learning rate.
        weight_decay: decoupled weight decay.
        begin: epoch in which they begin to learn; None: never.
    """

    name: str
    parameters: tuple[nn.Parameter, ...]
    rate_factor: float
    weight_decay: float
    begin: int | None


def groups_of(model: nn.Module, stages: Stages, config: TransferConfig, weight_decay: float) -> list[Group]:
    """Put every parameter into exactly one group.

    Args:
        model: the network; one without an encoder is all head.
        stages: from which epoch each parameter learns.
        config: ratios, decay from layer to layer, and what the weight decay pulls at.
        weight_decay: of matrices.
    """
    n_layers = len({part_of(name) for name in stages.begins if part_of(name).startswith("layers.")})
    found: dict[tuple[str, float, float, int | None], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        section, factor = _section(name, n_layers, config, is_encoder=hasattr(model, "encoder_modules"))
        decay = weight_decay if config.weight_decay_on == "all" or is_matrix(name, parameter) else 0.0
        found.setdefault((section, factor, decay, stages.begins[name]), []).append(parameter)
    return [
        Group(section, tuple(parameters), factor, decay, begin)
        for (section, factor, decay, begin), parameters in found.items()
    ]


def is_matrix(name: str, parameter: torch.Tensor) -> bool:
    """True for what weight decay is meant for: no norm, no bias, and not the table of the variate bias."""
    return parameter.ndim > 1 and "attn_bias" not in name


def with_own_warmup(
    factor: Callable[[int], float], begin: int | None, steps_per_epoch: int, warmup_epochs: float
) -> Callable[[int], float]:
    """Return the factor on the rate of a group that joins later: the schedule of all, times a warm-up of its own.

    Args:
        factor: of the attempted step, counted from 0.
        begin: epoch in which the group begins to learn.
        steps_per_epoch: attempted steps of an epoch.
        warmup_epochs: length of its warm-up.
    """
    if begin in (None, 1) or not warmup_epochs:
        return factor
    assert begin is not None, "told apart above"
    start, length = (begin - 1) * steps_per_epoch, max(1, round(warmup_epochs * steps_per_epoch))
    return lambda step: factor(step) * min(1.0, max(0, step - start + 1) / length)


def _section(name: str, n_layers: int, config: TransferConfig, *, is_encoder: bool) -> tuple[Section, float]:
    """Return the section of a parameter and the factor on its rate."""
    part = part_of(name)
    ratios = dict(zip(SECTIONS, config.rate_ratios, strict=True))
    if is_encoder and part == "embedding":
        return "encoder", ratios["encoder"] * config.layer_decay**n_layers
    if is_encoder and part.startswith("layers."):
        below = n_layers - 1 - int(part.partition(".")[2])
        return "encoder", ratios["encoder"] * config.layer_decay**below
    section: Section = "neck" if is_encoder and part in NECK else "head"
    return section, ratios[section]
