"""What many variables, long contexts and large batches cost: seconds and memory of a forward and a backward pass."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from tqdm import tqdm

import models
from data_provider.windows import CALENDAR_MARKS, WindowSet
from exp.diagnosis.model_check import random_windows
from exp.micro_batches import saved_bytes
from exp.presets import flags_of
from exp.settings import Dimensions, Settings
from exp.step_benchmark import timed, where_and_how_often

WARM_UP = 1
CONTEXT, VARIABLES, WINDOWS = 720, 9, 2


@dataclass(frozen=True)
class Case:
    """One size.

    Attributes:
        axis: what grows: variables, context or windows.
        variate_mode: joint or independent.
        variables: V.
        context: rows of a window.
        windows: of a batch.
    """

    axis: str
    variate_mode: str = "joint"
    variables: int = VARIABLES
    context: int = CONTEXT
    windows: int = WINDOWS


CASES = (
    *(Case("variables", mode, variables=number) for mode in ("joint", "independent") for number in (9, 27, 54, 135)),
    *(Case("context", context=rows) for rows in (480, 1440, 2880, 5760)),
    *(Case("windows", windows=number) for number in (1, 4, 16)),
)


def measure(preset: str, rounds: int, cases: tuple[Case, ...] = CASES) -> dict[str, Any]:
    """Return seconds and bytes kept for the backward pass, and their ratios to the first case of an axis and mode.

    Every round takes each case once, so that a machine that grows slower slows all of them.

    Args:
        preset: option whose model is measured, on random numbers and without an optimizer.
        rounds: how often.
        cases: sizes.

    Raises:
        UsageError: there is no such preset.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    built = {case: _build(preset, case, device) for case in cases}
    seconds: dict[Case, list[float]] = {case: [] for case in cases}
    for turn in tqdm(range(rounds + WARM_UP), disable=None, leave=False, unit="round"):
        for case, (model, windows) in built.items():
            taken = _seconds(model, windows, case.windows)
            if turn >= WARM_UP:
                seconds[case].append(taken)
    kept = {
        case: saved_bytes(model, F.cross_entropy, windows, case.windows) for case, (model, windows) in built.items()
    }
    rows = [_row(case, cases, seconds, kept) for case in cases]
    return {"preset": preset, **where_and_how_often(device, rounds), "cases": rows}


def table(found: dict[str, Any]) -> list[str]:
    """Return the figures of `measure` as lines for the terminal."""
    lines = [
        f"preset {found['preset']}, {found['device']}, {found['threads']} threads, {found['rounds']} rounds; forward "
        "and backward pass, ratios to the first line of a kind",
        f"{'grows':<10} {'mode':<12} {'variables':>9} {'context':>8} {'windows':>8} {'ms':>9} {'ratio':>7} "
        f"{'MiB':>9} {'ratio':>7}",
    ]
    for row in found["cases"]:
        size = (
            f"{row['axis']:<10} {row['variate_mode']:<12} {row['variables']:>9} {row['context']:>8} {row['windows']:>8}"
        )
        taken = f"{1000 * row['seconds']:>9.1f} {row['seconds_ratio']:>7.2f}"
        lines.append(f"{size} {taken} {row['saved_mebibytes']:>9.1f} {row['saved_ratio']:>7.2f}")
    return lines


def _row(
    case: Case, cases: tuple[Case, ...], seconds: dict[Case, list[float]], kept: dict[Case, int]
) -> dict[str, Any]:
    first = next(one for one in cases if (one.axis, one.variate_mode) == (case.axis, case.variate_mode))
    middle, least = (statistics.median(seconds[one]) for one in (case, first))
    return {
        **vars(case),
        "seconds": round(middle, 4),
        "seconds_ratio": round(middle / least, 2),
        "saved_mebibytes": round(kept[case] / 2**20, 2),
        "saved_ratio": round(kept[case] / kept[first], 2),
    }


def _build(preset: str, case: Case, device: torch.device) -> tuple[Any, WindowSet]:
    flags = {**flags_of(preset), "variate_mode": case.variate_mode}
    settings = Settings.from_values(flags, flags)
    token = settings.model.input_token_len
    dimensions = Dimensions(
        n_classes=2,
        n_variables=case.variables,
        context_length=case.context // token * token,
        n_marks=CALENDAR_MARKS + 1,
        n_regions=1,
        step_hours=1,
        pressure_index=None,
    )
    model = models.build(settings.run.model, settings.model_arguments(dimensions, 2)).to(device)
    return model, random_windows(dimensions, device)


def _seconds(model: nn.Module, windows: WindowSet, count: int) -> float:
    """Time one forward and one backward pass."""
    ids = torch.arange(count, device=windows.device) % len(windows)
    x, marks = windows.inputs(ids), windows.marks[ids]
    taken = timed(lambda: F.cross_entropy(model(x, marks), windows.labels[ids]).backward(), windows.device)
    # All cases are in memory at once; the gradients of the largest option would double that.
    model.zero_grad()
    return taken
