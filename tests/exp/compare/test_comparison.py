"""Real runs side by side: what the table says is what the runs say, and what a reader concludes is what was drawn."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import run as program
from exp import comparison
from tests.exp.compare.stored import runs_of
from utils import intervals

COMPARE = ["--task_name", "compare"]


def compared(tmp_path: Path, *words: str) -> dict:
    output = tmp_path / "out"
    assert program.main([*COMPARE, *words, "--output", str(output)]) == 0
    return json.loads((output / "comparison.json").read_text())


@pytest.fixture(scope="module")
def found(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict:
    """The comparison of the whole folder."""
    return compared(tmp_path_factory.mktemp("whole"), str(folder), "--ensemble")


def row_of(found: dict, name: str) -> dict:
    return next(row for row in found["events"][0]["table"] if row["name"] == name)


def test_the_table_holds_the_scores_of_the_runs_best_brier_score_first(folder: Path, found: dict) -> None:
    """A table that scored anew in another way would contradict every scores.json."""
    for model in ("logistic_regression", "persistence", "timer_xl_classifier"):
        own = [json.loads((run / "scores.json").read_text())["test"]["overall"] for run in runs_of(folder, model)]
        row = row_of(found, model)
        for score in ("accuracy", "macro_f1", "roc_auc", "brier_score"):
            assert row["scores"][score] == pytest.approx(np.mean([each[score] for each in own])), (model, score)
    briers = [row["scores"]["brier_score"] for row in found["events"][0]["table"]]
    assert briers == sorted(briers) and found["events"][0]["base_rate"] == pytest.approx(own[0]["base_rate"])


def test_seeds_are_one_line_with_their_spread(found: dict) -> None:
    """Two seeds as two models would make chance look like a difference between models."""
    row = row_of(found, "timer_xl_classifier")
    assert row["seeds"] == [0, 1] and row["spread"]["roc_auc"]["lowest"] < row["spread"]["roc_auc"]["highest"]
    assert row_of(found, "logistic_regression")["spread"]["roc_auc"] is None


def test_the_interval_of_several_seeds_is_that_of_their_mean_score(folder: Path, found: dict) -> None:
    """The mean of two intervals is another, wider one; that of the mean forecast is of another forecast."""
    from exp import stored_forecasts

    reference = stored_forecasts.read(runs_of(folder, "climatology")[0])
    (threshold,) = reference
    seeds = {run.name: stored_forecasts.read(run)[threshold] for run in runs_of(folder, "timer_xl_classifier")}
    draws = intervals.bootstrap(seeds)
    mean = np.mean([draws.drawn(name, "roc_auc") for name in seeds], axis=0)
    assert row_of(found, "timer_xl_classifier")["intervals"]["roc_auc"] == pytest.approx(
        intervals.ends(mean, draws.n_blocks)
    )


def test_climatology_is_without_skill_and_persistence_is_always_there(
    folder: Path, found: dict, tmp_path: Path
) -> None:
    """Skill is against the climatology of the table; without the lines nobody sees what is easy to reach."""
    assert row_of(found, "climatology")["scores"]["brier_skill_score"] == pytest.approx(0, abs=1e-12)
    (alone,) = runs_of(folder, "logistic_regression")
    one = compared(tmp_path, str(alone))
    assert {row["name"] for row in one["events"][0]["table"]} == {"logistic_regression", "climatology", "persistence"}
    for name in ("climatology", "persistence"):
        assert row_of(one, name)["kind"] == "reference" and row_of(one, name)["intervals"]["roc_auc"]
    assert row_of(one, "persistence")["scores"]["roc_auc"] == pytest.approx(
        row_of(found, "persistence")["scores"]["roc_auc"]
    )


def test_a_difference_is_real_where_its_interval_leaves_out_zero(found: dict) -> None:
    """The whole page hangs on this word."""
    differences = found["events"][0]["differences"]
    told = [each["scores"][score] for each in differences for score in ("brier_skill_score", "roc_auc")]
    assert len(told) > 8
    for each in told:
        low, high = each["interval"]
        assert low <= each["difference"] <= high and each["is_real"] == (low > 0 or high < 0)
    assert {each["is_real"] for each in told} == {True, False}, "the data show both"


def test_all_are_compared_with_whom_the_reader_names(folder: Path, tmp_path: Path) -> None:
    """`--against` by a name of the table, a model, or a run directory."""
    runs = [*runs_of(folder, "logistic_regression"), *runs_of(folder, "timer_xl_classifier")]
    for word in ("persistence", "timer_xl_classifier", str(runs[0])):
        event = compared(tmp_path, *map(str, runs), "--against", word)["events"][0]
        assert event["against"] == (word if word != str(runs[0]) else "logistic_regression")
        assert any(each["from"] == event["against"] for each in event["differences"])
    assert program.main([*COMPARE, *map(str, runs), "--against", "resnet1d"]) == 2


def test_costs_are_told_of_every_model(found: dict) -> None:
    """A difference that is real may still not be worth its price."""
    costs = {model["name"]: model["cost"] for model in found["models"]}
    network = costs["timer_xl_classifier"]
    assert network["parameters"] > 1000 and network["training_seconds"] > 0 and network["evaluation_seconds"] > 0
    assert all(cost["peak_memory_bytes"] > 2**20 and cost["training_seconds"] >= 0 for cost in costs.values())


def test_a_collapsed_run_is_marked_wherever_it_is_shown(
    folder: Path, copy: Callable[[Path], Path], tmp_path: Path
) -> None:
    """A constant answer in a table of scores is read as a result, as it was three times in the case."""
    run = copy(runs_of(folder, "timer_xl_classifier")[0])
    frame = pd.read_csv(run / "predictions.csv")
    column = next(name for name in frame if name.startswith("probability"))
    frame.assign(**{column: 0.99}).to_csv(run / "predictions.csv", index=False)
    scores = json.loads((run / "scores.json").read_text())
    marks = [{"code": "COLLAPSED", "sentence": "It says the same every time."}]
    (run / "scores.json").write_text(json.dumps(scores | {"collapsed": True, "marks": marks}))
    content = compared(tmp_path, str(run), str(runs_of(folder, "persistence")[0]))
    assert row_of(content, "timer_xl_classifier")["constant_answer"]
    text = (tmp_path / "out" / "comparison.md").read_text()
    assert "timer_xl_classifier = COLLAPSED" in text and "no score of that is skill" in text


def test_files_hold_the_table_for_machines_for_readers_and_as_a_picture(folder: Path, tmp_path: Path) -> None:
    """Whoever opens one of them needs none of the others."""
    runs = [*runs_of(folder, "logistic_regression"), *runs_of(folder, "persistence")]
    content = compared(tmp_path, *map(str, runs), "--language", "es")
    out = tmp_path / "out"
    rows = list(csv.DictReader(io.StringIO((out / "comparison.csv").read_text())))
    assert [row["name"] for row in rows] == [row["name"] for row in content["events"][0]["table"]]
    assert float(rows[0]["roc_auc_low"]) < float(rows[0]["roc_auc"]) < float(rows[0]["roc_auc_high"])
    text = (out / "comparison.md").read_text()
    widths = {line.count("|") for line in text.splitlines() if line.startswith("|")}
    assert "base rate" in text and "real" in text and len(widths) == 2
    assert (out / "comparison.png").read_bytes().startswith(b"\x89PNG")
    page = (out / "report.html").read_text()
    assert "logistic_regression" in page and '<html lang="es"' in page


def test_the_module_and_the_task_do_the_same_and_write_beside_the_runs(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two commands with two answers would be two comparisons to maintain."""
    words = [str(run) for run in runs_of(folder, "logistic_regression")]
    assert comparison.main(words) == 0
    shown = capsys.readouterr().out
    assert program.main([*COMPARE, *words]) == 0
    again = capsys.readouterr().out
    assert again.split("written")[0] == shown.split("written")[0] and "logistic_regression" in shown
    written = sorted(folder.glob("comparison-*/comparison.json"))
    assert written
    commands = {json.loads(path.read_text())["command"] for path in written}
    assert commands == {f"python run.py --task_name compare {words[0]}"}


