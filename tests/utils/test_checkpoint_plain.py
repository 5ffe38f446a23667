"""What a checkpoint may hold is settled when it is written, not when it is needed."""

from __future__ import annotations

from collections import OrderedDict
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from utils import checkpoint
from utils.checkpoint_hash import content_hash
from utils.checkpoint_plain import room

PLAIN = {
    "schema_version": 1,
    "epoch": 3,
    "score": 0.25,
    "nothing": None,
    "flag": True,
    "text": "ñandú",
    "raw": b"\x00\xff",
    "list": [1, (2.5, "two")],
    "kind": torch.float16,
    "device": torch.device("cpu"),
    "shape": torch.Size([2, 3]),
    "state": {0: {"step": torch.tensor(3.0)}},
    "half": torch.ones(2, 3, dtype=torch.bfloat16),
    "turned": torch.arange(6).reshape(2, 3).T,
    "empty": torch.empty(0, 4),
    "random": torch.get_rng_state(),
}
REFUSED = {
    "a number of NumPy": np.float64(0.5),
    "an array": np.ones(2),
    "a path": Path("x"),
    "a time": datetime(2020, 1, 1),
    "a set": {1},
    "a sparse tensor": torch.eye(2).to_sparse(),
    "a tensor without values": torch.ones(2, device="meta"),
    "a function": print,
}


def test_plain_values_come_back_as_they_were(tmp_path: Path) -> None:
    """What resuming needs is more than tensors: text, lists, sizes, kinds."""
    checkpoint.save(tmp_path / "last.pt", PLAIN)
    loaded = checkpoint.load(tmp_path / "last.pt")
    assert content_hash(loaded) == content_hash(PLAIN) and list(loaded) == list(PLAIN)
    assert loaded["list"] == PLAIN["list"] and loaded["raw"] == PLAIN["raw"]


@pytest.mark.parametrize("kind", REFUSED)
def test_what_the_safe_reader_would_refuse_is_refused_when_it_is_saved(tmp_path: Path, kind: str) -> None:
    """A state that is written for hours and cannot be read is found on the day it is needed."""
    with pytest.raises(TypeError, match=r"^sampler\.inner\.1 is a "):
        checkpoint.save(tmp_path / "last.pt", {"sampler": {"inner": [1, REFUSED[kind]]}})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("value", [torch.ones(1), b"raw", np.int64(3), {1: "a key that JSON would turn into text"}])
def test_metadata_that_json_would_not_give_back_are_refused(tmp_path: Path, value: Any) -> None:
    """JSON turns the key 1 into '1', and has no bytes."""
    with pytest.raises(TypeError, match=r"best\.inner"):
        checkpoint.save(tmp_path / "last.pt", {"a": torch.ones(1)}, metadata={"best": {"inner": value}})
    assert not list(tmp_path.iterdir())


CHANGES: dict[str, Any] = {
    "a name": {"b": torch.ones(4), "n": 1},
    "a value": {"a": torch.tensor([1.0, 1.0, 1.0, -1.0]), "n": 1},
    "the sign of zero": {"a": torch.ones(4), "n": -0.0},
    "a shape": {"a": torch.ones(2, 2), "n": 1},
    "a dtype": {"a": torch.ones(4).view(torch.int32), "n": 1},
    "a kind of value": {"a": torch.ones(4), "n": True},
    "a number as text": {"a": torch.ones(4), "n": "1"},
    "the order of a list": {"a": torch.ones(4), "n": [2, 1]},
    "the nesting of a list": {"a": torch.ones(4), "n": [1, [2]]},
    "one more": {"a": torch.ones(4), "n": 1, "z": None},
}


def test_the_hash_of_a_content_sees_every_change_and_no_order_of_keys() -> None:
    """Two contents with one hash would let a damaged one through; the order of a dict is no content."""
    base = {"a": torch.ones(4), "n": 1}
    others = [content_hash(change) for change in CHANGES.values()]
    others += [content_hash({"a": torch.ones(4), "n": value}) for value in (0.0, [1, 2], [1, 2, []])]
    assert len({content_hash(base), *others}) == len(others) + 1
    assert content_hash(OrderedDict(reversed(base.items()))) == content_hash(base)
    assert content_hash({"a": torch.ones(4, 2).T[0], "n": 1}) == content_hash(base)


def test_the_room_asked_for_is_never_less_than_the_file_takes(tmp_path: Path) -> None:
    """A disk that is too small should be found before anything is written, without asking for twice the need."""
    shared = torch.ones(50_000)
    many = {f"blocks.{number}.a.rather.long.name.weight": torch.ones(number) for number in range(300)}
    for content in (PLAIN, {"a": shared, "b": shared[:5], "c": shared.reshape(2, -1)}, many, {"text": "ñ" * 9000}):
        checkpoint.save(tmp_path / "a.pt", content)
        assert (tmp_path / "a.pt").stat().st_size <= room(content)
    assert room({"a": shared, "b": shared[:5]}) < 1.2 * shared.nbytes


def test_a_single_number_hashes_alike_whatever_its_stride() -> None:
    """One number cut out of a row has the stride of the row, and is the same number."""
    cut = torch.arange(4)[::2][:1]
    assert cut.stride() == (2,) and content_hash({"a": cut}) == content_hash({"a": torch.tensor([0])})
