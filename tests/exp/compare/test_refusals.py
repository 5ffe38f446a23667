"""Runs that do not belong together are refused with all that keeps them apart, and nothing is written."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

import run as program
from exp.compare import alike, groups, reading
from tests.exp.compare import stored
from utils.errors import DataError, ForeseenError, UsageError

COMPARE = ["--task_name", "compare"]


def refused(capsys: pytest.CaptureFixture[str], code: int, *words: object) -> str:
    """Compare, expect an exit code, and return the message."""
    assert program.main([*COMPARE, *map(str, words)]) == code
    said = capsys.readouterr().err
    assert "Traceback" not in said
    return said


def test_all_that_keeps_runs_apart_is_told_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One difference at a time sends the reader back to a training three times over."""
    ours = stored.write(tmp_path / "own")
    theirs = stored.write(
        tmp_path / "own", "persistence", scores={"lead_time_hours": 48}, splits={"validation_end": "2023-06-30T00"}
    )
    said = refused(capsys, 2, ours, theirs, "--common_instants")
    assert "RUNS_DIFFER" in said and "validation ends" in said and "lead time in h" in said
    assert "training ends" not in said and ours.name in said and theirs.name in said
    assert not list(tmp_path.rglob("comparison*"))


def test_weights_that_saw_the_test_period_of_another_run_are_refused_whatever_is_asked(tmp_path: Path) -> None:
    """The instants that both have are test instants of both, and yet one of them was trained on other years."""
    runs = [stored.write(tmp_path / "own", name) for name in ("resnet1d", "persistence")]
    config = json.loads((runs[1] / "config.json").read_text())
    config["splits"]["train_end"] = "2023-06-30T00"
    (runs[1] / "config.json").write_text(json.dumps(config))
    with pytest.raises(UsageError, match="not tested on the same") as caught:
        alike.require(reading.read_all(runs), common_instants=True)
    assert "training ends" in caught.value.evidence and "--common_instants" not in caught.value.next_command


def test_runs_with_other_instants_are_compared_on_those_they_share_when_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Contexts of different length lose a few windows; the answer names the flag that leaves these out, and counts."""
    long, short = stored.write(tmp_path / "own"), stored.write(tmp_path / "own", "persistence", days=90)
    said = refused(capsys, 2, long, short)
    assert "200 test windows" in said and "180 test windows" in said and "180 are in all runs" in said
    command = f"--task_name compare {long} {short} --common_instants"
    assert command in said
    same = alike.require(reading.read_all([long, short]), common_instants=True)
    assert same.left_out == {long.name: 20, short.name: 0}
    times = [run.first.init_time for run in same.runs]
    assert len(times[0]) == 180 and (times[0] == times[1]).all()
    assert program.main([*command.split(), "--output", str(tmp_path / "out")]) == 0
    assert f"20 of {long.name}" in capsys.readouterr().out


def test_runs_without_a_common_instant_are_refused_with_the_flag_too(tmp_path: Path) -> None:
    """An empty table would be all NaN."""
    runs = [stored.write(tmp_path / "own"), stored.write(tmp_path / "own", "persistence", first="2025-01-01")]
    with pytest.raises(UsageError, match="not tested on the same") as caught:
        alike.require(reading.read_all(runs), common_instants=True, command="compare")
    assert "0 are in all runs" in caught.value.evidence and "--common_instants" not in caught.value.next_command


@pytest.mark.parametrize("name", ["predictions.csv", "validation_predictions.csv"])
def test_another_outcome_of_the_same_instant_is_refused(tmp_path: Path, name: str) -> None:
    """A table that was prepared anew may hold other labels at the same times."""
    runs = [stored.write(tmp_path / "own", model) for model in ("resnet1d", "persistence")]
    frame = pd.read_csv(runs[1] / name)
    frame.loc[3, "observed_class"] = 1 - frame.loc[3, "observed_class"]
    frame.to_csv(runs[1] / name, index=False)
    with pytest.raises(UsageError) as caught:
        alike.require(reading.read_all(runs, with_validation=True), common_instants=True)
    assert "observed class" in caught.value.evidence and "1 of 200" in caught.value.evidence


def test_everything_that_is_no_run_is_named_in_one_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The code is the smallest one; each line says what to do."""
    good, bare, unfinished, series = (stored.write(tmp_path / "own", seed=seed) for seed in range(4))
    (bare / "predictions.csv").unlink()
    (unfinished / "scores.json").unlink()
    config = json.loads((series / "config.json").read_text())
    config["flags"]["task_name"] = "forecast"
    (series / "config.json").write_text(json.dumps(config))
    said = refused(capsys, 2, good, bare, unfinished, series, tmp_path / "nothing", tmp_path)
    assert "RUN_WITHOUT_PREDICTIONS" in said and f"--is_training 0 --run {bare}" in said
    assert "This run is not finished" in said and f"--resume {unfinished}" in said
    assert "There is no such run" in said and "This is no run directory" in said and "does not say whether" in said
    assert "RUN_WITHOUT_PREDICTIONS" in refused(capsys, 3, good, bare)


