"""The encoder that lies in the repository: small, whole, of the sizes of its preset, and of use out of the box."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

import run
from exp.presets import PRESETS
from exp.transfer import PLAN_FILE
from tests import make_table
from tests.conftest import ROOT
from utils import checkpoint, checkpoint_validator
from utils.errors import CheckpointError

WEIGHTS = ROOT / "checkpoints" / "small_encoder" / "encoder.pt"


def test_it_is_small_whole_and_its_json_names_its_bytes() -> None:
    """A file that git or a disk altered would be trained from without a word."""
    assert WEIGHTS.stat().st_size < 8_000_000
    assert checkpoint_validator.main(["--checkpoint", str(WEIGHTS)]) == 0
    assert checkpoint.metadata(WEIGHTS)["model"] == "timer_xl"


@pytest.mark.parametrize("preset", ["encoder", "pretrain"])
def test_the_presets_have_its_sizes(preset: str) -> None:
    """A preset changed alone would refuse the file, or pre-train another one under its name."""
    stored = checkpoint.metadata(WEIGHTS)["config"]
    told = PRESETS[preset]
    sizes = ("e_layers", "d_model", "d_ff", "n_heads", "input_token_len", "output_token_len", "seq_len")
    assert [told[name] for name in sizes] == [stored[name] for name in sizes]
    if preset == "pretrain":
        flags = {name: value for name, value in told.items() if stored[name] != value}
        assert flags == {}


def test_no_path_of_the_machine_that_made_it_is_in_it() -> None:
    """Who trained it where is nobody's business."""
    words = WEIGHTS.with_name("encoder.pt.json").read_text(encoding="utf-8").split('"')
    assert len(words) > 100 and not [word for word in words if word.startswith(("/", "~", "../"))]


def test_a_probe_starts_from_it(tmp_path: Path, without_figures: None) -> None:  # noqa: ARG001
    """The command of its card, on another table: all of it is loaded, six tensors start fresh."""
    make_table.write(tmp_path)
    words = ["--preset", "encoder", "--adaptation", "--pretrain_model_path", str(WEIGHTS), "--tune", "head"]
    words += ["--root_path", str(tmp_path), "--data_path", "table.csv", "--train_epochs", "1"]
    assert run.main([*words, "--checkpoints", str(tmp_path / "runs"), "--model_id", "probe"]) == 0
    (plan,) = (tmp_path / "runs").rglob(PLAN_FILE)
    totals = json.loads(plan.read_text())["totals"]
    assert (totals["loaded"]["tensors"], totals["fresh"]["tensors"]) == (74, 6)


def test_who_has_no_released_file_is_offered_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A first transfer must not end at a download of 270 MB when weights lie in the repository."""
    with pytest.raises(CheckpointError) as caught:
        checkpoint.require(tmp_path / "absent.pth")
    words = shlex.split(caught.value.next_command)
    offered = Path(words[words.index("--pretrain_model_path") + 1])
    monkeypatch.chdir(ROOT)
    checkpoint.require(offered)
    assert words[words.index("--preset") + 1] in PRESETS