def test_the_ensemble_is_weighted_on_validation_and_judged_on_test(folder: Path, found: dict) -> None:
    """Weights that were found on the test split would make every ensemble look like skill."""
    ensemble = found["events"][0]["ensemble"]
    names = [member["name"] for member in ensemble["members"]]
    weights = np.array([member["weight"] for member in ensemble["members"]])
    assert weights.min() >= 0 and weights.sum() == pytest.approx(1) and len(names) == 4
    probability = {}
    for split in ("validation_predictions.csv", "predictions.csv"):
        frames = [[pd.read_csv(run / split) for run in runs_of(folder, name)] for name in names]
        column = next(name for name in frames[0][0] if name.startswith("probability"))
        parts = [np.mean([frame[column] for frame in seeds], axis=0) for seeds in frames]
        probability[split] = np.stack(parts, axis=1), frames[0][0]["observed_class"].to_numpy() > 0
    for split, is_best in (("validation_predictions.csv", True), ("predictions.csv", False)):
        members, observed = probability[split]
        own = np.mean((members @ weights - observed) ** 2)
        others = [
            np.mean((members @ other - observed) ** 2) for other in np.random.default_rng(0).dirichlet([0.5] * 4, 500)
        ]
        assert not is_best or own <= min(others) + 1e-12
    assert row_of(found, "ensemble")["scores"]["brier_score"] == pytest.approx(own)
    assert row_of(found, "equal weights")["kind"] == "ensemble"


def test_a_member_adds_what_the_score_loses_without_it(found: dict) -> None:
    """The weight of a member says little of its worth: another may stand in for it."""
    for member in found["events"][0]["ensemble"]["members"]:
        low, high = member["contribution"]["interval"]
        expected = "adds nothing" if low <= 0 <= high else ("adds" if low > 0 else "harms")
        assert member["verdict"] == expected
        if member["weight"] == 0:
            assert (member["contribution"]["difference"], low, high) == (0, 0, 0)


def test_a_comparison_names_the_cut_of_every_forecast(found: dict) -> None:
    """Accuracy and F1 depend on it; a reference without a run of its own says rain from one half on."""
    row = row_of(found, "logistic_regression")
    assert len(row["cut"]) == 1 and 0 < row["cut"][0] < 1
