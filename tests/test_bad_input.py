"""Bad input: one clear message, the right exit code, no traceback, nothing half-written."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import run as program
from tests import make_table

ROOT = Path(__file__).resolve().parent.parent
QUICK = ["--preset", "smoke", "--device", "cpu"]


def left_behind(folder: Path) -> list[Path]:
    """Return the files of a refused run, its diagnosis apart."""
    return [path for path in (folder / "runs").rglob("*") if path.is_file() and path.stem != "diagnosis"]


def attempt(folder: Path, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    """Run a command line on a folder with `table.csv`; return exit code and what it said on stderr."""
    places = ["--root_path", str(folder), "--data_path", "table.csv", "--checkpoints", str(folder / "runs")]
    code = program.main([*QUICK, *places, *words])
    said = capsys.readouterr().err
    assert "Traceback" not in said
    return code, said


@pytest.mark.parametrize(
    ("words", "code", "evidence"),
    [
        (["--model", "timer_xl_clasifier"], 2, "timer_xl_classifier"),
        (["--seq_lenn", "720"], 2, "--seq_len"),
        (["--preset", "smal"], 2, "--preset small"),
        (["--d_model", "30", "--n_heads", "4"], 2, "--n_heads"),
        (["--seq_len", "10", "--input_token_len", "24"], 2, "--input_token_len"),
        (["--seq_len", "9000"], 3, "CONTEXT_TOO_LONG"),
        (["--train_until", "2030", "--validation_until", "2031"], 3, "SPLIT_EMPTY"),
        (["--n_classes", "3"], 2, "--n_classes 2"),
        (["--data_path", "absent.csv"], 3, "quickstart.sh"),
        (["--root_path", "nowhere"], 3, "does not exist"),
        (["--adaptation", "--pretrain_model_path", "absent.pth"], 4, "CKPT_MISSING"),
        (["--device", "cuda"], 2, "no GPU"),
        (["--task_name", "predict"], 2, "--run"),
        (["--loss", "MSE"], 2, "CE, BCE"),
    ],
)
def test_wrong_flags_and_missing_files_end_with_their_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], code: int, evidence: str
) -> None:
    """Each message names the flag or file and a way out; no run directory is left behind."""
    make_table.write(tmp_path)
    found, said = attempt(tmp_path, capsys, *words)
    assert found == code and evidence in said and "next:" in said
    assert not left_behind(tmp_path)


@pytest.mark.parametrize(
    ("damage", "cause"),
    [
        (lambda content: content.drop(columns="rain_24h"), "DATA_TABLE"),
        (lambda content: content.assign(rain_24h=1.0), "ONE_CLASS"),
        (lambda content: content.assign(rain_24h=content.rain_24h * 5), "LABEL_RANGE"),
        (lambda content: content.assign(t2m=content.t2m.where(np.arange(len(content)) % 100 > 30)), "DATA_NAN"),
        (lambda content: content.assign(tp=np.nan, t2m=1.0, sp=1.0, wind_direction=0.0), "ZERO_VARIANCE"),
    ],
)
def test_a_damaged_table_ends_with_3_and_its_cause(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], damage, cause: str
) -> None:
    """The heart of the project: the data fault is named before the first step."""
    make_table.write(tmp_path, content=damage(make_table.frame()))
    code, said = attempt(tmp_path, capsys)
    assert code == 3 and said.startswith(cause) and "table.csv" in said
    assert not left_behind(tmp_path)
    (report,) = (tmp_path / "runs").rglob("diagnosis.json")
    verdict = json.loads(report.read_text())["verdict"]
    assert verdict["code"] == cause and verdict["next"] and (report.parent / "diagnosis.html").is_file()


def test_everything_that_is_missing_is_named_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One error after the other costs a night in a queue each time."""
    code, said = attempt(tmp_path, capsys, "--adaptation", "--pretrain_model_path", "absent.pth")
    assert code == 3 and "table.csv" in said and "absent.pth" in said and "CKPT_MISSING" in said


def test_a_forecaster_is_refused_as_a_classifier(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It has no head for classes and would fail in the loss."""
    make_table.write(tmp_path)
    code, said = attempt(tmp_path, capsys, "--model", "timer_xl")
    assert code == 2 and "timer_xl_classifier" in said and not (tmp_path / "runs").exists()


def test_a_termination_signal_ends_with_75_and_says_what_is_kept(tmp_path: Path) -> None:
    """Schedulers send SIGTERM; a silent death looks like a crash."""
    make_table.write(tmp_path)
    words = ["--preset", "smoke", "--root_path", str(tmp_path), "--data_path", "table.csv", "--train_epochs", "5000"]
    words += ["--patience", "5000", "--checkpoints", str(tmp_path / "runs"), "--device", "cpu"]
    process = subprocess.Popen(
        [sys.executable, "run.py", *words], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("epoch 2/"):
            break
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 75 and said.startswith("INTERRUPTED")
    (last,) = (tmp_path / "runs").glob("*/*/last.pt")
    assert torch.load(last)["epoch"] >= 1


def test_a_run_folder_that_cannot_be_written_ends_with_6(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A path that is a file stands for every place that cannot be written."""
    make_table.write(tmp_path)
    (tmp_path / "runs").write_text("")
    code, said = attempt(tmp_path, capsys)
    assert code == 6 and said.startswith("STORAGE_DENIED")


def test_the_exit_code_reaches_the_shell(tmp_path: Path) -> None:
    """Scripts and schedulers see the code, not the Python object."""
    answer = subprocess.run(
        [sys.executable, "run.py", "--root_path", str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert answer.returncode == 3 and answer.stderr.startswith("DATA_MISSING") and "Traceback" not in answer.stderr