def test_a_folder_of_other_tasks_alone_is_told_what_its_runs_do_not_say(tmp_path: Path) -> None:
    """'No finished runs' sends the owner of a night of pre-training to look for what was lost."""
    for seed, task in enumerate(("forecast", "forecast", "price")):
        stored.write(tmp_path / "own", seed=seed, flags={"task_name": task})
    with pytest.raises(UsageError, match="do not say whether it rains") as caught:
        reading.paths_of([str(tmp_path / "own")])
    assert caught.value.evidence == "2 of --task_name forecast, 1 of --task_name price"
    assert "classification" in caught.value.next_command
    with pytest.raises(UsageError, match="no finished runs"):
        reading.paths_of([str(tmp_path / "other")])


@pytest.mark.parametrize("content", ["{", "[]", '{"flags": {}}', '{"model": 1}'])
def test_a_run_whose_description_is_damaged_is_named(tmp_path: Path, content: str) -> None:
    """A copy that was cut must not end in a traceback."""
    run = stored.write(tmp_path / "own")
    for name in ("config.json", "scores.json"):
        kept = (run / name).read_text()
        (run / name).write_text(content)
        with pytest.raises(UsageError, match="cannot be read"):
            reading.read_all([run])
        (run / name).write_text(kept)


def test_validation_forecasts_are_asked_for_by_an_ensemble_alone(tmp_path: Path) -> None:
    """Runs of an earlier version can be compared, and the message says how they get what an ensemble needs."""
    run = stored.write(tmp_path / "own", validation=False)
    assert reading.read_all([run])
    with pytest.raises(DataError, match="no validation forecasts") as caught:
        reading.read_all([run], with_validation=True)
    assert f"--is_training 0 --run {run}" in caught.value.next_command and "scored-" in caught.value.next_command


def test_a_folder_in_which_a_run_was_scored_again_stands_for_it(tmp_path: Path) -> None:
    """This is where the forecasts of older runs are; flags and boundaries are those of the run around it."""
    run = stored.write(tmp_path / "own", validation=False)
    again = run / "scored-20260102-000000"
    again.mkdir()
    for name in ("scores.json", "predictions.csv"):
        shutil.copy(run / name, again)
    shutil.copy(run / "predictions.csv", again / "validation_predictions.csv")
    (read,) = reading.read_all([again], with_validation=True)
    assert read.home == run and read.name == f"{run.name}/{again.name}" and read.model == "resnet1d"
    (again / "predictions.csv").unlink()
    with pytest.raises(DataError) as caught:
        reading.read_all([again])
    assert f"--run {run} " in caught.value.next_command


def test_one_seed_twice_does_not_count_as_two(tmp_path: Path) -> None:
    """The spread over the seeds would be zero, and the mean would lean to one of them."""
    runs = [stored.write(tmp_path / "own", seed=3) for _ in range(2)]
    with pytest.raises(UsageError, match="same seed"):
        reading.read_all(runs)
    assert len(reading.paths_of([str(runs[0]), f"{runs[0]}/"])) == 1


def test_a_folder_stands_for_the_newest_run_of_each_model_with_its_seeds(tmp_path: Path) -> None:
    """Older flags and runs on series stay out; a folder without a run says so."""
    folder = tmp_path / "own"
    older = stored.write(folder, flags={"seq_len": 48})
    newer = [stored.write(folder, seed=seed) for seed in (0, 1)]
    stored.write(folder, "timer_xl", flags={"task_name": "forecast"})
    found = reading.paths_of([str(folder)])
    assert set(found) == set(newer) and older not in found
    for words in ([], [str(tmp_path / "none")], [str(tmp_path)]):
        with pytest.raises(UsageError):
            reading.paths_of(words)


def test_other_draws_of_training_windows_are_other_goes_of_one_experiment(tmp_path: Path) -> None:
    """Five draws of 300 windows as five models would make the luck of a draw look like a difference."""
    folder = tmp_path / "own"
    runs = [
        stored.write(folder, seed=number, flags={"train_windows": 300, "train_windows_seed": number})
        for number in (0, 1, 2)
    ]
    assert set(reading.paths_of([str(folder)])) == set(runs)
    (group,) = groups.of(reading.read_all(runs))
    assert group.seeds == [0, 1, 2]
    more = stored.write(folder, flags={"train_windows": 1000, "train_windows_seed": 0})
    assert len(groups.of(reading.read_all([*runs, more]))) == 2


def test_groups_of_one_model_are_told_apart_by_what_differs(tmp_path: Path) -> None:
    """Two lines of one name cannot be compared with each other."""
    runs = [stored.write(tmp_path / "own", flags={"seq_len": length}) for length in (24, 48)]
    names = [
        group.name for group in groups.of(reading.read_all([*runs, stored.write(tmp_path / "own", "persistence")]))
    ]
    assert names == ["resnet1d (seq_len 24)", "resnet1d (seq_len 48)", "persistence"]
    elsewhere = stored.write(tmp_path / "other")
    found = groups.of(reading.read_all([runs[0], elsewhere]))
    assert [group.name for group in found] == ["resnet1d (own)", "resnet1d (other)"]
    with pytest.raises(UsageError, match="several"):
        groups.named(found, "resnet1d")
    assert groups.named(found, str(elsewhere)) == "resnet1d (other)"


