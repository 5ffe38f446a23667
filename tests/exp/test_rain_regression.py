"""A regression from the command line to scores, figures and predictions: every model, resume, refusals."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import models
import run as program
from data_provider.amounts import AmountWindows
from exp import command_line, forecasters, stored_forecasts
from exp.diagnosis.preflight import usual_dimensions
from exp.settings import context_length
from tests import make_table
from tests.exp.test_resume import Project, generators_elsewhere
from tests.run_ends import differences
from utils import rain_scale

REGRESSION = ["--task_name", "regression"]


def start(folder: Path, *words: str) -> int:
    places = ["--root_path", str(folder), "--data_path", "table.csv", "--checkpoints", str(folder / "runs")]
    return program.main([*REGRESSION, "--preset", "smoke", *places, *words])


def runs_of(folder: Path) -> list[Path]:
    return sorted((path.parent for path in folder.glob("runs/*/*/config.json")), key=lambda run: run.stat().st_mtime)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a table on which runs may pile up."""
    folder = tmp_path_factory.mktemp("regression")
    make_table.write(folder)
    return folder


@pytest.mark.usefixtures("without_figures")
@pytest.mark.parametrize("name", models.regressors())
def test_every_model_goes_from_flags_to_scored_amounts(folder: Path, name: str) -> None:
    """The golden path: amounts in order, scores that belong to the predictions, references beside them."""
    assert start(folder, "--model", name, "--n_quantiles", "5") == 0
    run = runs_of(folder)[-1]
    scores = json.loads((run / "scores.json").read_text())
    assert scores["task"] == "regression" and scores["model"] == name
    assert scores["quantile_levels"] == pytest.approx(rain_scale.levels(5).tolist())
    frame = pd.read_csv(run / "predictions.csv")
    quantiles = frame[[column for column in frame if column.startswith("quantile_")]].to_numpy()
    assert quantiles.shape[1] == 5 and (np.diff(quantiles, axis=1) >= 0).all() and quantiles.min() >= 0
    assert np.array_equal(frame["median_mm"], quantiles[:, 2])
    overall, observed = scores["test"]["overall"], frame["observed_precipitation_mm"]
    assert overall["n"] == len(frame) and overall["mean_observed"] == pytest.approx(observed.mean(), rel=1e-6)
    error = (frame["median_mm"] - observed).abs().mean()
    assert overall["mean_absolute_error"] == pytest.approx(error, rel=1e-6)
    references = scores["test"]["references"]
    by_hand = (frame["persistence_mm"] - observed).abs().mean()
    assert references["persistence"]["mean_absolute_error"] == pytest.approx(by_hand, rel=1e-6)
    assert references["climatology"]["crps_skill_score"] == 0
    if name in references:
        own = {key: value for key, value in references[name].items() if key != "constant_answer"}
        assert {key: overall[key] for key in own} == pytest.approx(own), "the model is the reference itself"
    assert scores["test"]["events"]["overall"]["n"] == len(frame)
    if models.kind(name) == "network":
        row = json.loads((run / "metrics.jsonl").read_text().splitlines()[0])
        assert {"train_mae", "validation_loss", "validation_mae", "validation_crps"} <= set(row)


@pytest.mark.usefixtures("without_figures")
def test_a_run_is_scored_again_and_read_back_like_any_other(folder: Path) -> None:
    """Whoever compares runs reads predictions.csv; the thresholds of a regression are events like those of classes."""
    assert start(folder, "--model", "persistence", "--model_id", "again") == 0
    (run,) = folder.glob("runs/again/*")
    before = json.loads((run / "scores.json").read_text())
    assert start(folder, "--model", "persistence", "--model_id", "again", "--is_training", "0") == 0
    (scored,) = run.glob("scored-*/scores.json")
    scored.unlink()
    names = ["--checkpoints", str(folder / "runs"), "--is_training", "0", "--run", str(run)]
    assert program.main([*names, "--task_name", "classification"]) == 2, "it has another task"
    assert program.main(names) == 0, "a run that is named says itself which task it is of"
    (scored,) = run.glob("scored-*/scores.json")
    after = json.loads(scored.read_text())
    assert after["test"] == before["test"] and after["cost"] == before["cost"]
    (event,) = stored_forecasts.read(run).values()
    assert len(event.observed) == before["test"]["overall"]["n"]
    assert float(event.observed.mean()) == before["test"]["events"]["overall"]["base_rate"]


