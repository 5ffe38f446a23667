"""The table of the case: exact in shape and in what is missing, labelled synthetic, readable by the program."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data_provider import synthetic_case
from data_provider.features import CASE_NAMES
from data_provider.rain_table import read_table
from data_provider.synthetic_case import SyntheticCaseConfig, write_synthetic_case
from utils.errors import UsageError

LAGS = [name for name in CASE_NAMES if "_lag_" in name]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The CSV, written once."""
    output = tmp_path_factory.mktemp("case") / "synthetic_case.nc"
    return write_synthetic_case(SyntheticCaseConfig(output=str(output)))


@pytest.fixture(scope="module")
def frame(table: Path) -> pd.DataFrame:
    """The CSV as the notes read it."""
    return pd.read_csv(table)


def test_the_rows_and_columns_are_those_of_the_case(frame: pd.DataFrame) -> None:
    """Another number of rows would move the region heads, and with them every count of the case."""
    assert list(frame.columns) == ["timestamp", "region", *CASE_NAMES, "precipitation", "rain_24h"]
    assert len(CASE_NAMES) == 27 and len(LAGS) == 9
    sizes = frame.groupby("region", sort=False).size()
    assert sizes.tolist() == [2190] * 5
    stacked = np.concatenate(
        [[0], np.flatnonzero(frame["region"].to_numpy()[1:] != frame["region"].to_numpy()[:-1]) + 1]
    )
    assert stacked.tolist() == [0, 2190, 4380, 6570, 8760]
    steps = pd.to_datetime(frame["timestamp"][:2190]).diff().dropna().unique()
    assert steps.tolist() == [pd.Timedelta(hours=12)]


def test_lags_are_blank_in_the_first_rows_of_each_region_and_nothing_else_is(frame: pd.DataFrame) -> None:
    """Blanks elsewhere, or fewer of them, would make another fault than the one of the case."""
    place = frame.groupby("region", sort=False).cumcount().to_numpy()
    for name in frame.columns:
        days = int(name[-2]) if name in LAGS else 0
        assert np.array_equal(frame[name].isna().to_numpy(), place < 2 * days), name
    blank = frame.isna().any(axis=1).to_numpy()
    assert np.array_equal(blank, place < 6)


def test_a_lag_is_the_value_of_its_region_so_many_days_ago(frame: pd.DataFrame) -> None:
    """A lag off by a row would leave other rows blank than the case's, and leak the future."""
    for name in LAGS:
        days, source = int(name[-2]), name.split("_lag_")[0]
        expected = frame.groupby("region", sort=False)[source].shift(2 * days)
        pd.testing.assert_series_equal(frame[name], expected, check_names=False)


def test_every_row_is_labelled_and_rain_is_as_frequent_as_in_the_case(frame: pd.DataFrame) -> None:
    """In the case 4,730 of the 7,664 training rows were rain, and none was without a label."""
    assert frame["rain_24h"].isin((0, 1)).all()
    assert abs(frame["rain_24h"][:7664].mean() - 4730 / 7664) < 0.02
    assert ((frame["precipitation"] >= synthetic_case.THRESHOLD_MM[0]) == (frame["rain_24h"] == 1)).all()


def test_the_program_reads_it_as_synthetic(table: Path) -> None:
    """Figures made from it must never pass for ERA5."""
    read = read_table(table)
    assert read.is_synthetic and read.step_hours == 12 and read.features == CASE_NAMES
    assert "SYNTHETIC" in json.loads(table.with_suffix(".json").read_text())["title"]


def test_equal_seeds_make_equal_tables_and_other_seeds_others() -> None:
    """A table that changes by itself would make every count on the page a moving target."""
    first, again, other = (synthetic_case.case_table(seed) for seed in (3, 3, 4))
    assert first.equals(again) and not first.equals(other)


def test_what_cannot_be_written_is_refused_by_flag() -> None:
    """A CSV name or a negative seed would fail after the work, without a way out."""
    with pytest.raises(UsageError, match="CONFIG"):
        SyntheticCaseConfig(output="case.csv")
    with pytest.raises(UsageError, match="--seed"):
        SyntheticCaseConfig(seed=-1)
