"""What the guard costs: a guarded step and a plain one of the same model, in turn, many times.

The plain step clips too, as every recipe does: norm, clipping, fused AdamW. The guarded one also judges, keeps what a
replay needs, tells the host and watches for spikes.
"""

from __future__ import annotations

import statistics
import time
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.nn.utils import clip_grad_norm_
from tqdm import tqdm

import models
from data_provider.windows import WindowIndex, WindowSet
from exp.guard import GuardConfig
from exp.objective import Objective
from exp.presets import flags_of
from exp.trainer import Trainer, TrainerConfig

N_VARIABLES, N_REGIONS, STEPS_KEPT = 27, 5, 8
WARM_UP = 2
LIMIT_PERCENT = 1.0


def measure(preset: str, pairs: int) -> dict[str, Any]:
    """Return what the guard adds to a step, in per cent of the plain step.

    A step differs from the next by more than the guard costs, so two figures are given: the median over pairs of what
    is done outside of forward and backward pass, with the guard less without it; and the median ratio of whole steps,
    whose quartiles show the noise.

    Args:
        preset: option whose step is measured, on random numbers in 27 variables.
        pairs: how often.

    Raises:
        UsageError: there is no such preset.
    """
    flags = flags_of(preset)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    trainer = random_trainer(flags, device)
    ids = torch.arange(trainer.config.batch_size, device=device)
    taken: dict[str, list[_Seconds]] = {"plain": [], "guarded": []}
    steps = {"plain": _plain_step, "guarded": _guarded_step}
    for number in tqdm(range(pairs + WARM_UP), disable=None, leave=False, unit="pair"):
        for name in sorted(steps, reverse=bool(number % 2)):
            seconds = steps[name](trainer, ids)
            if number >= WARM_UP:
                taken[name].append(seconds)
    plain, guarded = taken["plain"], taken["guarded"]
    step = statistics.median(seconds.whole for seconds in plain)
    added = [with_it.outside - without.outside for without, with_it in zip(plain, guarded, strict=True)]
    ratios = [with_it.whole / without.whole - 1 for without, with_it in zip(plain, guarded, strict=True)]
    return {
        "preset": preset,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "pairs": pairs,
        "plain_step_milliseconds": round(1000 * step, 3),
        "guard_adds_milliseconds": round(1000 * statistics.median(added), 4),
        "guard_adds_percent": round(100 * statistics.median(added) / step, 4),
        "guard_adds_percent_quartiles": [round(100 * value / step, 4) for value in _quartiles(added)],
        "whole_step_ratio_percent": round(100 * statistics.median(ratios), 3),
        "whole_step_ratio_percent_quartiles": [round(100 * value, 3) for value in _quartiles(ratios)],
        "limit_percent": LIMIT_PERCENT,
    }


class _Seconds(NamedTuple):
    """Of a whole step, and of what it does outside of forward and backward pass."""

    whole: float
    outside: float


def _quartiles(values: list[float]) -> tuple[float, float]:
    low, _, high = statistics.quantiles(values, n=4)
    return low, high


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def random_trainer(flags: dict[str, Any], device: torch.device) -> Trainer:
    """Return a trainer of an option on random numbers in 27 variables."""
    windows = random_windows(flags, device, STEPS_KEPT * flags.get("batch_size", TrainerConfig().batch_size))
    sizes = {"n_variables": N_VARIABLES, "n_classes": 2, "n_marks": windows.marks.shape[1], "step_hours": 1}
    model = models.build("timer_xl_classifier", SimpleNamespace(**(flags | sizes))).to(device)
    batch = flags.get("batch_size", TrainerConfig().batch_size)
    trainer = Trainer(
        model,
        Objective(loss=torch.nn.functional.cross_entropy, micro_batch_size=batch),
        TrainerConfig(batch_size=batch, train_epochs=1, learning_rate=1e-5),
        GuardConfig(),
        windows,
        evaluate=lambda _: {},
        seed=0,
    )
    model.train()
    return trainer


def random_windows(flags: dict[str, Any], device: torch.device, count: int) -> WindowSet:
    """Return so many windows of an option, of random numbers in 27 variables and 5 regions."""
    length = flags["seq_len"]
    generator = np.random.default_rng(0)
    values = generator.normal(size=(count + length, N_VARIABLES)).astype(np.float32)
    index = WindowIndex(
        end=np.arange(length - 1, count + length - 1),
        region=np.arange(count) % N_REGIONS,
        init_time=np.datetime64("2020-01-01", "s") + np.arange(count) * np.timedelta64(3600, "s"),
        label=generator.integers(0, 2, count),
        past_class=np.zeros(count, np.int64),
        precipitation_mm=np.zeros(count, np.float32),
    )
    regions = tuple(f"region {number}" for number in range(N_REGIONS))
    return WindowSet(torch.from_numpy(values).to(device), index, length, regions, device)


def _guarded_step(trainer: Trainer, ids: torch.Tensor) -> _Seconds:
    started = _now(trainer.device)
    trainer.optimizer.zero_grad(set_to_none=True)
    step = trainer.record(ids)
    trainer.guard.before_forward(step)
    prepared = _now(trainer.device)
    loss, _ = trainer.objective.backward(trainer.model, trainer.train, ids)
    computed = _now(trainer.device)
    trainer.guard.step(loss)
    trainer.schedule.step()
    return _seconds(started, prepared, computed, _now(trainer.device))


def _plain_step(trainer: Trainer, ids: torch.Tensor) -> _Seconds:
    trainer.optimizer.found_inf = None  # type: ignore[attr-defined]
    started = _now(trainer.device)
    trainer.optimizer.zero_grad(set_to_none=True)
    prepared = _now(trainer.device)
    trainer.objective.backward(trainer.model, trainer.train, ids)
    computed = _now(trainer.device)
    clip_grad_norm_(trainer.model.parameters(), trainer.guard.clip_grad_norm)
    trainer.optimizer.step()
    trainer.schedule.step()
    return _seconds(started, prepared, computed, _now(trainer.device))


def _seconds(started: float, prepared: float, computed: float, ended: float) -> _Seconds:
    return _Seconds(ended - started, ended - started - (computed - prepared))
