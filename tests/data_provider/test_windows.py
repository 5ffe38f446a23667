"""Windows: the right rows, one region, no gap, no label lost."""

from __future__ import annotations

import numpy as np
import torch

from data_provider.windows import WindowSet, build_index, calendar_marks, with_missing

TIMES = np.arange("2020-01-01", "2020-01-11", dtype="datetime64[h]").astype("datetime64[s]")
N = len(TIMES)


def index_of(present: np.ndarray, label: np.ndarray | None = None, length: int = 48, stride: int = 6):
    label = np.zeros(present.shape, np.int8) if label is None else label
    return build_index(
        TIMES,
        present,
        label,
        np.zeros(present.shape, np.float32),
        context_length=length,
        stride_hours=stride,
        lead_steps=24,
        step_hours=1,
    )


def test_a_batch_holds_exactly_the_rows_that_end_at_its_init_time() -> None:
    """One row too many would put the first hour of the label period into the input."""
    values = np.stack([np.arange(N), 1000 + np.arange(N)]).astype(np.float32)[..., None]
    index = index_of(np.ones((2, N), bool))
    windows = WindowSet(torch.from_numpy(values.reshape(-1, 1)), index, 48, ("a", "b"), torch.device("cpu"))
    batch = windows.inputs(torch.arange(len(windows)))[..., 0].numpy()
    for number in range(len(windows)):
        newest = int((index.init_time[number] - TIMES[0]) / np.timedelta64(1, "h")) + 1000 * index.region[number]
        assert np.array_equal(batch[number], np.arange(newest - 47, newest + 1))


def test_windows_start_only_where_the_context_is_whole() -> None:
    """The first window of each region ends 48 hours into the record, none reaches into the region before."""
    index = index_of(np.ones((2, N), bool))
    assert index.init_time[index.region == 1].min() == np.datetime64("2020-01-03T00:00:00")
    assert set(index.init_time.astype("datetime64[h]").astype(int) % 6) == {0}


def test_init_times_are_counted_from_midnight_not_from_the_first_row() -> None:
    """A record that begins at 03 UTC has forecasts at 00, 06, 12 and 18 all the same."""
    times = TIMES[3:]
    present = np.ones((1, len(times)), bool)
    index = build_index(
        times,
        present,
        np.zeros(present.shape, np.int8),
        np.zeros(present.shape, np.float32),
        context_length=48,
        stride_hours=6,
        lead_steps=24,
        step_hours=1,
    )
    assert set(index.init_time.astype("datetime64[h]").astype(int) % 24) == {0, 6, 12, 18}


def test_no_window_crosses_an_absent_hour() -> None:
    """A gap in time inside a window shifts everything before it."""
    present = np.ones((1, N), bool)
    present[0, 100] = False
    index = index_of(present, stride=1)
    assert not np.isin(np.arange(100, 148), index.end).any()
    assert np.isin([99, 148], index.end).all()


def test_the_past_class_is_the_label_of_the_period_that_ends_at_the_init_time() -> None:
    """Persistence repeats the last complete period; the label of the init time itself is the future."""
    label = np.random.default_rng(0).integers(0, 2, (1, N)).astype(np.int8)
    index = index_of(np.ones((1, N), bool), label, stride=1)
    assert np.array_equal(index.past_class, label[0][index.end - 24])


def test_missing_values_are_found_wherever_they_lie_in_a_window() -> None:
    """One NaN anywhere makes every output of the sample NaN."""
    values = np.zeros((2, N, 3), np.float32)
    values[1, 60, 2] = np.nan
    index = index_of(np.ones((2, N), bool), stride=1)
    row = index.end - index.region * N
    expected = (index.region == 1) & (row >= 60) & (row < 60 + 48)
    assert np.array_equal(with_missing(values, index, 48), expected)


def test_marks_are_periodic_and_name_the_region() -> None:
    """Midnight follows 23 h and January follows December."""
    index = index_of(np.ones((2, N), bool))
    marks = calendar_marks(index, 2)
    midnight = marks[(index.init_time.astype("datetime64[h]").astype(int) % 24) == 0]
    assert np.allclose(midnight[:, 2:4], [0, 1], atol=1e-6)
    assert np.array_equal(marks[:, 4:].argmax(axis=1), index.region)
    assert index.month.tolist() == [1] * len(index)


def test_windows_of_a_coarse_table_use_every_row_when_the_stride_is_finer() -> None:
    """A 12-hourly table with a stride of 3 hours has a window every 12 hours."""
    times = np.arange("2020-01-01", "2020-02-01", np.timedelta64(12, "h"), dtype="datetime64[h]").astype(
        "datetime64[s]"
    )
    present = np.ones((1, len(times)), bool)
    index = build_index(
        times,
        present,
        np.zeros(present.shape, np.int8),
        np.zeros(present.shape, np.float32),
        context_length=10,
        stride_hours=3,
        lead_steps=2,
        step_hours=12,
    )
    assert len(index) == len(times) - 9
