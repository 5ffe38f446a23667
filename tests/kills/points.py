"""Where a run kills itself: at the n-th call that reaches the disk inside a save, in a step, in a phase.

All of it is patched into the process of the run; the program knows nothing of it.
"""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exp import forecasters, judging, scoring, trainer, training_state
from utils import checkpoint, checkpoint_publish

# What is called on the way to the disk; a write has then written half.
WRITE, CALL = "write", "call"
PHASES: dict[str, tuple[Any, str]] = {
    "validation": (forecasters.NetworkForecaster, "_validate"),
    "scoring": (scoring, "evaluate"),
}


@dataclass(frozen=True)
class Kill:
    """One way to be killed.

    Attributes:
        how: ``write`` or ``call``, the number-th such call inside of saves; ``step``, within the number-th attempted
            step; a phase, some time after its number-th beginning; ``time``, some time after the start; ``none``.
        number: counted from 1.
        seconds: the time.
    """

    how: str
    number: int = 0
    seconds: float = 0.0

    @property
    def place(self) -> str:
        """The row of the table."""
        named = {
            WRITE: "inside a save",
            CALL: "inside a save",
            "step": "in a step, twice in an epoch",
            "time": "any time",
        }
        return named.get(self.how, f"in {self.how}")


class Journal:
    """Lines of JSON that survive the kill.

    Args:
        path: the file; lines are added.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def note(self, **what: Any) -> None:
        """Add a line."""
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(descriptor, (json.dumps(what) + "\n").encode())
        os.close(descriptor)

    def lines(self, event: str) -> list[dict[str, Any]]:
        """Return the lines of one kind."""
        if not self.path.exists():
            return []
        found = [json.loads(line) for line in self.path.read_text().splitlines()]
        return [line for line in found if line["event"] == event]


def die() -> None:
    """End this process as nothing can prevent."""
    os.kill(os.getpid(), signal.SIGKILL)


def arm(kill: Kill, journal: Journal) -> None:
    """Note saves and phases in the journal, and kill this process where it is to be killed."""
    _Saves(kill, journal).arm()
    for phase in PHASES:
        _arm_phase(phase, kill, journal)
    if kill.how == "step":
        _arm_step(kill.number)


def forget_generators() -> None:
    """Make a run go on without its random numbers: the fault that the comparison must see."""
    setattr(training_state, "restore_generators", lambda states, device: None)  # noqa: B010


def leave_out_drawings() -> None:
    """Spare figures, page and drawn report, which take most of the time of so small a run and are not compared."""
    from exp.diagnosis import report

    setattr(judging, "draw", lambda *_: [])  # noqa: B010
    setattr(judging, "write_page", lambda *_: None)  # noqa: B010
    setattr(report, "find_spec", lambda _: None)  # noqa: B010


class _Saves:
    """Counts the calls inside of saves."""

    def __init__(self, kill: Kill, journal: Journal) -> None:
        self.kill, self.journal = kill, journal
        self.counts: Counter[str] = Counter()
        self.is_inside = False
        self.open = os.open

    def arm(self) -> None:
        self._count(checkpoint_publish.HashingFile, "_write", WRITE)
        for owner, name in ((os, "fsync"), (os, "open"), (Path, "open"), (Path, "replace"), (Path, "unlink")):
            self._count(owner, name, CALL)
        usual = checkpoint.publish

        def publish(path: Path, *args: Any, **words: Any) -> None:
            self.is_inside = True
            try:
                usual(path, *args, **words)
            finally:
                self.is_inside = False
            told = {"step": words["metadata"].get("step"), "calls": dict(self.counts)}
            self.journal.note(event="saved", file=str(path), **told)

        setattr(checkpoint, "publish", publish)  # noqa: B010

    def _count(self, owner: Any, name: str, kind: str) -> None:
        usual = getattr(owner, name)

        def call(*args: Any, **words: Any) -> Any:
            if self.is_inside:
                self.counts[kind] += 1
                if (self.kill.how, self.kill.number) == (kind, self.counts[kind]):
                    if kind == WRITE:
                        usual(args[0], args[1][: len(args[1]) // 2])
                    die()
            return usual(*args, **words)

        setattr(owner, name, call)


def _arm_phase(phase: str, kill: Kill, journal: Journal) -> None:
    owner, name = PHASES[phase]
    usual, calls = getattr(owner, name), 0

    def call(*args: Any, **words: Any) -> Any:
        nonlocal calls
        calls += 1
        if (kill.how, kill.number) == (phase, calls):
            timer = threading.Timer(kill.seconds, die)
            timer.daemon = True
            timer.start()
        started = time.monotonic()
        answer = usual(*args, **words)
        journal.note(event="phase", name=phase, seconds=time.monotonic() - started)
        return answer

    setattr(owner, name, call)


def _arm_step(number: int) -> None:
    usual = trainer.Trainer._backward

    def backward(self: trainer.Trainer, ids: Any, of: Any) -> Any:
        answer = usual(self, ids, of)
        if self.step_number + 1 == number:
            die()
        return answer

    setattr(trainer.Trainer, "_backward", backward)  # noqa: B010
