"""How long a training takes, from a few real steps of each of its stages."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import nn

from data_provider.windows import WindowSet
from exp.dry_run_material import Material
from exp.objective import Windows
from exp.stage_costs import StageCost, StagedCosts, enter
from exp.trainer import Trainer, predict_logits
from exp.units import duration

MOST_STEPS, ENOUGH_SECONDS, FEW = 3, 5.0, 2


@dataclass(frozen=True)
class EpochTime:
    """Seconds of an epoch.

    Attributes:
        step: what a step takes and how that is known.
        training: of its steps.
        validation: of its validation; None where there are no windows for it.
    """

    step: str
    training: float
    validation: float | None

    @property
    def seconds(self) -> float:
        """Return all of it."""
        return self.training + (self.validation or 0.0)

    def __str__(self) -> str:
        told = f"{self.step}, {duration(self.seconds)} an epoch"
        if self.validation is None:
            return told
        return f"{told} ({duration(self.training)} training, {duration(self.validation)} validation)"


def lines(material: Material, trainer: Trainer, costs: StagedCosts) -> Iterator[tuple[str, str]]:
    """Take a few real steps in each stage and yield what its epochs take, and last the whole training."""
    whole, told = 0.0, ""
    if costs.encoder is not None:
        enter(trainer, costs.stages[0].first)
        seconds, how = _encoder(material, trainer)
        whole += seconds
        yield "time encoder", f"{duration(seconds)} once, for {material.n_encoded:,} windows {how}"
    for number, stage in enumerate(costs.stages, start=1):
        epoch = _epoch(material, trainer, stage)
        whole += stage.epochs * epoch.seconds
        if trainer.stages.is_plain:
            told = f"{epoch}, "
        else:
            yield f"time stage {number}", str(epoch)
    whole_told = f"{duration(whole)} for {trainer.config.train_epochs} epochs at most"
    yield "time", f"{told}{whole_told}{', validation not counted' if material.validation is None else ''}"


def _encoder(material: Material, trainer: Trainer) -> tuple[float, str]:
    """Return the seconds of a frozen encoder's pass over all windows, and how they are known."""
    frozen, windows = trainer.frozen, trainer.train
    assert frozen is not None and isinstance(windows, WindowSet), "only then is there such a pass"

    def take(count: int) -> float:
        ids = torch.arange(count, device=windows.device) % len(windows)
        started = _now(trainer.device)
        frozen.once(windows, ids)
        return _now(trainer.device) - started

    batch = min(frozen.batch_size, material.n_train)
    seconds, how, _ = _of_a_batch(take, batch)
    return seconds * material.n_encoded / batch, how


def _epoch(material: Material, trainer: Trainer, stage: StageCost) -> EpochTime:
    enter(trainer, stage.first)
    batch = min(trainer.config.batch_size, material.n_train)
    a_step, how, count = _of_a_batch(lambda windows: _seconds(trainer, windows), batch)
    look_up = _look_up(trainer) if stage.is_cached else 0.0
    validation = None
    if material.validation is not None:
        validation = look_up + _validation(trainer, stage, material.validation, count)
    return EpochTime(f"{duration(a_step)} a step {how}", look_up + material.steps * a_step, validation)


def _look_up(trainer: Trainer) -> float:
    """Return what it takes to see, once for each split of an epoch, that the encoder is still the one of the cache."""
    assert trainer.frozen is not None, "only then is there a cache"
    started = time.perf_counter()
    trainer.frozen.key()
    return time.perf_counter() - started


def _of_a_batch(take: Callable[[int], float], batch: int) -> tuple[float, str, int]:
    """Return the seconds of a batch, how they are known, and from how many windows: a part where a batch is long.

    Args:
        take: takes so many windows and returns the seconds.
        batch: windows.
    """
    # The first step also sets up moments and work spaces; the second tells how many windows there is patience for.
    _, few = (take(min(FEW, batch)) for _ in range(2))
    count = min(batch, max(FEW, int(FEW * ENOUGH_SECONDS / few)))
    taken: list[float] = []
    while len(taken) < MOST_STEPS and sum(taken) < ENOUGH_SECONDS:
        taken.append(take(count))
    part = "" if count == batch else f", of {count} windows each"
    return statistics.median(taken) * batch / count, f"(median of {len(taken)}{part})", count


def _seconds(trainer: Trainer, count: int) -> float:
    """Take a step on so many windows; of random windows there are fewer than in a batch."""
    ids = torch.arange(count, device=trainer.device) % len(trainer.seen[1])
    started = _now(trainer.device)
    trainer._step(ids)
    return _now(trainer.device) - started


def _validation(trainer: Trainer, stage: StageCost, windows: Windows, count: int) -> float:
    """Return what the forward passes over all validation windows take, from so many of them."""
    part: Windows = windows.subset(torch.arange(min(len(windows), count), device=windows.device))
    if stage.is_cached:
        assert trainer.frozen is not None and isinstance(windows, WindowSet), "only then is it cached"
        part = trainer.frozen.few(windows, min(len(windows), trainer.frozen.batch_size))
    return _forward(trainer, trainer.seen[0], part) * len(windows) / len(part)


def _forward(trainer: Trainer, model: nn.Module, windows: Windows) -> float:
    started = _now(trainer.device)
    predict_logits(model, windows, len(windows), trainer.objective.precision)
    return _now(trainer.device) - started


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
