"""Processes of the system: from /proc where there is one, else from `ps`."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path


def hear_all_signals() -> None:
    """Undo, in a child before it starts, what a test run in the background or under nohup hands down."""
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


def children(process_id: int) -> list[int]:
    """Process ids of the children of a process, zombies left out."""
    return [pid for pid, (parent, state) in _all().items() if parent == process_id and state != "Z"]


def runs(process_id: int) -> bool:
    """Whether a process is there and no zombie."""
    return _all().get(process_id, (0, "Z"))[1] != "Z"


def _all() -> dict[int, tuple[int, str]]:
    """Parent and state of every process."""
    if Path("/proc/self/stat").exists():
        rows = [_from_proc(path) for path in Path("/proc").glob("[0-9]*/stat")]
    else:
        shown = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,stat="], capture_output=True, text=True, check=True)
        rows = [line.split() for line in shown.stdout.splitlines()]
    return {int(row[0]): (int(row[1]), row[2][0]) for row in rows if row}


def _from_proc(path: Path) -> list[str]:
    try:
        content = path.read_text(errors="replace")
    except OSError:
        return []  # it ended while the list was made
    state, parent = content.rsplit(")", 1)[1].split()[:2]  # the name before may hold anything
    return [path.parent.name, parent, state]
