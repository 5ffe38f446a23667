"""One finished run for all tests of its page; each gets a copy to spoil."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

import run as program
from tests import make_table

FLAGS = (
    "--model timer_xl_classifier --e_layers 1 --d_model 16 --d_ff 32 --n_heads 2 --seq_len 96 --input_token_len 24 "
    "--output_token_len 24 --train_epochs 2 --sample_stride_hours 6 --device cpu --data_path table.csv --root_path ."
)


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network on a small table of two regions, trained by the real program."""
    folder = tmp_path_factory.mktemp("report")
    make_table.write(folder)
    before = Path.cwd()
    os.chdir(folder)
    try:
        assert program.main(FLAGS.split()) == 0
    finally:
        os.chdir(before)
    (scores,) = folder.glob("checkpoints/*/*/scores.json")
    return scores.parent


@pytest.fixture
def copied_run(finished_run: Path, tmp_path: Path) -> Path:
    """The same, to be changed."""
    return Path(shutil.copytree(finished_run, tmp_path / "run"))