def test_an_ensemble_of_one_model_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Seeds of the same flags are one member, with all the weight there is."""
    runs = [stored.write(tmp_path / "own", seed=seed) for seed in (0, 1)]
    assert "at least two models" in refused(capsys, 2, *runs, "--ensemble")


def test_several_thresholds_are_an_event_each(tmp_path: Path) -> None:
    """A comparison of the lowest alone would say nothing of the rain that matters."""
    runs = [stored.write(tmp_path / "own", name, thresholds=(0.1, 5.0)) for name in ("resnet1d", "persistence")]
    assert program.main([*COMPARE, *map(str, runs), "--ensemble", "--output", str(tmp_path / "out")]) == 0
    events = json.loads((tmp_path / "out" / "comparison.json").read_text())["events"]
    assert [event["threshold_mm"] for event in events] == [0.1, 5.0]
    assert events[0]["base_rate"] > events[1]["base_rate"] and all(event["ensemble"] for event in events)
    assert {path.name for path in (tmp_path / "out").glob("*.png")} == {"comparison_0.1mm.png", "comparison_5mm.png"}


def test_cuts_that_were_chosen_by_different_scores_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A run that aims at another score has another cut, and looks worse in the rest for that alone."""
    runs = [stored.write(tmp_path / "own", "persistence"), stored.write(tmp_path / "own", scores={"cut_score": None})]
    words = [*map(str, runs), "--ensemble", "--output", str(tmp_path / "out")]
    assert program.main([*COMPARE, *words]) == 0
    assert "chosen by a cost/loss ratio and macro_f1" in capsys.readouterr().out


def test_too_few_days_for_an_interval_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A test of three weeks has scores all the same, and nothing that could be called real."""
    runs = [stored.write(tmp_path / "own", name, days=21) for name in ("resnet1d", "persistence")]
    assert program.main([*COMPARE, *map(str, runs), "--output", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    assert "no intervals: 21 days" in said and "no interval" in said and " real;" not in said


@pytest.mark.parametrize(
    "words",
    [
        ["--no_such_flag", "x"],
        ["--against"],
        ["--ensemble", "maybe"],
        ["--common_instants=maybe"],
        ["--resume", "auto"],
    ],
)
def test_unknown_words_end_with_two(tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    """A word that is no flag is a run, and one that is there for nothing is told."""
    refused(capsys, 2, stored.write(tmp_path / "own"), *words)


def test_a_word_without_a_flag_is_a_run_for_tasks_on_finished_runs_alone(capsys: pytest.CaptureFixture[str]) -> None:
    """Elsewhere it is a value whose flag was forgotten."""
    assert program.main(["own/run"]) == 2
    assert "where a flag was expected" in capsys.readouterr().err
    assert "no such directory" in refused(capsys, 2, "own/run", "own/other")
    for task in ("report", "predict"):
        assert program.main(["--task_name", task, "own/run"]) == 2
        assert "own/run" in capsys.readouterr().err
        assert program.main(["--task_name", task, "own/run", "--run", "own/other"]) == 2
        assert "named: own/run, own/other" in capsys.readouterr().err


@pytest.mark.parametrize("task, own, foreign", [("compare", "--against", "--run "), ("report", "--run ", "--seq_len")])
def test_help_of_a_task_on_finished_runs_shows_its_own_flags(
    capsys: pytest.CaptureFixture[str], task: str, own: str, foreign: str
) -> None:
    """Twenty flags of training above the one that was looked for hide it, and have no effect here."""
    with pytest.raises(SystemExit):
        program.main(["--task_name", task, "--help"])
    shown = capsys.readouterr().out.split("examples:")[0]
    assert own in shown and "--task_name" in shown
    assert foreign not in shown and "--dry_run" not in shown and "--itr" not in shown


def test_the_folder_of_all_runs_is_answered_with_the_experiments_in_it(tmp_path: Path) -> None:
    """One level too high is the folder that people have at hand."""
    stored.write(tmp_path / "own")
    with pytest.raises(UsageError) as caught:
        reading.paths_of([str(tmp_path)])
    assert "own" in caught.value.evidence and caught.value.next_command.endswith(f"compare {tmp_path / 'own'}")
    (tmp_path / "note.txt").write_text("not a run")
    with pytest.raises(UsageError) as caught:
        reading.paths_of([str(tmp_path / "note.txt")])
    assert caught.value.evidence == "a file, not a directory"


def test_errors_of_runs_are_foreseen(tmp_path: Path) -> None:
    """Whoever calls the comparison from Python catches one class."""
    with pytest.raises(ForeseenError):
        reading.read_all([tmp_path])
