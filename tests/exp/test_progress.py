"""How far a training is and when it ends: told from its steps and its last evaluation."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from exp import progress, trainer
from tests.exp.test_resume import Project


def training(**changes: Any) -> Any:
    values: dict[str, Any] = {"seconds": 10.0, "batch": 5, "epoch": 2, "steps_per_epoch": 20, "history": []}
    values["config"] = SimpleNamespace(train_epochs=4, batch_size=32)
    return SimpleNamespace(**(values | changes))


def test_the_pace_counts_steps_epochs_and_evaluations_that_are_left() -> None:
    """An end that leaves out the evaluations comes too early, and a machine is given back too soon."""
    found = progress.pace(training(history=[{"evaluation_seconds": 7.0}]))
    assert found.windows_per_second == 16.0 and found.epoch_seconds == 30.0
    assert found.run_seconds == 30.0 + 2 * 40.0 + 3 * 7.0


def test_in_the_first_epoch_no_evaluation_is_known() -> None:
    """Nothing is made up."""
    assert progress.pace(training(epoch=1)).run_seconds == 30.0 + 3 * 40.0


def test_the_end_has_its_day_where_that_is_not_today() -> None:
    """03:10 of tomorrow is no time of today."""
    evening = datetime(2026, 5, 3, 22, 30).timestamp()
    assert progress.clock(1800, evening) == "23:00"
    assert progress.clock(4 * 3600, evening) == "2026-05-04 02:30"


def test_memory_is_told_in_gibibytes() -> None:
    """The process of a test has taken some."""
    assert re.fullmatch(r"[0-9.e+]+ GiB", progress.memory(torch.device("cpu")))


@pytest.mark.usefixtures("without_figures")
def test_a_training_without_a_terminal_says_its_pace_in_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a log file no bar can be drawn, and hours without a word look like a program that hangs."""
    monkeypatch.setattr(trainer, "SECONDS_BETWEEN_LINES", 0.0)
    assert Project(tmp_path).start("--train_epochs", "1") == 0
    (log,) = tmp_path.glob("runs/*/*/train.log")
    lines = [text for text in log.read_text().splitlines() if "windows/s" in text]
    assert lines and re.search(r"epoch 1/1: step 1 of \d+, \d+ s left; [\d.e+]+ windows/s; all epochs by ", lines[0])
