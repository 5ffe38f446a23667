"""One seed, one device decision, and a record that identifies data and weights."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

import numpy as np
import pytest
import torch

from utils.errors import UsageError
from utils.reproducibility import choose_device, environment, seed_everything


def test_one_seed_sets_all_three_random_states() -> None:
    """A forgotten generator makes two equal runs differ."""

    def draw() -> tuple[float, float, float]:
        seed_everything(7)
        return random.random(), float(np.random.rand()), float(torch.rand(()))

    assert draw() == draw()


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_without_a_gpu_a_number_runs_on_the_cpu_and_a_demand_is_refused() -> None:
    """`--gpu 0` stands in everybody's notes; `--device cuda` is a demand."""
    assert choose_device("auto", 0) == choose_device("cpu", None) == torch.device("cpu")
    with pytest.raises(UsageError, match="no GPU"):
        choose_device("cuda", None)


def test_the_environment_identifies_data_and_weights(tmp_path: Path) -> None:
    """Which file was it? The hash answers when the name no longer does."""
    data, weights = tmp_path / "a.csv", tmp_path / "b.pth"
    data.write_bytes(b"rain")
    weights.write_bytes(b"weights")
    record = environment(torch.device("cpu"), data, weights)
    assert record["data_sha256"] == hashlib.sha256(b"rain").hexdigest()
    assert record["weights_sha256"] == hashlib.sha256(b"weights").hexdigest()
    assert record["packages"]["torch"].startswith(torch.__version__.split("+")[0])
    assert environment(torch.device("cpu"), data, None)["weights_sha256"] is None
