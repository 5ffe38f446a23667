"""The most memory that a process has taken so far, on a card or on the CPU."""

from __future__ import annotations

import sys
from typing import Any

import torch


def peak_memory(device: torch.device) -> dict[str, Any]:
    """Return the peak of the process until now: with several seeds in one process, that of all before too.

    Args:
        device: a card has its own count, of tensors alone; on the CPU it is the resident memory of the whole process.

    Returns:
        `peak_memory_bytes`, None where the system does not tell it, and `peak_memory_of`: "card" or "process".
    """
    if device.type == "cuda":
        return {"peak_memory_bytes": torch.cuda.max_memory_allocated(device), "peak_memory_of": "card"}
    return {"peak_memory_bytes": _resident(), "peak_memory_of": "process"}


def _resident() -> int | None:
    try:
        import resource
    except ModuleNotFoundError:  # Windows has no such count
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # kilobytes, but bytes on macOS
