"""Processes of the system, seen through `ps`, which every Unix has."""

from __future__ import annotations

import subprocess


def children(process_id: int) -> list[int]:
    """Process ids of the children of a process, zombies left out."""
    shown = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,stat="], capture_output=True, text=True, check=True)
    rows = [line.split() for line in shown.stdout.splitlines()]
    return [int(pid) for pid, parent, state in rows if int(parent) == process_id and not state.startswith("Z")]


def runs(process_id: int) -> bool:
    """Whether a process is there and no zombie."""
    shown = subprocess.run(["ps", "-o", "stat=", "-p", str(process_id)], capture_output=True, text=True, check=False)
    return bool(shown.stdout.strip()) and not shown.stdout.strip().startswith("Z")
