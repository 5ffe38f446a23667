"""Real saves, each in a process that kills itself at another call that reaches the disk.

    python -m tests.utils.killed_save FOLDER BEFORE

Leaves one folder a point: `FOLDER/1` as a kill at the first call leaves it, and so on; the last one survived. BEFORE is
a folder that every one begins as a copy of. Forks, since importing torch anew for each point would take minutes.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import torch

from utils import checkpoint, checkpoint_publish

# The archive of torch is written in dozens of pieces of some bytes; a kill between two of them is like any other.
LARGER_BYTES = 200
FILE, KEPT = "last.pt", "last-good.pt"


def content(value: float) -> dict[str, Any]:
    """Return a small training state full of one number."""
    return {"schema_version": 1, "step": int(value), "model_state_dict": {"a": torch.full((2000,), value)}}


def save(folder: Path, value: float, *, keep: bool) -> None:
    """Save a training state into a folder."""
    path, kept = folder / FILE, folder / KEPT if keep else None
    checkpoint.save(path, content(value), metadata={"value": value}, keep=kept)


def arm(number: int) -> None:
    """Make the process kill itself before the n-th rename, removal, flush or larger write, of which half is written."""
    calls = 0

    def counted(owner: Any, name: str) -> None:
        usual = getattr(owner, name)

        def call(*args: Any, **words: Any) -> Any:
            nonlocal calls
            calls += name != "_write" or len(args[1]) >= LARGER_BYTES
            if calls == number:
                if name == "_write":
                    usual(args[0], args[1][: len(args[1]) // 2])
                os.kill(os.getpid(), signal.SIGKILL)
            return usual(*args, **words)

        setattr(owner, name, call)

    counted(checkpoint_publish.HashingFile, "_write")
    for owner, name in ((os, "fsync"), (Path, "replace"), (Path, "unlink")):
        counted(owner, name)


def survives(folder: Path, number: int, value: float, *, keep: bool) -> bool:
    """Save in a child process that kills itself at the n-th call; return whether there was no such call."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            arm(number)
            save(folder, value, keep=keep)
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return False
    if status:
        raise RuntimeError(f"the save at point {number} failed instead of being killed: {status}")
    return True


def at_every_point(folder: Path, before: Path, value: float, *, keep: bool) -> None:
    """Kill a save at every point there is."""
    for number in range(1, 1000):
        place = folder / str(number)
        shutil.copytree(before, place)
        if survives(place, number, value, keep=keep):
            return
    raise RuntimeError("the save never survived")


if __name__ == "__main__":
    torch.set_num_threads(1)
    place, before, value, how = sys.argv[1:]
    at_every_point(Path(place), Path(before), float(value), keep=how == "keep")
