"""The clean-up puts aside, tells why, and never deletes what it did not put aside itself."""

from __future__ import annotations

import json
import logging
from contextlib import ExitStack
from pathlib import Path

import pytest
import torch

from tests.utils import checkpoint_files as files
from tests.utils import test_run_lock as locks
from tests.utils.test_checkpoint_validator import WRONG
from utils import checkpoint, cleanup_checkpoints
from utils.errors import CheckpointError
from utils.files import sha256


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def clean_up(folder: Path, *words: str) -> int:
    return cleanup_checkpoints.main(["--checkpoints", str(folder), *words])


def test_a_dry_run_is_the_default_and_changes_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Nobody should lose a file to a command typed to see what it does."""
    files.write_one_of_each(tmp_path)
    before = contents(tmp_path)
    with caplog.at_level(logging.INFO):
        assert clean_up(tmp_path) == 0
    assert contents(tmp_path) == before and not (tmp_path / "quarantine").exists()
    assert "7 files would be moved" in caplog.text and "--no-dry-run" in caplog.text


@pytest.mark.parametrize("flag", ["--no-dry-run", "--no_dry_run"])
def test_broken_files_move_with_their_reason_and_good_ones_stay(tmp_path: Path, flag: str) -> None:
    """What a later version wrote is not broken, whatever this version can read."""
    files.write_one_of_each(tmp_path)
    before = contents(tmp_path)
    assert clean_up(tmp_path, flag) == 0
    after = contents(tmp_path)
    stays = {"run/best.pt", "run/best.pt.json", "run/suspect.pt", "newer.pt", "notes.txt"}
    assert {name for name in after if not name.startswith("quarantine/")} == stays
    assert all(after[name] == before[name] for name in stays)
    for name in set(WRONG) - {"newer.pt"}:
        assert after[f"quarantine/{name}"] == before[name]
        reason = json.loads(after[f"quarantine/{name}.reason.json"])
        assert (reason["status"], reason["finding"]["code"]) == WRONG[name]
        assert reason["sha256"] == sha256(tmp_path / "quarantine" / name)
        assert reason["moved_from"] == str(tmp_path.resolve() / name)
    assert clean_up(tmp_path, flag) == 0 and contents(tmp_path) == after


def test_a_second_file_of_the_same_name_does_not_replace_the_first(tmp_path: Path) -> None:
    """Two broken best.pt are two pieces of evidence."""
    for content in (b"first", b"second"):
        (tmp_path / "best.pt").write_bytes(content)
        assert clean_up(tmp_path, "--no-dry-run") == 0
    assert (tmp_path / "quarantine" / "best.pt").read_bytes() == b"first"
    assert (tmp_path / "quarantine" / "best-1.pt").read_bytes() == b"second"
    assert (tmp_path / "quarantine" / "best-1.pt.reason.json").is_file()


def test_the_json_beside_a_file_moves_and_goes_with_it(tmp_path: Path) -> None:
    """Left behind it would refuse the next file of this name; without it nobody sees what has changed."""
    for value in (1.0, 2.0):
        checkpoint.save(tmp_path / "best.pt", {"a": torch.full((900,), value)})
        raw = bytearray((tmp_path / "best.pt").read_bytes())
        raw[1000] ^= 1
        (tmp_path / "best.pt").write_bytes(raw)
        assert clean_up(tmp_path, "--no-dry-run") == 0 and not list(tmp_path.glob("best*"))
    aside = tmp_path / "quarantine"
    assert json.loads((aside / "best-1.pt.reason.json").read_text())["finding"]["code"] == "CKPT_HASH_MISMATCH"
    for name in ("best.pt", "best-1.pt"):
        with pytest.raises(CheckpointError, match="CKPT_HASH_MISMATCH"):
            checkpoint.load(aside / name)
    (aside / "best.pt.json").rename(aside / "kept.json")
    assert clean_up(tmp_path, "--purge", "--older_than_days", "0", "--no-dry-run") == 0
    assert list(contents(aside)) == ["kept.json"]


def test_links_are_not_followed_out_of_the_folder(tmp_path: Path) -> None:
    """A clean-up here must not change a colleague's folder."""
    outside, folder = tmp_path / "outside", tmp_path / "checkpoints"
    for place in (outside, folder):
        place.mkdir()
    (outside / "broken.pt").write_bytes(b"broken")
    (folder / "linked.pt").symlink_to(outside / "broken.pt")
    (folder / "dangling.pt").symlink_to(outside / "absent.pt")
    (folder / "linked_folder").symlink_to(outside)
    assert clean_up(folder, "--no-dry-run") == 0
    assert (folder / "linked.pt").is_symlink() and (folder / "dangling.pt").is_symlink()
    assert contents(outside) == {"broken.pt": b"broken"} and not (folder / "quarantine").exists()
    (folder / "quarantine").symlink_to(outside)
    (folder / "broken.pt").write_bytes(b"broken")
    assert clean_up(folder, "--no-dry-run") == 6
    assert (folder / "broken.pt").is_file() and contents(outside) == {"broken.pt": b"broken"}


