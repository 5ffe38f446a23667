"""What a message tells a user to type works when it is typed, and does what was meant."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

import run as program
from exp import state_keeper
from tests.exp.test_resume import Project
from utils.errors import StorageError

pytestmark = pytest.mark.usefixtures("without_figures")
SHORT = ["--train_epochs", "2"]


def typed_next(said: str) -> list[str]:
    """Return the words behind `python run.py` in the last part of a message, up to the first word of prose."""
    words = shlex.split(said.partition("next:")[2].partition(" scores it again")[0].partition(";")[0])
    assert words[:2] == ["python", "run.py"]
    return words[2:]


def test_the_flags_of_saving_hold_when_a_run_goes_on_by_its_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run goes on with its own flags: safetensors that stop being written are those of an older epoch."""
    project = Project(tmp_path, ["--save_safetensors", "--save_every_epochs", "1"])
    run = project.cut_at(15, monkeypatch, "--checkpoint_steps", "3")
    project.words = []
    assert project.start("--resume", str(run)) == 0
    assert all((run / f"checkpoint_epoch_{epoch}.pt").is_file() for epoch in (1, 2, 3))
    epochs = [
        json.loads((run / f"best.{suffix}.json").read_text())["metadata"]["epoch"] for suffix in ("pt", "safetensors")
    ]
    assert int(epochs[0]) == int(epochs[1])


def test_a_finished_run_is_scored_again_by_the_command_that_its_refusal_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without its name the newest run of another experiment was scored, and nobody was told."""
    project = Project(tmp_path, SHORT)
    assert project.start() == 0 and project.start("--seed", "1") == 0
    first, second = project.runs()
    capsys.readouterr()
    assert project.start("--resume", str(first)) == 2
    words = typed_next(capsys.readouterr().err)
    project.words = []
    assert project.start(*words) == 0
    assert list(first.glob("scored-*/scores.json")) and not list(second.glob("scored-*"))


def test_a_run_that_is_not_finished_is_not_scored_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its best weights may be those of its first epoch."""
    project = Project(tmp_path, SHORT)
    run = project.cut_at(15, monkeypatch, "--checkpoint_steps", "3")
    assert project.start("--is_training", "0", "--run", str(run)) == 2
    assert f"python run.py --resume {run}" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--is_training", "0"], ["--task_name", "diagnose"], ["--task_name", "predict"]])
def test_only_a_training_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    """A flag that is ignored lets another run be scored, or another table be looked at."""
    assert Project(tmp_path, SHORT).start("--resume", "auto", *words) == 2
    assert "trains nothing" in capsys.readouterr().err


def test_a_folder_of_runs_is_told_from_an_empty_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The folder above the run is the natural mistake."""
    project = Project(tmp_path, SHORT)
    run = project.cut_at(5, monkeypatch, "--checkpoint_steps", "3")
    for place in (run.parent, run.parent.parent):
        assert project.start("--resume", str(place)) == 2
        said = capsys.readouterr().err
        assert "it holds 1 runs" in said and f"python run.py --resume {run}" in said


def test_a_run_does_not_go_on_under_another_seed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The order of its windows is that of its own."""
    project = Project(tmp_path, SHORT)
    run = project.cut_at(5, monkeypatch, "--checkpoint_steps", "3")
    assert project.start("--resume", str(run), "--seed", "3", "--allow_resume_changes") == 2
    assert capsys.readouterr().err.startswith("RESUME_MISMATCH")


def test_a_run_on_rain_is_not_gone_on_with_as_one_on_series(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The task is typed out of habit; the way back is the command without it."""
    project = Project(tmp_path, SHORT)
    run = project.cut_at(5, monkeypatch, "--checkpoint_steps", "3")
    assert program.main(["--task_name", "forecast", "--resume", str(run)]) == 2
    said = capsys.readouterr().err
    assert said.startswith("RESUME_MISMATCH") and f"python run.py --resume {run} without --task_name" in said


def test_a_disk_that_fails_in_the_middle_of_a_run_is_told_with_the_way_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another folder would mean to begin from nothing: most of the run is in last.pt."""
    usual, calls = state_keeper.checkpoint.save, []

    def save(path: Path, *args, **words) -> None:
        calls.append(path.name)
        if calls.count("last.pt") == 3 and path.name == "last.pt":
            raise StorageError("STORAGE_FULL", "last.pt cannot be written", next_command="free some space")
        usual(path, *args, **words)

    project = Project(tmp_path, SHORT)
    with monkeypatch.context() as patch:
        patch.setattr(state_keeper.checkpoint, "save", save)
        assert project.start("--checkpoint_steps", "4") == 6
    said = capsys.readouterr().err
    (run,) = project.runs()
    assert "step 8 is saved in last.pt" in said and f"then python run.py --resume {run}" in said
    assert project.start("--resume", str(run)) == 0
