"""Runs with features of the past month: statistics from training windows alone, cut and gone on, scored again."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import run as program
from tests import make_table
from tests.exp.test_resume import Project
from tests.run_ends import differences
from utils import checkpoint

pytestmark = pytest.mark.usefixtures("without_figures")
WORDS = ["--history_features", "--encoder_hours", "48", "--bootstrap_draws", "0"]


class WindyProject(Project):
    """A project whose table has the wind that the features need."""

    def __init__(self, folder: Path, changed_after: str = "2100") -> None:
        super().__init__(folder, WORDS)
        content = make_table.frame()
        generator = np.random.default_rng(1)
        for name in ("u10", "v10"):
            content.insert(4, name, generator.normal(size=len(content)))
        late = content.timestamp >= changed_after
        content.loc[late, ["t2m", "u10"]] += 25.0
        make_table.write(folder, content=content)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> WindyProject:
    """A run that was never stopped."""
    project = WindyProject(tmp_path_factory.mktemp("whole"))
    assert project.start() == 0
    return project


def test_a_run_that_was_cut_ends_bitwise_like_the_whole_one(
    tmp_path: Path, whole: WindyProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Statistics taken anew from the windows of a resumed run would be those of another draw."""
    project = WindyProject(tmp_path / "cut")
    run = project.cut_at(8, monkeypatch, "--checkpoint_steps", "3")
    assert project.start("--resume", "auto", "--checkpoint_steps", "3") == 0
    assert differences(whole.runs()[0], run) == []


def test_a_finished_run_is_scored_again_to_the_same_numbers(whole: WindyProject) -> None:
    """What the features were scaled with has to come back with the weights."""
    (run,) = whole.runs()
    assert whole.start("--is_training", "0") == 0
    (again,) = run.glob("scored-*")
    one, other = (json.loads((folder / "scores.json").read_text())["test"] for folder in (run, again))
    assert one["overall"] == other["overall"]


def test_statistics_know_nothing_of_validation_and_test(tmp_path: Path, whole: WindyProject) -> None:
    """A warmer test year in the means of training would be a look into the future."""
    (run,) = whole.runs()
    end = json.loads((run / "config.json").read_text())["splits"]["train_end"]
    other = WindyProject(tmp_path / "changed", changed_after=end)
    assert other.start() == 0
    for name in ("centre", "scale", "low", "slope"):
        before, after = (
            checkpoint.load(folder / "best.pt")[f"history.embedding.{name}"] for folder in (run, other.runs()[0])
        )
        assert torch.equal(before, after) and before.abs().sum() > 0, name


@pytest.mark.parametrize("words", [["--model", "logistic_regression"], ["--encoder_hours", "48"]])
def test_a_table_without_the_wind_is_refused_before_there_is_a_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    """A directory with half a run in it would be resumed, and refused again."""
    project = Project(tmp_path)
    assert project.start(*words, "--history_features") == 2
    assert "missing: u10, v10" in capsys.readouterr().err and project.runs() == []


@pytest.mark.parametrize("model", ["logistic_regression", "gradient_boosting"])
def test_references_are_given_the_same_features(tmp_path: Path, whole: WindyProject, model: str) -> None:
    """A network that knows more than what it is compared with has proved nothing about networks."""
    project = WindyProject(tmp_path)
    words = ["--model", model, "--preset", "smoke", "--root_path", str(tmp_path), "--data_path", "table.csv"]
    words += ["--checkpoints", str(tmp_path / "runs"), "--bootstrap_draws", "0"]
    assert program.main([*words, "--history_features"]) == 0 and program.main(words) == 0
    with_history, without = (json.loads((run / "scores.json").read_text())["test"] for run in project.runs())
    assert with_history["overall"]["brier_score"] != without["overall"]["brier_score"]
    (own,) = whole.runs()
    n_features = checkpoint.load(own / "best.pt")["history.embedding.centre"].shape[0]
    if model == "logistic_regression":
        assert checkpoint.load(project.runs()[0] / "best.pt")["mean"].shape[0] == n_features


def test_a_pre_trained_encoder_is_taken_and_the_features_start_fresh(tmp_path: Path) -> None:
    """No file of an encoder has them, and one that is refused for it cannot be used beside them."""
    project = WindyProject(tmp_path)
    encoder = Path("checkpoints/small_encoder/encoder.pt").resolve()
    words = ["--preset", "encoder", "--adaptation", "--pretrain_model_path", str(encoder), "--tune", "head"]
    assert project.start(*words, "--seq_len", "168", "--train_epochs", "1", "--batch_size", "64") == 0
    (run,) = project.runs()
    plan = json.loads((run / "load_plan.json").read_text())
    assert "74 of 74" in json.dumps(plan)
    frozen, loaded = checkpoint.load(run / "best.pt"), checkpoint.load(encoder)
    assert torch.equal(frozen["embedding.weight"], loaded["embedding.weight"])
