"""Finished runs of amounts, for all tests that compare, show or pool them."""

from __future__ import annotations

from pathlib import Path

import pytest

import run as program
from tests import make_table

SPLITS = "--split_shares 0.4 0.3 0.3 --sample_stride_hours 24 --device cpu --drop_bad_windows yes"


@pytest.fixture(scope="session")
def amount_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an experiment with a regression by climatology and one by ridge regression, on 120 test days."""
    place = tmp_path_factory.mktemp("amounts")
    make_table.write(place, content=make_table.frame(n_times=1600, step_hours=6))
    own = ["--root_path", str(place), "--data_path", "table.csv", "--checkpoints", str(place / "runs")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("exp.judging.find_spec", lambda _: None)  # nobody looks at the figures
        for model in ("climatology", "ridge_regression"):
            words = ["--task_name", "regression", "--model", model, "--model_id", "own", "--n_quantiles", "5"]
            assert program.main([*own, *words, "--seq_len", "40", *SPLITS.split()]) == 0
    return place / "runs" / "own"
