"""What a training takes of a memory, and what would fit where it does not.

On a card that is not at hand a model is counted on torch's device `meta`, where nothing is computed. There attention is
the plain formula, which keeps the whole map and its dropout: a card with a fused kernel needs less, none more.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn

import models
from data_provider.series_windows import SeriesIndex, SeriesWindows
from exp import forecasters
from exp.diagnosis.model_check import RANDOM_WINDOWS, random_windows
from exp.forecast_training import ForecastTraining, lengths_of
from exp.forecasters import NetworkForecaster
from exp.micro_batches import Activations, largest_fitting, measure, state_bytes, usable
from exp.objective import Windows
from exp.settings import Dimensions, Settings, context_length, resolve

Training = NetworkForecaster | ForecastTraining
META = torch.device("meta")
HALF = torch.bfloat16
SMALLER_PRESETS = ("small", "tiny")


@dataclass(frozen=True)
class Costs:
    """What a network takes, in bytes.

    Attributes:
        weights: of all parameters; gradients take as much, the two moments of AdamW twice as much.
        tensors: of all that a weights file holds, running statistics included.
        state: of weights, gradients and moments.
        here: activations on this device, in the precision of the run.
        here_half: on this device in half precision.
        elsewhere: on a card, in the precision of the run, at most.
        elsewhere_half: on a card in half precision, at most.
    """

    weights: int
    tensors: int
    state: int
    here: Activations
    here_half: Activations
    elsewhere: Activations
    elsewhere_half: Activations


def count(training: Training, dimensions: Dimensions, windows: Windows) -> Costs:
    """Count what a network takes, without a step.

    Args:
        training: the network, on its device, and its flags.
        dimensions: of the data.
        windows: any windows of the right sizes, on that device.
    """
    model, loss = training.model, training.loss
    single = measure(model, loss, windows)
    half = measure(model, loss, windows, HALF)
    empty, nothing = on_no_device(training.settings, dimensions)
    card = measure(empty, _mean, nothing)
    # No precision but single exists on `meta`; what half precision saves is taken from this device.
    copies_of_weights = state_bytes(model) // 8
    card_half = Activations(card.fixed + copies_of_weights, card.per_window * half.per_window // single.per_window)
    precision = training.objective(windows.device).precision
    # `auto` is single precision on a CPU, but not on a card.
    is_half = training.settings.trainer.amp != "off"
    return Costs(
        weights=sum(parameter.nbytes for parameter in model.parameters()),
        tensors=sum(tensor.nbytes for tensor in model.state_dict().values()),
        state=state_bytes(model),
        here=single if precision is None else half,
        here_half=half,
        elsewhere=card_half if is_half else card,
        elsewhere_half=card_half,
    )


def on_no_device(settings: Settings, dimensions: Dimensions) -> tuple[nn.Module, Windows]:
    """Return the network of the flags and windows for it on the device `meta`: sizes, and no numbers."""
    if settings.run.task_name == "forecast":
        with META:
            return models.build(settings.run.model, settings.model), _series_windows(settings, dimensions)
    with META:
        forecaster = forecasters.build(settings, dimensions, META)
    assert isinstance(forecaster, NetworkForecaster)
    return forecaster.model, random_windows(dimensions, META)


def _series_windows(settings: Settings, dimensions: Dimensions) -> SeriesWindows:
    lengths = lengths_of(settings)
    length = lengths.context + lengths.ahead
    index = SeriesIndex(np.arange(RANDOM_WINDOWS) * length, np.zeros(RANDOM_WINDOWS, np.int64))
    rows = torch.empty(RANDOM_WINDOWS * length, dimensions.n_variables, device=META)
    return SeriesWindows(rows, index, lengths, [], META)


def on_a_card(settings: Settings, dimensions: Dimensions) -> tuple[int, Activations]:
    """Return the bytes of weights, gradients and moments, and the activations on a card, at most, without `--amp`."""
    model, windows = on_no_device(settings, dimensions)
    return state_bytes(model), measure(model, _mean, windows)


def _mean(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:  # noqa: ARG001 - in the place of a loss
    """Stand for the loss, which keeps next to nothing and may hold class weights of another device."""
    return logits.mean()


@dataclass(frozen=True)
class Fit:
    """How a training stands to one memory.

    Attributes:
        memory: bytes there are.
        at_once: windows of a forward pass.
        needed: bytes with so many windows.
        is_enough: the memory holds them.
        advice: one sentence.
    """

    memory: int
    at_once: int
    needed: int
    is_enough: bool
    advice: str


def fit(
    settings: Settings,
    dimensions: Dimensions,
    state: int,
    activations: Activations,
    half: Activations,
    memory: int,
    *,
    amp: str = "auto",
) -> Fit:
    """Say how the batches of a training fit a memory, by the rule that training itself goes by.

    Args:
        settings: flags of the training.
        dimensions: of the data.
        state: of weights, gradients and moments.
        activations: in the precision of the run.
        half: in half precision.
        memory: bytes there are.
        amp: what `--amp` has to say for half precision there.
    """
    config = settings.trainer
    batch = config.batch_size
    largest = largest_fitting(batch, activations, state, memory)
    at_once = min(config.micro_batch_size or largest, batch)
    room = usable(state, memory)
    if activations.of(largest) > room:
        advice = f"not even one window at a time fits; {_smaller(settings.run.task_name, dimensions, memory)}"
    elif at_once > largest:
        advice = f"{at_once} windows at once are too many: --micro_batch_size {largest} fits (the step stays the same)"
    elif at_once < batch:
        advice = f"the batch of {batch} goes through in micro-batches of {at_once} (the step stays the same)"
        if config.micro_batch_size is None:
            advice = f"{advice}, by itself or by --micro_batch_size {at_once}"
    else:
        advice = f"the whole batch of {batch} fits"
    with_half = largest_fitting(batch, half, state, memory)
    if with_half > largest and half.of(with_half) <= room:
        advice += f"; {with_half} at once with --amp {amp}"
    return Fit(memory, at_once, state + activations.of(at_once), activations.of(at_once) <= room, advice)


def _smaller(task_name: str, dimensions: Dimensions, memory: int) -> str:
    """Name the largest smaller option whose windows fit one at a time."""
    for preset in SMALLER_PRESETS:
        settings = Settings.from_values(resolve({"preset": (preset,), "task_name": task_name}), {})
        own = replace(dimensions, context_length=context_length(settings))
        state, activations = on_a_card(settings, own)
        if activations.of(1) <= usable(state, memory):
            return f"--preset {preset} does, in place of the sizes given"
    return "no preset does either"
