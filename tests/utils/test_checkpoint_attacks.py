"""Files made to deceive: two readers see two contents, allowed names do harm, small files take hours or memory."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
import torch

from tests.utils import checkpoint_files as files
from utils import checkpoint
from utils.errors import CheckpointError


def refused(path: Path) -> CheckpointError:
    with pytest.raises(CheckpointError) as caught:
        checkpoint.load(path)
    assert caught.value.exit_code == 4 and str(path) in caught.value.where
    assert caught.value.evidence and caught.value.next_command
    return caught.value


def test_an_archive_behind_another_one_is_refused(tmp_path: Path) -> None:
    """Python's reader looks through the second one, torch reads the first: the checks would look at another content."""
    first, second = (files.archive_bytes(files.members({name: torch.ones(3)})) for name in ("evil", "good"))
    (tmp_path / "a.pt").write_bytes(first + second)
    assert list(torch.load(tmp_path / "a.pt")) == ["evil"]
    with zipfile.ZipFile(tmp_path / "a.pt") as archive:
        assert b"good" in archive.read("archive/data.pkl")
    error = refused(tmp_path / "a.pt")
    assert error.code == "CKPT_TRUNCATED" and "table of contents" in error.what


def test_one_bit_that_makes_a_folder_of_a_member_is_damage(tmp_path: Path) -> None:
    """The check sums still fit, and torch fills the tensor with whatever lay in memory."""
    with zipfile.ZipFile(tmp_path / "a.pt", "w") as archive:
        for name, content in files.members({"a": torch.ones(3)}).items():
            archive.writestr(name, content)
        archive.getinfo("archive/data/0").external_attr |= 0x10
    error = refused(tmp_path / "a.pt")
    assert error.code == "CKPT_TRUNCATED" and "data/0" in error.evidence


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA, 99])
def test_a_member_packed_by_a_method_that_torch_does_not_know_is_damage(tmp_path: Path, method: int) -> None:
    """One wrong byte in the table of contents; other unpackers report damage as a fault of the disk."""
    with zipfile.ZipFile(tmp_path / "a.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.members({"a": torch.ones(3)}).items():
            archive.writestr(name, content)
        archive.getinfo("archive/byteorder").compress_type = method
    error = refused(tmp_path / "a.pt")
    assert error.code == "CKPT_TRUNCATED" and f"method {method}" in error.evidence


def test_a_member_that_is_said_to_be_empty_is_held_against_its_check_sum_too(tmp_path: Path) -> None:
    """One wrong byte in the table of contents empties the record of the byte order."""
    with zipfile.ZipFile(tmp_path / "a.pt", "w") as archive:
        for name, content in files.members({"a": torch.ones(3)}).items():
            archive.writestr(name, content)
        archive.getinfo("archive/byteorder").file_size = 0
    error = refused(tmp_path / "a.pt")
    assert error.code == "CKPT_HASH_MISMATCH" and "byteorder" in error.evidence


@pytest.mark.parametrize("end", ["none", "comment", "large", "large elsewhere"])
def test_only_an_end_without_a_choice_is_accepted(tmp_path: Path, end: str) -> None:
    """Comments and second end records are where two readers part."""
    torch.save({"a": torch.ones(3)}, tmp_path / "a.pt")
    large = (tmp_path / "a.pt").read_bytes()
    small = files.archive_bytes(files.members({"a": torch.ones(3)}))
    moved = large[:-34] + (int.from_bytes(large[-34:-26], "little") - 56).to_bytes(8, "little") + large[-26:]
    contents = {"none": small, "comment": small[:-2] + b"\2\0hi", "large": large, "large elsewhere": moved}
    (tmp_path / "a.pt").write_bytes(contents[end])
    if end in ("none", "large"):
        assert torch.equal(checkpoint.load(tmp_path / "a.pt")["a"], torch.ones(3))
    else:
        assert refused(tmp_path / "a.pt").code == "CKPT_TRUNCATED"


@pytest.mark.parametrize("other", ["archive/DATA.PKL", "b/data.pkl", "b/data/0", "archive/data.pkl\0"])
def test_names_that_only_one_reader_takes_for_equal_are_refused(tmp_path: Path, other: str) -> None:
    """Torch does not tell DATA.PKL from data.pkl, so a second list would be read in the place of the first."""
    parts = files.members({"good": torch.ones(3)})
    stand_in = "x" * len(other)
    raw = files.archive_bytes({stand_in: parts["archive/data.pkl"], **parts}).replace(stand_in.encode(), other.encode())
    (tmp_path / "a.pt").write_bytes(raw)
    error = refused(tmp_path / "a.pt")
    assert error.code == "CKPT_UNSAFE" and "twice" in error.what
