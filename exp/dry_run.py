"""Before you pay: what a training will cost, told without training and without writing anything."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import torch

import models
from exp import costs, dry_run_material, dry_run_time, stage_costs
from exp.dry_run_material import Material
from exp.frozen_encoder import memory_for
from exp.micro_batches import total_memory
from exp.precision import describe
from exp.settings import Settings
from exp.stage_costs import EncoderOnce, StageCost, StagedCosts
from exp.state_keeper import bytes_of_states
from exp.trainer import Trainer
from exp.units import GIB, operations, size
from utils.reproducibility import choose_device, seed_everything

logger = logging.getLogger(__name__)
LINE = "  %-13s %s"


def tell(settings: Settings) -> None:
    """Log what a training with these flags takes in parameters, arithmetic, memory, disk and time.

    Raises:
        ForeseenError: the flags make no model, or the data are there and at fault.
    """
    name = settings.run.model
    logger.info("DRY RUN of %s: nothing is trained, nothing is written.", name)
    if models.kind(name) != "network":
        logger.info(
            "%s is a reference, fitted in one call: it has no steps, gradients or states, and no such cost.", name
        )
        return
    device = choose_device(settings.run.device, settings.run.gpu)
    logger.info(
        "Measuring a few steps of a batch of %d on %s, on %s ... this can take a minute.",
        settings.trainer.batch_size,
        dry_run_material.source(settings),
        _name(device),
    )
    seed_everything(settings.run.seed)
    material = dry_run_material.load(settings, device)
    found = costs.count(material.training, material.dimensions, material.train)
    here = costs.fit(
        settings,
        material.dimensions,
        found.state,
        found.here,
        found.here_half,
        total_memory(device),
        amp="bf16" if device.type == "cpu" else "auto",
    )
    material.training.micro_batch_size = here.at_once
    trainer = material.trainer()
    staged = stage_costs.count(material, trainer)
    for title, text in (*_arithmetic(material, trainer, staged, here), *_room(material, trainer, found, here)):
        logger.info(LINE, title, text)
    if not here.is_enough:
        logger.info(LINE, "time", f"not measured, since it does not fit; on {_name(device)}")
        return
    for title, text in dry_run_time.lines(material, trainer, staged):
        logger.info(LINE, title, f"{text}; on {_name(device)}" if title == "time" else text)


def _arithmetic(
    material: Material, trainer: Trainer, staged: StagedCosts, here: costs.Fit
) -> Iterator[tuple[str, str]]:
    """Yield data, parameters and what is calculated, stage by stage where there are stages."""
    yield "data", material.told
    yield "parameters", f"{sum(parameter.numel() for parameter in trainer.plain_model.parameters()):,}"
    if trainer.stages.is_plain:
        yield "arithmetic", _of_steps(material, staged.stages[0])
        return
    if staged.encoder is not None:
        yield "encoder", _once(material, staged.encoder)
    for number, stage in enumerate(staged.stages, start=1):
        cached = ", on what the encoder gave" if stage.is_cached else ""
        memory = size(stage.state + stage.activations.of(here.at_once))
        yield (
            f"stage {number}",
            f"epochs {stage.first} to {stage.last}: {stage.learns}{cached}; {_of_steps(material, stage)}; {memory} of "
            "memory",
        )
    whole = operations(staged.operations(material.n_train))
    yield "arithmetic", f"{whole} for {trainer.config.train_epochs} epochs at most"


def _of_steps(material: Material, stage: StageCost) -> str:
    a_window, batch = stage.flops.training, material.training.settings.trainer.batch_size
    return (
        f"{operations(a_window)} a window forward and backward, {operations(batch * a_window)} a step of {batch}, "
        f"{operations(material.n_train * a_window)} an epoch of {material.steps:,} steps"
    )


def _once(material: Material, encoder: EncoderOnce) -> str:
    """Say what a frozen encoder takes, and what is kept of it where."""
    splits = {"training": material.n_train}
    if material.validation is not None:
        splits["validation"] = len(material.validation)
    kept = [
        f"{size(number * encoder.kept)} for {number:,} {split} windows {_place(material, number * encoder.kept)}"
        for split, number in splits.items()
    ]
    calculated = operations(material.n_encoded * encoder.forward)
    return f"frozen: it runs once, forward over all windows, {calculated}; kept of it are {', '.join(kept)}"


def _place(material: Material, kept: int) -> str:
    memory = memory_for(kept, material.train.device)
    return f"on the disk, under {material.folder}" if memory is None else f"in the memory of {_name(memory)}"


def _room(material: Material, trainer: Trainer, found: costs.Costs, here: costs.Fit) -> Iterator[tuple[str, str]]:
    """Yield memory and disk."""
    settings, device = material.training.settings, trainer.device
    activations = here.needed - found.state
    everything = "" if trainer.stages.is_plain else " where everything learns, by which batches are split"
    yield (
        "memory",
        f"{size(here.needed)}{everything}: weights {size(found.weights)}, gradients {size(found.weights)}, optimizer "
        f"moments {size(2 * found.weights)}, activations {size(activations)} ({here.at_once} windows at once, "
        f"{describe(trainer.objective.precision)})",
    )
    yield "this device", f"{_name(device)} has {size(here.memory)}: {here.advice}"
    if settings.run.dry_run_memory_gib is not None:
        memory = int(settings.run.dry_run_memory_gib * GIB)
        other = costs.fit(settings, material.dimensions, found.state, found.elsewhere, found.elsewhere_half, memory)
        yield (
            "another card",
            f"{size(other.memory)}, {size(other.needed)} needed at most with {other.at_once} windows at once: "
            f"{other.advice}",
        )
    states = size(bytes_of_states(trainer.plain_model))
    yield "disk", f"{states} for states (two kept, one being written), {size(found.tensors)} for best.pt"


def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)
