"""Rows P4 and P5: a disk that is full, read-only or gone ends with 6 and leaves the last good files bit for bit."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import run as program
from tests import make_table
from tests.utils.storage_faults import NEW, OLD, QUICK
from utils import checkpoint
from utils.errors import StorageError
from utils.files import require_space

ROOT = Path(__file__).resolve().parents[2]
NAMESPACE = ["unshare", "--map-root-user", "--mount"]
PAIR = ["best.pt", "best.pt.json"]
WEIGHTS = [*PAIR, "last.pt", "last.pt.json"]


def after(name: str, folder: Path) -> dict[str, Any]:
    """Inject a storage fault in a namespace; skip where the system allows none."""
    mounts = ["sh", "-c", f"mount -t tmpfs none {folder}"]
    if (
        not shutil.which("unshare")
        or subprocess.run([*NAMESPACE, *mounts], capture_output=True, check=False).returncode
    ):
        pytest.skip("a disk for the test alone cannot be mounted here (no namespace for it)")
    words = [*NAMESPACE, sys.executable, "-m", "tests.utils.storage_faults", name, str(folder)]
    answer = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    return json.loads(answer.stdout.splitlines()[-1])


@pytest.mark.parametrize("name", ["full", "fills up"])
def test_a_full_disk_is_told_with_both_figures_and_leaves_the_old_file(tmp_path: Path, name: str) -> None:
    """P4, before the first byte and in the middle of the file: torch's own writer leaves half a file."""
    found = after(name, tmp_path)
    assert (found["code"], found["exit_code"]) == ("STORAGE_FULL", 6)
    assert "needed: " in found["said"] and "free: 0 bytes" in found["said"] and "--checkpoints" in found["said"]
    assert found["unchanged"] and found["files"] == PAIR


def test_a_disk_that_became_read_only_is_told_and_leaves_the_old_file(tmp_path: Path) -> None:
    """P5: systems mount a disk read-only after errors, in the middle of a run."""
    found = after("read-only", tmp_path)
    assert (found["code"], found["exit_code"]) == ("STORAGE_DENIED", 6) and "Read-only file system" in found["said"]
    assert found["unchanged"] and found["files"] == PAIR


@pytest.mark.parametrize("name", ["gone", "goes away"])
def test_a_disk_that_vanished_is_told_and_nothing_is_written_below_it(tmp_path: Path, name: str) -> None:
    """A drive on a network goes; the folder it was mounted on is another disk, where nobody would look."""
    found = after(name, tmp_path)
    assert (found["code"], found["exit_code"]) == ("STORAGE_DENIED", 6) and "unmounted?" in found["said"]
    assert found["unchanged"] and not found["below"]


@pytest.mark.parametrize(
    ("name", "code"),
    [("run: full", "STORAGE_FULL"), ("run: read-only", "STORAGE_DENIED"), ("run: gone", "STORAGE_DENIED")],
)
def test_a_run_whose_disk_fails_ends_with_6_and_keeps_the_last_good_files(tmp_path: Path, name: str, code: str) -> None:
    """P4 and P5 through the real program, in the second epoch of two."""
    found = after(name, tmp_path)
    assert found["exit_code"] == 6 and f"\n{code}: " in found["said"] and "Traceback" not in found["said"]
    assert found["weights"] == WEIGHTS and found["unchanged"] and not found["below"]
    assert not [left for left in found["files"] if left.endswith(".writing")]
    assert name != "run: full" or ("needed: " in found["said"] and "free: 16384 bytes" in found["said"])


def test_a_read_only_disk_is_told_before_the_first_step(tmp_path: Path) -> None:
    """P5: hours of training that cannot be saved are lost."""
    found = after("run: read-only at the start", tmp_path)
    assert found["exit_code"] == 6 and "\nSTORAGE_DENIED: " in found["said"] and "epoch 1" not in found["said"]
    assert found["files"] == []


def test_a_place_for_runs_that_is_a_file_is_told_and_left_as_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """P5: a folder is made for the run, and nothing may be removed for it."""
    make_table.write(tmp_path, content=make_table.frame())
    (tmp_path / "runs").write_text("mine")
    places = ["--root_path", str(tmp_path), "--data_path", "table.csv", "--checkpoints", str(tmp_path / "runs")]
    assert program.main([*QUICK, *places]) == 6
    assert "STORAGE_DENIED" in capsys.readouterr().err and (tmp_path / "runs").read_text() == "mine"


