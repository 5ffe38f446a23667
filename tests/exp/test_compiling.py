"""`--compile`: the same numbers from compiled layers, and a run that goes on where there is no compiler."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F

import models
from exp import compiling
from tests import make_table

ROOT = Path(__file__).resolve().parents[2]
CPU = torch.device("cpu")
SIZES = {"input_token_len": 8, "output_token_len": 8, "d_model": 16, "d_ff": 32, "n_heads": 2, "e_layers": 2}
needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler on this machine")


@needs_compiler
@pytest.mark.filterwarnings("ignore")  # torch's own, while it traces
def test_compiled_layers_give_the_same_outputs_and_gradients() -> None:
    """A faster step that learns something else is no faster step."""
    found = []
    for compiled in (False, True):
        torch.manual_seed(0)
        model = models.build("timer_xl_classifier", SimpleNamespace(**SIZES, n_classes=2, dropout=0.0)).train()
        names = list(model.state_dict())
        assert not compiled or compiling.compile_parts(model, CPU)
        torch.manual_seed(1)
        logits = model(torch.randn(4, 24, 3))
        F.cross_entropy(logits, torch.tensor([0, 1, 1, 0])).backward()
        assert list(model.state_dict()) == names
        found.append([logits.detach(), *(each.grad for each in model.parameters() if each.grad is not None)])
    torch.testing.assert_close(found[0], found[1], rtol=1e-4, atol=1e-6)


def test_without_a_compiler_the_run_goes_on_and_says_so(tmp_path: Path) -> None:
    """Laptops without a compiler are the rule; a flag for speed must not end a run there."""
    make_table.write(tmp_path)
    elsewhere = {"CXX": str(tmp_path / "no_compiler"), "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache")}
    words = ["--preset", "smoke", "--train_epochs", "1", "--device", "cpu", "--bootstrap_draws", "0"]
    places = ["--root_path", str(tmp_path), "--data_path", "table.csv"]
    losses = []
    for name, more in (("plain", []), ("asked", ["--compile"])):
        command = [sys.executable, "run.py", *words, *places, "--checkpoints", str(tmp_path / name), *more]
        ended = subprocess.run(
            command, cwd=ROOT, env=os.environ | elsewhere, capture_output=True, text=True, timeout=240, check=False
        )
        assert ended.returncode == 0, ended.stderr
        assert ("COMPILE_OFF" in ended.stdout) == (name == "asked") and "Traceback" not in ended.stderr
        (metrics,) = (tmp_path / name).rglob("metrics.jsonl")
        losses.append(json.loads(metrics.read_text().splitlines()[0])["train_loss"])
    assert losses[0] == losses[1]
