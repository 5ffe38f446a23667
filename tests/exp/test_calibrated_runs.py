"""From training to new files, through the real program: the calibration and the cut of a run go where the run goes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import run as program
from data_provider import prepare, synthetic_era5
from tests import make_table
from utils import checkpoint

REGIONS = "north: {north: 0, west: -80, south: -8, east: -70}\nsouth: {north: -10, west: -80, south: -18, east: -70}\n"
# Hardly any penalty and few cases: such a regression is far too sure of itself.
TOO_SURE = ["--model", "logistic_regression", "--logistic_c", "1000", "--seq_len", "48", "--sample_stride_hours", "12"]

pytestmark = pytest.mark.usefixtures("without_figures")


def train(folder: Path, *words: str) -> Path:
    """Train and return the run directory."""
    before = set(folder.glob("runs/*/*/scores.json"))
    places = ["--root_path", str(folder), "--data_path", "table.csv", "--checkpoints", str(folder / "runs")]
    assert program.main([*places, "--device", "cpu", "--bootstrap_draws", "0", *words]) == 0
    (scores,) = set(folder.glob("runs/*/*/scores.json")) - before
    return scores.parent


def score_again(run: Path, *words: str) -> tuple[int, Path | None]:
    """Score a run again; return the exit code and the folder with its scores."""
    before = set(run.glob("scored-*"))
    code = program.main(["--is_training", "0", "--run", str(run), "--device", "cpu", *words])
    made = set(run.glob("scored-*")) - before
    folder = next(iter(made), None)
    if folder is not None:  # folders carry the second in their names
        folder = folder.rename(folder.with_name(f"{folder.name}-{len(before)}"))
    return code, folder


def scores_of(folder: Path | None) -> dict:
    assert folder is not None
    return json.loads((folder / "scores.json").read_text())


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A year of synthetic files and a table of two regions made from them."""
    folder = tmp_path_factory.mktemp("project")
    assert synthetic_era5.main(["--output", str(folder / "era5"), "--years", "2019"]) == 0
    (folder / "regions.yaml").write_text(REGIONS)
    words = ["--input_dir", str(folder / "era5"), "--output", str(folder / "table.nc"), "--columns", "tp", "sp", "tcwv"]
    assert prepare.main([*words, "--regions", str(folder / "regions.yaml")]) == 0
    return folder


@pytest.fixture(scope="module")
def trained(project: Path, without_figures: None) -> Path:
    return train(project, *TOO_SURE)


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A copy of the run, to be damaged."""
    return shutil.copytree(trained, tmp_path / trained.name)


def predict(run: Path, files: Path, output: Path) -> tuple[int, pd.DataFrame | None]:
    words = ["--task_name", "predict", "--run", str(run), "--input_dir", str(files), "--output", str(output)]
    code = program.main([*words, "--device", "cpu", "--sample_stride_hours", "12"])
    path = output.with_suffix(".csv")
    return code, pd.read_csv(path, parse_dates=["init_time"]) if path.exists() else None


def test_new_files_get_the_calibrated_probabilities_and_the_cut_of_the_run(
    project: Path, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A calibration that stayed behind in the scores would give users other probabilities than the scored ones."""
    code, made = score_again(run, "--calibration", "none")
    assert code == 0 and made is not None
    raw = pd.read_csv(made / "predictions.csv", parse_dates=["init_time"])
    own = pd.read_csv(run / "predictions.csv", parse_dates=["init_time"])
    temperature = scores_of(run)["calibration"]["temperature"]
    assert temperature > 1.2, "or this test shows nothing"
    odds = np.log(raw["probability_0.1mm"] / (1 - raw["probability_0.1mm"]))
    assert np.allclose(own["probability_0.1mm"], 1 / (1 + np.exp(-odds / temperature)))
    capsys.readouterr()
    code, new = predict(run, project / "era5", tmp_path / "new")
    assert code == 0 and new is not None and f"temperature {temperature:.3f}, fitted on" in capsys.readouterr().out
    both = own.merge(new, on=["init_time", "region"], suffixes=("", "_new"))
    assert len(both) == len(own) > 50
    assert np.allclose(both["probability_0.1mm"], both["probability_0.1mm_new"], atol=1e-5)
    (cut,) = scores_of(run)["decision"]["cut"]
    assert (new["forecast_0.1mm"] == (new["probability_0.1mm"] >= cut)).all()


