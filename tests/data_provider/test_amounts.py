"""Amounts as targets: the label period of each window and no other, and targets that cannot be rain (row D14)."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from data_provider.amount_checks import inspect_amounts, most_possible
from data_provider.amounts import with_amounts
from data_provider.cleaning import CleaningConfig
from data_provider.cutting import CutTable, cut_table
from data_provider.factory import Splits, splits_of
from data_provider.rain_table import read_table_leniently
from data_provider.scaling import ScalingConfig
from data_provider.split_checks import inspect_splits
from data_provider.splits import SplitConfig
from tests import make_table

CPU = torch.device("cpu")
CONTEXT = 48


def cut(folder: Path, content: pd.DataFrame | None = None) -> CutTable:
    table = read_table_leniently(make_table.write(folder, content=content))
    return cut_table(table, SplitConfig(), CleaningConfig(), ScalingConfig(), context_length=CONTEXT, stride_hours=1)


def splits(folder: Path, content: pd.DataFrame | None = None) -> Splits:
    return with_amounts(splits_of(cut(folder, content), CPU))


def hourly_mm(content: pd.DataFrame, region: str) -> pd.Series:
    """Rain of each single hour, by the time at which the hour ends."""
    return content[content["region"] == region].set_index("timestamp")["tp"] * 1000


def test_the_target_is_the_sum_over_the_label_period_by_hand(tmp_path: Path) -> None:
    """A target one hour off would be learned as well, and mean another thing."""
    content = make_table.frame()
    found = splits(tmp_path, content)
    for windows in found.sets:
        index = windows.index
        for number in (0, len(windows) // 2, len(windows) - 1):
            rain = hourly_mm(content, windows.regions[index.region[number]])
            start = pd.Timestamp(index.init_time[number])
            expected = rain[start + pd.Timedelta(hours=1) : start + pd.Timedelta(hours=24)].sum()
            target = windows.targets(torch.tensor([number]))
            assert target.dtype == torch.float32 and target.item() == pytest.approx(expected, rel=1e-4, abs=1e-4)


def test_what_persistence_repeats_ends_at_the_init_time(tmp_path: Path) -> None:
    """An hour of the label period in it would make persistence, and every skill against it, wrong."""
    content = make_table.frame()
    windows = splits(tmp_path, content).validation
    for number in range(0, len(windows), 50):
        rain = hourly_mm(content, windows.regions[windows.index.region[number]])
        init_time = pd.Timestamp(windows.index.init_time[number])
        expected = rain[init_time - pd.Timedelta(hours=23) : init_time].sum()
        assert windows.past_mm[number] == pytest.approx(expected, rel=1e-4, abs=1e-4)  # type: ignore[attr-defined]


def test_rain_after_the_init_time_changes_no_past_amount(tmp_path: Path) -> None:
    """The leak test: other amounts from a time on, and all that was known by then stays bitwise as it was."""
    content = make_table.frame()
    before = splits(tmp_path, content).test
    changed = content.copy()
    changed.loc[changed["timestamp"] >= "2019-02-25", "precipitation"] += 7.0
    after = splits(tmp_path, changed).test
    # A label of a row at time t is known at t + 24 h.
    known = before.index.init_time < np.datetime64("2019-02-26")
    assert known.any() and not known.all()
    assert np.array_equal(before.past_mm[known], after.past_mm[known], equal_nan=True)  # type: ignore[attr-defined]
    assert not np.array_equal(before.past_mm[~known], after.past_mm[~known])  # type: ignore[attr-defined]


def test_the_past_is_not_known_where_its_period_is_not_complete(tmp_path: Path) -> None:
    """The first day of a region would take its past from the last day of the region before it in the table."""
    content = make_table.frame()
    table = read_table_leniently(make_table.write(tmp_path, content=content))
    parts = cut_table(table, SplitConfig(), CleaningConfig(), ScalingConfig(), context_length=1, stride_hours=1)
    windows = with_amounts(splits_of(parts, CPU)).train
    first_day = windows.index.init_time < np.datetime64("2019-01-02")
    past = windows.past_mm  # type: ignore[attr-defined]
    assert np.isnan(past[first_day]).all() and np.isfinite(past[~first_day]).all()
    assert set(windows.index.region[first_day]) == {0, 1}


def test_a_part_of_the_windows_keeps_its_amounts(tmp_path: Path) -> None:
    """A step that is taken again for its diagnosis would be taken with classes as targets."""
    windows = splits(tmp_path).train
    ids = torch.tensor([5, 2])
    alone = windows.subset(ids)
    assert torch.equal(alone.targets(torch.arange(2)), windows.targets(ids))
    assert torch.equal(alone.inputs(torch.arange(2)), windows.inputs(ids))


def with_amount(value: float, rows: list[int]) -> pd.DataFrame:
    content = make_table.frame()
    content.loc[rows, "precipitation"] = value
    return content


@pytest.mark.parametrize(
    ("value", "count"), [(np.nan, "missing"), (np.inf, "infinite"), (-0.5, "negative"), (2500.0, "above 2000 mm")]
)
def test_a_target_that_cannot_be_rain_is_named_with_value_and_rows(tmp_path: Path, value: float, count: str) -> None:
    """D14: one such amount makes the loss of its batch not finite, or pulls every quantile to itself."""
    parts = cut(tmp_path, with_amount(value, [700, 701]))
    (finding,) = inspect_amounts(parts)
    assert finding.code == "TARGET_RANGE" and finding.severity == "error" and finding.kind.exit_code == 3
    assert finding.figures["counts"][count] == 2 and sum(finding.figures["counts"].values()) == 2
    assert (
        f"{value:g} in region costa at 2019-01-30T04:00:00 (line 702)" in finding.where and "line 703" in finding.where
    )
    json.dumps(finding.to_json(), allow_nan=False)


def test_a_table_without_amounts_says_so(tmp_path: Path) -> None:
    """A table of the user's own may hold classes alone."""
    (finding,) = inspect_amounts(cut(tmp_path, make_table.frame().assign(precipitation=np.nan)))
    assert finding.what == "The table has no amounts of rain to learn from." and "more" in finding.where
    assert "--task_name classification" in finding.next_command


def test_possible_amounts_grow_with_the_period_and_the_record_is_possible() -> None:
    """The wettest day there was must not be refused, nor five days of heavy rain."""
    assert most_possible(24) > 1825 and most_possible(6) == most_possible(24) and most_possible(120) == 5 * 2000


def test_classes_do_not_stop_a_regression_nor_amounts_a_classification(tmp_path: Path) -> None:
    """A threshold that no day reaches says nothing about millimetres, and a lost amount nothing about classes."""
    one_class = make_table.frame()
    one_class["rain_24h"] = one_class["rain_24h"].where(one_class["rain_24h"].isna(), 0.0)
    lost = with_amount(np.nan, [700])

    def codes(content: pd.DataFrame, **how: Any) -> list[str]:
        return [finding.code for finding in inspect_splits(cut(tmp_path, content), CleaningConfig(), **how)]

    assert codes(one_class) == ["ONE_CLASS"] * 3 and codes(one_class, of_amounts=True) == []
    assert codes(lost) == [] and codes(lost, of_amounts=True) == ["TARGET_RANGE"]


def test_a_split_without_windows_is_named(tmp_path: Path) -> None:
    """An empty validation would be found at the end of the first epoch."""
    parts = cut(tmp_path)
    (finding,) = inspect_amounts(replace(parts, assigned=np.where(parts.assigned == 1, -1, parts.assigned)))
    assert finding.code == "SPLIT_EMPTY" and "validation" in finding.what
