"""What is told and kept around a training, whatever it learns: classes of rain or the next rows of series."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import run as program
from exp import forecast_description, run_description
from exp.trainer import Trainer
from tests.exp import test_forecasting
from tests.exp.test_resume import Cut, Project, cut_in_step
from utils import checkpoint, signals

pytestmark = pytest.mark.usefixtures("without_figures")
Start = Callable[..., int]


@pytest.fixture(autouse=True)
def _signals_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal that came in one test must not end the next."""
    monkeypatch.setattr(signals, "_state", signals._State())


@pytest.fixture(params=["classes", "series"])
def start(request: pytest.FixtureRequest, tmp_path: Path) -> Start:
    """Start a short training with more flags; its runs lie below `runs`."""
    if request.param == "classes":
        return Project(tmp_path, ["--train_epochs", "2"]).start
    folder = test_forecasting.write(tmp_path / "series")
    short = ["--train_epochs", "2", "--batch_size", "32", "--references", "none"]
    return lambda *more: program.main(test_forecasting.words(folder, *short, *more))


def runs(folder: Path) -> list[Path]:
    """Return the run directories, oldest first."""
    return sorted(path for path in folder.glob("runs/*/*-seed*"))


def test_an_interrupted_seed_of_several_names_the_command_that_does_all_of_them(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Going on by the directory finishes one seed, and the mean over three is never made."""
    usual = Trainer._step

    def step(trainer: Trainer, ids: torch.Tensor):
        answer = usual(trainer, ids)
        if trainer.step_number == 2 and trainer.seed == 1:
            signals._on_signal(signal.SIGTERM, None)
        return answer

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_step", step)
        patch.setattr("sys.argv", ["run.py", "--itr", "3"])
        assert start("--itr", "3") == 75
    said = capsys.readouterr().err
    assert "next:     python run.py --itr 3 --resume auto" in said and "is saved in last.pt" in said
    monkeypatch.setattr(signals, "_state", signals._State())
    assert start("--itr", "3", "--resume", "auto") == 0 and len(runs(tmp_path)) == 3


def test_a_signal_before_the_first_step_names_the_directory_that_was_made(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever finds a directory without weights wants to know where it comes from."""
    for place in (run_description, forecast_description):
        monkeypatch.setattr(place, "write", lambda *_: signals._on_signal(signal.SIGTERM, None))
    signals._state.phase = "running"
    assert start() == 75
    (run,) = runs(tmp_path)
    said = capsys.readouterr().err
    assert f"where:    {run}\n" in said and "nothing to save yet" in said and not (run / "run.lock").exists()


def test_the_pretrained_file_is_not_needed_once_a_state_holds_all_weights(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On the machine where a run goes on, nobody has copied 335 MB that are not read."""
    with monkeypatch.context() as patch, pytest.raises(Cut):
        cut_in_step(patch, 5)
        start("--checkpoint_steps", "2")
    (first,) = runs(tmp_path)
    weights = tmp_path / "weights.pth"
    torch.save(dict(checkpoint.load(first / "last.pt")["model_state_dict"]), weights)
    more = ["--adaptation", "--pretrain_model_path", str(weights), "--checkpoint_steps", "2", "--resume", "auto"]
    with monkeypatch.context() as patch, pytest.raises(Cut):
        cut_in_step(patch, 5)
        start(*more)
    weights.unlink()
    assert start(*more) == 0
    assert f"{weights} is gone and not needed" in capsys.readouterr().out
    assert start(*more[:-2]) == 4, "a new run needs it"
    assert sorted((run / "scores.json").exists() for run in runs(tmp_path)) == [False, True]
