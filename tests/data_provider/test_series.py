"""Series become windows: on regular steps, split in time, standardised by training rows, gaps left out and counted."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr

from data_provider.series_factory import SeriesData, load_series
from data_provider.series_splits import SeriesConfig
from data_provider.series_windows import Lengths
from data_provider.splits import TEST, TRAIN, VALIDATION
from tests import make_table
from utils.errors import DataError, UsageError

CPU = torch.device("cpu")
LENGTHS = Lengths(context=4, ahead=2, input_token=2, output_token=2)
ETTH1 = (8640, 11520, 14400)


def write(folder: Path, columns: dict[str, np.ndarray], name: str = "some.csv") -> Path:
    """Write hourly columns behind a date column."""
    times = pd.date_range("2020-01-01", periods=len(next(iter(columns.values()))), freq="h")
    pd.DataFrame({"date": times, **columns}).to_csv(folder / name, index=False)
    return folder / name


def load(folder: Path, **given) -> SeriesData:
    return load_series(SeriesConfig(root_path=str(folder), **given), CPU)


def ramp(n: int = 100) -> np.ndarray:
    return np.arange(n, dtype=float)


def test_every_token_is_to_forecast_the_token_after_it(tmp_path: Path) -> None:
    """Targets shifted by a row, or by none, would train a model to copy what it sees."""
    write(tmp_path, {"a": ramp()})
    windows = load(tmp_path).windows(TRAIN, LENGTHS)
    ids = torch.tensor([0, 7])
    mean, deviation = ramp(70).mean(), ramp(70).std()
    in_units = windows.inputs(ids)[..., 0].numpy() * deviation + mean
    target = windows.targets(ids)[..., 0].numpy() * deviation + mean
    assert in_units.round(3).tolist() == [[0, 1, 2, 3], [7, 8, 9, 10]]
    assert target.round(3).tolist() == [[2, 3, 4, 5], [9, 10, 11, 12]]


def test_an_output_token_longer_than_the_input_token_reaches_further_ahead(tmp_path: Path) -> None:
    """Then the targets of neighbouring tokens overlap, and the last of them lies wholly ahead of the window."""
    write(tmp_path, {"a": ramp()})
    lengths = Lengths(context=4, ahead=3, input_token=2, output_token=3)
    windows = load(tmp_path).windows(TRAIN, lengths)
    rows = windows.targets(torch.tensor([0]))[0, :, 0] * ramp(70).std() + ramp(70).mean()
    assert rows.numpy().round(3).tolist() == [2, 3, 4, 4, 5, 6]
    assert torch.equal(windows.targets(torch.tensor([5]))[:, 3:], windows.ahead(torch.tensor([5])))


def test_later_splits_leave_no_trace_in_the_statistics(tmp_path: Path) -> None:
    """A mean that has seen the test year tells the model about it."""
    values = np.random.default_rng(0).normal(size=100)
    for name, later in (("one", values[70:]), ("other", values[70:] * 1000 + 5)):
        (tmp_path / name).mkdir()
        write(tmp_path / name, {"a": np.concatenate([values[:70], later])})
    one, other = load(tmp_path / "one").scaling[0], load(tmp_path / "other").scaling[0]
    assert one.mean == other.mean and one.deviation == other.deviation
    assert one.mean[0] == pytest.approx(values[:70].mean(), abs=1e-6)


def test_rows_ahead_stay_in_their_split_and_the_look_back_may_reach_before(tmp_path: Path) -> None:
    """A target beyond its split is a leak; a test that begins a look-back late throws test hours away."""
    write(tmp_path, {"a": ramp()})
    data = load(tmp_path, split_rows=(60, 80, 95))
    first_and_last = {}
    for split in (TRAIN, VALIDATION, TEST):
        start = data.windows(split, LENGTHS).index.start
        first_and_last[split] = (start[0], start[-1] + 5)
    assert first_and_last == {TRAIN: (0, 59), VALIDATION: (56, 79), TEST: (76, 94)}


def test_a_window_that_touches_a_gap_is_left_out_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A blank cell and an absent row, by hand: six windows hold each of them, and no other is lost."""
    blank = ramp()
    blank[20] = np.nan
    path = write(tmp_path, {"a": blank, "b": ramp()})
    frame = pd.read_csv(path).drop(index=40)
    frame.to_csv(path, index=False)
    data = load(tmp_path)
    with caplog.at_level("INFO"):
        windows = data.windows(TRAIN, LENGTHS)
    # 70 rows make 65 windows a channel; the absent row opens both channels, the blank cell one.
    assert len(windows) == 2 * 65 - 12 - 6 and "train: 18 windows touch a missing value" in caplog.text
    assert bool(torch.isfinite(windows.cells(torch.arange(len(windows)))).all())
    assert data.series[0].notes["rows_absent"] == 1 and len(data.series[0].times) == 100
    together = load(tmp_path, variates="multivariate").windows(TRAIN, LENGTHS)
    assert len(together) == 65 - 12 and together.inputs(torch.tensor([0])).shape == (1, 4, 2)


