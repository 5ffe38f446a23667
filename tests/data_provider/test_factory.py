"""From a table to three splits: nothing leaks, nothing with a missing value is let through unsaid."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from data_provider.cleaning import CleaningConfig
from data_provider.factory import DataConfig, Splits, load_splits
from data_provider.scaling import ScalingConfig
from data_provider.splits import SplitConfig
from tests import make_table
from utils.errors import DataError, UsageError


def load(
    folder: Path,
    content=None,
    *,
    seq_len: int = 48,
    split: SplitConfig | None = None,
    **clean,
) -> Splits:
    make_table.write(folder, content=content)
    return load_splits(
        DataConfig(root_path=str(folder), data_path="table.csv", seq_len=seq_len, sample_stride_hours=6),
        split or SplitConfig(),
        CleaningConfig(**clean),
        ScalingConfig(),
        context_length=seq_len,
        device=torch.device("cpu"),
    )


def test_the_splits_hold_the_same_instants_for_all_regions_and_none_twice(tmp_path: Path) -> None:
    """In the case every test hour of one region was a training hour of another."""
    splits = load(tmp_path)
    times = []
    for part in splits.sets:
        by_region = [set(part.index.init_time[part.index.region == number]) for number in range(2)]
        assert by_region[0] == by_region[1]
        times.append(by_region[0])
    assert not times[0] & times[1] and not times[1] & times[2]
    assert max(times[0]) < min(times[1]) and max(times[1]) < min(times[2])


def test_changing_the_test_year_changes_no_training_input(tmp_path: Path) -> None:
    """The strongest form of "no leak": bitwise equal training and validation windows."""
    content = make_table.frame()
    before = load(tmp_path, content)
    later = content["timestamp"] > before.validation.index.init_time.max() + np.timedelta64(24, "h")
    content.loc[later, ["tp", "t2m", "sp"]] = [0.003, 200.0, 50_000.0]
    after = load(tmp_path, content)
    for old, new in zip(before.sets[:2], after.sets[:2], strict=True):
        ids = torch.arange(len(old))
        assert torch.equal(old.inputs(ids), new.inputs(ids)) and torch.equal(old.labels, new.labels)


def test_fewer_training_windows_leave_everything_else_as_it_is(tmp_path: Path) -> None:
    """A curve over the number of windows means nothing if scaling, tests or the climatology change with it."""
    whole = load(tmp_path)
    fewer = load(tmp_path, split=SplitConfig(train_windows=20, train_block_days=2))
    assert len(fewer.train) == 20 and fewer.left_out["not_drawn"] == len(whole.train) - 20
    assert set(fewer.train.index.end) < set(whole.train.index.end)
    assert fewer.preprocessing == whole.preprocessing
    assert (fewer.all_training.end == whole.train.index.end).all()
    for before, after in zip(whole.sets[1:], fewer.sets[1:], strict=True):
        assert (before.index.end == after.index.end).all()


def test_a_value_missing_longer_than_the_fill_reaches_is_refused_with_its_place(tmp_path: Path) -> None:
    """This is the case: training on it skips every batch. The message says where and what to do."""
    content = make_table.frame()
    content.loc[400:420, "t2m"] = np.nan
    with pytest.raises(DataError) as caught:
        load(tmp_path, content)
    assert caught.value.code == "DATA_NAN" and "t2m, first in region costa at 2019-01-17T22" in caught.value.where
    assert "--fill" in caught.value.next_command


def test_dropping_leaves_out_exactly_the_touched_windows(tmp_path: Path) -> None:
    """The count is reported, and no window with a missing value remains."""
    content = make_table.frame()
    content.loc[400:420, "t2m"] = np.nan
    splits = load(tmp_path, content, fill="drop")
    # 48 rows of context every 6 hours: windows that end at hours 402, 408, ..., 462 hold one of the hours 400 to 420.
    assert splits.left_out["missing_values"] == 11
    assert not any(torch.isnan(part.inputs(torch.arange(len(part)))).any() for part in splits.sets)


def test_windows_over_head_rows_are_left_out_and_counted(tmp_path: Path) -> None:
    """Six blank lag rows at the head of each region cost a few windows, not the run."""
    content = make_table.frame()
    content.loc[content.groupby("region").head(12).index, "tp"] = np.nan
    splits = load(tmp_path, content)
    assert splits.left_out["head_rows"] == 4 and splits.left_out["missing_values"] == 0


def test_filling_off_refuses_even_head_rows(tmp_path: Path) -> None:
    """`--fill none` promises to change nothing, so it must not let a NaN through either."""
    content = make_table.frame()
    content.loc[:5, "tp"] = np.nan
    load(tmp_path, content)
    content.loc[60, "tp"] = np.nan
    with pytest.raises(DataError, match="missing value"):
        load(tmp_path, content, fill="none")


def test_one_class_in_a_split_is_refused(tmp_path: Path) -> None:
    """A threshold in the wrong unit makes every label equal: accuracy 100 %, skill none."""
    content = make_table.frame()
    content["rain_24h"] = content["rain_24h"].where(content["rain_24h"].isna(), 1.0)
    with pytest.raises(DataError) as caught:
        load(tmp_path, content)
    assert caught.value.code == "ONE_CLASS" and "millimetres" in str(caught.value)


def test_a_context_longer_than_the_record_names_one_that_fits(tmp_path: Path) -> None:
    """The flag to change is in the message."""
    with pytest.raises(DataError, match="longer than any part") as caught:
        load(tmp_path, seq_len=5000)
    assert "--seq_len 720" in caught.value.next_command


@pytest.mark.parametrize("flag", ["seq_len", "sample_stride_hours"])
def test_sizes_below_one_are_refused(flag: str) -> None:
    """Zero would end in a division far from the flag."""
    with pytest.raises(UsageError, match=f"--{flag}"):
        DataConfig(**{flag: 0})