def test_scores_json_has_calibration_and_decision_and_the_terminal_tells_them(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A reader of the report has to see what was done to the numbers before they were scored."""
    run = train(project, *TOO_SURE, "--calibration", "isotonic", "--cost_loss_ratio", "0.3", "--model_id", "told")
    scores = scores_of(run)
    assert scores["calibration"]["method"] == "isotonic" and scores["calibration"]["validation"]["n"] > 200
    assert scores["decision"]["by"] == "cost_loss_ratio" and scores["cut"] == [0.3] and scores["cut_score"] is None
    assert set(scores["decision"]["expense"]) == {"validation", "test"}
    said = capsys.readouterr().out
    assert "isotonic, fitted on" in said and "log loss" in said and "the cost/loss ratio" in said
    assert "relative value" in said


def test_a_run_that_is_scored_again_keeps_both_and_a_flag_settles_its_part_anew(run: Path) -> None:
    """Scoring again refits nothing that was not asked for, or the run that predicts would not be the one scored."""
    own = scores_of(run)
    _, same = score_again(run)
    again = scores_of(same)
    assert {name: again[name] for name in ("test", "validation", "calibration", "decision", "cut")} == {
        name: own[name] for name in ("test", "validation", "calibration", "decision", "cut")
    }
    _, ratio = score_again(run, "--cost_loss_ratio", "0.25")
    assert scores_of(ratio)["cut"] == [0.25] and scores_of(ratio)["calibration"] == own["calibration"]
    _, raw = score_again(run, "--calibration", "none")
    assert scores_of(raw)["calibration"]["method"] == "none" and scores_of(raw)["decision"]["by"] == "macro_f1"
    assert scores_of(raw)["cut"] != own["cut"], "another calibration needs another cut"
    assert scores_of(raw)["test"]["overall"]["roc_auc"] == own["test"]["overall"]["roc_auc"]
    _, by_accuracy = score_again(run, "--cut_score", "accuracy")
    assert scores_of(by_accuracy)["decision"]["by"] == "accuracy"


def test_a_score_given_now_wins_over_the_ratio_of_the_run(run: Path) -> None:
    """The run keeps its ratio in config.json, where it would stand in the way for ever."""
    config = json.loads((run / "config.json").read_text())
    config["flags"]["cost_loss_ratio"] = [0.25]
    (run / "config.json").write_text(json.dumps(config))
    _, by_f1 = score_again(run, "--cut_score", "f1")
    assert scores_of(by_f1)["decision"]["by"] == "f1"
    _, other = score_again(run, "--calibration", "none")
    assert scores_of(other)["decision"]["cost_loss_ratio"] == 0.25, "the rule of the run, on other probabilities"


def test_a_run_without_its_calibration_is_refused_and_mended_as_the_message_says(
    project: Path, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever copies best.pt and scores.json alone would predict with probabilities that the cut was not made for."""
    own = scores_of(run)
    (run / "calibration.json").unlink()
    capsys.readouterr()
    assert predict(run, project / "era5", tmp_path / "none")[0] == 4 and score_again(run)[0] == 4
    said = capsys.readouterr().err
    assert said.startswith("CALIBRATION_MISSING") and "--calibration temperature" in said and "Traceback" not in said
    code, made = score_again(run, "--calibration", "temperature")
    assert code == 0 and made is not None
    shutil.copytree(made, run, dirs_exist_ok=True)
    assert scores_of(run)["calibration"] == own["calibration"] and scores_of(run)["cut"] == own["cut"]
    assert predict(run, project / "era5", tmp_path / "mended")[0] == 0


def test_a_damaged_cut_is_refused_with_the_way_to_choose_it_anew(
    project: Path, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A cut above 1 warns of nothing, and a word instead of a number ends in a traceback."""
    own = scores_of(run)
    for damage in ({"cut": ["half"]}, {"cost_loss_ratio": 0.9}, {"cut": [7]}):
        (run / "scores.json").write_text(json.dumps(own | {"decision": own["decision"] | damage}))
        assert predict(run, project / "era5", tmp_path / "none")[0] == 4
        said = capsys.readouterr().err
        assert said.startswith("DECISION_DAMAGED") and "--cut_score macro_f1" in said
    code, made = score_again(run, "--cut_score", "macro_f1")
    assert code == 0 and scores_of(made)["decision"] == own["decision"]


def test_a_run_of_an_earlier_version_predicts_what_it_predicted_then(project: Path, run: Path, tmp_path: Path) -> None:
    """Its cut was chosen for raw probabilities; a calibration by default would move them away from under it."""
    _, made = score_again(run, "--calibration", "none")
    assert made is not None
    old = scores_of(made)
    for name in ("calibration", "decision"):
        del old[name]
    (run / "scores.json").write_text(json.dumps(old))
    (run / "calibration.json").unlink()
    code, new = predict(run, project / "era5", tmp_path / "new")
    assert code == 0 and new is not None
    both = pd.read_csv(made / "predictions.csv", parse_dates=["init_time"]).merge(new, on=["init_time", "region"])
    assert np.allclose(both["probability_0.1mm_x"], both["probability_0.1mm_y"], atol=1e-5)
    assert (both["forecast_0.1mm_x"] == both["forecast_0.1mm_y"]).mean() > 0.99
    _, again = score_again(run)
    assert scores_of(again)["calibration"]["method"] == "none" and scores_of(again)["test"] == old["test"]


def test_training_and_its_weights_do_not_depend_on_the_calibration(tmp_path: Path) -> None:
    """The best epoch is chosen by what the network says; a calibration inside the loop would choose another one."""
    make_table.write(tmp_path)
    runs = [train(tmp_path, "--preset", "smoke", "--calibration", method) for method in ("none", "temperature")]
    weights = [checkpoint.load(run / "best.pt") for run in runs]
    assert all(np.array_equal(weights[0][name], weights[1][name]) for name in weights[0])
    rows = [json.loads((run / "metrics.jsonl").read_text()) for run in runs]
    scores = [{name: value for name, value in row.items() if "validation_" in name} for row in rows]
    assert scores[0] == scores[1] and len(scores[0]) > 3


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--cost_loss_ratio", "1.5"], "--cost_loss_ratio must be above 0 and below 1"),
        (["--cost_loss_ratio", "nan"], "--cost_loss_ratio must be above 0 and below 1"),
        (["--cost_loss_ratio", "cheap"], "'cheap' is not a number"),
        (["--cost_loss_ratio", "0.2", "0.1"], "2 cost/loss ratios do not fit 1 thresholds"),
        (["--cost_loss_ratio", "0.2", "--cut_score", "f1"], "leave one of the two out"),
        (["--calibration", "platt"], "--calibration temperature"),
    ],
)
def test_flags_that_cannot_be_end_with_2_before_anything_is_trained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    """After a night of training it would be late to learn that two ratios do not fit one threshold."""
    make_table.write(tmp_path)
    places = ["--root_path", str(tmp_path), "--data_path", "table.csv", "--checkpoints", str(tmp_path / "runs")]
    assert program.main(["--preset", "smoke", "--device", "cpu", *places, *words]) == 2
    shown = capsys.readouterr().err
    assert shown.startswith("CONFIG") and said in shown and "Traceback" not in shown
    assert not list(tmp_path.glob("runs/*/*/metrics.jsonl"))


def test_a_climatology_that_is_to_be_calibrated_says_why_it_is_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line for the whole flag, and no error: a script gives all models the same words."""
    make_table.write(tmp_path)
    words = ["--model", "climatology", "--preset", "smoke"]
    run = train(tmp_path, *words, "--calibration", "isotonic")
    assert "none: climatology is a definition" in capsys.readouterr().out
    assert scores_of(run)["calibration"]["method"] == "none" and not (run / "calibration.json").exists()
