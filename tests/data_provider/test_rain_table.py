"""Prepared tables as users bring them, right and wrong."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from data_provider.rain_table import read_table, table_from_dataset
from tests import make_table
from utils.errors import DataError


def test_a_users_own_csv_needs_no_description_beside_it(tmp_path: Path) -> None:
    """People bring the table of their notes: columns and step are enough."""
    content = make_table.frame(n_times=200, step_hours=12)
    table = read_table(make_table.write(tmp_path, content=content))
    assert table.regions == ("costa", "sierra") and table.features == make_table.FEATURES
    assert table.step_hours == 12 and table.lead_time_hours == 24 and table.n_classes == 2
    row = content[(content.region == "sierra")].iloc[7]
    assert table.values[1, 7].tolist() == pytest.approx(row[list(table.features)].tolist(), rel=1e-6)
    assert table.label[1, 7] == row["rain_24h"] and table.label[1, -1] == -1
    assert table.precipitation_mm[1, 7] == pytest.approx(row["precipitation"])


def test_rows_in_any_order_give_the_same_table(tmp_path: Path) -> None:
    """A table sorted by time and not by region must not mix regions."""
    content = make_table.frame(n_times=100)
    straight = read_table(make_table.write(tmp_path, "a.csv", content))
    mixed = read_table(make_table.write(tmp_path, "b.csv", content.sort_values(["timestamp", "region"])))
    assert np.array_equal(straight.values, mixed.values)


def test_an_absent_hour_is_marked_and_not_closed_up(tmp_path: Path) -> None:
    """Closing the gap would make windows of 1440 hours that span more."""
    content = make_table.frame(n_times=100, regions=("costa",)).drop(index=[40, 41])
    table = read_table(make_table.write(tmp_path, content=content))
    assert len(table.times) == 100 and np.flatnonzero(~table.present[0]).tolist() == [40, 41]


def _without(column: str):
    return lambda content: content.drop(columns=column)


def _with(column: str, row: int, value: object):
    def change(content):
        content = content.astype({column: object}) if isinstance(value, str) else content
        content.loc[row, column] = value
        return content

    return change


@pytest.mark.parametrize(
    ("change", "code", "word"),
    [
        (_without("timestamp"), "DATA_TABLE", "timestamp"),
        (_without("rain_24h"), "DATA_TABLE", "label"),
        (_with("t2m", 5, "warm"), "DATA_TABLE", "t2m"),
        (_with("timestamp", 5, "yesterday"), "DATA_TABLE", "yesterday"),
        (_with("rain_24h", 5, -1.0), "LABEL_RANGE", "line 7"),
        (lambda content: content.assign(timestamp=content.timestamp.shift(1).bfill()), "TIME_DUPLICATE", "line 3"),
        (lambda content: content.iloc[:1], "DATA_TABLE", "two times"),
    ],
)
def test_a_damaged_table_is_refused_with_its_place(tmp_path: Path, change, code: str, word: str) -> None:
    """Each of these trained on garbage, or died in a traceback, before it had a name."""
    path = make_table.write(tmp_path, content=change(make_table.frame(n_times=100)))
    with pytest.raises(DataError) as caught:
        read_table(path)
    assert caught.value.code == code and word in str(caught.value) and str(path) in caught.value.where


def test_a_missing_table_names_the_commands_that_make_one(tmp_path: Path) -> None:
    """Synthetic data are never used unasked: the user chooses."""
    with pytest.raises(DataError) as caught:
        read_table(tmp_path / "peru_rainfall.csv")
    assert caught.value.code == "DATA_MISSING" and caught.value.exit_code == 3
    assert "quickstart.sh" in str(caught.value) and "prepare_era5.sh" in str(caught.value)


def test_a_table_whose_name_has_a_space_is_offered_in_quotes(tmp_path: Path) -> None:
    """Typed as it was offered, the flag would get two words and be refused."""
    (tmp_path / "my table.csv").write_text("")
    with pytest.raises(DataError) as caught:
        read_table(tmp_path / "peru_rainfall.csv")
    assert caught.value.next_command.startswith("--data_path 'my table.csv', or ")


@pytest.mark.parametrize(
    ("label", "description", "step_hours"),
    [
        ("rain_24h", {"lead_time_hours": 12, "accumulation_hours": 24}, 1),
        ("rain_24h", {"lead_time_hours": 24, "accumulation_hours": 24}, 48),
        ("rain_24h", {"lead_time_hours": 30, "accumulation_hours": 24}, 12),
    ],
)
def test_a_label_period_that_does_not_fit_the_rows_is_refused(
    tmp_path: Path, label: str, description: dict, step_hours: int
) -> None:
    """With a lead shorter than a row, persistence would see its own label and score 100 %."""
    content = make_table.frame(n_times=100)
    content["timestamp"] = content.groupby("region").cumcount() * np.timedelta64(step_hours, "h") + np.datetime64(
        "2019-01-01"
    )
    path = make_table.write(tmp_path, content=content)
    path.with_suffix(".json").write_text(json.dumps(description))
    with pytest.raises(DataError, match="label period"):
        read_table(path)


def test_the_lead_of_a_users_label_is_its_length(tmp_path: Path) -> None:
    """`rain_48h` without a description means the next 48 hours."""
    table = read_table(make_table.write(tmp_path, content=make_table.frame().rename(columns={"rain_24h": "rain_48h"})))
    assert (table.lead_time_hours, table.accumulation_hours) == (48, 48)


def test_a_lead_longer_than_the_table_is_refused(tmp_path: Path) -> None:
    """Every label would lie after the last row: the splits would be empty, and the message about windows."""
    path = make_table.write(tmp_path, content=make_table.frame(n_times=300))
    (tmp_path / "table.json").write_text('{"lead_time_hours": 300, "accumulation_hours": 24}')
    with pytest.raises(DataError) as caught:
        read_table(path)
    assert caught.value.code == "LEAD_TOO_LONG" and "299 h" in caught.value.evidence


def test_rows_to_predict_from_need_not_reach_to_the_end_of_their_lead(tmp_path: Path) -> None:
    """A day of new data is enough for tomorrow's forecast, whose label nobody has; scoring on it stays refused."""
    day = {
        name: (("time", "region"), np.zeros((24, 2), dtype=np.float32)) for name in ("t2m", "precipitation", "rain_24h")
    }
    times = np.datetime64("2026-01-01", "ns") + np.arange(24) * np.timedelta64(1, "h")
    said = {"feature_names": '["t2m"]', "label_name": "rain_24h", "lead_time_hours": 24, "accumulation_hours": 24}
    dataset = xr.Dataset(day, {"time": times, "region": ["costa", "sierra"]}, said)
    assert len(table_from_dataset(dataset, tmp_path).times) == 24
    dataset.to_netcdf(tmp_path / "table.nc")
    with pytest.raises(DataError) as caught:
        read_table(tmp_path / "table.nc")
    assert caught.value.code == "LEAD_TOO_LONG"


