"""Every option script runs for real in smoke size, goes on where it was cut, and the comparison stands on its runs."""

from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from exp import comparison, stored_forecasts
from exp.options import OPTIONS
from tests.scripts.option_project import ROOT, SMOKE, Answer, Project

SCRIPTS = {option.script: option for option in OPTIONS.values()}


@pytest.fixture(scope="session")
def compared(project: Project) -> Answer:
    """All six side by side, on the runs that are there."""
    return project.run("compare_options", *SMOKE)


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_option_trains_and_is_scored_on_labelled_synthetic_data(project: Project, script: str) -> None:
    """A script that fails in its first minute costs a user the evening."""
    answer, option = project.first(script), SCRIPTS[script]
    assert answer.code == 0, answer.said[-3000:]
    own = [line for line in answer.said.splitlines() if not line.startswith("[setup]")]
    assert "SYNTHETIC data, not ERA5" in own[0], "said before anything else is done"
    (run,) = project.runs(script)
    scores = json.loads((run / "scores.json").read_text())
    assert scores["synthetic"] and scores["skipped_steps"] == 0
    assert (run / "load_plan.json").exists() == option.has_weights


def test_the_options_do_what_they_are_called(project: Project) -> None:
    """Flags that are accepted and do nothing would make six names for one training."""
    plans = {
        letter: json.loads((project.runs(OPTIONS[letter].script)[0] / "load_plan.json").read_text())["tensors"]
        for letter in "CDEF"
    }
    loaded = {letter: sum(row["decision"] == "loaded" for row in rows) for letter, rows in plans.items()}
    assert loaded["C"] == loaded["E"] == loaded["F"] > loaded["D"] > 0
    stages = {
        letter: [line for line in project.first(OPTIONS[letter].script).said.splitlines() if line.startswith("stage ")]
        for letter in "EF"
    }
    assert [len(lines) for lines in stages.values()] == [2, 1]
    assert all("from epoch 1: classifier (" in lines[0] for lines in stages.values())
    learn = re.search(r"\((\S+) of (\S+) parameters learn\)", stages["E"][1])
    assert learn and learn[1] == learn[2]


def test_the_smoke_encoder_is_pre_trained_once(project: Project) -> None:
    """Four options that each train an encoder of their own are slower, and start from different weights."""
    said = [project.first(script).said for script, option in SCRIPTS.items() if option.has_weights]
    assert ["scripts/pretrain.sh" in text for text in said] == [True, False, False, False]
    assert len(list(project.folder.glob("checkpoints/smoke_encoder/*/best.pt"))) == 1


def test_a_second_call_does_nothing_again(project: Project) -> None:
    """Typed twice, a training of hours would be paid for twice."""
    answer = project.run("option_a_from_scratch", *SMOKE)
    assert answer.code == 0 and "option A, seed 0 is finished" in answer.said and "--seed 1" in answer.said
    assert len(project.runs("option_a_from_scratch")) == 1


def test_an_option_goes_on_where_it_was_cut(project: Project) -> None:
    """A lost connection must not cost what was trained until then."""
    (finished,) = project.runs("option_a_from_scratch")
    run = project.folder / "cut" / finished.parent.name / finished.name
    shutil.copytree(finished, run)
    (run / "scores.json").unlink()
    answer = project.run("option_a_from_scratch", *SMOKE, "--checkpoints", "cut/")
    assert answer.code == 0, answer.said[-3000:]
    assert list(run.parent.glob("*/scores.json")) == [run / "scores.json"] and (run / "resumes.jsonl").exists()
    tests = [json.loads((folder / "scores.json").read_text())["test"] for folder in (run, finished)]
    assert tests[0] == tests[1]


@pytest.mark.parametrize("script", [*SCRIPTS, "compare_options"])
def test_help_is_the_head_of_the_script_and_needs_nothing_installed(script: str) -> None:
    """What an option is and costs has to be known before an environment of 2 GB is set up."""
    command = ["bash", str(ROOT / "scripts" / f"{script}.sh"), "--preset", "smoke", "--help"]
    answer = subprocess.run(
        command, env={"PATH": "/usr/bin:/bin"}, cwd="/", capture_output=True, text=True, check=False
    )
    head = (ROOT / "scripts" / f"{script}.sh").read_text(encoding="utf-8").split("\nsource ")[0].splitlines()[1:]
    assert answer.returncode == 0 and answer.stderr == ""
    assert answer.stdout.splitlines() == [line.removeprefix("# ") for line in head]


