"""Mixed precision: which number format the forward pass uses, decided in one place."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import torch

AmpName = Literal["off", "bf16", "fp16", "auto"]


def amp_dtype(amp: AmpName, device: torch.device) -> torch.dtype | None:
    """Return the precision of the forward pass, None for float32.

    A T4 reports bf16 as supported because it emulates it, slowly: there `auto` means fp16.
    """
    if amp == "auto":
        if device.type != "cuda":
            return None
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    return {"off": None, "bf16": torch.bfloat16, "fp16": torch.float16}[amp]


def autocast(device: torch.device, precision: torch.dtype | None) -> AbstractContextManager[Any]:
    """Return the context of the forward pass."""
    return nullcontext() if precision is None else torch.autocast(device.type, precision)


def describe(precision: torch.dtype | None) -> str:
    """Return the name of a precision as users know it."""
    return "float32" if precision is None else str(precision).removeprefix("torch.")
