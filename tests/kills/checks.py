"""What must hold after a kill, and at the end."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import torch

from exp import verified_states
from tests.kills.points import Journal
from tests.run_ends import differences
from utils import checkpoint_verdict, run_lock
from utils.errors import CheckpointError
from utils.files import TEMPORARY_SUFFIX


def after_kill(run: Path, journal: Journal) -> dict[str, Any]:
    """Look at all files of a run that was killed.

    Returns:
        `verdicts`: word -> number of files; `step` of the newest state that verifies, None without one; `faults`.
    """
    verdicts: Counter[str] = Counter()
    faults = []
    for path in checkpoint_verdict.find(run):
        verdict = checkpoint_verdict.examine(path)
        verdicts[verdict.status] += 1
        if verdict.status == "VALID":
            faults += _must_load(path)
    saved = [line["step"] for line in journal.lines("saved") if Path(line["file"]) == run / verified_states.LAST]
    try:
        point = verified_states.newest(run)
    except CheckpointError as error:
        point = None
        faults += [f"no state verifies after {len(saved)} saves: {error}"] if saved else []
    step = None if point is None else point.state["step"]
    if saved and (step is None or step < saved[-1]):
        faults.append(f"step {saved[-1]} was saved, and the newest state that verifies is of step {step}")
    return {"verdicts": dict(verdicts), "step": step, "faults": faults}


def at_end(reference: Path, run: Path, *, is_killed: bool) -> list[str]:
    """Return how a finished run differs from the one that was never stopped, and what it has left behind.

    Args:
        reference: the run that was never stopped.
        run: the other one.
        is_killed: its last process was killed after the scores were written, and could not clean up.
    """
    faults = [f"differs: {name}" for name in differences(reference, run)]
    if (reference / "best.pt").read_bytes() != (run / "best.pt").read_bytes():
        faults.append("differs: the bytes of best.pt")
    if run_lock.held_by(run) is not None:
        faults.append("the lock is held, and nobody is at work")
    left = [path for path in run.rglob("*") if path.name.endswith(TEMPORARY_SUFFIX) or path.name == run_lock.LOCK_FILE]
    return faults + ([] if is_killed else [f"left behind: {path.name}" for path in left])


def _must_load(path: Path) -> list[str]:
    try:
        torch.load(path, weights_only=True)
        if verified_states.is_state(path.name):
            verified_states.read(path)
    except Exception as error:
        return [f"{path.name} is called VALID and cannot be used: {type(error).__name__}: {error}"]
    return []
