"""Is the checkpoint that a run starts from what it should be? Finite tensors that fit the model."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch

from exp.diagnosis.report import Check
from utils import checkpoint
from utils.errors import CheckpointError, ForeseenError
from utils.findings import Finding

TENSORS_SHOWN = 3


def examine(path: Path) -> tuple[dict[str, Any] | None, Check, list[Finding]]:
    """Read a checkpoint and look for values that are not finite.

    Returns:
        Its tensors (None where it cannot be read), the answer, and what was found.
    """
    started = time.monotonic()
    try:
        state = checkpoint.load(path)
    except ForeseenError as error:
        return None, Check("checkpoint", "guilty", f"{error.code}: {error.what}"), [Finding.from_error(error)]
    tensors = {name: value for name, value in state.items() if isinstance(value, torch.Tensor)}
    bad = {name: int((~torch.isfinite(value)).sum()) for name, value in tensors.items() if value.is_floating_point()}
    bad = {name: number for name, number in bad.items() if number}
    seconds = time.monotonic() - started
    if bad:
        finding = _not_finite(path, tensors, bad)
        return state, Check("checkpoint", "guilty", f"{finding.code}: {finding.what}", seconds), [finding]
    values = [value.float() for value in tensors.values() if value.is_floating_point() and value.numel()]
    low = min((float(value.min()) for value in values), default=0.0)
    high = max((float(value.max()) for value in values), default=0.0)
    sentence = f"all {len(tensors)} tensors of {path} are finite, from {low:.4g} to {high:.4g}"
    return state, Check("checkpoint", "innocent", sentence, seconds), []


def _not_finite(path: Path, tensors: dict[str, torch.Tensor], bad: dict[str, int]) -> Finding:
    first = next(iter(bad))
    index = tuple((~torch.isfinite(tensors[first])).nonzero()[0].tolist())
    names = ", ".join(list(bad)[:TENSORS_SHOWN]) + (" ..." if len(bad) > TENSORS_SHOWN else "")
    return Finding(
        code="CKPT_NONFINITE",
        severity="error",
        kind=CheckpointError,
        what=f"{len(bad)} of {len(tensors)} tensors of the checkpoint hold values that are not finite.",
        where=f"{path}: {names}",
        evidence=f"{first}: {bad[first]} of {tensors[first].numel()} values, first at {index}",
        next_command="download it again (checkpoints/README.md), or leave out --adaptation to train from scratch",
        figures={"tensors": bad},
    )
