"""The validator tells files that can be trusted from those that cannot, in one line each."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.utils import checkpoint_files as files

ROOT = Path(__file__).resolve().parents[2]
WRONG = {
    "bomb.pth": ("INVALID", "CKPT_UNSAFE"),
    "cut.pt": ("UNREADABLE", "CKPT_TRUNCATED"),
    "flipped_bit.pt": ("INVALID", "CKPT_HASH_MISMATCH"),
    "huge.pt": ("INVALID", "CKPT_LIMIT"),
    "moment.pt": ("INVALID", "CKPT_NONFINITE"),
    "newer.pt": ("UNREADABLE", "CKPT_VERSION"),
    "page.pth": ("UNREADABLE", "CKPT_NOT_A_CHECKPOINT"),
    "pointer.pth": ("UNREADABLE", "CKPT_NOT_A_CHECKPOINT"),
}


def validator(*words: str) -> tuple[int, str]:
    answer = subprocess.run(
        [sys.executable, "-m", "utils.checkpoint_validator", *words],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "Traceback" not in answer.stderr
    return answer.returncode, answer.stdout + answer.stderr


def test_one_line_a_file_with_the_reason(tmp_path: Path) -> None:
    """Who has fifty files wants the bad ones by name."""
    files.write_one_of_each(tmp_path / "all")
    code, said = validator("--all", "--checkpoints", str(tmp_path / "all"))
    lines = said.splitlines()
    assert code == 1 and len(lines) == 11 and "VALID      - run/best.pt" in lines
    for name, (status, cause) in WRONG.items():
        assert any(line.startswith(f"{status:<10} - {name}: {cause} ") for line in lines), name
    assert "SUSPECT    - run/suspect.pt: CKPT_SUSPECT loss is 4.9e+12" in lines
    assert lines[-1].startswith("10 checkpoint files below") and not (tmp_path / "all" / "canary").exists()


def test_the_same_as_json(tmp_path: Path) -> None:
    """Scripts read statuses, not lines."""
    files.write_one_of_each(tmp_path / "all")
    code, said = validator("--all", "--json", "--checkpoints", str(tmp_path / "all"))
    report = json.loads(said)
    assert code == 1 and report["counts"] == {"INVALID": 4, "UNREADABLE": 4, "VALID": 1, "SUSPECT": 1}
    found = {row["file"]: (row["status"], (row["finding"] or {}).get("code")) for row in report["files"]}
    assert found.items() >= WRONG.items() and found["run/best.pt"] == ("VALID", None)


def test_a_path_alone_is_a_folder_or_a_file_to_look_at(tmp_path: Path) -> None:
    """It can mean nothing else, so nobody should have to remember two flags at night."""
    files.write_one_of_each(tmp_path / "all")
    assert validator(str(tmp_path / "all"))[1].splitlines()[-1].startswith("10 checkpoint files below")
    code, said = validator(str(tmp_path / "all" / "pointer.pth"))
    assert code == 1 and "CKPT_NOT_A_CHECKPOINT" in said and "git lfs pull" in said


@pytest.mark.parametrize(("strict", "code"), [([], 0), (["--strict"], 1)])
def test_a_suspect_file_fails_only_where_strictness_was_asked_for(tmp_path: Path, strict: list[str], code: int) -> None:
    """A warning that always fails is switched off, one that never can is not read."""
    torch.save(files.sound(), tmp_path / "good.pt")
    torch.save({"a": torch.full((2, 2), 1e30)}, tmp_path / "huge.pt")
    assert validator("--all", "--checkpoints", str(tmp_path), *strict)[0] == code
    (tmp_path / "huge.pt").unlink()
    assert validator("--all", "--checkpoints", str(tmp_path), *strict)[0] == 0


def test_a_single_file_is_told_with_the_statistics_of_its_tensors(tmp_path: Path) -> None:
    """Where is it, how many, and what do the other tensors look like?"""
    state = files.sound()
    state["head.weight"][1, 2] = float("inf")
    torch.save(state | {"two": torch.tensor([[1.0, 3.0]])}, tmp_path / "a.pt")
    code, said = validator("--checkpoint", str(tmp_path / "a.pt"))
    assert code == 1 and "CKPT_NONFINITE" in said and "1 of 96 values, first at (1, 2)" in said
    (row,) = [line.split() for line in said.splitlines() if line.startswith("two ")]
    assert row == ["two", "1x2", "float32", "1", "3", "2", "1", "0"]
    code, said = validator("--json", "--checkpoint", str(tmp_path / "a.pt"))
    tensors = {row["name"]: row for row in json.loads(said)["tensors"]}
    assert tensors["head.weight"]["not_finite"] == 1 and tensors["two"]["mean"] == 2.0


@pytest.mark.parametrize(
    ("words", "cause"),
    [
        (["--checkpoint", "absent.pt"], "CKPT_MISSING"),
        (["--all", "--checkpoints", "absent"], "CKPT_MISSING"),
        ([], "CONFIG"),
        (["--all", "--checkpoint", "a.pt"], "CONFIG"),
        (["--al"], "CONFIG"),
    ],
)
def test_wrong_usage_and_missing_files_end_with_2(words: list[str], cause: str) -> None:
    """1 means a broken file; a typing error must not look like one."""
    code, said = validator(*words)
    assert code == 2 and said.startswith(cause) and "next:" in said


def test_links_pipes_bundles_and_the_quarantine_are_no_reason_to_hang_or_to_cry(tmp_path: Path) -> None:
    """A pipe never ends, a linked folder may lead around in a circle, and a bundle holds NaN on purpose."""
    import os

    torch.save(files.sound(), tmp_path / "a.pt")
    os.mkfifo(tmp_path / "pipe.pt")
    (tmp_path / "round").symlink_to(tmp_path)
    for folder, name in (("bundle-step3", "bundle.pt"), ("quarantine", "old.pt")):
        (tmp_path / folder).mkdir()
        torch.save({"inputs": torch.full((2, 2), float("nan"))}, tmp_path / folder / name)
    code, said = validator("--all", "--checkpoints", str(tmp_path))
    assert code == 0 and said.startswith("VALID      - a.pt\n1 checkpoint files")
