"""Which process on which machine: enough to tell a living one from a dead one whose number was given away again."""

from __future__ import annotations

import os
import socket
from pathlib import Path

PROC = Path("/proc")


def host() -> str:
    """Return the name of this machine or container."""
    return socket.gethostname()


def boot() -> str:
    """Return a name for this start of this machine's kernel; empty where the system gives none."""
    return _read(PROC / "sys" / "kernel" / "random" / "boot_id").strip()


def started(pid: int) -> str:
    """Return when a process was started, in clock ticks since the machine was; empty where unknown."""
    return _state_and_start(pid)[1]


def lives(pid: int, start: str) -> bool:
    """Whether a process of this machine still runs, and is the one that was started then.

    Args:
        pid: its number.
        start: what `started` said of it; empty where that was unknown.
    """
    state, now = _state_and_start(pid)
    if state:
        return state not in "ZX" and start in ("", now)
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        return False
    return True


def _state_and_start(pid: int) -> tuple[str, str]:
    # The name before the bracket may hold anything; state and start are fields 3 and 22 of proc(5).
    fields = _read(PROC / str(pid) / "stat").rpartition(")")[2].split()
    return (fields[0], fields[19]) if len(fields) > 19 else ("", "")


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
