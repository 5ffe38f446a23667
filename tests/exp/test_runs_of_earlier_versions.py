"""A run of an earlier version is taken for what it was, and goes on where nothing in it would be another."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

import run as program
from exp import command_line, finished_runs, resume
from tests import make_table
from tests.exp.test_resume import Project
from tests.exp.test_resume_edges import SAVES, SHORT
from utils.errors import UsageError

SPLITS = ["--split_shares", "0.5", "0.2", "0.3", "--sample_stride_hours", "12", "--bootstrap_draws", "0"]


def forget(run: Path, *names: str) -> Path:
    """Take flags out of the description of a run, as a version that did not have them wrote it."""
    path = run / "config.json"
    config = json.loads(path.read_text())
    for name in names:
        del config["flags"][name]
    path.write_text(json.dumps(config))
    return run


def words(folder: Path, *more: str) -> list[str]:
    places = ["--root_path", str(folder), "--data_path", "table.csv", "--checkpoints", str(folder / "runs")]
    return ["--model", "logistic_regression", "--seq_len", "24", *places, *SPLITS, *more]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, without_figures: None) -> Path:
    """A folder with a table and one finished run on it."""
    folder = tmp_path_factory.mktemp("earlier")
    make_table.write(folder)
    assert program.main(words(folder)) == 0
    return folder


@pytest.fixture
def run(trained: Path) -> Path:
    """The run; a test may change it and finds it whole again in the next one."""
    (found,) = trained.glob("runs/*/*-seed*")
    kept = trained / "kept"
    if not kept.exists():
        shutil.copytree(found, kept)
    shutil.rmtree(found)
    return shutil.copytree(kept, found)


def test_a_run_without_a_flag_is_not_scored_again_as_one_with_it(trained: Path, run: Path) -> None:
    """A run that was tested until the end of its table would be shown as the one that stops with a year."""
    forget(run, "test_until", "drop_bad_windows")
    place = ["--is_training", "0", "--model", "logistic_regression", "--checkpoints", str(trained / "runs")]
    for typed, said in ((["--test_until", "2022"], "test_until is None"), (["--drop_bad_windows", "yes"], "drop_bad")):
        with pytest.raises(UsageError, match="No finished run agrees") as told:
            finished_runs.find_run(command_line.read([*place, *typed]))
        assert said in told.value.evidence
    assert finished_runs.find_run(command_line.read([*place, "--d_model", "64"])) == run, "a flag of other models"


def test_a_finished_run_of_an_earlier_version_is_kept_only_where_its_meaning_is_the_same(
    trained: Path, run: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It would stand in a table of today's runs with probabilities that nobody calibrated."""
    caplog.set_level("INFO")
    forget(run, "cut_score", "cost_loss_ratio", "test_until", "drop_bad_windows")
    assert resume.finished_runs(command_line.read(words(trained))) == {0: run}
    assert resume.finished_runs(command_line.read(words(trained, "--cut_score", "f1"))) == {}
    assert f"passed over {run}" in caplog.text and "--cut_score macro_f1 then, f1 now" in caplog.text
    forget(run, "calibration")
    assert resume.finished_runs(command_line.read(words(trained))) == {}
    assert "--calibration none then, temperature now" in caplog.text
    assert resume.finished_runs(command_line.read(words(trained, "--calibration", "none"))) == {0: run}


def test_a_run_without_reference_forecasts_is_finished_but_not_where_it_is_to_be_judged(
    trained: Path, run: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Hours later the table of all runs would end in a message about a column, and the same command never mend it."""
    settings = command_line.read(words(trained))
    assert resume.finished_runs(settings, to_be_judged=True) == {0: run}
    path = run / "predictions.csv"
    frame = pd.read_csv(path)
    frame.drop(columns="climatology_0.1mm").to_csv(path, index=False)
    caplog.set_level("INFO")
    assert resume.finished_runs(settings, to_be_judged=True) == {}
    (line,) = [each for each in caplog.messages if "passed over" in each]
    assert str(run) in line and "climatology_0.1mm" in line and "trained again" in line
    assert resume.finished_runs(settings) == {0: run}
    older = shutil.copytree(trained / "kept", run.with_name("logistic_regression-seed0-20200101-000000"))
    assert resume.finished_runs(settings, to_be_judged=True) == {0: older}
    shutil.rmtree(older)


def test_a_cut_run_of_an_earlier_version_goes_on_as_what_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A night of training must not be lost over flags that came since, nor end with a calibration it did not have."""
    project = Project(tmp_path, SHORT)
    run = forget(project.cut_at(5, monkeypatch, *SAVES), "calibration", "test_until", "cut_score", "drop_bad_windows")
    assert project.start("--resume", str(run), "--calibration", "temperature") == 2
    assert "--calibration" in capsys.readouterr().err
    assert project.start("--resume", str(run)) == 0 and project.runs() == [run]
    assert json.loads((run / "scores.json").read_text())["calibration"]["method"] == "none"
