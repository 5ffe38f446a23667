"""What a file is and what it declares is known before torch opens it."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch

from tests.utils import checkpoint_files as files
from utils import checkpoint, pickle_scan
from utils.errors import CheckpointError

ROOT = Path(__file__).resolve().parents[2]


def refused(path: Path) -> CheckpointError:
    with pytest.raises(CheckpointError) as caught:
        checkpoint.load(path)
    assert caught.value.exit_code == 4 and str(path) in caught.value.where
    assert caught.value.evidence and caught.value.next_command
    assert "weights_only=False" not in str(caught.value) and "`weights_only` set to" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (files.POINTER.encode(), "git lfs pull"),
        (b"<!doctype html><title>Sign in</title>", "web page"),
        (b"\xef\xbb\xbf \n<html>", "web page"),
        (b'{"architectures": ["TimerForPrediction"]}', "JSON"),
        (files.PNG, "PNG"),
        (b"", "empty"),
        (b"timestamp,region,tp\n2020-01-01,costa,0\n", "text"),
        (b"city,region,tp\ncosta,1,2\n", "text"),
        (b"\x89HDF\r\n\x1a\n" + bytes(40), "NetCDF4"),
        (b"\x1f\x8b\x08" + bytes(40), "gzip"),
        (bytes(4096), "zeros"),
        (b"PK\x05\x06" + bytes(18), "empty or split ZIP"),
        (bytes(range(150, 250)) * 3, "nothing known"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_checkpoint_is_named_with_the_way_to_the_real_one(tmp_path: Path, content: bytes, said: str) -> None:
    """'invalid load key' tells nobody that git lfs pull was forgotten."""
    path = tmp_path / "checkpoint.pth"
    path.write_bytes(content)
    error = refused(path)
    assert error.code == "CKPT_NOT_A_CHECKPOINT" and said in str(error)
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    "content",
    [b"\x89HDF\r\n\x1a\n" + bytes(40), b"CDF\x01" + bytes(40), b"timestamp,region,tp\n2020-01-01,costa,0\n"],
    ids=["HDF5", "NetCDF 3", "CSV"],
)
def test_a_table_in_the_place_of_weights_is_sent_to_the_flag_for_tables(tmp_path: Path, content: bytes) -> None:
    """Nobody downloaded the table by mistake for weights; two flags were mixed up."""
    (tmp_path / "checkpoint.pth").write_bytes(content)
    way_out = refused(tmp_path / "checkpoint.pth").next_command
    assert "looks like a table" in way_out and "--data_path" in way_out and "download" not in way_out


def test_a_directory_is_named_as_one_with_the_files_in_it(tmp_path: Path) -> None:
    """The run directory instead of its best.pt is the usual slip."""
    folder = tmp_path / "run.pth"
    folder.mkdir()
    torch.save({}, folder / "best.pt")
    error = refused(folder)
    assert error.code == "CKPT_NOT_A_CHECKPOINT" and "directory" in error.what and "best.pt" in error.next_command


def test_a_zip_of_something_else_is_not_taken_for_a_checkpoint(tmp_path: Path) -> None:
    """ERA5 comes as ZIP too."""
    files.write_archive(tmp_path / "a.pth", {"data_stream-oper.nc": b"CDF"})
    assert refused(tmp_path / "a.pth").code == "CKPT_NOT_A_CHECKPOINT"


@pytest.mark.parametrize("share", [0.0005, 0.01, 0.5, 0.9, 0.999])
def test_a_cut_checkpoint_is_told_as_cut_and_left_as_it_is(tmp_path: Path, share: float) -> None:
    """Half a download must never be read as a whole one."""
    path = tmp_path / "checkpoint.pth"
    torch.save(files.sound(), path)
    content = path.read_bytes()[: max(1, int(path.stat().st_size * share))]
    path.write_bytes(content)
    assert refused(path).code == "CKPT_TRUNCATED" and path.read_bytes() == content


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_a_bare_pickle_is_refused_by_the_name_it_would_import(tmp_path: Path, protocol: int) -> None:
    """A pickle is a program; looking at it must not start it."""
    path, canary = tmp_path / "checkpoint.pth", tmp_path / "canary"
    files.pickled_bomb(path, canary, protocol)
    error = refused(path)
    assert error.code == "CKPT_UNSAFE" and "Path" in error.evidence and not canary.exists()


@pytest.mark.parametrize("protocol", [2, 4])
def test_a_bomb_in_an_archive_is_refused_by_name(tmp_path: Path, protocol: int) -> None:
    """The archive format alone protects from nothing."""
    path, canary = tmp_path / "checkpoint.pth", tmp_path / "canary"
    torch.save({"weight": torch.ones(2), "x": files.Bomb(canary)}, path, pickle_protocol=protocol)
    error = refused(path)
    assert error.code == "CKPT_UNSAFE" and "pathlib" in error.evidence and not canary.exists()


def test_a_bomb_in_a_legacy_file_is_refused_by_name(tmp_path: Path) -> None:
    """It sits behind three harmless pickles."""
    path, canary = tmp_path / "checkpoint.pth", tmp_path / "canary"
    files.legacy(path, {"weight": torch.ones(2), "x": files.Bomb(canary)})
    error = refused(path)
    assert error.code == "CKPT_UNSAFE" and "Path" in error.evidence and not canary.exists()


def test_a_harmless_legacy_file_is_refused_with_a_command_that_mends_it(tmp_path: Path) -> None:
    """The advice must work, and must keep the safe reader on."""
    path = tmp_path / "old.pth"
    files.legacy(path, files.sound())
    error = refused(path)
    assert error.code == "CKPT_UNSAFE" and "before 1.6" in error.what
    command = error.next_command.partition(": ")[2]
    assert command.startswith("python -c") and "weights_only=True" in command
    subprocess.run(command.replace("python", sys.executable, 1), shell=True, check=True)
    mended = checkpoint.load(tmp_path / "old-new.pth")
    assert all(torch.equal(mended[name], value) for name, value in files.sound().items())


def test_a_tar_of_the_first_torch_is_refused_as_such(tmp_path: Path) -> None:
    """Opening one extracts files."""
    files.tar(tmp_path / "a.pth")
    error = refused(tmp_path / "a.pth")
    assert error.code == "CKPT_UNSAFE" and "tar" in error.what


def test_a_torchscript_program_is_refused(tmp_path: Path) -> None:
    """It carries code of its own."""
    files.write_archive(tmp_path / "a.pth", {"a/data.pkl": b"", "a/constants.pkl": b"", "a/code/x.py": b""})
    error = refused(tmp_path / "a.pth")
    assert error.code == "CKPT_UNSAFE" and "TorchScript" in error.what


def test_an_archive_with_one_name_twice_is_refused(tmp_path: Path) -> None:
    """The list that is looked through must be the list that torch reads."""
    parts = files.members({"a": torch.ones(3)})
    with zipfile.ZipFile(tmp_path / "a.pth", "w") as archive, pytest.warns(UserWarning, match="Duplicate"):
        for name, content in [*parts.items(), ("archive/data.pkl", b"")]:
            archive.writestr(name, content)
    assert refused(tmp_path / "a.pth").code == "CKPT_UNSAFE"


@pytest.mark.parametrize(
    "write",
    [files.huge_storage, files.huge_view, files.out_of_bounds, files.compressed_zeros],
    ids=lambda f: f.__name__,
)
def test_absurd_sizes_are_refused_before_anything_is_allocated(tmp_path: Path, write) -> None:
    """A file of a kilobyte must not take the machine's memory."""
    path = tmp_path / "checkpoint.pth"
    write(path)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert refused(path).code == "CKPT_LIMIT"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000


