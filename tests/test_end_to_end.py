"""From files as the Climate Data Store delivers them to a forecast for tomorrow, through the real command lines."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import run as program
from data_provider import prepare, synthetic_era5
from tests import make_table

REGIONS = "north: {north: 0, west: -80, south: -8, east: -70}\nsouth: {north: -10, west: -80, south: -18, east: -70}\n"
COLUMNS = ("tp", "t2m", "sp", "tcwv", "wind_direction", "tp_lag_1d")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a year of synthetic files and a table of two regions."""
    folder = tmp_path_factory.mktemp("project")
    assert synthetic_era5.main(["--output", str(folder / "era5"), "--years", "2019"]) == 0
    (folder / "regions.yaml").write_text(REGIONS)
    words = ["--input_dir", str(folder / "era5"), "--output", str(folder / "table.nc")]
    assert prepare.main([*words, "--regions", str(folder / "regions.yaml"), "--columns", *COLUMNS]) == 0
    return folder


def train(folder: Path, *words: str, table: str = "table.csv") -> Path:
    """Train in seconds and return the run directory."""
    before = set(folder.glob("runs/*/*/scores.json"))
    places = ["--root_path", str(folder), "--data_path", table, "--checkpoints", str(folder / "runs")]
    assert program.main(["--preset", "smoke", "--device", "cpu", *places, *words]) == 0
    (scores,) = set(folder.glob("runs/*/*/scores.json")) - before
    return scores.parent


@pytest.fixture(scope="module")
def trained(project: Path) -> Path:
    return train(project)


def newest_months(project: Path, folder: Path) -> Path:
    """Copy the last two monthly files, as a user would download them for a forecast."""
    folder.mkdir()
    for path in sorted((project / "era5").glob("*.nc"))[-2:]:
        shutil.copy(path, folder)
    shutil.copy(project / "era5" / "SYNTHETIC.json", folder)
    return folder


def predict(run: Path, files: Path, output: Path) -> pd.DataFrame:
    words = ["--task_name", "predict", "--run", str(run), "--input_dir", str(files), "--output", str(output)]
    assert program.main([*words, "--device", "cpu"]) == 0
    return pd.read_csv(output.with_suffix(".csv"), parse_dates=["init_time", "period_start", "period_end"])


def test_a_run_predicts_new_files_up_to_their_last_hour(project: Path, trained: Path, tmp_path: Path) -> None:
    """The newest forecast is the one that is wanted, and its outcome is not known yet."""
    frame = predict(trained, newest_months(project, tmp_path / "new"), tmp_path / "tomorrow")
    assert frame["init_time"].max() == pd.Timestamp("2019-12-31 23:00")
    assert set(frame["region"]) == {"north", "south"}
    assert frame["probability_0.1mm"].between(0, 1).all()
    newest = frame[frame["init_time"] == frame["init_time"].max()]
    assert newest["observed_class"].isna().all() and len(newest) == 2
    assert ((frame["period_end"] - frame["init_time"]) == pd.Timedelta(hours=24)).all()


def test_prediction_repeats_what_the_run_said_about_the_same_hours(
    project: Path, trained: Path, tmp_path: Path
) -> None:
    """Another preparation, other files, the same hours: the same probabilities, or training and use differ."""
    frame = predict(trained, project / "era5", tmp_path / "again")
    known = pd.read_csv(trained / "predictions.csv", parse_dates=["init_time"])
    both = known.merge(frame, on=["init_time", "region"], suffixes=("", "_again"))
    assert len(both) == len(known) > 50
    assert np.allclose(both["probability_0.1mm"], both["probability_0.1mm_again"], atol=1e-5)
    assert (both["observed_class"] == both["observed_class_again"]).all()


@pytest.mark.parametrize("model", ["persistence", "residual_mlp"])
def test_a_regression_predicts_amounts_of_new_files_as_it_did_in_its_test(
    project: Path, tmp_path: Path, model: str
) -> None:
    """Amounts from another preparation of the same hours must be the same, and end with the hour that is wanted."""
    run = train(project, "--task_name", "regression", "--model", model)
    frame = predict(run, project / "era5", tmp_path / "amounts")
    known = pd.read_csv(run / "predictions.csv", parse_dates=["init_time"])
    both = known.merge(frame, on=["init_time", "region"], suffixes=("", "_again"))
    assert len(both) == len(known) > 50
    for name in ("median_mm", "mean_mm", "quantile_94.44_mm", "probability_0.1mm"):
        assert np.allclose(both[name], both[f"{name}_again"], atol=1e-4, rtol=1e-4), name
    newest = frame[frame["init_time"] == frame["init_time"].max()]
    assert newest["observed_precipitation_mm"].isna().all() and (newest["median_mm"] >= 0).all()


