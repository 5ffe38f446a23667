"""`--compile`: parts of a network become one kernel each, where a compiler is at hand."""

from __future__ import annotations

import logging
import warnings
from typing import Any

import torch
from torch import nn

logger = logging.getLogger(__name__)


def compile_parts(model: nn.Module, device: torch.device) -> bool:
    """Compile the layers of a network in place, or the whole network where it names none; names of tensors stay.

    All layers are one program, so the first step waits for one of them alone.

    Args:
        model: on its device.
        device: of the training.

    Returns:
        Whether there is a compiler; where there is none that is said, and the network runs as it is.
    """
    reason = why_not(device)
    if reason:
        logger.warning("COMPILE_OFF: --compile has no effect here, and the run goes on without it: %s", reason)
        return False
    own: Any = model
    for part in own.parts_to_compile() if hasattr(model, "parts_to_compile") else (model,):
        part.compile()
    logger.info("compiling: the first steps, and the first batch of another size, take up to a minute longer")
    return True


def why_not(device: torch.device) -> str:
    """Return why nothing can be compiled on a device; empty where a small program could be."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            probe = torch.ones(8, device=device)
            if not torch.equal(torch.compile(_probe)(probe), _probe(probe)):
                return "a small compiled program gives other numbers"
    except Exception as error:  # noqa: BLE001 - what a missing compiler raises has no common class
        return str(error).strip().splitlines()[0][:200]
    finally:
        torch.compiler.reset()
    return ""


def _probe(x: torch.Tensor) -> torch.Tensor:
    return (x * 2 + 1).relu()