def test_a_transfer_without_weights_says_how_to_get_some_before_anything_is_trained(project: Project) -> None:
    """Through the script: code 4, one message, and a command that exists for whoever has no released file."""
    words = ["--root_path", "datasets/processed", "--data_path", "synthetic_smoke.csv"]
    answer = project.run("option_c_transfer", *words)
    assert answer.code == 4 and answer.said.count("CKPT_MISSING") == 1 and "Traceback" not in answer.said
    assert "get_checkpoint.sh FILE|URL" in answer.said and "--preset encoder" in answer.said
    assert not list(project.folder.glob("checkpoints/option_c_transfer/*"))


def test_a_flag_reaches_the_program_and_wins(project: Project) -> None:
    """A dry run with another width shows in the number of parameters that the words were passed on."""
    answer = project.run("option_b_small", *SMOKE, "--d_model", "32", "--dry_run")
    assert answer.code == 0 and "DRY RUN" in answer.said and "--d_model 32" in answer.said
    assert "parameters    6,574" not in answer.said


def test_the_comparison_stands_on_the_finished_runs_and_writes_its_table(project: Project, compared: Answer) -> None:
    """A comparison that trains again what is there would never be asked for twice."""
    assert compared.code == 0, compared.said[-3000:]
    assert compared.said.count("seed 0 is finished") == len(OPTIONS) and "train loss" not in compared.said
    folder = project.folder / "checkpoints" / "smoke_compared_options"
    stored = json.loads((folder / "comparison.json").read_text())["options"]
    assert [row["option"] for row in stored] == list(OPTIONS)
    for row in stored:
        (run,) = project.runs(OPTIONS[row["option"]].script)
        overall = json.loads((run / "scores.json").read_text())["test"]["overall"]
        assert row["scores"]["roc_auc"]["mean"] == overall["roc_auc"] and row["base_rate"] == overall["base_rate"]
        assert row["seconds"][0] > 0 and row["parameters"] > 0 and row["synthetic"]
    assert "SYNTHETIC" in (folder / "comparison.md").read_text()
    assert len(list(csv.DictReader((folder / "comparison.csv").read_text().splitlines()))) == len(OPTIONS)


def test_the_ladder_says_after_each_step_what_follows(project: Project) -> None:
    """On one seed of a toy it has to say, above all, how little follows."""
    answer = project.run("compare_options", "--ladder", *SMOKE)
    assert answer.code == 0, answer.said[-3000:]
    steps = [answer.said.index(f"Option {letter} (") for letter in "BAC"]
    assert steps == sorted(steps) and answer.said.count("On SYNTHETIC data") == 3
    assert "did not help" not in answer.said and "Better than" not in answer.said


def test_all_options_are_tested_at_the_same_instants(project: Project) -> None:
    """Scores of different hours are not comparable, and n and base rate may agree by chance."""
    forecasts = [next(iter(stored_forecasts.read(project.runs(script)[0]).values())) for script in SCRIPTS]
    windows = [list(zip(each.init_time, each.region, each.observed, strict=True)) for each in forecasts]
    assert len(windows[0]) > 100 and all(other == windows[0] for other in windows)


def test_run_directories_can_be_named_to_the_comparison_of_runs(
    project: Project, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """All options are one model, so that a folder alone shows the newest and hides the others."""
    runs = [str(project.runs(OPTIONS[letter].script)[0]) for letter in "AB"]
    assert comparison.main(runs) == 0
    shown = capsys.readouterr().out
    assert "smoke_option_a_from_scratch" in shown and "smoke_option_b_small" in shown
    assert comparison.main([runs[0]]) == 0
    assert "timer_xl_classifier" in capsys.readouterr().out
    assert comparison.main([*runs, str(tmp_path)]) == 2
    assert "no scores.json in it" in capsys.readouterr().err