def test_all_that_plain_torch_writes_passes(tmp_path: Path) -> None:
    """A guard that refuses sound files is switched off."""
    model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.ones(4, 3)).sum().backward()
    optimizer.step()
    tied = torch.randn(5)
    content = {
        "model_state_dict": model.state_dict(),
        "optimizer_state_dict": optimizer.state_dict(),
        "rng": torch.get_rng_state(),
        "parameter": torch.nn.Parameter(torch.ones(2)),
        "bf16": torch.ones(2, dtype=torch.bfloat16),
        "fp8": torch.ones(2).to(torch.float8_e4m3fn),
        "uint16": torch.ones(4, dtype=torch.uint16),
        "empty": torch.empty(0, 3),
        "expanded": torch.ones(1).expand(5, 5),
        "view": torch.ones(3, 4).t()[1:],
        "tied": [tied, tied],
        "plain": {"lr": 1e-3, "names": ["a", None, True], "big": 10**30, "bytes": b"abc", "shape": torch.Size([2, 3])},
    }
    torch.save(content, tmp_path / "a.pt")
    loaded = checkpoint.load(tmp_path / "a.pt")
    assert list(loaded) == list(content) and loaded["plain"] == content["plain"]
    assert torch.equal(loaded["view"], content["view"]) and torch.equal(loaded["tied"][1], tied)