def test_the_latitude_of_a_region_is_the_stored_one_else_the_middle_of_its_box(tmp_path: Path) -> None:
    """A table of an earlier version has boxes alone, a user's own perhaps neither."""
    path = make_table.write(tmp_path)
    assert read_table(path).region_latitude == {}
    boxes = {"costa": {"north": -2.0, "south": -6.0, "west": -80.0, "east": -78.0}}
    (tmp_path / "table.json").write_text(json.dumps({"regions": boxes}))
    assert read_table(path).region_latitude == {"costa": -4.0}
    own = {"regions": boxes, "region_latitude": {"costa": -3.9, "sierra": -12, "elsewhere": 3}}
    (tmp_path / "table.json").write_text(json.dumps(own))
    assert read_table(path).region_latitude == {"costa": -3.9, "sierra": -12.0}
    for odd in (["costa", "sierra"], {"costa": {"lat": -4}, "sierra": "south"}):
        (tmp_path / "table.json").write_text(json.dumps({"regions": odd, "region_latitude": {"costa": "four"}}))
        assert read_table(path).region_latitude == {}


def test_an_infinite_value_is_refused_with_its_place(tmp_path: Path) -> None:
    """One infinity makes mean and deviation of its column meaningless."""
    content = make_table.frame(n_times=100)
    content.loc[7, "sp"] = np.inf
    with pytest.raises(DataError) as caught:
        read_table(make_table.write(tmp_path, content=content))
    assert caught.value.code == "DATA_INF" and "column sp" in caught.value.where and "(line 9)" in caught.value.where


def test_row_numbers_of_pandas_are_no_feature(tmp_path: Path) -> None:
    """`to_csv` without `index=False` writes a column that tells time and region apart."""
    content = make_table.frame(n_times=100)
    content.to_csv(tmp_path / "table.csv")
    assert read_table(tmp_path / "table.csv").features == make_table.FEATURES


def test_a_table_with_semicolons_is_recognised(tmp_path: Path) -> None:
    """Spreadsheets in Spanish write them."""
    make_table.frame(n_times=50).to_csv(tmp_path / "table.csv", sep=";", index=False)
    with pytest.raises(DataError, match="semicolons"):
        read_table(tmp_path / "table.csv")
