"""Rolling origin by years: which years, that no run sees its own, and one table of all of them."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import run as program
from data_provider.factory import Splits
from exp import command_line, cross_validation, rain_splits, stored_forecasts
from exp.cross_validation import Years, years_of
from exp.settings import Settings
from tests import make_oni, make_table
from utils import regression_scores, signals
from utils.amounts import AmountForecasts
from utils.errors import DataError
from utils.event_scores import score
from utils.score_info import SCORES

YEARS = (2022, 2023, 2024)
DAYS = 2192  # 2019 to 2024
REGIONS = ("costa", "sierra")


def hours(first: str, last: str) -> np.ndarray:
    return np.arange(first, last, 6, dtype="datetime64[h]").astype("datetime64[s]")


def words(folder: Path, *more: str) -> list[str]:
    fixed = "--model logistic_regression --seq_len 14 --sample_stride_hours 24 --data_path table.csv"
    return [
        *fixed.split(),
        "--root_path",
        str(folder),
        "--checkpoints",
        str(folder / "runs"),
        "--bootstrap_draws",
        "100",
        *more,
    ]


def cross(folder: Path, *more: str) -> list[str]:
    return words(folder, "--cross_validate", "years", *more)


def finished(folder: Path) -> list[Path]:
    return sorted(path.parent for path in folder.glob("runs/*/*/scores.json"))


def year_of(run: Path) -> int:
    return int(json.loads((run / "config.json").read_text())["flags"]["test_until"])


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, without_figures: None) -> Path:
    """Six years of days in two regions, and all their years tested once."""
    folder = tmp_path_factory.mktemp("years")
    content = make_table.frame(n_times=DAYS, step_hours=24, regions=REGIONS)
    content["rain_24h"] = (content["precipitation"] > 0).where(content["precipitation"].notna()).astype(float)
    make_table.write(folder, content=content)
    oni = make_oni.write(folder, ([0.8] * 6 + [-0.9] * 6) * 6, first_year=2019)
    assert program.main(cross(folder, "--oni", str(oni))) == 0
    return folder


def pooled_of(project: Path) -> dict:
    newest = sorted(project.glob("runs/*/cross_validation-logistic_regression-*.json"))[-1]
    return json.loads(newest.read_text())


def test_every_key_of_the_file_is_documented(project: Path) -> None:
    """Whoever reads the file with a program would have to guess what a key means, and when it is null."""
    page = (Path(__file__).resolve().parents[2] / "docs" / "scores.md").read_text(encoding="utf-8")
    content = pooled_of(project)
    (table, *_) = content["pooled"].values()
    keys = {*content, *content["runs"][0], *table, *table["overall"]}
    assert keys - set(re.findall(r"`([^`]+)`", page)) - set(SCORES) == set()


def test_every_year_that_leaves_enough_training_is_tested() -> None:
    """Two whole years of training and one of validation come before the first; incomplete years do not count."""
    whole = hours("2019-01-01", "2025-01-01")
    assert [each.test for each in years_of(whole, 2, where="x")] == [2022, 2023, 2024]
    assert [each.test for each in years_of(whole, 4, where="x")] == [2024]
    ragged = hours("2018-07-01", "2024-06-01")
    assert [each.test for each in years_of(ragged, 2, where="x")] == [2022, 2023]
    assert Years.testing(2022) == Years("2020", "2021", "2022")


def test_a_record_with_too_few_years_is_refused_with_the_number_needed() -> None:
    """A rolling origin of one fold without training would be called an evaluation all the same."""
    with pytest.raises(DataError) as told:
        years_of(hours("2020-01-01", "2023-01-01"), 2, where="x")
    assert told.value.code == "TOO_FEW_YEARS" and told.value.exit_code == 3
    assert "3 whole years" in told.value.evidence and "needed: 4" in told.value.evidence
    assert "--cross_validate_min_train_years 1" in told.value.next_command
    with pytest.raises(DataError, match="too few") as told:
        years_of(hours("2020-02-01", "2021-06-01"), 1, where="x")
    assert "0 whole years" in told.value.evidence and "needed: 3" in told.value.evidence


def test_each_fold_is_a_run_of_its_years(project: Path) -> None:
    """Trained before its validation year, validated on the year before the test, tested on that year alone."""
    runs = finished(project)
    assert sorted(year_of(run) for run in runs) == list(YEARS)
    for run in runs:
        year, config = year_of(run), json.loads((run / "config.json").read_text())
        assert config["splits"]["train_end"] == f"{year - 1}-01-01T00:00:00"
        assert config["splits"]["validation_end"] == f"{year}-01-01T00:00:00"
        assert config["splits"]["test_end"] == f"{year + 1}-01-01T00:00:00"
        assert config["flags"]["cross_validate"] is None
        times = pd.read_csv(run / "predictions.csv", parse_dates=["init_time"])["init_time"]
        assert set(times.dt.year) == {year} and times.dt.dayofyear.nunique() >= 364


def test_no_year_is_taken_for_the_run_of_the_model(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Scoring again, and a comparison of the folder, would speak of the last year as if it were the whole model."""
    runs = project / "runs"
    assert {run.parent.name for run in finished(project)} == {"peru_rainfall-by_years"}
    assert [path.parent.name for path in runs.rglob("cross_validation-*.json")][:1] == ["peru_rainfall-by_years"]
    again = ["--is_training", "0", "--model", "logistic_regression", "--checkpoints"]
    assert program.main([*again, str(runs)]) == 2
    assert "--cross_validate is scored again with --run RUN" in capsys.readouterr().err
    copied = tmp_path / "runs"
    shutil.copytree(runs, copied)
    assert program.main([*again, str(copied), "--model_id", "peru_rainfall-by_years"]) == 0
    assert program.main(["--task_name", "compare", str(runs / "peru_rainfall")]) == 2


