"""What it means when the memory of the device is exhausted, and which batch would fit."""

from __future__ import annotations

import re

import torch

from utils.errors import NumericalError

ASKED_FOR = re.compile(r"(\d+ bytes|[Tt]ried to allocate [\d.]+ \w+)")


def is_exhausted(error: BaseException) -> bool:
    """Say whether an error means that there was no memory; torch has no class of its own for that on the CPU."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)


def exhausted(error: BaseException, *, device: torch.device, micro_batch_size: int, where: str) -> NumericalError:
    """Return the error to tell: what was asked for, and half the windows per pass as the way out.

    Args:
        error: as torch raised it.
        device: where.
        micro_batch_size: windows per forward pass that did not fit.
        where: which step.
    """
    asked = ASKED_FOR.search(str(error))
    if micro_batch_size > 1:
        way_out = f"--micro_batch_size {micro_batch_size // 2} (the step stays that of the whole batch)"
    else:
        way_out = "--activation_checkpointing, a shorter --seq_len, or a smaller model (--preset small, --preset tiny)"
    return NumericalError(
        "OUT_OF_MEMORY",
        f"{micro_batch_size} windows at once do not fit the memory of {device}.",
        where=where,
        evidence=f"asked for: {asked.group(0) if asked else 'not told'}; last.pt holds the last whole epoch, if any",
        next_command=way_out,
    )
