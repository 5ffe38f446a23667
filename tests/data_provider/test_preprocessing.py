"""Fitted on training times only, stored as JSON, applied unchanged."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from data_provider.cleaning import CleaningConfig
from data_provider.preprocessing import Preprocessing
from data_provider.rain_table import RainTable, read_table
from data_provider.scaling import ScalingConfig
from tests import make_table
from utils.errors import DataError

TRAIN_END = np.datetime64("2019-02-01T00:00:00")


@pytest.fixture
def table(tmp_path: Path) -> RainTable:
    return read_table(make_table.write(tmp_path))


def fit(table: RainTable, scale: str = "standard", **clean) -> Preprocessing:
    return Preprocessing.fit(table, TRAIN_END, CleaningConfig(**clean), ScalingConfig(scale=scale))  # type: ignore[arg-type]


@pytest.mark.parametrize("scale", ["standard", "robust", "minmax"])
def test_corrupting_the_later_years_leaves_every_statistic_unchanged(table: RainTable, scale: str) -> None:
    """Statistics that see the test years leak them into training."""
    later = table.values.copy()
    later[:, table.times >= TRAIN_END] = 1e6
    clean = {"clip_quantiles": (0.01, 0.99)}
    before, after = fit(table, scale, **clean), fit(replace(table, values=later), scale, **clean)
    assert before == replace(after, counts=before.counts)


def test_training_rows_have_mean_zero_and_deviation_one(table: RainTable) -> None:
    """The plainest check that the statistics are applied to what they were fitted on."""
    scaled = fit(table).apply(table)[:, table.times < TRAIN_END].reshape(-1, 5).astype(np.float64)
    assert np.allclose(scaled.mean(axis=0), 0, atol=1e-4) and np.allclose(scaled.std(axis=0), 1, atol=1e-4)


def test_the_way_through_json_changes_no_bit(table: RainTable) -> None:
    """Prediction must scale exactly as training did."""
    fitted = fit(table, clip_quantiles=(0.01, 0.99))
    back = Preprocessing.from_json(json.loads(json.dumps(fitted.to_json())))
    assert back == fitted and np.array_equal(back.apply(table), fitted.apply(table))


def test_zero_means_the_training_mean(table: RainTable) -> None:
    """A zero put in before scaling would be 0 K."""
    values = table.values.copy()
    values[0, 500:520, 1] = np.nan
    scaled = fit(replace(table, values=values), fill="forward_then_zero").apply(replace(table, values=values))
    assert (scaled[0, 506:520, 1] == 0).all() and not np.isnan(scaled[0, 500:506, 1]).any()


def test_a_constant_feature_is_dropped_by_name_and_value(table: RainTable) -> None:
    """It has no information, and the user must hear which one it was."""
    values = table.values.copy()
    values[..., 2] = 90_000
    fitted = fit(replace(table, values=values))
    assert fitted.dropped == {"sp": 90_000.0} and "sp" not in fitted.variables
    assert "sp" in fit(replace(table, values=values), drop_constant=False).variables


def test_a_column_that_begins_after_training_is_left_out_and_costs_nothing(table: RainTable) -> None:
    """What the later years hold must not decide which training rows are used."""
    values = table.values.copy()
    values[:, table.times < TRAIN_END, 1] = np.nan
    fitted, without = (
        fit(replace(table, values=values)),
        fit(replace(table, values=np.delete(values, 1, axis=2), features=("tp", "sp", "wind_direction"))),
    )
    assert fitted.dropped == {"t2m": None} and fitted.centre == without.centre


def test_the_gap_limit_is_in_hours_whatever_the_step(tmp_path: Path) -> None:
    """Six hours are one row of a six-hourly table."""
    content = make_table.frame(n_times=300, step_hours=6)
    table = read_table(make_table.write(tmp_path, content=content))
    assert fit(table, max_gap_hours=12).max_gap_steps == 2


def test_statistics_are_those_of_the_clipped_values(table: RainTable) -> None:
    """An outlier that is clipped must not widen the spread first."""
    values = table.values.copy()
    values[0, 100, 2] = 1e9
    spread = fit(replace(table, values=values), clip_quantiles=(0.01, 0.99)).spread
    assert max(spread) < 1e4


def test_head_rows_stay_blank_and_are_counted(table: RainTable) -> None:
    """Lag rows without history must not reach a window, filled or not."""
    values = table.values.copy()
    values[:, :6, 0] = np.nan
    fitted = fit(replace(table, values=values))
    assert fitted.counts["head_rows_dropped"] == 12 and fitted.counts["values_filled_forward"] == 0
    assert np.isnan(fitted.apply(replace(table, values=values))[:, :6]).all()


def test_a_table_without_a_trained_variable_is_refused_by_name(table: RainTable) -> None:
    """Predicting from files that lack a variable must not shift the columns."""
    fitted = fit(table)
    fewer = replace(table, features=table.features[:-1], values=table.values[..., :-1])
    with pytest.raises(DataError, match="lack variables") as caught:
        fitted.apply(fewer)
    assert "wind_direction" in caught.value.evidence


def test_columns_in_another_order_are_put_right(table: RainTable) -> None:
    """The order of variables is part of a checkpoint."""
    fitted = fit(table)
    order = [2, 0, 3, 1]
    other = replace(table, features=tuple(table.features[i] for i in order), values=table.values[..., order])
    assert np.array_equal(fitted.apply(other), fitted.apply(table))