def test_figures_show_amounts_and_training(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two pictures and the training curves, each a file that can be opened."""
    monkeypatch.setattr("exp.judging.find_spec", importlib.util.find_spec)  # others here do without
    assert start(folder, "--model_id", "figures") == 0
    (figures,) = folder.glob("runs/figures/*/figures")
    names = {path.name for path in figures.iterdir()}
    assert names == {"forecast_against_observed.png", "quantile_reliability.png", "training_curves.png"}
    assert all(path.stat().st_size > 10_000 for path in figures.iterdir())


@pytest.mark.usefixtures("without_figures")
def test_a_regression_that_is_cut_and_resumed_ends_bitwise_like_the_whole_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The price notes kept a state that was not the best, and began anew after every stop."""
    words = [*REGRESSION, "--head", "projection", "--n_quantiles", "3"]
    whole = Project(tmp_path / "whole", words)
    assert whole.start() == 0
    project = Project(tmp_path / "cut", words)
    run = project.cut_at(14, monkeypatch, "--checkpoint_steps", "3")
    generators_elsewhere()
    assert program.main(["--resume", str(run)]) == 0, "the run knows its own task and flags"
    assert project.runs() == [run] and differences(whole.runs()[0], run) == []
    scores = json.loads((run / "scores.json").read_text())
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    best = min(rows, key=lambda row: row["validation_loss"])
    assert scores["cost"]["best_epoch"] == best["epoch"], "the weights that are scored are the best ones"


@pytest.mark.usefixtures("without_figures")
def test_tasks_are_not_mixed_when_a_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same flags but for the task: auto would put the state of a classifier into a model of amounts."""
    project = Project(tmp_path)
    run = project.cut_at(5, monkeypatch, "--checkpoint_steps", "3")
    assert project.start("--resume", str(run), *REGRESSION) == 2
    said = capsys.readouterr().err
    assert said.startswith("RESUME_MISMATCH") and "classification" in said and "regression" in said
    assert project.start("--resume", "auto", *REGRESSION, "--train_epochs", "1") == 0
    assert len(project.runs()) == 2 and "starting anew" in capsys.readouterr().out
    assert project.start("--is_training", "0", "--task_name", "classification") == 2, "no finished classification"


@pytest.mark.parametrize("value", [np.nan, -3.0, 9999.0])
def test_d14_a_target_that_is_no_rain_ends_before_the_first_step_with_a_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], value: float
) -> None:
    """Code, value, row and way out; exit code 3; nothing but the report on the disk."""
    content = make_table.frame()
    content.loc[700, "precipitation"] = value
    make_table.write(tmp_path, content=content)
    assert start(tmp_path) == 3
    said = capsys.readouterr()
    assert said.err.startswith("TARGET_RANGE") and "Traceback" not in said.err
    assert f"{value:g} in region costa at 2019-01-30T04:00:00 (line 702)" in said.err
    left = sorted(path.name for path in (tmp_path / "runs").rglob("*") if path.is_file())
    assert left == ["diagnosis.html", "diagnosis.json"]
    (report,) = (tmp_path / "runs").rglob("diagnosis.json")
    assert json.loads(report.read_text())["verdict"]["code"] == "TARGET_RANGE"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--model", "logistic_regression"], "ridge_regression"),
        (["--model", "timer_xl"], "timer_xl_classifier"),
        (["--n_quantiles", "4"], "must be odd"),
        (["--validation_score", "roc_auc"], "--validation_score loss"),
        (["--model", "ridge_regression", "--task_name", "classification"], "--task_name regression"),
        (["--head", "linear"], "projection"),
    ],
)
def test_what_a_regression_cannot_do_is_refused_with_a_way_out(
    folder: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    """A typing error should cost one line, and no training."""
    assert start(folder, *words) == 2
    error = capsys.readouterr().err
    assert said in error and "Traceback" not in error


@pytest.mark.parametrize("words", [["--n_quantiles", "5"], ["--model", "ridge_regression"]])
def test_the_diagnosis_sends_a_regression_to_its_own_training(
    folder: Path, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    """It looks at classes, and would call sound what a regression cannot use."""
    assert program.main(["--task_name", "diagnose", *words]) == 2
    assert "--task_name regression" in capsys.readouterr().err


@pytest.mark.usefixtures("without_figures")
def test_an_encoder_is_loaded_and_the_head_of_amounts_starts_fresh(folder: Path) -> None:
    """The encoder of a classifier with another head, and a load plan that says which tensors were taken."""
    assert program.main(
        ["--preset", "smoke", "--root_path", str(folder), "--data_path", "table.csv", "--checkpoints",
         str(folder / "runs"), "--model_id", "classes"]
    ) == 0  # fmt: skip
    (run,) = folder.glob("runs/classes/*")
    words = ["--adaptation", "--pretrain_model_path", str(run / "best.pt"), "--load_parts", "encoder"]
    frozen = ["--head", "projection", "--tune", "head", "--model_id", "amounts"]
    assert start(folder, *words, *frozen) == 0
    (own,) = folder.glob("runs/amounts/*")
    rows = json.loads((own / "load_plan.json").read_text())["tensors"]
    decisions = {row["name"].partition(".")[0]: row["decision"] for row in rows}
    assert decisions["projection"] == "fresh" and decisions["embedding"] == decisions["blocks"] == "loaded"
    before, after = (torch.load(place / "best.pt", weights_only=True) for place in (run, own))
    assert torch.equal(before["embedding.weight"], after["embedding.weight"]), "a frozen encoder stays as it was"
    assert after["projection.4.weight"].shape[0] == 9


@pytest.mark.usefixtures("without_figures")
def test_a_bad_step_of_a_regression_is_explained_and_opened_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An amount is no class: the labels must not be blamed for a fault of the inputs, nor be lost in the bundle."""
    usual = AmountWindows.inputs

    def broken(windows: AmountWindows, ids: torch.Tensor) -> torch.Tensor:
        batch = usual(windows, ids)
        if len(ids) > 2:
            batch[0, -1, 1] = float("nan")
        return batch

    make_table.write(tmp_path)
    monkeypatch.setattr(AmountWindows, "inputs", broken)
    assert start(tmp_path, "--max_skipped_steps", "1", "--train_epochs", "2") == 5
    said = capsys.readouterr()
    assert "DATA_NAN" in said.out + said.err and "LABEL_RANGE" not in said.out + said.err
    monkeypatch.undo()
    (bundle,) = (tmp_path / "runs").rglob("bundle-step*")
    assert program.main(["--task_name", "diagnose", "--bundle", str(bundle)]) == 3
    again = capsys.readouterr()
    assert "DATA_NAN" in again.out + again.err and "is an amount of rain" in again.out + again.err


@pytest.mark.parametrize("preset", ["tiny", "encoder", "smoke", "small"])
def test_presets_make_a_model_of_amounts(preset: str) -> None:
    """A preset of the classification has to be one of the regression, or the notes of it are worth half."""
    settings = command_line.read([*REGRESSION, "--preset", preset])
    dimensions = usual_dimensions(context_length(settings))
    forecaster = forecasters.build(settings, dimensions, torch.device("cpu"))
    assert forecaster.target_classes == 0  # type: ignore[attr-defined]
    assert any(tensor.shape == (9,) for tensor in forecaster.model.state_dict().values())  # type: ignore[attr-defined]


def test_the_help_of_the_task_teaches_what_is_learned(capsys: pytest.CaptureFixture[str]) -> None:
    """The flags of classes, which a regression does not read, would be offered beside its own."""
    with pytest.raises(SystemExit):
        program.main([*REGRESSION, "--help"])
    shown = " ".join(capsys.readouterr().out.split())
    assert "--n_quantiles" in shown and "log(1 + mm)" in shown and "--head" in shown
    assert "--use_focal_loss" not in shown
    with pytest.raises(SystemExit):
        program.main(["--help"])
    assert "--n_quantiles" not in capsys.readouterr().out
