"""Runs that tell several lead times: trained, scored, resumed, compared and used."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import run as program
from exp import lead_results
from tests import make_table
from tests.exp.test_resume import Project
from tests.run_ends import differences

pytestmark = pytest.mark.usefixtures("without_figures")
LEADS = ["--lead_times", "24", "48", "72", "--bootstrap_draws", "0"]
OFTEN = ["--sample_stride_hours", "2"]


def scores_of(folder: Path) -> dict:
    return json.loads((folder / "scores.json").read_text())


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A network run that was never stopped."""
    project = Project(tmp_path_factory.mktemp("whole"), LEADS)
    assert project.start() == 0
    return project


def test_every_lead_time_is_scored_in_a_place_of_its_own(whole: Project) -> None:
    """The rain of the third day must be counted over the third day."""
    (run,) = whole.runs()
    hourly = make_table.frame().set_index(["region", "timestamp"])["tp"] * 1000
    for lead, folder in ((24, run), (48, run / "lead_048h"), (72, run / "lead_072h")):
        assert scores_of(folder)["lead_time_hours"] == lead
        frame = pd.read_csv(folder / "predictions.csv", parse_dates=["init_time", "period_start", "period_end"])
        row = frame.iloc[len(frame) // 2]
        hours = pd.date_range(row["period_start"], row["period_end"], freq="h")[1:]
        assert row["period_end"] - row["init_time"] == pd.Timedelta(hours=lead)
        assert row["observed_precipitation_mm"] == pytest.approx(hourly[row["region"]][hours].sum(), abs=1e-3)
        assert (folder / "report.html").is_file()
    assert not (run / "lead_024h").exists()


def test_the_lead_times_are_told_differently_and_a_later_one_worse(whole: Project) -> None:
    """One head copied to all of them would be the same forecast three times."""
    (run,) = whole.runs()
    rows = list(pd.read_csv(run / lead_results.TABLE).itertuples())
    assert [row.lead_time_hours for row in rows] == [24, 48, 72]
    assert rows[0].roc_auc > rows[2].roc_auc
    told = [pd.read_csv(folder / "predictions.csv")["probability_0.1mm"] for folder in (run, run / "lead_072h")]
    assert np.abs(told[0] - told[1]).max() > 0.01


def test_a_run_that_was_cut_ends_bitwise_like_the_whole_one(
    tmp_path: Path, whole: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The order of targets is part of the state of a run."""
    project = Project(tmp_path / "cut", LEADS)
    run = project.cut_at(8, monkeypatch, "--checkpoint_steps", "3")
    assert project.start("--resume", "auto", "--checkpoint_steps", "3") == 0
    assert differences(whole.runs()[0], run) == []


def test_a_finished_run_is_scored_again_to_the_same_numbers(whole: Project) -> None:
    """Calibration and cut of every lead time have to come back."""
    (run,) = whole.runs()
    assert whole.start("--is_training", "0") == 0
    (again,) = run.glob("scored-*")
    for name in ("", "lead_048h", "lead_072h"):
        one, other = scores_of(run / name), scores_of(again / name)
        assert one["test"]["overall"] == other["test"]["overall"] and one["cut"] == other["cut"]


def test_one_lead_time_is_an_ordinary_run(tmp_path: Path) -> None:
    """`--lead_times 24` on a table of 24 hours asks for what the table has."""
    plain, asked = Project(tmp_path / "plain"), Project(tmp_path / "asked", ["--lead_times", "24"])
    assert plain.start() == 0 and asked.start() == 0
    (one,), (other,) = plain.runs(), asked.runs()
    assert scores_of(one)["test"]["overall"] == scores_of(other)["test"]["overall"]
    assert not list(other.glob("lead_*"))


@pytest.mark.parametrize("model", ["logistic_regression", "persistence"])
def test_a_reference_at_a_further_lead_time_is_the_one_of_a_table_of_its_own(tmp_path: Path, model: str) -> None:
    """Beside the network stands the reference with the same information, not one of another question."""
    together = Project(tmp_path / "together", [*LEADS, "--model", model, *OFTEN])
    assert together.start() == 0
    (run,) = together.runs()
    alone = Project(tmp_path / "alone", ["--model", model, "--bootstrap_draws", "0", *OFTEN])
    content = make_table.frame()
    for name in ("precipitation", "rain_24h"):
        content[name] = content.groupby("region")[name].shift(-48)
    make_table.write(alone.folder, content=content)
    (alone.folder / "table.json").write_text(
        '{"lead_time_hours": 72, "accumulation_hours": 24, "label_name": "rain_24h"}'
    )
    assert alone.start() == 0
    (other,) = alone.runs()
    first, second = (pd.read_csv(folder / "predictions.csv") for folder in (run / "lead_072h", other))
    both = first.merge(second, on=["init_time", "region"], suffixes=("", "_alone"))
    assert len(both) > 0.7 * len(second)
    assert (both["observed_class"] == both["observed_class_alone"]).all()
    if model == "persistence":
        assert (both["probability_0.1mm"] == both["probability_0.1mm_alone"]).all()
    else:  # it was fitted on a few windows more where the splits meet
        assert np.corrcoef(both["probability_0.1mm"], both["probability_0.1mm_alone"])[0, 1] > 0.95


def test_a_reference_of_several_lead_times_comes_back_from_its_file(tmp_path: Path) -> None:
    """Each lead time has tensors of its own in best.pt."""
    project = Project(tmp_path, [*LEADS, "--model", "logistic_regression"])
    assert project.start() == 0 and project.start("--is_training", "0") == 0
    (run,) = project.runs()
    (again,) = run.glob("scored-*")
    for name in ("", "lead_072h"):
        assert scores_of(run / name)["test"]["overall"] == scores_of(again / name)["test"]["overall"]


def test_runs_are_compared_at_a_lead_time(whole: Project, tmp_path: Path) -> None:
    """Which of two models is better on the third day is not which is better tomorrow."""
    assert whole.start("--model", "climatology") == 0
    output = tmp_path / "third_day"
    words = [str(run) for run in whole.runs()]
    compare = ["--task_name", "compare", *words, "--lead_time", "72", "--output", str(output)]
    assert program.main(compare) == 0
    found = json.loads((output / "comparison.json").read_text())
    assert found["label"]["lead_time_hours"] == 72 and len(found["models"]) == 2


def test_a_lead_time_that_a_run_has_not_is_refused(whole: Project, capsys: pytest.CaptureFixture[str]) -> None:
    """The message says which there are."""
    run = whole.runs()[0]
    assert program.main(["--task_name", "compare", str(run), "--lead_time", "96"]) == 2
    said = capsys.readouterr().err
    assert "lead_048h, lead_072h" in said and "--lead_times 24 96" in said


def test_a_run_is_not_scored_at_lead_times_that_it_does_not_tell(
    whole: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    """The outputs of 48 h judged by the rain of 72 h would be a table like any other."""
    run = whole.runs()[0]
    assert program.main(["--is_training", "0", "--run", str(run), "--lead_times", "24", "72"]) == 2
    assert "run: 24 48 72" in capsys.readouterr().err


def test_the_pages_of_all_lead_times_are_made_anew(whole: Project) -> None:
    """A page in Spanish that links to pages in English is half a page."""
    run = whole.runs()[0]
    assert program.main(["--task_name", "report", "--run", str(run), "--language", "es"]) == 0
    for page in (run / "report.html", run / "lead_072h" / "report.html"):
        assert 'lang="es"' in page.read_text()


def test_a_regression_refuses_lead_times(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It tells amounts of one period."""
    assert Project(tmp_path).start("--task_name", "regression", *LEADS) == 2
    assert "--lead_times" in capsys.readouterr().err


def test_focal_loss_on_one_logit_takes_lead_times_too(tmp_path: Path) -> None:
    """One logit for each lead time, and two classes from each."""
    project = Project(tmp_path, [*LEADS, "--loss", "BCE", "--use_focal_loss", "--train_epochs", "1"])
    assert project.start() == 0
    (run,) = project.runs()
    assert scores_of(run / "lead_048h")["test"]["overall"]["n"] > 0


def test_several_thresholds_and_lead_times_are_told_at_once(tmp_path: Path) -> None:
    """The table of lead times has a row for each threshold."""
    project = Project(tmp_path, [*LEADS, "--train_epochs", "1"])
    content = make_table.frame()
    amount = content["precipitation"]
    content["rain_24h"] = np.where(amount.isna(), np.nan, (amount >= 3.0).astype(float) + (amount >= 9.0))
    make_table.write(tmp_path, content=content)
    (tmp_path / "table.json").write_text(
        '{"lead_time_hours": 24, "accumulation_hours": 24, "label_name": "rain_24h", "threshold_mm": [3, 9]}'
    )
    assert project.start() == 0
    (run,) = project.runs()
    rows = pd.read_csv(run / lead_results.TABLE)
    assert rows[["lead_time_hours", "threshold"]].to_numpy().tolist() == [
        [hours, threshold] for hours in (24, 48, 72) for threshold in ("3 mm", "9 mm")
    ]


def test_a_step_that_is_not_finite_is_explained_and_replayed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The bundle keeps the classes of all lead times."""
    words = [*LEADS, "--learning_rate", "1e30", "--warmup_epochs", "0", "--nan_policy", "skip"]
    assert Project(tmp_path, words).start() == 5
    bundle = sorted((tmp_path / "runs").rglob("bundle-step*"))[0]
    capsys.readouterr()
    assert program.main(["--task_name", "diagnose", "--bundle", str(bundle)]) in (0, 3, 5)
    assert "LABEL_RANGE" not in capsys.readouterr().out
