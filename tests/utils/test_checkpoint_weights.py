"""Weights in any wrapping are the same weights; what does not fit or cannot be trusted is named."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

import models
from tests.utils import checkpoint_files as files
from utils import checkpoint, checkpoint_contents, checkpoint_layout
from utils.errors import CheckpointError

FRESH = ("classifier.", "shortcut.")


def network(**sizes: int) -> torch.nn.Module:
    flags = {
        "e_layers": 2, "d_model": 8, "d_ff": 16, "n_heads": 2, "input_token_len": 12, "output_token_len": 12,
        "n_classes": 2, "n_variables": 3, "n_marks": 6, "step_hours": 1,
    }  # fmt: skip
    return models.build("timer_xl_classifier", SimpleNamespace(**(flags | sizes)))


def refusal(state: dict[str, torch.Tensor], model: torch.nn.Module | None = None) -> CheckpointError:
    model = model or network()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(CheckpointError) as caught:
        checkpoint.load_strict(model, state, Path("given.pth"), fresh_prefixes=FRESH)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert caught.value.exit_code == 4 and "given.pth" in caught.value.where
    return caught.value


def prefixed(prefix: str) -> Callable[[dict[str, torch.Tensor]], dict[str, object]]:
    return lambda weights: {prefix + name: value for name, value in weights.items()}


@pytest.mark.parametrize(
    ("wrap", "said"),
    [
        (prefixed("module."), "'module.'"),
        (prefixed("_orig_mod."), "'_orig_mod.'"),
        (prefixed("model."), "'model.'"),
        (prefixed("module._orig_mod."), "'module._orig_mod.'"),
        (files.training_state, "'model_state_dict'"),
        (lambda weights: {"state_dict": prefixed("model.")(weights), "epoch": 3}, "'state_dict'"),
        (lambda weights: {"model": weights, "args": {"lr": 0.1}}, "'model'"),
        (lambda weights: weights | {"epoch": 3}, "epoch"),
    ],
)
def test_a_wrapped_file_gives_the_same_tensors_and_says_so_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, wrap, said: str
) -> None:
    """The file is right; only its wrapping differs from tool to tool."""
    torch.save(files.sound(), tmp_path / "plain.pt")
    torch.save(wrap(files.sound()), tmp_path / "wrapped.pt")
    plain = checkpoint.load_weights(tmp_path / "plain.pt")
    assert not caplog.records
    with caplog.at_level(logging.INFO):
        weights = checkpoint.load_weights(tmp_path / "wrapped.pt")
    assert list(weights) == list(plain) and all(torch.equal(weights[name], plain[name]) for name in plain)
    (record,) = caplog.records
    assert said in record.getMessage() and "\n" not in record.getMessage()
    assert "fresh" in checkpoint.load_strict(network(), weights, tmp_path, fresh_prefixes=FRESH)


def test_a_training_state_without_weights_is_incomplete(tmp_path: Path) -> None:
    """Moments alone are no model."""
    torch.save({"epoch": 3, "optimizer_state_dict": {"state": {}}}, tmp_path / "a.pt")
    with pytest.raises(CheckpointError) as caught:
        checkpoint.load_weights(tmp_path / "a.pt")
    assert caught.value.code == "CKPT_INCOMPLETE" and "optimizer_state_dict" in caught.value.evidence


@pytest.mark.parametrize(
    ("sizes", "flags"),
    [
        ({"width": 16}, "--d_model 16"),
        ({"layers": 1}, "--e_layers 1"),
        ({"layers": 3}, "--e_layers 3"),
        ({"token": 24}, "--input_token_len 24 --output_token_len 24"),
        ({"hidden": 32}, "--d_ff 32"),
        ({"heads": 1}, "--n_heads 1"),
        ({"width": 16, "layers": 3}, "--e_layers 3 --d_model 16"),
    ],
)
def test_other_sizes_are_told_with_the_flags_that_fit(sizes: dict[str, int], flags: str) -> None:
    """The sizes stand in the file; guessing them cost the case days."""
    state = files.sound(**sizes)
    error = refusal(state)
    assert error.code == "CKPT_SHAPE" and flags in error.next_command and "the flags say" in error.what
    words = error.next_command.partition(": ")[2].split()
    pairs = zip(words[::2], words[1::2], strict=True)
    fitting = network(**{name.removeprefix("--"): int(value) for name, value in pairs})
    assert "fresh" in checkpoint.load_strict(fitting, state, Path("given.pth"), fresh_prefixes=FRESH)


def test_the_sentence_names_width_and_layers_of_file_and_flags() -> None:
    """`d_model 16` alone does not say which side has it."""
    assert refusal(files.sound(layers=3, width=16)).what == (
        "The file is d_model 16, e_layers 3; the flags say d_model 8, e_layers 2."
    )


def test_a_shape_that_no_flag_explains_is_told_by_its_tensor() -> None:
    """A damaged tensor is no other model."""
    error = refusal(files.sound() | {"blocks.norm.weight": torch.ones(9)})
    assert error.code == "CKPT_SHAPE" and "blocks.norm.weight: file (9,), model (8,)" in error.evidence


def test_names_that_do_not_match_are_counted_and_the_layout_is_told() -> None:
    """The case's tool took 5 of 142 tensors and called it transfer learning."""
    model = network(e_layers=8, d_model=1024, d_ff=2048, n_heads=8, input_token_len=96, output_token_len=96)
    error = refusal({f"net.{name}": value for name, value in files.sound().items()}, model)
    assert error.code == "CKPT_COVERAGE" and "0 of 142 tensors fit" in error.evidence
    assert "nearest known layout: none" in error.evidence and "net." in error.evidence
    state = dict(list(files.sound().items())[:20])
    assert "Timer-XL (142 tensors at the released size), 20 of 20" in checkpoint_layout.nearest(state)


