"""The learning curve: equal windows for all methods, parts that are kept, a table that says what it is."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from dataclasses import fields
from pathlib import Path

import pytest
import torch

from exp import command_line, curve_report, learning_curve
from exp.learning_curve import Cell, CurveConfig
from exp.settings import Settings
from models import build
from tests import make_table
from tests.conftest import ROOT
from utils.errors import UsageError

SMALL = "--preset smoke --variate_mode independent --encoder_features states --seq_len 48 --sample_stride_hours 6"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table, pre-trained weights of the smoke size and one finished curve over them."""
    place = tmp_path_factory.mktemp("curve")
    make_table.write(place)
    sizes = command_line.read(["--preset", "smoke", "--task_name", "forecast", "--model", "timer_xl"]).model
    torch.save(build("timer_xl", sizes).state_dict(), place / "encoder.pt")
    learning_curve.measure(config(place))
    return place


def config(place: Path, **other: object) -> CurveConfig:
    """Return the flags of a curve that takes seconds."""
    flags = {
        "root_path": str(place),
        "data_path": "table.csv",
        "sample_stride_hours": 6,
        "sizes": ("30", "all"),
        "methods": ("scratch", "probe", "gradient_boosting"),
        "seeds": 1,
        "pretrain_model_path": str(place / "encoder.pt"),
        "checkpoints": str(place / "runs"),
        "flags": SMALL,
    }
    return CurveConfig(**(flags | other))  # type: ignore[arg-type]


def settings_of(cell: Cell, place: Path) -> Settings:
    return command_line.read(learning_curve.words_of(cell, config(place)))


def test_every_cell_is_run_and_told(folder: Path) -> None:
    """A method that was left out in silence would look like one that nobody asked for."""
    rows = json.loads((folder / "runs" / "cells.json").read_text())
    assert [(row["method"], row["size"]) for row in rows] == [
        (method, size) for size in ("30", "all") for method in ("scratch", "probe", "gradient_boosting")
    ]
    assert all(row["windows"] == 30 for row in rows[:3]) and rows[3]["windows"] == rows[4]["windows"] > 300
    # Boosting looks back further and loses the head of the record, but no test window.
    assert len({(row["n"], row["base_rate"]) for row in rows}) == 1
    assert (folder / "runs" / curve_report.FIGURE).stat().st_size > 10_000


def test_all_methods_of_a_draw_train_on_the_same_windows(folder: Path) -> None:
    """Otherwise a lucky week and not the method would decide."""
    for seed in (0, 1):
        splits = {
            (settings_of(Cell(method, "30", seed), folder).split)
            for method in ("scratch", "probe", "frozen_warmup", "gradient_boosting")
        }
        assert len(splits) == 1 and next(iter(splits)).train_windows_seed == seed


def test_what_is_there_is_not_done_again(folder: Path) -> None:
    """A curve takes hours and is made in parts."""
    before = {path: path.stat().st_mtime_ns for path in (folder / "runs").rglob("scores.json")}
    learning_curve.measure(config(folder))
    after = {path: path.stat().st_mtime_ns for path in (folder / "runs").rglob("scores.json")}
    assert before == after and len(before) == 6


def test_a_signal_ends_it_with_what_is_there_and_the_same_command_goes_on(folder: Path, tmp_path: Path) -> None:
    """Hours into a curve a scheduler's SIGTERM must leave the cells, say so and end with 75."""
    own = config(folder, checkpoints=str(tmp_path / "runs"), sizes=("30",), flags=f"{SMALL} --train_epochs 400")
    words = [sys.executable, "-u", "-m", "exp.learning_curve"]
    for field in fields(CurveConfig):
        value = getattr(own, field.name)
        if value is not None:
            listed = list(value) if isinstance(value, tuple) else [str(value)]
            words += [f"--{field.name}={listed[0]}"] if len(listed) == 1 else [f"--{field.name}", *listed]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT) as process:
        state = wait_for(tmp_path / "runs", "*/*/metrics.jsonl")
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 75 and "0 of 3 cells are there" in said and "start the same command again" in said
    assert (state.parent / "last.pt").is_file()


def wait_for(place: Path, pattern: str) -> Path:
    """Return the first file of a pattern as soon as there is one."""
    for _ in range(600):
        found = list(place.glob(pattern))
        if found:
            return found[0]
        time.sleep(0.1)
    raise AssertionError(f"no {pattern} in {place}")


