"""Statistics in one pass against NumPy's own on the whole table."""

from __future__ import annotations

import numpy as np
import pytest

from data_provider.column_statistics import BLOCK_ROWS, describe


def test_every_figure_is_that_of_the_whole_column() -> None:
    """Pressure in Pa has a mean 30 times its deviation: squares summed carelessly in single precision lose it."""
    generator = np.random.default_rng(0)
    values = generator.normal([90_000, 0, 290], [30, 1e-4, 5], (3, BLOCK_ROWS, 3)).astype(np.float32)
    values[1, 5:9, 1] = np.nan
    values[2, 7, 2] = np.inf
    rows = generator.random(values.shape[:2]) < 0.9
    rows[1, 5:9] = rows[2, 7] = True
    seen = describe(values, rows)
    for column in range(3):
        chosen = values[rows][:, column].astype(np.float64)
        finite = chosen[np.isfinite(chosen)]
        assert seen.of(column) == {
            "low": finite.min(),
            "high": finite.max(),
            "mean": pytest.approx(finite.mean(), rel=1e-12, abs=1e-15),
            "deviation": pytest.approx(finite.std(), rel=1e-9),
            "missing": 4 if column == 1 else 0,
            "infinite": 1 if column == 2 else 0,
        }
    assert seen.rows == rows.sum()


def test_a_column_without_a_value_has_no_figures() -> None:
    """None can be written to JSON; a NaN cannot be read back everywhere."""
    seen = describe(np.full((1, 4, 1), np.nan, np.float32), np.ones((1, 4), bool)).of(0)
    assert seen == {"low": None, "high": None, "mean": None, "deviation": None, "missing": 4, "infinite": 0}


def test_a_constant_column_has_no_deviation() -> None:
    """Rounding must not make a constant look as if it varied."""
    seen = describe(np.full((2, 50_000, 1), 273.15, np.float32), np.ones((2, 50_000), bool)).of(0)
    assert seen["deviation"] == 0 and seen["low"] == seen["high"]