def settings_of(project: Path, year: int) -> Settings:
    return cross_validation.of_fold(command_line.read(cross(project)), Years.testing(year))


@pytest.mark.parametrize("year", YEARS)
def test_no_fold_sees_its_validation_or_test_year(project: Path, tmp_path: Path, year: int) -> None:
    """Scaling, clip limits, training windows and climatology stay as they were when all later years are spoiled."""
    content = pd.read_csv(project / "table.csv", parse_dates=["timestamp"])
    later = content.timestamp >= f"{year - 1}-01-01"
    for name in make_table.FEATURES[:3]:
        content.loc[later, name] = content.loc[later, name] * 1.05 + 1e-4
    # The label of the last training day is the rain of the next, which is left out of training for that.
    content.loc[later, "rain_24h"] = 1 - content.loc[later, "rain_24h"]
    make_table.write(tmp_path, content=content)
    own = settings_of(project, year)

    def load(settings: Settings) -> Splits:
        return rain_splits.load(settings, torch.device("cpu"))

    before = load(own)
    after = load(replace(own, data=replace(own.data, root_path=str(tmp_path))))
    assert before.preprocessing.to_json() == after.preprocessing.to_json()
    assert before.all_training.init_time.max() < np.datetime64(f"{year - 1}-01-01")
    for name in ("label", "init_time", "region"):
        assert np.array_equal(getattr(before.all_training, name), getattr(after.all_training, name))
    ids = torch.arange(len(before.train))
    assert torch.equal(before.train.inputs(ids), after.train.inputs(ids))


def test_the_pooled_scores_are_those_of_all_years_together(project: Path) -> None:
    """With the cut that each run chose on its own validation year, since one for all would have seen test years."""
    content, runs = pooled_of(project), finished(project)
    assert content["years"] == list(YEARS) and len(content["runs"]) == 3
    table = content["pooled"]["0"]
    read = {year_of(run): stored_forecasts.read(run)[0.1] for run in runs}
    probability = np.concatenate([each.probability for each in read.values()])
    observed = np.concatenate([each.observed for each in read.values()])
    hits = sum(int(((each.probability >= each.cut) & (each.observed == 1)).sum()) for each in read.values())
    assert table["overall"]["n"] == len(observed) and table["overall"]["contingency_table"]["hits"] == hits
    assert table["overall"]["brier_score"] == pytest.approx(np.mean((probability - observed) ** 2))
    assert table["overall"]["cut"] is None or len({each.cut for each in read.values()}) == 1
    for year, each in read.items():
        own = table["by_year"][str(year)]
        expected = score(each)
        assert {name: own[name] for name in expected} == expected
        low, high = own["intervals"]["roc_auc"]
        assert low < own["roc_auc"] < high
    low, high = table["overall"]["intervals"]["roc_auc"]
    assert low < table["overall"]["roc_auc"] < high
    chosen = {json.loads((run / "scores.json").read_text())["test"]["references"]["climatology"]["cut"] for run in runs}
    assert (
        table["references"]["climatology"]["cut"] in (None, *chosen)
        and "diebold_mariano" in table["against"]["climatology"]
    )


def test_both_phases_of_enso_are_met_once_years_are_pooled(project: Path) -> None:
    """One test year has seldom both; the difference between them needs several."""
    table = pooled_of(project)["pooled"]["0"]
    assert set(table["by_enso"]) == {"el_nino", "la_nina"} and table["enso"]["months"]["el_nino"] == 18
    assert table["enso_difference"]["roc_auc"]["interval"] is not None
    assert "1 latitude" in table["gradient"]["reason"] or "2 regions" in table["gradient"]["reason"]


