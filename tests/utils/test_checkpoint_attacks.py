"""Files made to deceive: two readers see two contents, allowed names do harm, small files take hours or memory."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
import torch

from tests.utils import checkpoint_files as files
from utils import checkpoint, checkpoint_verdict
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


def placed(path: Path, instructions: bytes) -> None:
    """Write an archive whose list of tensors is made of these instructions."""
    files.edited(path, {"a": torch.ones(3)}, lambda _: b"\x80\x02" + instructions + b".")


@pytest.mark.parametrize(
    "instructions",
    [
        b"}X\1\0\0\0actorch.storage\nUntypedStorage\n\x8a\x05\0\0\0\0\x10\x85Rs",
        b"}X\1\0\0\0actorch\nfloat32\n)\x81s",
        b"ccollections\nOrderedDict\n)R}X\5\0\0\0itemsK\5sb",
        b"}X\1\0\0\0ac_codecs\nencode\nX\1\0\0\0xX\x08\0\0\0punycode\x86Rs",
    ],
    ids=["memory", "a kind called", "methods replaced", "slow encoding"],
)
def test_an_allowed_name_is_refused_where_it_does_what_weights_do_not_need(tmp_path: Path, instructions: bytes) -> None:
    """Torch's safe reader allows all of these: memory for the asking, a dict whose `items` is a number, hours."""
    placed(tmp_path / "a.pt", instructions)
    error = refused(tmp_path / "a.pt")
    assert error.code == "CKPT_UNSAFE" and "it would" in error.evidence


TENSOR = b"ctorch._utils\n_rebuild_tensor_v2\n("
LAUGH = b"K\1\x85" + b"".join(b"q" + bytes([n]) + b"h" + bytes([n]) + b"\x86" for n in range(60))
STORED = b"(X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\0" + b"0X\3\0\0\0cpuK\3tQ"


@pytest.mark.parametrize(
    "instructions",
    [
        b"}" + LAUGH + b"K\1s",
        b"}K\1" + b"\x85" * 200_000 + b"K\1s",
        b"}K\1ccollections\nCounter\n](" + b"(" + b"K\1" * 9 + b"t" + b"e\x85Rs",
        b"}K\1" + TENSOR + STORED + b"K\0" + LAUGH * 2 + b"\x89}tRs",
        b"}K\1" + TENSOR + STORED + b"K\0" + 2 * (b"(" + b"K\1" * 99 + b"t") + b"\x89}tRs",
        b"}" + b"]0" * 600_000,
    ],
    ids=["key that unfolds", "deep key", "long key in a counter", "sizes that unfold", "many axes", "instructions"],
)  # fmt: skip
def test_what_would_take_for_ever_is_refused_before_it_begins(tmp_path: Path, instructions: bytes) -> None:
    """A key of sixty nested pairs has 2 to the 60 parts when it is hashed, and a run waits for ever."""
    placed(tmp_path / "a.pt", instructions)
    assert refused(tmp_path / "a.pt").code == "CKPT_LIMIT"


def test_an_archive_of_more_members_than_tensors_can_be_listed_is_refused(tmp_path: Path) -> None:
    """Each member costs a tenth of a millisecond before anything is known of it."""
    parts = files.members({"a": torch.ones(3)}) | {f"archive/data/{number}": b"" for number in range(1, 20_001)}
    files.write_archive(tmp_path / "a.pt", parts)
    error = refused(tmp_path / "a.pt")
    assert error.code == "CKPT_LIMIT" and "members" in error.evidence


def test_sizes_that_could_change_after_they_were_counted_are_refused(tmp_path: Path) -> None:
    """Torch takes a list for a shape: its 1e12 values would be expanded from the three that are stored."""
    listed = b"](J\0\xe1\xf5\5J\0\xe1\xf5\5e](K\0K\0e"
    placed(tmp_path / "a.pt", b"}K\1" + TENSOR + STORED + b"K\0" + listed + b"\x89}tRs")
    assert refused(tmp_path / "a.pt").code == "CKPT_TRUNCATED"


@pytest.mark.parametrize("unit", [b".", b"N.", b"\x80\x02N.", b"]"])
def test_pickles_in_endless_rows_are_told_in_no_time(tmp_path: Path, unit: bytes) -> None:
    """Four megabytes of full stops were four million pickles, each copied to the end of the file."""
    (tmp_path / "a.pt").write_bytes(unit * (4 * 1024 * 1024 // len(unit)))
    assert refused(tmp_path / "a.pt").code in ("CKPT_NOT_A_CHECKPOINT", "CKPT_UNSAFE")


@pytest.mark.parametrize(
    "header",
    [
        {"a": [0, 64], "b": [0, 64]},
        {"a": [0, 40], "b": [32, 64]},
        {"a": [0, 24], "b": [32, 64]},
        {"a": [8, 64]},
        {"a": [0, 60]},
    ],
    ids=["twice", "overlap", "gap", "gap in front", "gap behind"],
)
def test_safetensors_with_values_that_overlap_or_leave_gaps_are_refused(
    tmp_path: Path, header: dict[str, list[int]]
) -> None:
    """One block under two names, or bytes under none, is what no writer makes."""
    parts = {
        name: {"dtype": "F32", "shape": [(last - first) // 4], "data_offsets": [first, last]}
        for name, (first, last) in header.items()
    }
    (tmp_path / "a.safetensors").write_bytes(files.safetensors_bytes({}, **parts) + bytes(64))
    assert refused(tmp_path / "a.safetensors").code == "CKPT_LIMIT"


@pytest.mark.parametrize("shape", [[0, 10**30], [2**63, 0], [True, 16], [1] * 65 + [16], "16"])
def test_safetensors_with_sizes_of_another_world_are_refused(tmp_path: Path, shape: object) -> None:
    """No values are no excuse: torch ends in an overflow when it is to make the shape."""
    values = 64 if isinstance(shape, str) or 16 in shape else 0
    part = {"dtype": "F32", "shape": shape, "data_offsets": [0, values]}
    (tmp_path / "a.safetensors").write_bytes(files.safetensors_bytes({}, a=part) + bytes(values))
    assert refused(tmp_path / "a.safetensors").code == "CKPT_LIMIT"


def test_safetensors_that_name_a_tensor_twice_are_refused(tmp_path: Path) -> None:
    """Readers differ in which of the two they take."""
    raw = files.safetensors_bytes({"a": torch.ones(2), "b": torch.ones(2)}).replace(b'"b"', b'"a"')
    (tmp_path / "a.safetensors").write_bytes(raw)
    error = refused(tmp_path / "a.safetensors")
    assert error.code == "CKPT_LIMIT" and "twice" in error.evidence


def test_names_that_move_the_cursor_or_cannot_be_written_are_shown_as_letters(tmp_path: Path) -> None:
    """A name in a foreign file must not clear the screen, nor end the log in a UnicodeEncodeError."""
    torch.save({"\x1b[2J\ud800": torch.full((2, 2), torch.nan)}, tmp_path / "a.pt")
    weights = checkpoint.load_weights(tmp_path / "a.pt")
    with pytest.raises(CheckpointError) as caught:
        checkpoint.load_strict(torch.nn.Linear(2, 2), weights, tmp_path / "a.pt", fresh_prefixes=())
    verdict = checkpoint_verdict.examine(tmp_path / "a.pt")
    for text in (str(caught.value), str(verdict.finding), verdict.line(tmp_path)):
        assert "[2J" in text and all(line.isprintable() for line in text.split("\n"))