def test_what_may_not_be_read_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of another account is not broken; root reads everything, so the refusal is raised in its place."""
    torch.save(files.sound(), tmp_path / "theirs.pt")

    def denied(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("utils.checkpoint.require_checkpoint", denied)
    assert clean_up(tmp_path, "--no-dry-run") == 0 and list(contents(tmp_path)) == ["theirs.pt"]


def test_a_directory_and_a_training_state_without_weights_are_kept(tmp_path: Path) -> None:
    """The one may hold anything; the other lacks a part and has the rest."""
    (tmp_path / "folder.pth").mkdir()
    torch.save({"optimizer_state_dict": {}, "epoch": 3}, tmp_path / "half.pt")
    assert clean_up(tmp_path, "--no-dry-run") == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder.pth", "half.pt"]


def test_purging_deletes_only_what_was_put_aside_long_ago(tmp_path: Path) -> None:
    """The one command that deletes must know that the file went through quarantine, and when."""
    for name in ("old.pt", "new.pt"):
        (tmp_path / name).write_bytes(b"broken")
    clean_up(tmp_path, "--no-dry-run")
    aside = tmp_path / "quarantine"
    note = aside / "old.pt.reason.json"
    note.write_text(json.dumps(json.loads(note.read_text()) | {"moved_at": "2020-01-01T00:00:00+00:00"}))
    (aside / "put_there_by_hand.pt").write_bytes(b"kept")
    (aside / "strange.pt.reason.json").write_text("[]")
    (tmp_path / "broken_again.pt").write_bytes(b"broken")
    before = contents(tmp_path)
    assert clean_up(tmp_path, "--purge", "--older_than_days", "30") == 0 and contents(tmp_path) == before
    assert clean_up(tmp_path, "--purge", "--older_than_days", "30", "--no-dry-run") == 0
    gone = set(before) - set(contents(tmp_path))
    assert gone == {"quarantine/old.pt", "quarantine/old.pt.reason.json"}


@pytest.mark.parametrize(
    "words", [["--purge"], ["--older_than_days", "3"], ["--purge", "--older_than_days", "-1"], ["--purgee"]]
)
def test_wrong_usage_ends_with_2(tmp_path: Path, words: list[str]) -> None:
    """A purge without an age would empty the quarantine."""
    assert clean_up(tmp_path, *words) == 2
    assert cleanup_checkpoints.main(["--checkpoints", str(tmp_path / "absent")]) == 2


@pytest.mark.parametrize("words", [[], ["--purge", "--older_than_days", "0"]], ids=["move", "purge"])
@pytest.mark.parametrize("place", [".", "run", "run/old"])
def test_nothing_is_done_while_a_run_holds_a_directory(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], place: str
) -> None:
    """A file that is being written, or that a run is about to read again, looks broken from outside."""
    run = tmp_path / "run"
    (run / "old").mkdir(parents=True)
    for folder in (tmp_path, run, run / "old"):
        (folder / "broken.pt").write_bytes(b"broken")
        assert clean_up(folder, "--no-dry-run") == 0
        (folder / "broken.pt").write_bytes(b"broken again")
    with locks.process(run) as holder:
        assert locks.line_of(holder) == "held"
        before = contents(tmp_path)
        assert clean_up(tmp_path / place, *words, "--no-dry-run") == 7
        said = capsys.readouterr().err
        assert said.startswith("RUN_LOCKED") and f"process {holder.pid}" in said and f"kill {holder.pid}" in said
        assert contents(tmp_path) == before and "run/run.lock" in before
    assert clean_up(tmp_path / place, *words, "--no-dry-run") == 0
    after = contents(tmp_path)
    assert set(after) != set(before)
    # The lock of the killed holder is the business of the next run.
    assert after["run/run.lock"] == before["run/run.lock"]


def test_a_dry_run_tells_also_while_a_run_is_at_work(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Looking does no harm, and the answer says why doing it would be refused."""
    (tmp_path / "broken.pt").write_bytes(b"broken")
    with locks.process(tmp_path) as holder, caplog.at_level(logging.INFO):
        assert locks.line_of(holder) == "held"
        assert clean_up(tmp_path) == 0
    assert "1 files would be moved" in caplog.text and "broken.pt" in caplog.text
    assert f"process {holder.pid}" in caplog.text and "would be refused" in caplog.text


def test_a_run_that_starts_meanwhile_keeps_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Looking through a large folder takes minutes."""
    (tmp_path / "broken.pt").write_bytes(b"broken")
    look = cleanup_checkpoints.examine_all
    with ExitStack() as later:

        def look_while_one_starts(paths: list[Path]) -> object:
            assert locks.line_of(later.enter_context(locks.process(tmp_path))) == "held"
            return look(paths)

        monkeypatch.setattr(cleanup_checkpoints, "examine_all", look_while_one_starts)
        assert clean_up(tmp_path, "--no-dry-run") == 7
    assert (tmp_path / "broken.pt").is_file()


def test_what_a_killed_run_was_writing_is_named_and_left(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Half of a large file takes its space for ever where nobody knows of it."""
    (tmp_path / "last.pt.writing").write_bytes(bytes(1000))
    with caplog.at_level(logging.INFO):
        assert clean_up(tmp_path, "--no-dry-run") == 0
    assert "last.pt.writing" in caplog.text and "1000 bytes" in caplog.text and (tmp_path / "last.pt.writing").is_file()
    caplog.clear()
    with locks.process(tmp_path) as holder, caplog.at_level(logging.INFO):
        assert locks.line_of(holder) == "held"
        assert clean_up(tmp_path) == 0
    assert "last.pt.writing" not in caplog.text