def test_a_missing_block_of_values_is_told_as_incomplete(tmp_path: Path) -> None:
    """A part that is gone is not a part that is zero."""
    parts = files.members({"a": torch.ones(3), "b": torch.ones(4)})
    files.write_archive(tmp_path / "a.pt", {name: part for name, part in parts.items() if not name.endswith("data/1")})
    error = refused(tmp_path / "a.pt")
    assert error.code == "CKPT_INCOMPLETE" and "data/1" in error.evidence


@pytest.mark.parametrize("damage", ["bit", "page"])
def test_changed_bits_are_found_by_the_files_own_check_sums(tmp_path: Path, damage: str) -> None:
    """Torch itself reads a flipped bit without a word."""
    path = tmp_path / "a.pt"
    torch.save({"a": torch.arange(10_000.0)}, path)
    content = bytearray(path.read_bytes())
    content[20_000:24_096] = bytes(4096) if damage == "page" else content[20_000:24_096]
    content[20_001] ^= 4
    path.write_bytes(content)
    assert torch.load(path)["a"].shape == (10_000,)
    error = refused(path)
    assert error.code == "CKPT_HASH_MISMATCH" and "data/0" in error.evidence


def test_a_file_written_without_check_sums_is_read(tmp_path: Path) -> None:
    """Torch can be told to leave them out; that is no damage."""
    usual = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        torch.save({"a": torch.arange(3.0)}, tmp_path / "a.pt")
    finally:
        torch.serialization.set_crc32_options(usual)
    assert torch.equal(checkpoint.load(tmp_path / "a.pt")["a"], torch.arange(3.0))


def test_a_later_version_is_told_as_such_and_not_as_broken(tmp_path: Path) -> None:
    """The file is fine; the reader is old."""
    files.edited(tmp_path / "a.pt", {"a": torch.ones(3)}, lambda _: b"99\n", member="version")
    error = refused(tmp_path / "a.pt")
    assert error.code == "CKPT_VERSION" and "99" in error.evidence
    torch.save({"schema_version": checkpoint.SCHEMA_VERSION + 1, "model_state_dict": {}}, tmp_path / "b.pt")
    assert refused(tmp_path / "b.pt").code == "CKPT_VERSION"


def test_safetensors_are_read(tmp_path: Path) -> None:
    """The format that cannot hold code should not be the one that is refused."""
    tensors = files.sound() | {"scalar": torch.tensor(2.0), "none": torch.empty(0, 4)}
    (tmp_path / "a.safetensors").write_bytes(files.safetensors_bytes(tensors))
    loaded = checkpoint.load(tmp_path / "a.safetensors")
    assert all(torch.equal(loaded[name], value) for name, value in tensors.items()) and len(loaded) == len(tensors)


