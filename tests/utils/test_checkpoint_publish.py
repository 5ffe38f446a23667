"""A file of ours is whole and verified, or refused: whatever kills the save, fills the disk or flips a bit."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.utils.killed_save import FILE, KEPT, content, save
from utils import checkpoint
from utils.checkpoint_sidecar import sidecar
from utils.errors import CheckpointError, StorageError

ROOT = Path(__file__).resolve().parents[2]
OLDEST, OLD, NEW, NEXT = 1.0, 2.0, 3.0, 4.0


def kill_at_every_point(folder: Path, before: Path, value: float, how: str) -> list[Path]:
    """Return one folder a point; the save in the last one survived."""
    folder.mkdir()
    words = [sys.executable, "-W", "ignore", "-m", "tests.utils.killed_save", str(folder), str(before), str(value), how]
    answer = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    return sorted(folder.iterdir(), key=lambda place: int(place.name))


def value_of(path: Path) -> float | None:
    """Load a file, which must be bitwise what one of the saves wrote; return which, None where there is no file."""
    if not path.exists():
        return None
    loaded = checkpoint.load(path)
    value = float(loaded["step"])
    wanted = content(value)
    assert loaded.keys() == wanted.keys()
    assert torch.equal(loaded["model_state_dict"]["a"], wanted["model_state_dict"]["a"])
    return value


def nothing(folder: Path) -> None:
    """Leave the folder empty."""


def one_file(folder: Path) -> None:
    save(folder, OLD, keep=False)


def two_files(folder: Path) -> None:
    save(folder, OLDEST, keep=True)
    save(folder, OLD, keep=True)
    # Its JSON now names two files, as after any save that kept nothing.
    save(folder, OLD, keep=False)


def foreign_file(folder: Path) -> None:
    torch.save(content(OLD), folder / FILE)


@pytest.mark.parametrize("how", ["keep", "replace"])
@pytest.mark.parametrize("before", [nothing, one_file, two_files, foreign_file])
def test_a_kill_at_any_point_of_a_save_leaves_a_file_that_verifies(
    tmp_path: Path, before: Callable[[Path], None], how: str
) -> None:
    """Of 40 kills during a plain torch.save 34 left a file that nothing could load."""
    (tmp_path / "before").mkdir()
    before(tmp_path / "before")
    places = kill_at_every_point(tmp_path / "killed", tmp_path / "before", NEW, how)
    assert len(places) > 10
    for place in places:
        values = value_of(place / FILE), value_of(place / KEPT)
        assert before is nothing or {OLD, NEW} & set(values), place
        for path, value in zip((place / FILE, place / KEPT), values, strict=True):
            if value is not None and not (before is foreign_file and value == OLD):
                assert checkpoint.metadata(path) == {"value": value}
        save(place, NEXT, keep=how == "keep")
        assert value_of(place / FILE) == NEXT
        assert value_of(place / KEPT) in (None, OLDEST, OLD, NEW) and not list(place.glob("*.writing"))


def test_a_kill_after_a_kill_does_no_more_harm(tmp_path: Path) -> None:
    """Who is killed once is often killed again, in the state that the first kill left."""
    (tmp_path / "before").mkdir()
    two_files(tmp_path / "before")
    states = {}
    for place in kill_at_every_point(tmp_path / "killed", tmp_path / "before", NEW, "keep"):
        names = (FILE, KEPT, f"{FILE}.json", f"{KEPT}.json")
        states[tuple((place / name).read_bytes() if (place / name).exists() else b"" for name in names)] = place
    # The old pair is as it was, its place to be kept free, with its JSON, taken; the new JSON is there; all is done.
    assert len(states) == 6
    for number, place in enumerate(list(states.values())[1:-1]):
        for twice in kill_at_every_point(tmp_path / f"again{number}", place, NEXT, "keep"):
            assert {OLD, NEW, NEXT} & {value_of(twice / FILE), value_of(twice / KEPT)}, twice


def flip(path: Path, position: int) -> None:
    """Turn one bit over."""
    raw = bytearray(path.read_bytes())
    raw[position] ^= 1
    path.write_bytes(raw)


def refusal(path: Path) -> CheckpointError:
    with pytest.raises(CheckpointError) as caught:
        checkpoint.load(path)
    assert caught.value.exit_code == 4
    return caught.value


def test_the_json_beside_a_file_tells_its_bytes_and_what_was_said_of_it(tmp_path: Path) -> None:
    """Other tools hold the file against it, and the resume reads from it what the file is."""
    path = tmp_path / "best.pt"
    checkpoint.save(path, {"a": torch.ones(3)}, metadata={"epoch": 3, "score": float("nan"), "names": ("u", "v")})
    told = json.loads((tmp_path / "best.pt.json").read_text())
    assert told["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest() and told["bytes"] == path.stat().st_size
    assert told["schema_version"] == 1 and told["replaces"] is None and checkpoint.sidecar(path).name == "best.pt.json"
    assert checkpoint.metadata(path) == {"epoch": 3, "score": None, "names": ["u", "v"]}
    checkpoint.save(path, {"a": torch.zeros(3)})
    again = json.loads((tmp_path / "best.pt.json").read_text())
    assert again["replaces"] == {name: told[name] for name in ("sha256", "bytes", "metadata")}
    assert checkpoint.metadata(path) == {}
    assert list(torch.load(path, weights_only=True)) == ["a"]


def test_a_file_of_another_writer_is_read_without_a_json_or_beside_a_json_of_its_own(tmp_path: Path) -> None:
    """A released checkpoint has no JSON of ours, and a config.json of the same name says nothing of its bytes."""
    path = tmp_path / "theirs.pt"
    torch.save({"a": torch.ones(3)}, path)
    assert checkpoint.metadata(path) is None
    for text in ('{"d_model": 8}', "[1, 2]", '"text"'):
        sidecar(path).write_text(text)
        assert checkpoint.metadata(path) is None and torch.equal(checkpoint.load(path)["a"], torch.ones(3))


@pytest.mark.parametrize("where", [0, 1000, -700, -1])
def test_a_flipped_bit_anywhere_in_a_file_of_ours_is_told(tmp_path: Path, where: int) -> None:
    """C9: of 150 flipped bits 144 load in silence with torch alone."""
    path = tmp_path / "best.pt"
    checkpoint.save(path, {"a": torch.ones(3000)})
    before = path.stat().st_size
    flip(path, where)
    error = refusal(path)
    assert error.code == "CKPT_HASH_MISMATCH" and error.evidence.count(f"{before} bytes, SHA-256 ") == 2
    assert "python -m utils.cleanup_checkpoints" in error.next_command and "--resume" in error.next_command
    with pytest.raises(CheckpointError, match="CKPT_HASH_MISMATCH"):
        checkpoint.metadata(path)


def test_a_zeroed_page_in_a_file_of_ours_is_told(tmp_path: Path) -> None:
    """C9: a disk that lost a page gives zeros, which are fine numbers."""
    path = tmp_path / "last.pt"
    checkpoint.save(path, {"schema_version": 1, "model_state_dict": {"a": torch.ones(3000)}})
    raw = path.read_bytes()
    path.write_bytes(raw[:4096] + bytes(4096) + raw[8192:])
    assert refusal(path).code == "CKPT_HASH_MISMATCH"


def test_other_bytes_of_another_size_keep_the_name_of_what_they_are(tmp_path: Path) -> None:
    """A cut copy wants another copy, a pointer wants git lfs pull; both have another size than was written."""
    path = tmp_path / "best.pt"
    checkpoint.save(path, {"a": torch.ones(3000)})
    raw = path.read_bytes()
    for content_, code in (
        (raw[:3000], "CKPT_TRUNCATED"),
        (b"", "CKPT_NOT_A_CHECKPOINT"),
        (b"version https://git-lfs.github.com/spec/v1\n", "CKPT_NOT_A_CHECKPOINT"),
        (b"added" + raw, "CKPT_NOT_A_CHECKPOINT"),
    ):
        path.write_bytes(content_)
        assert refusal(path).code == code
    torch.save({"a": torch.ones(4000)}, path)
    assert refusal(path).code == "CKPT_HASH_MISMATCH"


def test_a_damaged_json_refuses_its_file_and_says_the_way_out(tmp_path: Path) -> None:
    """Nothing else knows which bytes belong into the file, and the metadata may be what has changed."""
    path = tmp_path / "best.pt"
    checkpoint.save(path, {"a": torch.ones(3)}, metadata={"threshold": 0.5})
    whole = sidecar(path).read_text()
    for text in (whole[:50], "", whole.replace("0.5", "0.4"), whole.replace("\n", "\xff", 1)):
        sidecar(path).write_bytes(text.encode("latin-1"))
        error = refusal(path)
        assert error.code == "CKPT_HASH_MISMATCH" and f"rm {sidecar(path)}" in error.next_command
    sidecar(path).unlink()
    assert torch.equal(checkpoint.load(path)["a"], torch.ones(3))


def test_a_training_state_that_was_copied_alone_still_verifies_itself(tmp_path: Path) -> None:
    """People copy last.pt and leave the JSON behind; a bit that flips on the way must not go unnoticed."""
    save(tmp_path, OLD, keep=False)
    raw = torch.load(tmp_path / FILE, weights_only=True)
    assert raw.keys() - content(OLD).keys() == {"content_sha256"}
    alone = tmp_path / "copied.pt"
    torch.save(raw, alone)
    assert value_of(alone) == OLD
    raw["model_state_dict"]["a"][7] = 5.0
    torch.save(raw, alone)
    error = refusal(alone)
    assert error.code == "CKPT_HASH_MISMATCH" and raw["content_sha256"] in error.evidence


def test_a_disk_that_gives_back_other_bytes_is_found_before_the_old_file_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Drives on a network and worn cards take what they are given and keep something else."""
    save(tmp_path, OLD, keep=True)
    usual = os.fsync

    def worn(descriptor: int) -> None:
        usual(descriptor)
        new = tmp_path / f"{FILE}.writing"
        if new.exists():
            flip(new, 900)

    monkeypatch.setattr(os, "fsync", worn)
    with pytest.raises(StorageError) as caught:
        save(tmp_path, NEW, keep=True)
    monkeypatch.undo()
    assert caught.value.code == "STORAGE_CORRUPT" and caught.value.exit_code == 6
    assert "written: " in caught.value.evidence and "read back: " in caught.value.evidence
    assert value_of(tmp_path / FILE) == OLD and {path.name for path in tmp_path.iterdir()} == {FILE, f"{FILE}.json"}


def test_a_broken_file_never_takes_the_place_of_the_good_one_that_is_kept(tmp_path: Path) -> None:
    """Otherwise a bit that flipped in last.pt would push the last good file out."""
    save(tmp_path, OLDEST, keep=True)
    save(tmp_path, OLD, keep=True)
    flip(tmp_path / FILE, 900)
    save(tmp_path, NEW, keep=True)
    assert value_of(tmp_path / FILE) == NEW and value_of(tmp_path / KEPT) == OLDEST
