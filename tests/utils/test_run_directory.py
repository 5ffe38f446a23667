"""One run, one directory, never overwritten."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from utils import run_directory
from utils.errors import StorageError, UsageError


def test_two_runs_in_the_same_second_get_two_directories(tmp_path: Path) -> None:
    """A script that starts seeds in parallel must not mix their files."""
    runs = {run_directory.create(str(tmp_path), "peru", "timer_xl", 0) for _ in range(3)}
    assert len(runs) == 3 and all(run.is_dir() for run in runs)


def test_a_path_that_is_a_file_is_a_storage_fault(tmp_path: Path) -> None:
    """Exit code 6, with the flag that chooses another folder."""
    (tmp_path / "peru").write_text("")
    with pytest.raises(StorageError) as caught:
        run_directory.create(str(tmp_path), "peru", "timer_xl", 0)
    assert caught.value.exit_code == 6 and "--checkpoints" in str(caught.value)


def test_numbers_that_are_not_finite_become_null(tmp_path: Path) -> None:
    """NaN is not JSON: other programs refuse the whole file."""
    run_directory.write_json(tmp_path / "a.json", {"a": [float("nan"), 1.5], "b": {"c": float("inf")}})
    assert json.loads((tmp_path / "a.json").read_text(), parse_constant=pytest.fail) == {
        "a": [None, 1.5],
        "b": {"c": None},
    }


def test_a_folder_of_runs_is_answered_with_the_newest_in_it(tmp_path: Path) -> None:
    """The folder of an experiment is what people have at hand."""
    for name in ("a-seed9-20260101-000000", "c-seed0-20260201-000000"):
        (tmp_path / "peru" / name).mkdir(parents=True)
        (tmp_path / "peru" / name / "scores.json").write_text("{}")
    with pytest.raises(UsageError) as caught:
        run_directory.require_finished(tmp_path / "peru")
    assert caught.value.next_command == f"--run {tmp_path / 'peru' / 'c-seed0-20260201-000000'}"


def test_finished_runs_come_newest_first_whatever_their_seed(tmp_path: Path) -> None:
    """`--is_training 0` takes the newest; a name sorted as text would put seed 9 before seed 10."""
    for name in ("a-seed9-20260101-000000", "b-seed10-20260301-000000", "c-seed0-20260201-000000"):
        folder = tmp_path / "peru" / name
        folder.mkdir(parents=True)
        (folder / "scores.json").write_text("{}")
    (tmp_path / "peru" / "d-seed0-20270101-000000").mkdir()
    assert [run.name[0] for run in run_directory.finished_runs(str(tmp_path))] == ["b", "c", "a"]
