"""A finished run is found by the flags given, and scored on the test split it had."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pandas as pd
import pytest
import torch

import run as program
from exp.finished_runs import stored_settings
from tests import make_table
from tests.test_commands import ONE_EPOCH, OPTION_B, SCORE_AGAIN, TINY
from utils import checkpoint


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with one finished run of option B, in small."""
    folder = tmp_path / "datasets" / "processed"
    folder.mkdir(parents=True)
    make_table.write(folder, "peru_rainfall.csv")
    monkeypatch.chdir(tmp_path)
    assert program.main(shlex.split(f"{OPTION_B} {TINY} {ONE_EPOCH}")) == 0
    return tmp_path


def scored_again(project: Path) -> dict:
    (again,) = project.glob("checkpoints/*/*/scored-*/scores.json")
    return json.loads(again.read_text())


def test_the_command_of_the_notes_finds_the_run_of_option_b(project: Path) -> None:
    """The notes give --n_classes and a folder with a slash when they score, and neither when they train."""
    assert program.main(shlex.split(f"{SCORE_AGAIN} --seq_len 96 --e_layers 1 --d_model 16")) == 0
    (first,) = (path for path in project.glob("checkpoints/*/*/scores.json"))
    own = json.loads(first.read_text())
    assert scored_again(project)["test"] == own["test"]
    assert scored_again(project)["cost"] == own["cost"] and own["cost"]["best_epoch"] == 1


def test_a_preset_finds_a_run_that_was_trained_for_another_time(project: Path) -> None:
    """`--preset tiny` names a model; the quick start trains it for two epochs instead of five."""
    words = ["--preset", "smoke", "--model_id", "p", "--train_epochs", "2"]
    assert program.main(words) == 0
    assert program.main(["--is_training", "0", "--preset", "smoke", "--model_id", "p"]) == 0
    assert program.main(["--is_training", "0", "--preset", "smoke", "--model_id", "p", "--train_epochs", "3"]) == 2


def test_a_longer_table_keeps_the_boundaries_of_the_run(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Boundaries by share would move into the training times when the table changes."""
    path = project / "datasets" / "processed" / "peru_rainfall.csv"
    content = pd.read_csv(path)
    (config,) = project.glob("checkpoints/*/*/config.json")
    end = json.loads(config.read_text())["splits"]["validation_end"]
    content[content["timestamp"] < "2019-03-01"].to_csv(path, index=False)
    assert program.main(["--is_training", "0", "--d_model", "16"]) == 0
    shown = capsys.readouterr().out
    assert "The table has changed" in shown
    (predictions,) = project.glob("checkpoints/*/*/scored-*/predictions.csv")
    assert pd.read_csv(predictions)["init_time"].min() >= end.replace("T", " ")


def test_another_set_of_regions_is_refused(project: Path) -> None:
    """Region numbers are inputs of a model: another order is another model."""
    path = project / "datasets" / "processed" / "peru_rainfall.csv"
    content = pd.read_csv(path)
    content.replace({"region": {"sierra": "selva"}}).to_csv(path, index=False)
    assert program.main(["--is_training", "0", "--d_model", "16"]) == 3


def test_weights_are_read_on_the_cpu_whatever_the_device(project: Path) -> None:
    """References keep NumPy arrays: tensors on a GPU could not become any."""
    from exp.finished_runs import load_forecaster, stored_settings

    assert program.main(["--preset", "smoke", "--model", "climatology", "--model_id", "c", "--seq_len", "96"]) == 0
    (run,) = (path.parent for path in project.glob("checkpoints/c/*/scores.json"))
    stored = json.loads((run / "config.json").read_text())
    load_forecaster(run, stored_settings(stored, {}), torch.device("meta"))


def test_a_run_whose_weights_are_not_finite_is_not_scored(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its file may be whole and still be of no use: every probability would be NaN."""
    (path,) = project.glob("checkpoints/*/*/best.pt")
    weights = checkpoint.load(path)
    next(iter(weights.values())).view(-1)[0] = float("nan")
    checkpoint.save(path, weights)
    assert program.main(["--is_training", "0", "--d_model", "16"]) == 4
    assert capsys.readouterr().err.startswith("CKPT_NONFINITE")


def test_a_run_of_an_earlier_version_is_rebuilt_with_its_own_way_of_reading_variables(project: Path) -> None:
    """A flag that was renamed would fall back to its default, and the run be scored with another model."""
    (path,) = project.glob("checkpoints/*/*/config.json")
    config = json.loads(path.read_text())
    assert config["flags"].pop("variate_mode") == "joint"
    path.write_text(json.dumps(config | {"flags": config["flags"] | {"variate_attention": "independent"}}))
    assert stored_settings(json.loads(path.read_text()), {}).model.variate_mode == "independent"
    assert program.main(["--is_training", "0", "--d_model", "16", "--variate_mode", "joint"]) == 2