def test_other_weights_under_the_old_name_are_another_cell(folder: Path) -> None:
    """An encoder that was trained anew would be judged by the scores of the one before."""
    own = config(folder, sizes=("30",), methods=("probe",), checkpoints=str(folder / "again"))
    learning_curve.measure(own)
    weights = torch.load(folder / "encoder.pt")
    torch.save({name: value + 0.01 for name, value in weights.items()}, folder / "encoder.pt")
    learning_curve.measure(own)
    assert len(list((folder / "again").rglob("scores.json"))) == 2
    torch.save(weights, folder / "encoder.pt")


def test_other_flags_are_another_cell(folder: Path) -> None:
    """Cells of other settings under the old name would mix two curves."""
    learning_curve.measure(config(folder, sizes=("30",), methods=("scratch",), flags=f"{SMALL} --learning_rate 1e-2"))
    assert len(list((folder / "runs").rglob("scores.json"))) == 7


def test_a_probe_starts_from_the_weights_and_scratch_does_not(folder: Path) -> None:
    """The whole comparison hangs on it."""
    probe, scratch = (settings_of(Cell(method, "30", 0), folder) for method in ("probe", "scratch"))
    assert probe.run.adaptation and probe.transfer.tune == "head"
    assert not scratch.run.adaptation and scratch.transfer.tune == "full"


def test_the_frozen_warmup_thaws_half_way(folder: Path) -> None:
    """Frozen to the end it would be the probe under another name."""
    settings = settings_of(Cell("frozen_warmup", "30", 0), folder)
    assert settings.transfer.freeze_encoder_epochs * 2 == settings.trainer.train_epochs == 20


def test_the_table_shows_means_spread_and_constant_answers() -> None:
    """A collapsed draw inside of a mean must be seen."""
    rows = [
        {"method": "scratch", "size": "30", "seed": seed, "windows": 30, "synthetic": True, "collapsed": seed == 1,
         "skipped_steps": 2, "roc_auc": auc, "brier_skill_score": None, "base_rate": 0.25, "n": 1000}
        for seed, auc in enumerate((0.6, 0.8))
    ]  # fmt: skip
    text = curve_report.table(rows)
    assert "| from scratch | 0.700 +- 0.141 (2) = |" in text and "| from scratch | - |" in text
    assert "1,000 test windows, base rate 0.250; 2 draws" in text and "4 skipped steps" in text


@pytest.mark.parametrize(
    ("flags", "word"),
    [
        ({"methods": ("probes",)}, "probes"),
        ({"sizes": ("many",)}, "many"),
        ({"sizes": ("0",)}, "0"),
        ({"seeds": 0}, "1"),
    ],
)
def test_what_is_no_method_or_size_is_refused(flags: dict, word: str) -> None:
    """Before hours of runs, not after them."""
    with pytest.raises(UsageError, match=word):
        CurveConfig(**flags)


def test_a_method_in_capitals_is_offered_as_it_is_written() -> None:
    """All six methods as the next command would be hours where one was meant."""
    with pytest.raises(UsageError) as caught:
        CurveConfig(methods=("Probe",))
    assert caught.value.next_command == "--methods probe"


def test_a_size_above_the_table_is_refused_before_the_first_cell_with_the_flag_that_was_typed(
    folder: Path, tmp_path: Path
) -> None:
    """Hours into a curve is late to learn it, and a curve has no --train_windows that could be typed."""
    sizes, runs = ("30", "90000", "100000", "all"), tmp_path / "runs"
    with pytest.raises(UsageError) as caught:
        learning_curve.measure(config(folder, sizes=sizes, methods=("scratch",), checkpoints=str(runs)))
    assert caught.value.where == "--sizes" and "90000, 100000" in caught.value.what
    assert f"{windows_of_networks(folder)} training windows" in caught.value.evidence and caught.value.exit_code == 2
    assert caught.value.next_command == "--sizes 30 all" and not runs.exists()


def test_a_size_that_the_longest_context_does_not_leave_is_refused_too(folder: Path) -> None:
    """Boosting looks back 30 days, so a size that fits the networks could still fail at its cell, late."""
    with pytest.raises(UsageError, match="not so many training windows"):
        learning_curve.measure(config(folder, sizes=(str(windows_of_networks(folder)),)))


def windows_of_networks(folder: Path) -> int:
    """Return how many training windows the networks of the finished curve had at most."""
    (run,) = (folder / "runs").glob("scratch-all-seed0/*/config.json")
    return json.loads(run.read_text())["splits"]["windows"]["train"]


def test_the_help_that_a_message_offers_can_be_typed(monkeypatch, capsys) -> None:
    """`python learning_curve --help` is no command."""
    monkeypatch.setattr(sys, "argv", ["learning_curve", "--seeds", "1.5"])
    assert learning_curve.main() == 2 and "python -m exp.learning_curve --help" in capsys.readouterr().err
