"""The comparison refuses what would not be one before hours are spent on it, and goes on past an option that dies."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from exp import command_line, option_scores, option_verdicts, rain_classification
from exp.options import OPTIONS
from exp.settings import Settings
from scripts.options import compare
from tests import make_table
from tests.scripts.option_project import Project
from utils.errors import UsageError

TINY = "--e_layers 1 --d_model 16 --d_ff 32 --n_heads 2 --input_token_len 24 --output_token_len 24"


def test_words_of_the_comparison_are_told_from_those_of_the_program() -> None:
    """A letter taken for a flag, or the other way round, compares something else than was asked for."""
    assert compare.read(["b", "A", "--seeds", "3", "--d_model", "64"]) == (
        ["B", "A"],
        ["--itr", "3", "--d_model", "64"],
        False,
    )
    assert compare.read(["--ladder", "--preset", "smoke"]) == (["B", "A", "C"], ["--preset", "smoke"], True)
    assert compare.read([])[0] == list(OPTIONS) and compare.read(["A", "A"])[0] == ["A"]
    with pytest.raises(UsageError, match="steps of its own"):
        compare.read(["A", "--ladder"])
    with pytest.raises(UsageError, match="no option"):
        compare.read(["A", "X"])


@pytest.mark.parametrize("typed", ["--seeds 0", "--seeds=0", "--seeds -1", "--seeds three", "--seeds"])
def test_a_number_of_seeds_that_is_none_is_refused_under_the_name_it_was_typed(typed: str) -> None:
    """An answer about --itr sends the reader looking for a word that is not in the command."""
    with pytest.raises(UsageError) as caught:
        compare.read(["B", "F", *typed.split()])
    assert caught.value.where == "--seeds" and caught.value.next_command == "--seeds 3"
    assert "--itr" not in str(caught.value) and compare.read(["B", "--seeds=3"])[1] == ["--itr", "3"]


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("--preset smoke B f", "B F --preset smoke"),
        ("A --seeds 3 C --d_model 64", "A C --seeds 3 --d_model 64"),
        ("--model_id A B", "B --model_id A"),
        ("--model_id=mine B", "B --model_id=mine"),
    ],
)
def test_letters_behind_a_flag_are_put_in_front_of_it(typed: str, meant: str) -> None:
    """'There is no preset B' was the answer to somebody who never wanted a preset of that name."""
    with pytest.raises(UsageError, match="letters") as caught:
        compare.read(typed.split())
    command = "bash scripts/compare_options.sh "
    assert caught.value.next_command == command + meant
    assert compare.read(meant.split())[0] == meant.upper().split(" --")[0].split()


def test_a_letter_behind_the_ladder_is_answered_as_one_before_it() -> None:
    """'A' stands where a flag was expected' does not say that the ladder takes no letters."""
    with pytest.raises(UsageError, match="steps of its own") as caught:
        compare.read(["--ladder", "A"])
    assert caught.value.evidence == "got A too"


def test_letters_typed_together_are_offered_apart() -> None:
    """The next command must be what was meant, not any comparison."""
    with pytest.raises(UsageError, match="no option 'cf'") as caught:
        compare.read(["cf"])
    assert caught.value.next_command == "bash scripts/compare_options.sh C F"


