"""What many variables cost: a forward and a backward pass over 9, 27 and 54 of them, joint and independent, in turn."""

from __future__ import annotations

import statistics
import time
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from tqdm import tqdm

import models
from data_provider.windows import CALENDAR_MARKS, WindowSet
from exp.diagnosis.model_check import random_windows
from exp.micro_batches import PROBE_WINDOWS, saved_bytes
from exp.presets import flags_of
from exp.settings import Dimensions, Settings, context_length

MODES = ("joint", "independent")
VARIABLES = (9, 27, 54)
WARM_UP = 1
Case = tuple[str, int]


def measure(preset: str, rounds: int, variables: tuple[int, ...] = VARIABLES) -> dict[str, Any]:
    """Return seconds of two windows and bytes kept for the backward pass, and their ratios to the fewest variables.

    Every round takes each case once, so that a machine that grows slower slows all of them.

    Args:
        preset: option whose model is measured, on random numbers and without an optimizer.
        rounds: how often.
        variables: numbers of variables.

    Raises:
        UsageError: there is no such preset.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    cases = {(mode, number): _build(preset, mode, number, device) for mode in MODES for number in variables}
    seconds: dict[Case, list[float]] = {case: [] for case in cases}
    for turn in tqdm(range(rounds + WARM_UP), disable=None, leave=False, unit="round"):
        for case, (model, windows) in cases.items():
            taken = _seconds(model, windows)
            if turn >= WARM_UP:
                seconds[case].append(taken)
    rows = []
    for (mode, number), (model, windows) in cases.items():
        middle, fewest = (statistics.median(seconds[mode, count]) for count in (number, variables[0]))
        kept, kept_of_fewest = (_bytes(*cases[mode, count]) for count in (number, variables[0]))
        rows.append(
            {
                "variate_mode": mode,
                "variables": number,
                "tokens_per_variable": windows.context_length // model.config.input_token_len,
                "seconds": round(middle, 4),
                "seconds_ratio": round(middle / fewest, 2),
                "saved_mebibytes": round(kept / 2**20, 2),
                "saved_ratio": round(kept / kept_of_fewest, 2),
            }
        )
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    return {"preset": preset, "device": name, "rounds": rounds, "windows": PROBE_WINDOWS, "cases": rows}


def _build(preset: str, mode: str, n_variables: int, device: torch.device) -> tuple[Any, WindowSet]:
    flags = {**flags_of(preset), "variate_mode": mode}
    settings = Settings.from_values(flags, flags)
    dimensions = Dimensions(
        n_classes=2,
        n_variables=n_variables,
        context_length=context_length(settings),
        n_marks=CALENDAR_MARKS + 1,
        n_regions=1,
        step_hours=1,
        pressure_index=None,
    )
    model = models.build(settings.run.model, settings.model_arguments(dimensions, 2)).to(device)
    return model, random_windows(dimensions, device)


def _seconds(model: nn.Module, windows: WindowSet) -> float:
    """Time one forward and one backward pass."""
    ids = torch.arange(PROBE_WINDOWS, device=windows.device)
    x, marks = windows.inputs(ids), windows.marks[ids]
    _wait(windows)
    started = time.perf_counter()
    F.cross_entropy(model(x, marks), windows.labels[ids]).backward()
    _wait(windows)
    taken = time.perf_counter() - started
    # All cases are in memory at once; the gradients of the largest option would double that.
    model.zero_grad()
    return taken


def _bytes(model: nn.Module, windows: WindowSet) -> int:
    return saved_bytes(model, F.cross_entropy, windows)


def _wait(windows: WindowSet) -> None:
    if windows.device.type == "cuda":
        torch.cuda.synchronize(windows.device)