def test_one_missing_tensor_is_enough_to_refuse() -> None:
    """Part of an encoder is not transfer learning."""
    state = files.sound()
    del state["blocks.attn_layers.1.conv2.bias"]
    error = refusal(state)
    assert error.code == "CKPT_COVERAGE" and f"{len(state)} of {len(state) + 1} tensors fit" in error.evidence
    assert "not in the file: blocks.attn_layers.1.conv2.bias" in error.evidence


@pytest.mark.parametrize("prefix", ["", "module."])
def test_the_hugging_face_variant_is_refused_by_name(tmp_path: Path, prefix: str) -> None:
    """It has the same name, some of the same shapes, and other arithmetic."""
    torch.save(prefixed(prefix)(files.hugging_face()), tmp_path / "model.pth")
    state = checkpoint.load_weights(tmp_path / "model.pth")
    error = refusal(state)
    assert error.code == "CKPT_LAYOUT" and "Hugging Face" in error.what and "timer-base-84m" in error.what


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("place", ["weight", "moment", "buffer", "half"])
def test_what_is_not_finite_is_named_wherever_it_is(tmp_path: Path, value: float, place: str) -> None:
    """A NaN in a moment kills the second step, not the first."""
    state = files.training_state(files.sound())
    spoiled = {
        "weight": state["model_state_dict"]["head.weight"],
        "moment": state["optimizer_state_dict"]["state"][3]["exp_avg"],
        "buffer": torch.zeros(3, 4),
        "half": torch.zeros(3, 4, dtype=torch.bfloat16),
    }[place]
    state["model_state_dict"] |= {"norm.running_mean": spoiled} if place in ("buffer", "half") else {}
    spoiled.view(-1)[1] = value
    (finding,) = checkpoint_contents.judge(state, tmp_path)
    assert finding.code == "CKPT_NONFINITE" and finding.severity == "error"
    assert "1 of" in finding.evidence and "first at (" in finding.evidence
    name = {"weight": "head.weight", "moment": "state.3.exp_avg"}.get(place, "norm.running_mean")
    assert name in finding.where


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda state: state["model_state_dict"]["head.weight"].fill_(1e30), "head.weight reaches 1e+30"),
        (lambda state: [value.zero_() for value in state["model_state_dict"].values()], "are zero"),
        (lambda state: state.update(loss=4.9e12), "loss is 4.9e+12"),
    ],
)
def test_what_is_finite_and_absurd_is_suspect(tmp_path: Path, change, reason: str) -> None:
    """The case's first checkpoints had a loss of 4.9e12, and every check of finiteness passed."""
    state = files.training_state(files.sound())
    assert checkpoint_contents.judge(state, tmp_path) == []
    change(state)
    (finding,) = checkpoint_contents.judge(state, tmp_path)
    assert finding.code == "CKPT_SUSPECT" and finding.severity == "warning" and reason in finding.evidence


def test_a_loss_that_is_not_finite_is_named(tmp_path: Path) -> None:
    """The weights may still be finite when the loss is not."""
    (finding,) = checkpoint_contents.judge(files.training_state(files.sound(), loss=float("nan")), tmp_path)
    assert finding.code == "CKPT_NONFINITE" and "loss" in finding.where


def test_content_that_holds_itself_many_times_is_walked_once() -> None:
    """Thirty lists of two times the one before are a billion leaves and sixty references."""
    content: list[object] = [torch.ones(2)]
    for _ in range(30):
        content = [content, content]
    assert len(list(checkpoint_contents.leaves({"a": content}))) == 1
