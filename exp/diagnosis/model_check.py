"""One forward and one backward pass on two windows, on the device and in the precision that will be used."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from data_provider.windows import WindowIndex, WindowSet
from exp import memory
from exp.diagnosis import record
from exp.diagnosis.attribution import attribute
from exp.diagnosis.replay import Replay, Suspect, replay
from exp.diagnosis.report import Check
from exp.diagnosis.verdict import Verdict
from exp.forecasters import NetworkForecaster
from exp.settings import Dimensions
from utils.errors import NumericalError
from utils.findings import Finding
from utils.reproducibility import hardware

logger = logging.getLogger(__name__)
RANDOM_WINDOWS = 2


def suspect_of(
    forecaster: NetworkForecaster, windows: WindowSet, ids: torch.Tensor, variables: tuple[str, ...], name: str
) -> Suspect:
    """Return a training step on these windows that has not been taken yet."""
    model = forecaster.model
    model.train()
    return Suspect(
        model=model,
        objective=replace(forecaster.objective(windows.device), micro_batch_size=len(ids)),
        windows=windows,
        ids=ids,
        variables=variables,
        step_hours=forecaster.dimensions.step_hours,
        n_classes=forecaster.target_classes,
        name=name,
    )


def first_and_last(windows: WindowSet) -> torch.Tensor:
    """Return the ids of two windows far apart, one where there is only one."""
    return torch.tensor(sorted({0, len(windows) - 1}), device=windows.device)


def examine(suspect: Suspect) -> tuple[Replay | None, list[Check], list[Finding], Verdict | None]:
    """Take a forward and a backward pass, and explain it where it is not finite.

    Returns:
        The pass (None where the device failed), the answers about forward pass and gradients, findings, and the verdict
        where it was not finite.
    """
    started = time.monotonic()
    try:
        seen = replay(suspect)
    except (RuntimeError, MemoryError) as error:
        finding = _failed(error, suspect)
        return None, [Check("forward and backward pass", "guilty", f"{finding.code}: {finding.what}")], [finding], None
    seconds = time.monotonic() - started
    forward = Check(
        "forward pass",
        "innocent" if seen.outputs_finite else "guilty",
        f"outputs {record.sentence(seen.figures['output'])}; loss {seen.loss:.4g}",
        seconds,
    )
    largest = ", ".join(f"{name} {norm:.3g}" for name, norm in list(seen.figures["gradient_norms"].items())[:3])
    gradients = Check(
        "gradients",
        "innocent" if seen.is_finite else "guilty",
        f"total norm {seen.norm:.4g} over {len(seen.figures['gradient_norms'])} parameters; largest: {largest}",
    )
    if seen.is_finite:
        return seen, [forward, gradients], [], None
    verdict = attribute(suspect)
    return seen, [forward, gradients], [verdict.finding], verdict


def random_windows(dimensions: Dimensions, device: torch.device) -> WindowSet:
    """Return windows of standard normal numbers, for looking at a model where there are no data."""
    generator = torch.Generator().manual_seed(0)
    rows = RANDOM_WINDOWS * dimensions.context_length
    number = np.arange(RANDOM_WINDOWS)
    index = WindowIndex(
        end=(number + 1) * dimensions.context_length - 1,
        region=number % dimensions.n_regions,
        init_time=np.datetime64("2020-01-01", "s") + number * np.timedelta64(1, "D"),
        label=np.squeeze((number % dimensions.n_classes)[:, None].repeat(dimensions.n_leads, axis=1)),
        past_class=np.zeros(RANDOM_WINDOWS, np.int64),
        precipitation_mm=np.zeros(RANDOM_WINDOWS, np.float32),
    )
    regions = tuple(f"region {place}" for place in range(dimensions.n_regions))
    values = torch.randn(rows, dimensions.n_variables, generator=generator).to(device)
    return WindowSet(values, index, dimensions.context_length, regions, device)


def _failed(error: RuntimeError | MemoryError, suspect: Suspect) -> Finding:
    device, size = suspect.windows.device, len(suspect.ids)
    if memory.is_exhausted(error):
        told = memory.exhausted(error, device=device, micro_batch_size=size, where="before the first step")
        return Finding.from_error(told)
    return _device_failed(error, device)


def _device_failed(error: RuntimeError | MemoryError, device: torch.device) -> Finding:
    versions: dict[str, Any] = {"torch": str(torch.__version__), **hardware(device)}
    return Finding(
        code="DEVICE_FAILED",
        severity="error",
        kind=NumericalError,
        what="A forward and backward pass on two windows failed on this device.",
        where=str(device),
        evidence=f"{str(error).splitlines()[0][:200]}; "
        + ", ".join(f"{name} {value}" for name, value in versions.items()),
        next_command="--device cpu shows whether it is the device; for CUDA compare driver and torch on "
        "https://pytorch.org/get-started",
        figures=versions,
    )