@pytest.mark.parametrize("words", [["--dry_run"], ["--is_training", "0"], ["--resume", "auto"]])
def test_words_that_train_nothing_are_refused(
    words: list[str], project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A table of runs that were not trained would hold those of another day."""
    monkeypatch.chdir(project.folder)
    with pytest.raises(UsageError, match="trains every option"):
        compare.run(["A", "--preset", "smoke", *words])


def settings_of(folder: Path, *contexts: int) -> dict[str, Settings]:
    """Options that differ in their context, on one table."""
    words = [*TINY.split(), "--root_path", str(folder), "--data_path", "table.csv", "--drop_bad_windows", "yes"]
    words += ["--split_shares", "0.5", "0.2", "0.3", "--sample_stride_hours", "3"]
    pairs = zip("AB", contexts, strict=True)
    return {letter: command_line.read([*words, "--seq_len", str(length)]) for letter, length in pairs}


def test_contexts_of_different_length_are_tested_at_the_same_instants_where_no_row_is_missing(tmp_path: Path) -> None:
    """The context may reach back into an earlier split, so options keep the context that the notes gave them."""
    make_table.write(tmp_path)
    compare._require_same_instants(settings_of(tmp_path, 240, 48))


def test_a_gap_that_costs_the_longer_context_more_test_windows_is_refused_with_a_way_out(tmp_path: Path) -> None:
    """The longer context would be spared the hours after the gap, and scored on others than the shorter one."""
    whole = make_table.frame()
    row = whole.groupby("region").cumcount()
    make_table.write(tmp_path, content=whole[~row.between(1300, 1310)])
    with pytest.raises(UsageError, match="same instants") as caught:
        compare._require_same_instants(settings_of(tmp_path, 96, 48))
    assert caught.value.next_command == "--seq_len 96 for all of them" and "48 rows: " in caught.value.evidence
    compare._require_same_instants(settings_of(tmp_path, 96, 96))


def test_an_option_that_dies_of_its_numbers_is_noted_and_the_next_one_is_played(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An option that ends the comparison would hide all that come after it, and a zero would hide that it died."""
    monkeypatch.chdir(project.folder)
    assert compare.run(["B", "A", "--preset", "smoke", "--learning_rate", "1e30", "--model_id", "dead"]) == 5
    stored = json.loads(Path("checkpoints/dead/comparison.json").read_text())["options"]
    assert [(row["option"], row["failed"], row["seeds"]) for row in stored] == [
        ("B", {"0": "LEARNING_RATE"}, 0), ("A", {"0": "LEARNING_RATE"}, 0)
    ]  # fmt: skip


def test_runs_of_other_instants_are_refused_although_their_number_is_the_same(project: Project, tmp_path: Path) -> None:
    """A table that was prepared anew between two options has as many windows, an hour later."""
    (run,) = project.runs("option_a_from_scratch")
    other = tmp_path / run.name
    shutil.copytree(run, other)
    frame = pd.read_csv(other / "predictions.csv", parse_dates=["init_time"])
    outcomes = [option_scores.read(OPTIONS["A"], [run], {}), option_scores.read(OPTIONS["B"], [other], {})]
    option_verdicts.of(outcomes)
    frame.assign(init_time=frame["init_time"] + pd.Timedelta(hours=1)).to_csv(other / "predictions.csv", index=False)
    with pytest.raises(UsageError, match="not tested on the same") as caught:
        option_verdicts.of(outcomes)
    assert (
        caught.value.evidence.count(f"{len(frame)} test windows") == 2 and "0 are in all runs" in caught.value.evidence
    )
    assert "--common_instants" not in caught.value.next_command, "no flag of this script"


def test_a_comparison_shows_the_overall_line_of_each_run_and_a_single_run_its_tables_too(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Six options with the tables of regions and months push the table that was asked for off the screen."""
    make_table.write(tmp_path)
    caplog.set_level("INFO")
    words = ["--preset", "smoke", "--root_path", str(tmp_path), "--data_path", "table.csv"]
    words += ["--checkpoints", str(tmp_path / "runs")]
    assert compare.run(["B", *words]) == 0
    said = caplog.text
    assert "by season" not in said and "by region" not in said and "\nall " in said
    page = (tmp_path / "runs" / "smoke_compared_options" / "report.html").read_text(encoding="utf-8")
    assert "scripts/compare_options.sh B --preset smoke" in page and "Timer-XL" in page
    caplog.clear()
    rain_classification.train(command_line.read(words))
    assert "by season" in caplog.text and "by region" in caplog.text and "\nall " in caplog.text


def test_a_finished_run_whose_forecasts_cannot_be_judged_is_trained_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The comparison would end in a message about a column, each time it is typed."""
    make_table.write(tmp_path)
    caplog.set_level("INFO")
    words = ["--preset", "smoke", "--root_path", str(tmp_path), "--data_path", "table.csv", "--bootstrap_draws", "0"]
    words += ["--checkpoints", str(tmp_path / "runs")]
    assert compare.run(["B", *words]) == 0
    (path,) = tmp_path.glob("runs/*/*/predictions.csv")
    pd.read_csv(path).drop(columns="climatology_0.1mm").to_csv(path, index=False)
    assert compare.run(["B", *words]) == 0
    assert f"passed over {path.parent}" in caplog.text and "is trained again" in caplog.text
    assert len(list(tmp_path.glob("runs/*/*/predictions.csv"))) == 2
