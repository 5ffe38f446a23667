"""Regressions side by side: amounts in millimetres, and their thresholds beside those of classifications."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

import run as program
from exp.compare import alike, groups, reading
from tests.exp.compare import stored
from tests.exp.compare.stored import runs_of
from utils.errors import DataError, UsageError

CRPS = "continuous_ranked_probability_score"


def compared(tmp_path: Path, *words: object) -> dict:
    output = tmp_path / "out"
    assert program.main(["--task_name", "compare", *map(str, words), "--output", str(output)]) == 0
    return json.loads((output / "comparison.json").read_text())


def row_of(part: dict, name: str) -> dict:
    return next(row for row in part["table"] if row["name"] == name)


@pytest.fixture
def copied(amount_runs: Path, tmp_path: Path) -> Callable[[str], Path]:
    """Return a function that copies the run of a model, so that a test may spoil it."""

    def of(model: str) -> Path:
        (run,) = runs_of(amount_runs, model)
        return Path(shutil.copytree(run, tmp_path / "copies" / run.name))

    return of


def as_classification(run: Path) -> Path:
    """Make a run one that says whether it rains and nothing of how much."""
    config, scores = (json.loads((run / name).read_text()) for name in ("config.json", "scores.json"))
    config["flags"]["task_name"] = "classification"
    own = {name: value for name, value in scores.items() if name not in ("task", "quantile_levels")}
    (run / "config.json").write_text(json.dumps(config))
    (run / "scores.json").write_text(json.dumps(own | {"test": scores["test"]["events"]}))
    return run


def test_amounts_have_the_scores_intervals_and_differences_of_their_runs(amount_runs: Path, tmp_path: Path) -> None:
    """A table that scored anew in another way would contradict every scores.json."""
    found = compared(tmp_path, amount_runs, "--against", "climatology")
    part = found["amounts"]
    assert [row["name"] for row in part["table"]] == sorted(
        ("climatology", "persistence", "ridge_regression"), key=lambda name: row_of(part, name)["scores"][CRPS]
    )
    test = json.loads((runs_of(amount_runs, "ridge_regression")[0] / "scores.json").read_text())["test"]
    own = row_of(part, "ridge_regression")
    for score in ("mean_absolute_error", "root_mean_squared_error", "bias", CRPS, "crps_skill_score"):
        assert own["scores"][score] == pytest.approx(test["overall"][score], abs=1e-9), score
        assert own["intervals"][score] == pytest.approx(test["overall"]["intervals"][score], abs=1e-9), score
        for name in ("climatology", "persistence"):
            expected = test["references"][name][score]
            assert row_of(part, name)["scores"][score] == pytest.approx(expected, abs=1e-9), (name, score)
    told = next(each for each in part["differences"] if each["name"] == "ridge_regression")
    assert part["against"] == told["from"] == "climatology" and set(told["scores"]) == set(own["scores"])
    for score, each in told["scores"].items():
        expected = test["against"]["climatology"][score]
        assert each["difference"] == pytest.approx(expected["difference"], abs=1e-9)
        assert each["interval"] == pytest.approx(expected["interval"], abs=1e-9)
        assert each["is_real"] == expected["is_real"]
    assert (part["n"], part["quantiles"], part["without"]) == (test["overall"]["n"], 5, [])


def test_the_thresholds_of_regressions_are_compared_as_events(amount_runs: Path, tmp_path: Path) -> None:
    """Climatology of an event is its share of days: read off five quantiles it would have skill against itself."""
    found = compared(tmp_path, amount_runs, "--ensemble")
    (event,) = found["events"]
    test = json.loads((runs_of(amount_runs, "ridge_regression")[0] / "scores.json").read_text())["test"]["events"]
    own = row_of(event, "ridge_regression")
    assert own["scores"]["brier_score"] == pytest.approx(test["overall"]["brier_score"])
    assert row_of(event, "climatology")["scores"]["brier_skill_score"] == 0
    assert row_of(event, "climatology")["cut"] == [test["references"]["climatology"]["cut"]]
    assert row_of(event, "climatology")["seeds"] == [0] and row_of(event, "persistence")["seeds"] == []
    assert {member["name"] for member in event["ensemble"]["members"]} == {"climatology", "ridge_regression"}
    (run,) = reading.read_all(runs_of(amount_runs, "climatology"), with_validation=True)
    for events in (run.test, run.validation):
        assert all((each.probability == each.climatology).all() for each in events.values())
    assert {model["cut_score"] for model in found["models"]} == {"macro_f1"}


def test_a_classification_is_compared_in_its_events_and_named_where_it_has_no_amounts(
    amount_runs: Path, copied: Callable[[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same model and flags in both tasks are two, and neither may be lost or counted as a seed of the other."""
    other = as_classification(copied("ridge_regression"))
    runs = [*runs_of(amount_runs, "ridge_regression"), other]
    names = [group.name for group in groups.of(reading.read_all(runs))]
    assert len(set(names)) == 2
    found = compared(tmp_path, *runs, "--against", names[1])
    assert {row["name"] for row in found["events"][0]["table"]} == {*names, "climatology", "persistence"}
    assert found["events"][0]["against"] == names[1]
    part = found["amounts"]
    assert part["without"] == [names[1]] and part["against"] == part["best"] == names[0], "the best reference instead"
    assert {row["name"] for row in part["table"]} == {names[0], "climatology", "persistence"}
    assert f"without amounts, compared as yes/no forecasts alone: {names[1]}" in capsys.readouterr().out
    assert compared(tmp_path, other)["amounts"] is None


