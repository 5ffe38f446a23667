"""Real small runs: both plain references, logistic regression and a tiny network in two seeds, on 120 test days."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import run as program
from tests import make_table

SPLITS = "--split_shares 0.4 0.3 0.3 --sample_stride_hours 24 --device cpu --drop_bad_windows yes --bootstrap_draws 0"
TINY = (
    "--e_layers 1 --d_model 16 --d_ff 32 --n_heads 2 --seq_len 20 --input_token_len 4 --output_token_len 4 "
    "--train_epochs 1 --learning_rate 1e-3 --itr 2"
)
MODELS = {
    "climatology": "--seq_len 40",
    "persistence": "--seq_len 40",
    "logistic_regression": "--seq_len 40",
    "timer_xl_classifier": TINY,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, without_figures: None) -> Path:
    """The folder of an experiment with five finished runs."""
    place = tmp_path_factory.mktemp("compared")
    make_table.write(place, content=make_table.frame(n_times=1600, step_hours=6))
    for model in MODELS:
        train(place, model, MODELS[model])
    return place / "runs" / "own"


def train(place: Path, model: str, words: str, *others: str) -> None:
    """Train a model on the table of a folder."""
    own = ["--root_path", str(place), "--data_path", "table.csv", "--checkpoints", str(place / "runs")]
    assert program.main([*own, "--model_id", "own", "--model", model, *words.split(), *SPLITS.split(), *others]) == 0


@pytest.fixture
def copy(tmp_path: Path) -> Callable[[Path], Path]:
    """Return a function that copies a run, so that a test may spoil it."""

    def of(run: Path) -> Path:
        return shutil.copytree(run, tmp_path / "copies" / run.name)

    return of
