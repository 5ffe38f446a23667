"""A table, some configurations, and for each the run that was never stopped."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tests import make_table
from tests.kills import program
from tests.kills.points import Journal, Kill, arm, leave_out_drawings
from utils import run_directory

SECONDS_PER_RUN = 300.0
COMMON = (
    "--preset", "smoke", "--batch_size", "8", "--train_epochs", "3", "--learning_rate", "0.01",
    "--checkpoint_steps", "3",
)  # fmt: skip
CONFIGURATIONS = {
    "timer_xl": ("--dropout", "0.2"),
    "resnet1d, batch norm": ("--model", "resnet1d", "--resnet_dropout", "0.2"),
    "bf16, cosine": ("--dropout", "0.2", "--amp", "bf16", "--cosine", "--warmup_epochs", "0.5"),
    "micro batches": ("--dropout", "0.2", "--micro_batch_size", "3"),
    "a stage each epoch": ("--dropout", "0.2", "--unfreeze_schedule", "2:layers.0,3:embedding"),
}


@dataclass(frozen=True)
class Reference:
    """What a run is like that was never stopped.

    Attributes:
        run: its directory.
        seconds: how long it took.
        saves: how many files were saved.
        calls: kind of call -> how many there are inside of saves.
        phases: phase -> seconds of each time.
        steps: number of the last step of each epoch.
    """

    run: Path
    seconds: float
    saves: int
    calls: dict[str, int]
    phases: dict[str, list[float]]
    steps: list[int]


class Attempt:
    """One run with all that is done to it, in a folder of its own.

    Args:
        bench: the table and the reference.
        folder: an empty folder.
        configuration: name of the configuration.
    """

    def __init__(self, bench: Bench, folder: Path, configuration: str) -> None:
        folder.mkdir()
        self.bench, self.folder, self.configuration = bench, folder, configuration
        self.journal, self.log = Journal(folder / "journal.jsonl"), folder / "said.log"

    @property
    def words(self) -> list[str]:
        """All flags of the run."""
        return self.bench.words(self.configuration, self.folder / "runs")

    def start(self, *words: str, kill: Kill | None = None, prepare: Callable[[], None] | None = None) -> int:
        """Start the program with further flags; return its process id."""
        return program.start([*self.words, *words], self.log, partial(self._prepare, kill or Kill("none"), prepare))

    def finish(self, *words: str, kill: Kill | None = None, prepare: Callable[[], None] | None = None) -> int:
        """Start the program, and return its exit code."""
        return program.wait(self.start(*words, kill=kill, prepare=prepare), SECONDS_PER_RUN)

    def said(self) -> str:
        """Return what the last process said."""
        return self.log.read_text(errors="replace")

    def runs(self) -> list[Path]:
        """Return the run directories, oldest first."""
        return sorted(self.folder.glob("runs/*/*-seed*"))

    def finished(self) -> list[Path]:
        """Return the run directories that have scores."""
        return [run for run in self.runs() if (run / run_directory.FINISHED_FILE).exists()]

    def _prepare(self, kill: Kill, prepare: Callable[[], None] | None) -> None:
        leave_out_drawings()
        arm(kill, self.journal)
        if prepare is not None:
            prepare()


class Bench:
    """The table and the references, made once.

    Args:
        folder: an empty folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        make_table.write(folder)
        self._references: dict[str, Reference] = {}
        self._number = 0

    def words(self, configuration: str, checkpoints: Path) -> list[str]:
        """Return the flags of a run."""
        places = ["--root_path", str(self.folder), "--data_path", "table.csv", "--checkpoints", str(checkpoints)]
        return [*COMMON, *CONFIGURATIONS[configuration], "--device", "cpu", *places]

    def attempt(self, configuration: str) -> Attempt:
        """Return a new attempt."""
        self._number += 1
        return Attempt(self, self.folder / f"attempt-{self._number}", configuration)

    def discard(self, attempt: Attempt) -> None:
        """Delete all that an attempt has left."""
        shutil.rmtree(attempt.folder)

    def reference(self, configuration: str) -> Reference:
        """Return the run that was never stopped, making it where it is not there yet."""
        if configuration not in self._references:
            self._references[configuration] = self._made(configuration)
        return self._references[configuration]

    def _made(self, configuration: str) -> Reference:
        attempt, started = self.attempt(configuration), time.monotonic()
        assert attempt.finish() == 0, attempt.said()
        (run,) = attempt.finished()
        seconds = time.monotonic() - started
        phases: dict[str, list[float]] = {}
        for line in attempt.journal.lines("phase"):
            phases.setdefault(line["name"], []).append(line["seconds"])
        rows: list[dict[str, Any]] = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        saves = attempt.journal.lines("saved")
        return Reference(run, seconds, len(saves), saves[-1]["calls"], phases, [row["step"] for row in rows])