def test_marks_for_missing_and_rows_that_contradict_each_other_count_as_missing(tmp_path: Path) -> None:
    """-9999 taken for a measurement, or the first of two readings for the right one, teaches nonsense."""
    marked = ramp()
    marked[[3, 50]] = -9999
    path = write(tmp_path, {"a": marked, "b": ramp()})
    frame = pd.read_csv(path)
    again = frame.iloc[[10, 30]].copy()
    again.loc[30, "b"] += 1
    pd.concat([frame, again]).to_csv(path, index=False)
    series = load(tmp_path).series[0]
    assert np.argwhere(np.isnan(series.values)).tolist() == [[3, 0], [30, 1], [50, 0]]
    assert series.notes["rows_repeated"] == 2 and series.notes["cells_contradicting"] == 1
    assert series.notes["fill_values"] == {"a": "-9999 in 2 cells"}


def test_a_constant_channel_is_left_out_with_a_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Divided by no deviation it would be infinite."""
    write(tmp_path, {"a": ramp(), "still": np.ones(100)})
    data = load(tmp_path)
    assert [strand.name for strand in data.strands] == ["some/a"] and "ZERO_VARIANCE" in caplog.text
    assert data.scaling[0].dropped == ("still",)


def test_a_prepared_table_gives_a_series_for_each_region(tmp_path: Path) -> None:
    """The table as prepared, with the wind direction as sine and cosine and without label and rain to come."""
    make_table.write(tmp_path)
    data = load(tmp_path)
    assert [one.name for one in data.series] == ["table/costa", "table/sierra"]
    assert data.series[0].channels == ("tp", "t2m", "sp", "wind_direction_sin", "wind_direction_cos")
    frame = make_table.frame()
    sea = frame.loc[frame["region"] == "sierra", "t2m"].to_numpy(np.float32)
    assert np.array_equal(data.series[1].values[:, 1], sea)


def test_a_folder_with_years_of_netcdf_and_a_zipped_csv_is_read_whole(tmp_path: Path) -> None:
    """The years are one series; a year missing at a border, or an archive passed over, would go unnoticed."""
    folder = tmp_path / "point"
    folder.mkdir()
    times = pd.date_range("2020-01-01", periods=100, freq="h")
    for name, part in (("b.nc", slice(60, 100)), ("a.nc", slice(0, 60))):
        values = {"t2m": ("time", ramp()[part]), "place": ((), 5.0)}
        xr.Dataset(values, coords={"time": times[part]}).to_netcdf(folder / name)
    write(tmp_path, {"x": ramp()[::-1].copy()}, "inner.csv")
    with zipfile.ZipFile(tmp_path / "outer.zip", "w") as archive:
        archive.write(tmp_path / "inner.csv", "deep/inner.csv")
    (tmp_path / "inner.csv").unlink()
    data = load(tmp_path)
    assert [(one.name, one.channels, len(one.times)) for one in data.series] == [
        ("inner", ("x",), 100),
        ("point", ("t2m",), 100),
    ]
    assert np.array_equal(data.series[1].values[:, 0], ramp())


def test_files_left_out_by_pattern_are_neither_read_nor_part_of_the_hash(tmp_path: Path) -> None:
    """ETT may be evaluated on and not be trained on: a pattern has to keep it out for certain."""
    write(tmp_path, {"a": ramp()})
    before = load(tmp_path).sha256
    (tmp_path / "ETTh9.csv").write_text("no series at all")
    data = load(tmp_path, exclude_series=("ETT*",))
    assert [one.name for one in data.series] == ["some"] and data.sha256 == before


def test_statistics_of_an_earlier_run_are_taken_over_and_other_channels_refused(tmp_path: Path) -> None:
    """Scoring again with statistics of longer files would be another experiment."""
    write(tmp_path, {"a": ramp(), "b": ramp() ** 2})
    first = load(tmp_path)
    write(tmp_path, {"a": ramp() * 3, "b": ramp()})
    config = SeriesConfig(root_path=str(tmp_path))
    again = load_series(config, CPU, first.preprocessing())
    assert again.scaling == first.scaling
    write(tmp_path, {"a": ramp()})
    with pytest.raises(DataError, match="series that the run was trained on") as caught:
        load_series(config, CPU, first.preprocessing())
    assert caught.value.code == "DATA_SERIES" and "b" in caught.value.evidence


def _infinite(folder: Path) -> None:
    write(folder, {"a": np.where(ramp() == 5, 1e300, ramp())})


def _text(folder: Path) -> None:
    write(folder, {"a": ramp(), "b": np.array(["x"] * 100)})


def _short(folder: Path) -> None:
    write(folder, {"a": ramp(7)})


def _uneven(folder: Path) -> None:
    path = write(folder, {"a": ramp()})
    path.write_text(path.read_text().replace("2020-01-02 01:00:00", "2020-01-02 01:17:00"))


def _full_of_gaps(folder: Path) -> None:
    write(folder, {"a": np.where(ramp() % 5 == 0, np.nan, ramp())})


FAULTS = [
    (lambda folder: None, "DATA_MISSING", "--exclude_series"),
    (lambda folder: (folder / "a.csv").write_text("x,y\n1,2\n3,4\n5,6\n"), "DATA_TABLE", "no column of dates"),
    (_text, "DATA_TABLE", "text where numbers"),
    (_infinite, "DATA_INF", "2020-01-01T05:00:00"),
    (_uneven, "TIME_GAP", "2020-01-02T01:17:00"),
    (_short, "NO_WINDOWS", "a window takes 6 rows"),
    (_full_of_gaps, "NO_WINDOWS", "20 of its cells are missing"),
    (lambda folder: write(folder, {"a": np.ones(100)}), "ZERO_VARIANCE", "constant or missing: a"),
    (lambda folder: (folder / "a.nc").write_text("<html>"), "DATA_FILE", "HTML"),
]


@pytest.mark.parametrize(("make", "code", "told"), FAULTS, ids=range(len(FAULTS)))
def test_files_that_hold_no_series_are_refused_with_four_parts(tmp_path: Path, make, code: str, told: str) -> None:
    """Each is met in the wild; a traceback or an empty training would send the user searching."""
    make(tmp_path)
    with pytest.raises(DataError) as caught:
        load(tmp_path).windows(TRAIN, LENGTHS)
    error = caught.value
    assert error.code == code and told in str(error) and error.exit_code == 3
    assert error.where and error.evidence and error.next_command


@pytest.mark.parametrize(
    "given",
    [{"split_rows": (60, 80, 101)}, {"split_rows": (60, 50, 90)}, {"split_shares": (0.5, 0.5)}, {"train_stride": 0}],
    ids=str,
)
def test_splits_that_cannot_be_end_with_2(tmp_path: Path, given: dict) -> None:
    """Rows beyond the end of a file would quietly shorten the test."""
    write(tmp_path, {"a": ramp()})
    with pytest.raises(UsageError) as caught:
        load(tmp_path, **given)
    assert next(iter(given)) in caught.value.where and caught.value.next_command


def test_series_of_different_width_share_no_window(tmp_path: Path) -> None:
    """Multivariate windows of two files would have to invent channels."""
    write(tmp_path, {"a": ramp(), "b": ramp()}, "two.csv")
    write(tmp_path, {"a": ramp()}, "one.csv")
    with pytest.raises(UsageError, match="equally many channels"):
        load(tmp_path, variates="multivariate")
    assert len(load(tmp_path).strands) == 3


def test_series_of_another_width_are_named_even_behind_many_that_are_alike(tmp_path: Path) -> None:
    """Nine regions of two channels once filled the message, and the one file that did not fit was not in it."""
    for number in range(7):
        write(tmp_path, {"a": ramp(), "b": ramp()}, f"{number}.csv")
    write(tmp_path, {"a": ramp()}, "narrow.csv")
    with pytest.raises(UsageError) as caught:
        load(tmp_path, variates="multivariate")
    assert "narrow has 1" in caught.value.evidence and "0 has 2" in caught.value.evidence


def test_a_fault_is_placed_in_time_and_series_also_on_a_copy_of_its_windows(tmp_path: Path) -> None:
    """The diagnosis looks at a copy of a batch and must still name the hour in the file."""
    write(tmp_path, {"a": ramp(), "b": ramp()})
    windows = load(tmp_path).windows(TRAIN, LENGTHS)
    window = int(windows.of_sequence(1)[3])
    assert windows.place(window, 5) == ("2020-01-01T08:00:00", "some/b")
    alone = windows.subset(torch.tensor([0, window]))
    assert alone.place(1, 5) == windows.place(window, 5)
    assert torch.equal(alone.targets(torch.tensor([1])), windows.targets(torch.tensor([window])))


def test_the_borders_of_etth1_give_2785_test_windows(shared: Path, tmp_path: Path) -> None:
    """2,880 test hours and a horizon of 96: one window fewer or more is another benchmark."""
    archive = shared / "data" / "pretrain" / "ETT-small.zip"
    if not archive.is_file():
        pytest.skip(f"no {archive}")
    with zipfile.ZipFile(archive) as content:
        (tmp_path / "ETTh1.csv").write_bytes(content.read("ETT-small/ETTh1.csv"))
    data = load(tmp_path, split_rows=ETTH1)
    lengths = Lengths(context=672, ahead=96, input_token=96, output_token=96)
    windows = data.windows(TEST, lengths)
    assert len(data.strands) == 7 and len(windows) == 7 * (14400 - 11520 - 96 + 1) == 7 * 2785
    assert len(data.windows(TRAIN, lengths)) == 7 * (8640 - 672 - 96 + 1)
