"""Weights on disk: whole or absent, plain tensors only, strict."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch
from torch import nn

from utils import checkpoint
from utils.errors import CheckpointError, StorageError


def test_what_is_saved_is_what_is_loaded_and_plain_torch_reads_it(tmp_path: Path) -> None:
    """The users' snippet is `torch.load(path)` and expects named tensors."""
    state = nn.Linear(3, 2).state_dict()
    checkpoint.save(tmp_path / "best.pt", state)
    for loaded in (checkpoint.load(tmp_path / "best.pt"), torch.load(tmp_path / "best.pt")):
        assert list(loaded) == list(state) and all(torch.equal(loaded[name], state[name]) for name in state)
    assert {path.name for path in tmp_path.iterdir()} == {"best.pt", "best.pt.json"}


def test_a_failed_save_keeps_the_file_before_it(tmp_path: Path) -> None:
    """A half-written best.pt is worse than none."""
    path = tmp_path / "best.pt"
    checkpoint.save(path, {"a": torch.ones(2)})
    before = path.read_bytes()
    path.with_name("best.pt.writing").mkdir()
    with pytest.raises(StorageError):
        checkpoint.save(path, {"a": torch.zeros(2)})
    assert path.read_bytes() == before


class Bomb:
    """Runs code when it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self):
        return (Path.touch, (self.canary,))


@pytest.mark.parametrize("kind", ["missing", "html", "empty", "cut", "pickle", "bomb", "list"])
def test_what_is_no_checkpoint_is_refused_and_runs_no_code(tmp_path: Path, kind: str) -> None:
    """People bring error pages, pointers and half downloads; none may end in a traceback or in running code."""
    path, canary = tmp_path / "checkpoint.pth", tmp_path / "canary"
    if kind == "html":
        path.write_text("<!doctype html><title>404</title>")
    elif kind == "empty":
        path.touch()
    elif kind == "cut":
        torch.save({"a": torch.ones(1000)}, path)
        path.write_bytes(path.read_bytes()[:2000])
    elif kind == "pickle":
        path.write_bytes(pickle.dumps(Bomb(canary)))
    elif kind == "bomb":
        torch.save({"a": Bomb(canary)}, path)
    elif kind == "list":
        torch.save([torch.ones(2)], path)
    with pytest.raises(CheckpointError) as caught:
        checkpoint.load(path)
    assert not canary.exists() and caught.value.exit_code == 4 and str(path) in str(caught.value)


def test_a_strict_load_says_what_is_loaded_and_what_is_fresh() -> None:
    """The case's tool loaded 5 of 142 tensors and said nothing."""
    model = nn.ModuleDict({"encoder": nn.Linear(3, 2), "classifier": nn.Linear(2, 2)})
    state = {name: torch.ones_like(value) for name, value in model.state_dict().items() if name.startswith("encoder")}
    said = checkpoint.load_strict(model, state, Path("x.pth"), fresh_prefixes=("classifier.",))
    assert said.startswith("2 of 2 tensors loaded") and "2 fresh" in said
    assert torch.equal(model.state_dict()["encoder.weight"], torch.ones(2, 3))


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda state: state.pop("encoder.bias"), "CKPT_COVERAGE"),
        (lambda state: state.update(other=torch.ones(1)), "CKPT_COVERAGE"),
        (lambda state: state.update({"encoder.weight": torch.ones(4, 3)}), "CKPT_SHAPE"),
    ],
)
def test_a_checkpoint_that_does_not_fit_changes_nothing(change, code: str) -> None:
    """Part of an encoder is not transfer learning."""
    model = nn.ModuleDict({"encoder": nn.Linear(3, 2), "classifier": nn.Linear(2, 2)})
    state = {name: torch.ones_like(value) for name, value in model.state_dict().items() if name.startswith("encoder")}
    change(state)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(CheckpointError) as caught:
        checkpoint.load_strict(model, state, Path("x.pth"), fresh_prefixes=("classifier.",))
    assert caught.value.code == code and "--d_model" in str(caught.value)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