def test_the_same_command_trains_nothing_again_and_other_seeds_only_what_is_missing(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Six hours of folds must not be paid twice for a table that was lost."""
    before = finished(project)
    assert program.main(cross(project, "--cross_validate_min_train_years", "3")) == 0
    assert finished(project) == before
    shown = capsys.readouterr().out
    assert "a run of its own in" in shown and "peru_rainfall-by_years\n" in shown
    assert "2023, seed 0 is finished" in shown and "2022, seed 0" not in shown and "year by year" in shown
    assert program.main(cross(project, "--itr", "2", "--cross_validate_min_train_years", "4")) == 0
    (new,) = set(finished(project)) - set(before)
    assert year_of(new) == 2024 and "seed1" in new.name
    content = pooled_of(project)
    assert set(content["pooled"]) == {"0", "1"} and content["years"] == [2024]
    assert set(content["over_seeds"]["roc_auc"]) == {"mean", "deviation"}


def test_a_year_whose_forecasts_cannot_be_judged_is_trained_again(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The table would end in a message about a column, and the same command would never mend it."""
    shutil.copytree(project / "runs", tmp_path / "runs")
    before = finished(tmp_path)
    (path,) = (run / "predictions.csv" for run in before if year_of(run) == 2024 and "seed0" in run.name)
    pd.read_csv(path).drop(columns="climatology_0.1mm").to_csv(path, index=False)
    own = ["--checkpoints", str(tmp_path / "runs"), "--cross_validate_min_train_years", "4"]
    assert program.main(cross(project, *own)) == 0
    (new,) = set(finished(tmp_path)) - set(before)
    assert year_of(new) == 2024 and "is trained again" in capsys.readouterr().out


def test_the_amounts_of_all_years_are_pooled_too(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One test year has few storms, and the skill of a regression hung on which year that was."""
    places = ["--root_path", str(project), "--checkpoints", str(tmp_path / "runs"), "--data_path", "table.csv"]
    asked = "--task_name regression --model ridge_regression --n_quantiles 3 --seq_len 14 --sample_stride_hours 24"
    years = "--cross_validate years --cross_validate_min_train_years 3 --itr 2 --bootstrap_draws 100"
    assert program.main([*places, *asked.split(), *years.split()]) == 0
    (path,) = (tmp_path / "runs").glob("*-by_years/cross_validation-ridge_regression-*.json")
    content = json.loads(path.read_text())
    assert (content["task"], content["years"], set(content["pooled"])) == ("regression", [2023, 2024], {"0", "1"})
    runs = [run for run in finished(tmp_path) if "seed0" in run.name]
    each = [stored_forecasts.read_amounts(run) for run in runs]
    table = content["pooled"]["0"]
    whole = regression_scores.score(AmountForecasts.joined([one for one in each if one is not None]), 0.1)
    assert {name: table["overall"][name] for name in whole} == pytest.approx(whole, abs=1e-9)
    for run in runs:
        own = json.loads((run / "scores.json").read_text())["test"]
        of_year = table["by_year"][str(year_of(run))]
        assert of_year["mean_absolute_error"] == pytest.approx(own["overall"]["mean_absolute_error"], abs=1e-9)
        low, high = of_year["intervals"]["continuous_ranked_probability_score"]
        assert low < of_year["continuous_ranked_probability_score"] < high
    assert table["against"]["climatology"]["crps_skill_score"]["interval"] and table["events"]["by_year"]["2024"]
    assert content["over_seeds"]["mean_absolute_error"]["deviation"] == 0, "a ridge regression has no seed"
    said = capsys.readouterr().out
    assert "a run for each year, amounts" in said and "a run for each year, chances" in said


@pytest.mark.parametrize(
    ("more", "named"),
    [
        (["--dry_run"], "--dry_run"),
        (["--task_name", "diagnose"], "--task_name diagnose"),
        (["--resume", "somewhere"], "--resume somewhere"),
        (["--train_until", "2021", "--validation_until", "2022"], "chooses all years"),
    ],
)
def test_flags_that_ask_for_something_else_are_refused(
    project: Path, capsys: pytest.CaptureFixture[str], more: list[str], named: str
) -> None:
    """A dry run that told the cost of one fold, or a diagnosis of other splits, would mislead."""
    assert program.main(cross(project, *more)) == 2
    assert named in capsys.readouterr().err


def test_too_few_years_end_with_3_before_anything_is_trained(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The first fold would take its hours before the second finds that it has no year."""
    before = finished(project)
    assert program.main(cross(project, "--cross_validate_min_train_years", "5")) == 3
    assert capsys.readouterr().err.startswith("TOO_FEW_YEARS") and finished(project) == before


def test_a_cut_fold_names_the_command_that_goes_on_with_all(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--resume RUN` would finish one year and leave the others."""

    def cut(*_: object, **__: object) -> None:
        raise signals.Interrupted(where="run", evidence="step 7 is saved")

    monkeypatch.setattr("exp.scoring.evaluate", cut)
    monkeypatch.setattr("sys.argv", ["run.py", *cross(project, "--seed", "9")])
    with pytest.raises(signals.Interrupted) as told:
        cross_validation.train(command_line.read(cross(project, "--seed", "9")))
    assert told.value.evidence == "step 7 is saved"
    assert shlex.split(str(told.value.next_command))[:2] == ["python", "run.py"]
    assert "--cross_validate years" in str(told.value.next_command)