def test_safetensors_of_the_reference_writer_are_read(tmp_path: Path) -> None:
    """Our reader must read what others write."""
    writer = pytest.importorskip("safetensors.torch", reason="safetensors is not installed")
    tensors = {"a": torch.randn(3, 4), "b": torch.ones(2, dtype=torch.bfloat16), "c": torch.tensor([True, False])}
    writer.save_file(tensors, tmp_path / "a.safetensors", metadata={"format": "pt"})
    loaded = checkpoint.load(tmp_path / "a.safetensors")
    assert all(torch.equal(loaded[name], value) for name, value in tensors.items()) and len(loaded) == 3


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (files.safetensors_bytes({"a": torch.ones(100)})[:-8], "CKPT_TRUNCATED"),
        (files.safetensors_bytes({"a": torch.ones(100)})[:20], "CKPT_TRUNCATED"),
        ((10**12).to_bytes(8, "little") + b"{}", "CKPT_LIMIT"),
        (files.safetensors_bytes({"a": torch.ones(9)}, a={"dtype": "F32", "shape": [10**12], "data_offsets": [0, 36]}),
         "CKPT_LIMIT"),
        (files.safetensors_bytes({"a": torch.ones(9)}, a={"dtype": "F32", "shape": [-9], "data_offsets": [0, 36]}),
         "CKPT_LIMIT"),
        (files.safetensors_bytes({}, a=[]), "CKPT_LIMIT"),
    ],
    ids=["values cut", "header cut", "header of 1e12 bytes", "1e12 values", "negative", "no tensor"],
)  # fmt: skip
def test_safetensors_that_contradict_themselves_are_refused(tmp_path: Path, content: bytes, code: str) -> None:
    """Sizes are the one thing such a file can lie about."""
    (tmp_path / "a.safetensors").write_bytes(content)
    assert refused(tmp_path / "a.safetensors").code == code


@pytest.mark.skipif(os.geteuid() == 0, reason="permission bits do not bind root")
def test_a_file_that_may_not_be_read_is_told_as_such(tmp_path: Path) -> None:
    """It is not broken; somebody else owns it."""
    torch.save({"a": torch.ones(2)}, tmp_path / "a.pt")
    (tmp_path / "a.pt").chmod(0)
    assert refused(tmp_path / "a.pt").code == "CKPT_DENIED"


@pytest.mark.parametrize("place", [10**6, 2**63 - 1, 2**64 - 1])
def test_a_table_of_contents_that_points_outside_the_file_is_damage_and_no_matter_of_permission(
    tmp_path: Path, place: int
) -> None:
    """The system's error for such a place reads like a fault of the disk."""
    with zipfile.ZipFile(tmp_path / "a.pt", "w") as archive:
        for name, content in files.members({"a": torch.ones(3)}).items():
            archive.writestr(name, content)
        archive.getinfo("archive/data.pkl").header_offset = place
    assert refused(tmp_path / "a.pt").code in ("CKPT_TRUNCATED", "CKPT_HASH_MISMATCH")


def test_mutated_files_never_end_in_a_traceback(tmp_path: Path) -> None:
    """Whatever the damage: a message, or the content."""
    torch.save(files.training_state(files.sound(1)), tmp_path / "whole.pt")
    whole = (tmp_path / "whole.pt").read_bytes()
    parts = files.members(files.training_state(files.sound(1)))
    name = next(name for name in parts if name.endswith("data.pkl"))
    generator = torch.Generator().manual_seed(0)
    codes = set()
    for number in range(300):
        # Every other file has a mutated list of tensors with right check sums, which reaches torch's own reader.
        inside = number % 2 == 1
        content = bytearray(parts[name] if inside else whole)
        for place in torch.randint(len(content), (3,), generator=generator).tolist():
            content[place] = int(torch.randint(256, (1,), generator=generator))
        path = tmp_path / "mutated.pt"
        if inside:
            files.write_archive(path, parts | {name: bytes(content)})
        else:
            path.write_bytes(content)
        try:
            checkpoint.load(path)
            codes.add("read")
        except CheckpointError as error:
            codes.add(error.code)
    assert {"CKPT_TRUNCATED", "CKPT_HASH_MISMATCH", "CKPT_UNSAFE"} <= codes


def test_looking_through_a_pickle_imports_nothing() -> None:
    """The names are read as text."""
    code = (
        "import sys\nfrom utils import pickle_scan\n"
        "found = pickle_scan.scan(b'cantigravity\\nfly\\n)R.')\n"
        "print(found.refused(), 'antigravity' in sys.modules)"
    )
    answer = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert answer.stdout.split() == ["['antigravity.fly']", "False"]


def test_a_tensor_cannot_be_given_other_sizes_after_it_was_counted() -> None:
    """Torch lets a pickle set the inside of a tensor it has built: the one way around the count."""
    pickled = files.members({"a": torch.ones(3)})["archive/data.pkl"]
    with pytest.raises(pickle_scan.MalformedPickleError):
        pickle_scan.scan(pickled.removesuffix(b"s.") + b"}bs.")
