"""Before you pay: what a training will cost, told without training and without writing anything."""

from __future__ import annotations

import logging
import math
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch

import models
from data_provider.factory import load_splits
from data_provider.windows import CALENDAR_MARKS, WindowSet
from exp import costs, forecasters
from exp.diagnosis.model_check import random_windows
from exp.diagnosis.preflight import USUAL_REGIONS, USUAL_VARIABLES, dimensions_of
from exp.forecasters import NetworkForecaster
from exp.micro_batches import total_memory
from exp.network_training import EVALUATION_BATCH
from exp.precision import describe
from exp.settings import Dimensions, Settings, context_length
from exp.state_keeper import bytes_of_states
from exp.trainer import Trainer, predict_logits
from utils.reproducibility import choose_device, seed_everything

logger = logging.getLogger(__name__)
GIB = 2**30
# Training windows of the case: what an epoch is where there is no table to count them in.
WINDOWS_OF_THE_CASE = 6224
MOST_STEPS, ENOUGH_SECONDS, FEW = 3, 5.0, 2
LINE = "  %-13s %s"


@dataclass(frozen=True)
class Material:
    """What the cost is measured with.

    Attributes:
        dimensions: of the data.
        train: windows to take steps on.
        n_train: training windows of an epoch.
        validation: windows scored after each epoch; None where there is no table.
        told: where the windows come from.
    """

    dimensions: Dimensions
    train: WindowSet
    n_train: int
    validation: WindowSet | None
    told: str


def tell(settings: Settings) -> None:
    """Log what a training with these flags takes in parameters, arithmetic, memory, disk and time.

    Raises:
        ForeseenError: the flags make no model, or the table is there and at fault.
    """
    name = settings.run.model
    logger.info("DRY RUN of %s: nothing is trained, nothing is written.", name)
    if models.kind(name) != "network":
        logger.info(
            "%s is a reference, fitted in one call: it has no steps, gradients or states, and no such cost.", name
        )
        return
    device = choose_device(settings.run.device, settings.run.gpu)
    seed_everything(settings.run.seed)
    material = _material(settings, device)
    forecaster = forecasters.build(settings, material.dimensions, device)
    assert isinstance(forecaster, NetworkForecaster)
    found = costs.count(forecaster, material.train)
    here = costs.fit(
        settings,
        material.dimensions,
        found.state,
        found.here,
        found.here_half,
        total_memory(device),
        amp="bf16" if device.type == "cpu" else "auto",
    )
    forecaster.micro_batch_size = here.at_once
    for title, text in _lines(forecaster, material, found, here):
        logger.info(LINE, title, text)
    told = _time(forecaster, material) if here.is_enough else "not measured, since it does not fit"
    logger.info(LINE, "time", f"{told}; on {_name(device)}")


def _material(settings: Settings, device: torch.device) -> Material:
    """Return the windows of the table, or random ones of its usual size where there is none."""
    length = context_length(settings)
    if settings.data.path.is_file():
        splits = load_splits(
            settings.data,
            settings.split,
            settings.cleaning,
            settings.scaling,
            context_length=length,
            device=device,
            batch_size=settings.trainer.batch_size,
        )
        told = f"{len(splits.train):,} training windows of {length} rows in {settings.data.path}"
        return Material(dimensions_of(splits), splits.train, len(splits.train), splits.validation, told)
    dimensions = Dimensions(
        n_classes=settings.run.n_classes or 2,
        n_variables=USUAL_VARIABLES,
        context_length=length,
        n_marks=CALENDAR_MARKS + USUAL_REGIONS,
        n_regions=USUAL_REGIONS,
        step_hours=1,
        pressure_index=None,
    )
    told = (
        f"random numbers, {length} rows of {USUAL_VARIABLES} variables: there is no {settings.data.path}; an epoch is "
        f"taken as {WINDOWS_OF_THE_CASE:,} windows"
    )
    return Material(dimensions, random_windows(dimensions, device), WINDOWS_OF_THE_CASE, None, told)


