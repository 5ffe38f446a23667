"""Weights alone as safetensors: bitwise what they were, for our reader and for the package of that name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from utils import checkpoint, safetensors_file, safetensors_writer
from utils.errors import CheckpointError

BASE = torch.arange(24, dtype=torch.float32).reshape(4, 6)
TENSORS = {
    **{str(dtype): (torch.arange(7) % 2).to(dtype) for dtype in safetensors_file.DTYPES.values()},
    "shared": BASE,
    "shared again": BASE,
    "a part": BASE[1:3, ::2],
    "turned": BASE.T,
    "spread": torch.tensor([1.5]).expand(3, 4),
    "scalar": torch.tensor(2.5),
    "empty": torch.empty(0, 3, dtype=torch.float64),
    'ñandú "quoted"': torch.tensor([float("nan"), -0.0, float("inf")]),
    "learned": torch.nn.Parameter(torch.ones(2)),
}


def bits(tensor: torch.Tensor) -> tuple[torch.dtype, torch.Size, list[int]]:
    """Return kind, shape and bytes; NaN and the sign of zero count."""
    return tensor.dtype, tensor.shape, tensor.detach().contiguous().reshape(-1).view(torch.uint8).tolist()


def assert_same(loaded: dict[str, torch.Tensor]) -> None:
    assert loaded.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert bits(loaded[name]) == bits(tensor), name


def test_every_kind_of_tensor_comes_back_bitwise(tmp_path: Path) -> None:
    """Views, shared memory and strides are not in the format; the values must not be mixed up for that."""
    path = tmp_path / "best.safetensors"
    checkpoint.save_safetensors(path, TENSORS, {"model": "timer_xl", "note": "ñandú"})
    assert_same(checkpoint.load(path))
    assert checkpoint.metadata(path) == {"model": "timer_xl", "note": "ñandú"}


def test_the_package_of_that_name_reads_the_same(tmp_path: Path) -> None:
    """The format is for others to read."""
    package = pytest.importorskip("safetensors.torch", reason="safetensors is not installed")
    path = tmp_path / "best.safetensors"
    checkpoint.save_safetensors(path, TENSORS, {"model": "timer_xl"})
    assert_same(package.load_file(path))
    with pytest.importorskip("safetensors").safe_open(path, "pt") as file:
        assert file.metadata() == {"model": "timer_xl"}


def test_values_begin_where_their_width_fits_and_the_size_is_known_before(tmp_path: Path) -> None:
    """Readers that map the file into memory need aligned values, and the room is asked for before writing."""
    path = tmp_path / "best.safetensors"
    for about in ({}, {"a": "b"}, {"a": "bcd"}):
        checkpoint.save_safetensors(path, TENSORS, about)
        raw = path.read_bytes()
        length = int.from_bytes(raw[:8], "little")
        header = json.loads(raw[8 : 8 + length])
        assert (8 + length) % 8 == 0 and header.pop("__metadata__", {}) == about
        assert all(part["data_offsets"][0] % TENSORS[name].element_size() == 0 for name, part in header.items())
        assert safetensors_writer.size(TENSORS, about) == len(raw)


def test_a_flipped_bit_and_a_cut_are_told(tmp_path: Path) -> None:
    """The format has no check sum of its own; the JSON beside the file has."""
    path = tmp_path / "best.safetensors"
    checkpoint.save_safetensors(path, {"a": torch.ones(300)})
    raw = bytearray(path.read_bytes())
    raw[-5] ^= 1
    for content, code in ((raw, "CKPT_HASH_MISMATCH"), (raw[:-9], "CKPT_TRUNCATED")):
        path.write_bytes(content)
        with pytest.raises(CheckpointError) as caught:
            checkpoint.load(path)
        assert caught.value.code == code


@pytest.mark.parametrize(
    ("tensors", "about", "said"),
    [
        ({"a": torch.ones(1, dtype=torch.complex64)}, {}, "^a is of torch.complex64"),
        ({"a": 1.5}, {}, "^a is of float"),
        ({"a": torch.eye(2).to_sparse()}, {}, "^a is of"),
        ({"__metadata__": torch.ones(1)}, {}, "is no name for a tensor"),
        ({"a": torch.ones(1)}, {"epoch": 3}, "^epoch is 3"),
    ],
)
def test_what_the_format_has_no_place_for_is_refused(tmp_path: Path, tensors, about, said: str) -> None:
    """A value that is left out or bent on the way is found by nobody."""
    with pytest.raises(TypeError, match=said):
        checkpoint.save_safetensors(tmp_path / "a.safetensors", tensors, about)
    assert not list(tmp_path.iterdir())