@pytest.mark.parametrize(("name", "code"), [("full", "STORAGE_FULL"), ("read-only", "STORAGE_DENIED")])
def test_a_disk_that_takes_no_encoded_windows_is_told_before_the_encoder_runs(
    tmp_path: Path, name: str, code: str
) -> None:
    """A file with holes in it can be larger than its disk; the first write into a hole would end the process."""
    found = after(f"encoding: {name}", tmp_path)
    assert (found["code"], found["exit_code"]) == (code, 6) and "--cache_frozen_encoder no" in found["said"]
    assert "needed: 65536 bytes" in found["said"] and found["sums"] == [] and found["files"] == []


def test_a_disk_that_fills_up_while_windows_are_encoded_has_kept_room_for_them(tmp_path: Path) -> None:
    """Another program may write to the same disk for as long as the encoder runs."""
    found = after("encoding: fills up", tmp_path)
    assert "code" not in found and found["files"] == ["training.npy"]
    assert found["sums"] == [pytest.approx(found["expected"], rel=1e-5)]


@pytest.mark.parametrize("where", ["best.pt", "best.pt.json", "kept.pt", "kept.pt.json", "best.pt.writing"])
def test_a_folder_in_the_place_of_a_file_is_told_before_anything_moves(tmp_path: Path, where: str) -> None:
    """Found between two renames it would leave a file without its JSON."""
    path, kept = tmp_path / "best.pt", tmp_path / "kept.pt"
    for _ in range(2):
        checkpoint.save(path, OLD, keep=kept)
    (tmp_path / where).unlink(missing_ok=True)
    (tmp_path / where).mkdir()
    before = {place.name: place.read_bytes() for place in tmp_path.iterdir() if place.is_file()}
    with pytest.raises(StorageError) as caught:
        checkpoint.save(path, NEW, keep=kept)
    assert caught.value.code == "STORAGE_DENIED" and "directory" in caught.value.what
    assert {place.name: place.read_bytes() for place in tmp_path.iterdir() if place.is_file()} == before


def test_a_file_in_the_place_of_the_folder_is_told(tmp_path: Path) -> None:
    """The path of the run directory may have become a file."""
    (tmp_path / "run").write_text("mine")
    with pytest.raises(StorageError) as caught:
        checkpoint.save(tmp_path / "run" / "best.pt", NEW)
    assert caught.value.code == "STORAGE_DENIED" and (tmp_path / "run").read_text() == "mine"


def test_room_is_asked_for_in_figures(tmp_path: Path) -> None:
    """Who must free some space wants to know how much."""
    require_space(tmp_path, 1000)
    with pytest.raises(StorageError) as caught:
        require_space(tmp_path, 10**18)
    assert caught.value.code == "STORAGE_FULL" and f"needed: {10**18} bytes (1e+12 MB); free: " in caught.value.evidence


def test_an_interrupt_while_torch_writes_stays_an_interrupt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch's writer turns what is raised under it into a RuntimeError about positions, Ctrl-C too."""
    path = tmp_path / "best.pt"
    checkpoint.save(path, OLD)
    calls = []

    def interrupted(self, view) -> None:
        calls.append(len(view))
        if len(calls) == 8:
            raise KeyboardInterrupt

    monkeypatch.setattr("utils.checkpoint_publish.HashingFile._write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        checkpoint.save(path, NEW)
    monkeypatch.undo()
    assert len(calls) == 8
    assert torch.equal(checkpoint.load(path)["a"], OLD["a"]) and not list(tmp_path.glob("*.writing"))


@pytest.mark.parametrize(
    ("name", "left"),
    [("download", []), ("download of unknown length", ["checkpoint.part", "checkpoint.part.json"])],
)
def test_a_download_that_the_disk_cannot_hold_ends_with_6_and_never_with_a_file_of_the_final_name(
    tmp_path: Path, name: str, left: list[str]
) -> None:
    """Where the server says the size it is refused before the first byte; else what came stays to be gone on with."""
    found = after(name, tmp_path)
    assert found["exit_code"] == 6 and found["said"].startswith("STORAGE_FULL: ") and "free: " in found["said"]
    assert found["files"] == left and all(part in found["said"] for part in ("--checkpoints", *left[:1]))