def _lines(
    forecaster: NetworkForecaster, material: Material, found: costs.Costs, here: costs.Fit
) -> Iterator[tuple[str, str]]:
    """Yield what is known without a step, line by line."""
    settings, model = forecaster.settings, forecaster.model
    batch, steps = settings.trainer.batch_size, _steps(forecaster, material)
    device = material.train.device
    precision = describe(forecaster.objective(device).precision)
    yield "data", material.told
    yield "parameters", f"{found.parameters:,}"
    a_window = found.flops.training
    yield (
        "arithmetic",
        f"{operations(a_window)} a window forward and backward, {operations(batch * a_window)} a step of {batch}, "
        f"{operations(material.n_train * a_window)} an epoch of {steps:,} steps",
    )
    activations = here.needed - found.state
    yield (
        "memory",
        f"{size(here.needed)}: weights {size(found.weights)}, gradients {size(found.weights)}, optimizer moments "
        f"{size(2 * found.weights)}, activations {size(activations)} ({here.at_once} windows at once, {precision})",
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
    yield (
        "disk",
        f"{size(bytes_of_states(model))} for states (two kept, one being written), {size(found.tensors)} for best.pt",
    )


def _time(forecaster: NetworkForecaster, material: Material) -> str:
    """Take a few real steps and tell what an epoch takes."""
    trainer = Trainer(
        forecaster.model,
        forecaster.objective(material.train.device),
        forecaster.settings.trainer,
        forecaster.settings.guard,
        material.train,
        evaluate=lambda _: {},
        seed=forecaster.settings.run.seed,
    )
    a_step, told, count = _a_step(trainer, min(forecaster.settings.trainer.batch_size, material.n_train))
    steps = _steps(forecaster, material)
    training = steps * a_step
    if material.validation is None:
        return f"{told}, {duration(training)} an epoch, validation not counted"
    validation = _seconds_of_validation(trainer, material.validation, count)
    epochs = forecaster.settings.trainer.train_epochs
    whole = training + validation
    return (
        f"{told}, {duration(whole)} an epoch ({duration(training)} training, {duration(validation)} validation), "
        f"{duration(epochs * whole)} for {epochs} epochs at most"
    )


def _a_step(trainer: Trainer, batch: int) -> tuple[float, str, int]:
    """Return the seconds of a step, how they are known, and from how many windows: a part where a step is long."""
    trainer.model.train()
    # The first step also sets up moments and work spaces; the second tells how many windows there is patience for.
    _, few = (_seconds(trainer, min(FEW, batch)) for _ in range(2))
    count = min(batch, max(FEW, int(FEW * ENOUGH_SECONDS / few)))
    taken: list[float] = []
    while len(taken) < MOST_STEPS and sum(taken) < ENOUGH_SECONDS:
        taken.append(_seconds(trainer, count))
    a_step = statistics.median(taken) * batch / count
    part = "" if count == batch else f", of {count} windows each"
    return a_step, f"{duration(a_step)} a step (median of {len(taken)}{part})", count


def _seconds(trainer: Trainer, count: int) -> float:
    """Take a step on so many windows; of random windows there are fewer than in a batch."""
    ids = torch.arange(count, device=trainer.device) % len(trainer.train)
    started = _now(trainer.device)
    trainer._step(ids)
    return _now(trainer.device) - started


def _seconds_of_validation(trainer: Trainer, windows: WindowSet, count: int) -> float:
    """Return what the forward passes over all validation windows take, from so many of them."""
    batch = trainer.objective.micro_batch_size * EVALUATION_BATCH
    part = windows.subset(torch.arange(min(len(windows), count), device=windows.device))
    started = _now(trainer.device)
    predict_logits(trainer.model, part, batch, trainer.objective.precision)
    return (_now(trainer.device) - started) * len(windows) / len(part)


def _steps(forecaster: NetworkForecaster, material: Material) -> int:
    return -(-material.n_train // forecaster.settings.trainer.batch_size)


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)


def size(count: float) -> str:
    """Write bytes in GiB, small ones in MiB."""
    unit, name = (GIB, "GiB") if count >= GIB / 10 else (2**20, "MiB")
    return f"{count / unit:.2f} {name}"


def operations(count: float) -> str:
    """Write floating point operations with the prefix that keeps them below a thousand."""
    prefixes = ("", "k", "M", "G", "T", "P", "E")
    power = min(int(math.log10(max(count, 1)) // 3), len(prefixes) - 1)
    return f"{_digits(count / 1000**power)} {prefixes[power]}FLOP"


def duration(seconds: float) -> str:
    """Write a time in the unit in which it is read."""
    for least, unit, name in ((7200, 3600, "h"), (120, 60, "min"), (0.2, 1, "s")):
        if seconds >= least:
            return f"{_digits(seconds / unit)} {name}"
    return f"{_digits(1000 * seconds)} ms"


def _digits(value: float) -> str:
    """Write a number with three digits that mean something, and never as a power of ten."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