def test_every_file_of_a_comparison_has_the_amounts(amount_runs: Path, tmp_path: Path) -> None:
    """Whoever opens one of them needs none of the others."""
    found = compared(tmp_path, amount_runs, "--language", "es", "--against", "climatology")
    out = tmp_path / "out"
    rows = list(csv.DictReader(io.StringIO((out / "comparison.csv").read_text())))
    assert [row["name"] for row in rows[:3]] == [row["name"] for row in found["amounts"]["table"]]
    for row in rows:
        is_event = row["threshold_mm"] != ""
        assert (row["brier_score"] != "") == is_event and (row[CRPS] == "") == is_event
    assert float(rows[0][f"{CRPS}_low"]) < float(rows[0][CRPS]) < float(rows[0][f"{CRPS}_high"])
    text = (out / "comparison.md").read_text()
    assert "amounts of rain in mm" in text and "CRPS skill" in text and "the best by CRPS" in text
    assert (out / "comparison_amounts.png").read_bytes().startswith(b"\x89PNG")
    page = (out / "report.html").read_text()
    assert "tiene el mejor CRPS" in page and "Ventaja en el CRPS sobre la climatología" in page
    assert page.count("<svg") >= 3, "CRPS skill, Brier skill and ROC area"


def test_amounts_that_are_not_of_the_same_are_refused_with_the_reason(
    amount_runs: Path, copied: Callable[[str], Path]
) -> None:
    """A CRPS of nine quantiles is no better than one of five, and other rain is another question."""
    first, *others = reading.read_all(sorted(amount_runs.glob("*-seed0-*")))
    more = [replace(run, scores={**run.scores, "quantile_levels": [0.1] * 9}) for run in others]
    with pytest.raises(UsageError) as caught:
        alike.require([first, *more])
    assert "quantiles" in caught.value.evidence and "9: ridge" in caught.value.evidence
    run = copied("ridge_regression")
    frame = pd.read_csv(run / "predictions.csv")
    frame.loc[3, "observed_precipitation_mm"] += 0.01
    frame.to_csv(run / "predictions.csv", index=False)
    with pytest.raises(UsageError) as caught:
        alike.require([first, reading.read(run)])
    assert f"observed mm of test 1 of {len(frame)}" in caught.value.evidence


def test_a_regression_of_an_earlier_version_is_refused_with_the_way_out(copied: Callable[[str], Path]) -> None:
    """It lacks the quantiles of climatology; scored again it has them."""
    run = copied("ridge_regression")
    path = run / "predictions.csv"
    path.write_text(path.read_text().replace("climatology_quantile_", "something_"))
    with pytest.raises(DataError, match="no test forecasts") as caught:
        reading.read_all([run])
    assert (
        caught.value.code == "RUN_WITHOUT_PREDICTIONS" and f"--is_training 0 --run {run}" in caught.value.next_command
    )


def test_common_instants_are_taken_of_amounts_too(amount_runs: Path, copied: Callable[[str], Path]) -> None:
    """Amounts of other cases would stand beside events of the common ones."""
    run = copied("ridge_regression")
    frame = pd.read_csv(run / "predictions.csv")
    frame.iloc[10:].to_csv(run / "predictions.csv", index=False)
    runs = reading.read_all([*runs_of(amount_runs, "climatology"), run])
    same = alike.require(runs, common_instants=True)
    assert sum(same.left_out.values()) == 10 and same.amount_reference is not None
    for each in same.runs:
        assert each.amounts is not None and len(each.amounts.observed) == len(frame) - 10
        assert (each.amounts.init_time == each.first.init_time).all()


def test_a_folder_stands_for_a_classification_and_a_regression_of_one_model(tmp_path: Path) -> None:
    """The newer of the two would hide the other."""
    runs = [stored.write(tmp_path / "own", flags={"task_name": task}) for task in ("classification", "regression")]
    assert set(reading.paths_of([str(tmp_path / "own")])) == set(runs)
