"""Is the checkpoint that a run starts from what it should be? Finite tensors that fit the model."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from exp.diagnosis.report import Check
from utils import checkpoint
from utils.checkpoint_contents import judge
from utils.errors import ForeseenError
from utils.findings import Finding


def examine(path: Path) -> tuple[dict[str, Any] | None, Check, list[Finding]]:
    """Read a checkpoint and look for values that are not finite.

    Returns:
        Its tensors (None where it cannot be read), the answer, and what was found.
    """
    started = time.monotonic()
    try:
        state = checkpoint.load_weights(path)
    except ForeseenError as error:
        return None, Check("checkpoint", "guilty", f"{error.code}: {error.what}"), [Finding.from_error(error)]
    findings = judge(state, path)
    seconds = time.monotonic() - started
    if any(finding.severity == "error" for finding in findings):
        return state, Check("checkpoint", "guilty", f"{findings[0].code}: {findings[0].what}", seconds), findings
    values = [value.float() for value in state.values() if value.is_floating_point() and value.numel()]
    low = min((float(value.min()) for value in values), default=0.0)
    high = max((float(value.max()) for value in values), default=0.0)
    sentence = f"all {len(state)} tensors of {path} are finite, from {low:.4g} to {high:.4g}"
    return state, Check("checkpoint", "innocent", sentence, seconds), findings