def test_several_lead_times_are_predicted_as_they_were_tested(project: Path, tmp_path: Path) -> None:
    """New files are prepared as the table was, whichever lead time comes first, and give a file for each."""
    run = train(project, "--lead_times", "48", "24", "--model_id", "leads", "--bootstrap_draws", "0")
    frames = {"": predict(run, project / "era5", tmp_path / "days")}
    frames["lead_024h"] = pd.read_csv(tmp_path / "days-lead_024h.csv", parse_dates=["init_time", "period_end"])
    for folder, hours in (("", 48), ("lead_024h", 24)):
        frame, known = frames[folder], pd.read_csv(run / folder / "predictions.csv", parse_dates=["init_time"])
        assert ((frame["period_end"] - frame["init_time"]) == pd.Timedelta(hours=hours)).all()
        both = known.merge(frame, on=["init_time", "region"], suffixes=("", "_again"))
        assert len(both) == len(known) > 50
        assert np.allclose(both["probability_0.1mm"], both["probability_0.1mm_again"], atol=1e-5)
        assert (both["observed_class"] == both["observed_class_again"]).all()
        assert frame["observed_class"].isna().sum() == 2 * hours
    assert (tmp_path / "days-lead_024h.nc").is_file()


def test_netcdf_and_csv_hold_the_same_forecasts(trained: Path) -> None:
    """Two files that disagree are worse than one."""
    frame = pd.read_csv(trained / "predictions.csv", parse_dates=["init_time"])
    with xr.open_dataset(trained / "predictions.nc") as dataset:
        assert "SYNTHETIC" in dataset.attrs["title"] and dataset.sizes["region"] == 2
        cell = dataset.sel(init_time=frame["init_time"][3], region=frame["region"][3])
        assert float(cell["probability_0.1mm"]) == pytest.approx(frame["probability_0.1mm"][3])


