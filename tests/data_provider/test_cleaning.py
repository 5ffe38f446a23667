"""Cleaning looks backwards only, in one region, and never at rain or the label."""

from __future__ import annotations

import numpy as np
import pytest

from data_provider.cleaning import (
    CleaningConfig,
    clip_limits,
    constant_columns,
    fill_forward,
    head_rows,
    split_direction,
)
from utils.errors import UsageError

NAN = np.nan


def test_a_gap_is_filled_forward_up_to_the_limit_and_no_further() -> None:
    """Filling further than asked would present stale weather as measured."""
    values = np.array([1, NAN, NAN, NAN, 5, NAN], np.float32).reshape(1, 6, 1)
    filled = fill_forward(values, np.ones((1, 6), bool), 2)
    assert np.array_equal(filled[0, :, 0], [1, 1, 1, NAN, 5, 5], equal_nan=True)


def test_filling_never_takes_a_value_from_another_region() -> None:
    """The case filled across stacked regions: the coast's rain appeared in the highlands."""
    values = np.array([[[1.0], [2.0]], [[NAN], [3.0]]], np.float32)
    filled = fill_forward(values, np.ones((2, 2), bool), 6)
    assert np.isnan(filled[1, 0, 0])


def test_filling_never_looks_ahead() -> None:
    """A later value, or how long the gap will be, is not known yet at that hour."""
    generator = np.random.default_rng(0)
    values = generator.normal(size=(2, 60, 3)).astype(np.float32)
    values[generator.random(values.shape) < 0.3] = NAN
    later = values.copy()
    later[:, 40:] = 99
    present = np.ones((2, 60), bool)
    assert np.array_equal(
        fill_forward(values, present, 3)[:, :40], fill_forward(later, present, 3)[:, :40], equal_nan=True
    )


def test_an_hour_that_is_absent_from_the_record_is_not_invented() -> None:
    """Windows must not bridge a gap in time, so absent rows stay missing."""
    values = np.array([1, NAN, 3], np.float32).reshape(1, 3, 1)
    assert np.isnan(fill_forward(values, np.array([[True, False, True]]), 6)[0, 1, 0])


def test_head_rows_end_at_the_first_whole_row_of_each_region() -> None:
    """Lags leave the first rows of every region blank, not of the table only."""
    values = np.ones((2, 5, 2), np.float32)
    values[0, :2, 1] = NAN
    values[1, :3, 0] = NAN
    values[0, 4, 0] = NAN
    head = head_rows(values, np.ones((2, 5), bool))
    assert head.sum(axis=1).tolist() == [2, 3]


def test_directions_on_both_sides_of_north_become_neighbours() -> None:
    """In degrees 359 and 1 are the farthest apart of all."""
    values = np.array([359.0, 1.0], np.float32).reshape(1, 2, 1)
    parts, names = split_direction(values, ("wind_direction",))
    assert names == ("wind_direction_sin", "wind_direction_cos")
    assert np.abs(parts[0, 0] - parts[0, 1]).max() < 0.04


def test_rain_is_never_clipped() -> None:
    """Clipping at the 99th percentile removes the events that the forecast is for."""
    rows = np.random.default_rng(0).gamma(0.1, size=(1000, 2))
    limits = clip_limits(rows, ("tp_lag_1d", "cape"), (0.01, 0.99))
    assert np.isinf(limits[:, 0]).all() and np.isfinite(limits[:, 1]).all()


def test_columns_with_one_value_or_none_are_constant() -> None:
    """A column that is blank throughout training has no statistics to scale with."""
    rows = np.array([[1.0, NAN, 2.0], [1.0, NAN, NAN], [NAN, NAN, 3.0]])
    assert constant_columns(rows).tolist() == [True, True, False]


@pytest.mark.parametrize("flags", [{"max_gap_hours": -1}, {"clip_quantiles": (0.9, 0.1)}, {"clip_quantiles": (0.5,)}])
def test_unusable_flags_are_refused(flags: dict) -> None:
    """The message must name the flag."""
    with pytest.raises(UsageError, match=f"--{next(iter(flags))}"):
        CleaningConfig(**flags)
