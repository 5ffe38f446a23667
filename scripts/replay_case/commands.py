"""Acts 2 and 3 are the project's own commands, started as a user starts them, and read from the files they leave."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.replay_case.reenactment import EPOCHS, MODEL_FLAGS
from scripts.replay_case.stacked import WINDOW_ROWS
from utils.errors import EXIT_OK, ForeseenError
from utils.run_directory import FINISHED_FILE, read_json

PROGRAM = Path(__file__).resolve().parents[2] / "run.py"
EXIT_DATA = 3
DIAGNOSIS_FILE = "diagnosis.json"
# Windows of 1440 rows that stay in one region leave few for training; one token of 480 rows, 240 days, leaves enough.
CLEAN_WINDOW_ROWS = MODEL_FLAGS["input_token_len"]


@dataclass(frozen=True)
class Diagnosis:
    """What the diagnosis said; the verdict is empty where it left none, and so are the seconds of its checks."""

    command: str
    exit_code: int
    seconds: float
    verdict: dict[str, Any]
    check_seconds: float | None = None

    @property
    def found_the_cause(self) -> bool:
        """Did it refuse the data, as the fault it is?"""
        return self.exit_code == EXIT_DATA and self.verdict.get("code") == "DATA_NAN"

    @property
    def stacked(self) -> dict[str, Any] | None:
        """What it counted for a loader that cuts straight through the stacked rows, where it did."""
        return self.verdict.get("figures", {}).get("stacked")


@dataclass(frozen=True)
class CleanRun:
    """A run of the same model with the project's defaults, from its own files; `windows` are those of training."""

    command: str
    seconds: float
    folder: Path
    windows: int
    epochs: tuple[dict[str, Any], ...]
    scores: dict[str, Any]

    @property
    def skipped(self) -> int:
        """Steps skipped because they were not finite."""
        return sum(row["skipped_steps"] for row in self.epochs)

    @property
    def steps(self) -> int:
        """Steps taken or skipped."""
        return self.epochs[-1]["step"]


def diagnose(table: Path, home: Path) -> Diagnosis:
    """Ask the project what is wrong with the table, before any training.

    Args:
        table: CSV of the case.
        home: folder for what is written.
    """
    words = ["--task_name", "diagnose", "--fill", "none", "--seq_len", str(WINDOW_ROWS)]
    command, exit_code, seconds, new = _run(table, home, words, f"diagnosis-*/{DIAGNOSIS_FILE}")
    content = read_json(new[-1]) if new else {}
    return Diagnosis(command, exit_code, seconds, content.get("verdict") or {}, content.get("seconds"))


def train_cleanly(table: Path, home: Path, *, seed: int, extra: tuple[str, ...] = ()) -> CleanRun:
    """Train and score the same model with the project's defaults.

    Args:
        table: CSV of the case.
        home: folder for what is written.
        seed: of the run.
        extra: further flags.

    Raises:
        ForeseenError: the run did not end well.
    """
    words = ["--seq_len", str(CLEAN_WINDOW_ROWS), "--train_epochs", str(EPOCHS), "--seed", str(seed), *extra]
    command, exit_code, seconds, new = _run(table, home, words, f"timer_xl_classifier-*/{FINISHED_FILE}")
    if exit_code != EXIT_OK or not new:
        raise ForeseenError(
            "REPLAY",
            "The clean training of act 3 did not end well.",
            where=command,
            evidence=f"exit code {exit_code}; its own message stands above",
            next_command=command,
        )
    folder = new[-1].parent
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    windows = read_json(folder / "config.json")["splits"]["windows"]["train"]
    return CleanRun(command, seconds, folder, windows, tuple(rows), read_json(new[-1]))


def _run(table: Path, home: Path, words: list[str], pattern: str) -> tuple[str, int, float, list[Path]]:
    """Run `run.py`; return the command as a user types it, exit code, seconds, and the new files of a pattern."""
    sizes = [word for name, value in MODEL_FLAGS.items() for word in (f"--{name}", str(value))]
    places = ["--root_path", f"{table.parent}/", "--data_path", table.name]
    places += ["--checkpoints", f"{home.parent}/", "--model_id", home.name]
    arguments = [*words, *places, *sizes]
    before = set(home.glob(pattern))
    started = time.monotonic()
    answer = subprocess.run([sys.executable, str(PROGRAM), *arguments], check=False)
    seconds = time.monotonic() - started
    new = sorted(set(home.glob(pattern)) - before)
    return shlex.join(["python", PROGRAM.name, *arguments]), answer.returncode, seconds, new