def test_files_without_a_trained_variable_are_refused_by_name(
    project: Path, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The model cannot do without a variable it was trained on."""
    folder = tmp_path / "poor"
    folder.mkdir()
    times = pd.date_range("2020-01-01", periods=300, freq="h")
    grid = {"valid_time": times, "latitude": np.arange(0.0, -19, -2), "longitude": np.arange(-82.0, -67, 2)}
    shape = tuple(len(values) for values in grid.values())
    rain = xr.DataArray(np.zeros(shape, np.float32), grid, attrs={"units": "m"})
    xr.Dataset({"tp": rain}).to_netcdf(folder / "era5_202001.nc")
    words = ["--task_name", "predict", "--run", str(trained), "--input_dir", str(folder)]
    assert program.main(words) == 3
    said = capsys.readouterr().err
    assert "t2m" in said and "tcwv" in said and "Traceback" not in said


def test_too_few_hours_for_one_context_are_refused(
    project: Path, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A context of four days cannot be made from two."""
    folder = tmp_path / "short"
    folder.mkdir()
    times = pd.date_range("2020-01-01", periods=48, freq="h")
    grid = {"valid_time": times, "latitude": np.arange(0.0, -19, -2), "longitude": np.arange(-82.0, -67, 2)}
    shape = tuple(len(values) for values in grid.values())
    values = {"tp": (0.0, "m"), "t2m": (290.0, "K"), "sp": (90_000.0, "Pa"), "tcwv": (30.0, "kg m**-2")}
    values |= {"u10": (1.0, "m s**-1"), "v10": (1.0, "m s**-1")}
    arrays = {
        name: xr.DataArray(np.full(shape, value, np.float32), grid, attrs={"units": unit})
        for name, (value, unit) in values.items()
    }
    xr.Dataset(arrays).to_netcdf(folder / "era5_202001.nc")
    assert program.main(["--task_name", "predict", "--run", str(trained), "--input_dir", str(folder)]) == 3
    assert "CONTEXT_TOO_LONG" in capsys.readouterr().err


def test_a_run_on_a_table_of_unknown_making_cannot_predict_and_says_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A user's own CSV says nothing about regions or units, so new files cannot be made alike."""
    make_table.write(tmp_path)
    run = train(tmp_path)
    assert program.main(["--task_name", "predict", "--run", str(run), "--input_dir", str(tmp_path)]) == 2
    assert "recipe" in capsys.readouterr().err


def test_csv_and_netcdf_of_a_table_train_to_the_same_weights(project: Path, trained: Path) -> None:
    """Users take either file; the result must not depend on it."""
    other = train(project, table="table.nc")
    scores = [json.loads((run / "scores.json").read_text())["test"]["overall"] for run in (trained, other)]
    assert scores[0] == scores[1]


def test_two_seeds_are_two_runs_and_a_summary(project: Path) -> None:
    """One seed is an anecdote."""
    before = set(project.glob("runs/seeds/*/scores.json"))
    places = ["--root_path", str(project), "--data_path", "table.csv", "--checkpoints", str(project / "runs")]
    words = ["--preset", "smoke", "--device", "cpu", "--itr", "2", "--model_id", "seeds", *places]
    assert program.main(words) == 0
    runs = set(project.glob("runs/seeds/*/scores.json")) - before
    assert {json.loads(path.read_text())["seed"] for path in runs} == {0, 1}
    (summary,) = project.glob("runs/seeds/summary-*.json")
    values = json.loads(summary.read_text())["roc_auc"]["values"]
    assert len(values) == 2 and values[0] != values[1]


@pytest.mark.parametrize(
    "model", ["climatology", "persistence", "logistic_regression", "gradient_boosting", "resnet1d", "residual_mlp"]
)
def test_every_reference_runs_saves_plain_tensors_and_scores_again_alike(project: Path, model: str) -> None:
    """References go through the same windows, splits, scores and files as Timer-XL."""
    run = train(project, "--model", model, "--model_id", model)
    places = ["--root_path", str(project), "--data_path", "table.csv", "--checkpoints", str(project / "runs")]
    assert program.main(["--is_training", "0", "--model", model, "--model_id", model, "--device", "cpu", *places]) == 0
    (again,) = run.glob("scored-*/scores.json")
    assert json.loads(again.read_text())["test"] == json.loads((run / "scores.json").read_text())["test"]


def test_several_thresholds_make_several_classes(project: Path, tmp_path: Path) -> None:
    """0.1, 1 and 5 mm at once: each threshold is scored as an event of its own."""
    words = ["--input_dir", str(project / "era5"), "--output", str(tmp_path / "table.nc"), "--columns", "tp", "sp"]
    words += ["--regions", str(project / "regions.yaml"), "--threshold_mm", "0.5", "2", "6"]
    assert prepare.main(words) == 0
    run = train(tmp_path, "--model", "gradient_boosting")
    scores = json.loads((run / "scores.json").read_text())
    assert list(scores["test"]["thresholds"]) == ["0.5 mm", "2 mm", "6 mm"] and len(scores["cut"]) == 3
    frame = pd.read_csv(run / "predictions.csv")
    assert (frame["probability_0.5mm"] >= frame["probability_6mm"]).all()


def test_the_comparison_orders_runs_and_refuses_different_windows(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Side by side only what was scored on the same windows."""
    from exp import comparison

    places = ["--root_path", str(project), "--data_path", "table.csv", "--checkpoints", str(tmp_path)]
    for words in (["--model", "climatology"], ["--model", "persistence"]):
        assert program.main(["--preset", "smoke", "--model_id", "both", *places, *words]) == 0
    capsys.readouterr()
    assert comparison.main([str(tmp_path / "both")]) == 0
    shown = capsys.readouterr().out
    assert "base rate" in shown and "SYNTHETIC" in shown and shown.index("climatology") < shown.index("persistence")
    words = ["--preset", "smoke", "--model_id", "both", "--model", "persistence", "--sample_stride_hours", "12"]
    assert program.main([*words, *places]) == 0
    assert comparison.main([str(tmp_path / "both")]) == 2
    assert comparison.main([str(tmp_path / "nothing")]) == 2
    assert "no finished runs" in capsys.readouterr().err
