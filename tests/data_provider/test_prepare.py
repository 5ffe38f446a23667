"""Preparation from files to a table: what is written, what is refused, and that nothing is left half done."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from data_provider.era5 import find_files
from data_provider.prepare import PrepareConfig, main, make_table, prepare, prepare_for_prediction
from data_provider.rain_table import read_table
from data_provider.regional import build_regional
from data_provider.table_files import write_table
from tests import make_era5
from tests.make_era5 import field, hours, new_layout, write_month
from utils import flags
from utils.errors import DataError, StorageError, UsageError

ALL_INSTANT = ("t2m", "d2m", "sp", "msl", "u10", "v10", "tcwv", "cape")


def config(folder: Path, **more: object) -> PrepareConfig:
    """Flags of a small preparation below `folder`."""
    settings = {"input_dir": str(folder / "raw"), "output": str(folder / "out" / "table.nc"), "regions": "grid_columns"}
    return PrepareConfig(**(settings | more))  # type: ignore[arg-type]


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """Two months' worth of files with all nine variables, 20 days without a gap."""
    folder = tmp_path / "raw"
    write_month(folder, "a.nc", n=240, variables=ALL_INSTANT)
    write_month(folder, "b.nc", n=240, start="2020-01-11T00", variables=ALL_INSTANT, seed=1)
    return folder


def output_files(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "out").glob("*")) if (folder / "out").is_dir() else []


def refused(settings: PrepareConfig) -> DataError:
    with pytest.raises(DataError) as caught:
        prepare(settings)
    assert caught.value.where and caught.value.next_command
    return caught.value


def test_three_files_that_say_the_same_are_written(tmp_path: Path, raw: Path) -> None:
    """The CSV is what users read, the NetCDF what keeps units; they must not differ."""
    path = prepare(config(tmp_path))
    assert output_files(tmp_path) == ["table.csv", "table.json", "table.nc"]
    frame = pd.read_csv(path.with_suffix(".csv"))
    with xr.open_dataset(path) as table:
        names = json.loads(table.attrs["feature_names"])
        assert list(frame.columns) == ["timestamp", "region", *names, "precipitation", "rain_24h"] and len(names) == 27
        assert list(frame["region"].unique()) == ["lon_-80", "lon_-79.75"]
        for region, part in frame.groupby("region"):
            rows = table.sel(region=region)
            np.testing.assert_array_equal(pd.to_datetime(part["timestamp"]).to_numpy("datetime64[ns]"), table["time"])
            for name in (*names, "precipitation"):
                np.testing.assert_array_equal(part[name].to_numpy(np.float32), rows[name].values)
            np.testing.assert_array_equal(part["rain_24h"].to_numpy(np.float32), rows["rain_24h"].values)


def test_csv_timestamps_sort_and_missing_values_are_blank(tmp_path: Path, raw: Path) -> None:
    """A -1 or a nan in the label column would be read as a class."""
    lines = prepare(config(tmp_path)).with_suffix(".csv").read_text().splitlines()
    assert lines[1].startswith("2020-01-01 00:00:00,lon_-80,")
    assert lines[480].startswith("2020-01-20 23:00:00,lon_-80,") and lines[480].endswith(",,")
    assert lines[1].rsplit(",", 1)[1] in ("0", "1")


def test_the_label_of_the_table_is_the_24_hour_sum_of_the_files(tmp_path: Path, raw: Path) -> None:
    """Worked from the raw numbers: cos-latitude mean of each column, hours 1 to 24, over the border of two files."""
    path = prepare(config(tmp_path))
    tp = np.concatenate([field("tp", 240), field("tp", 240, seed=1)]).astype(np.float64)
    weight = np.cos(np.deg2rad(make_era5.LATITUDE))
    column = (tp[:, :, 0] * weight).sum(axis=1) / weight.sum() * 1000
    with xr.open_dataset(path) as table:
        amounts = table["precipitation"].sel(region="lon_-80").values
        label = table["rain_24h"].sel(region="lon_-80").values
    for row in (0, 100, 230, 455):
        assert amounts[row] == pytest.approx(sum(column[row + 1 : row + 25]), rel=1e-5)
        assert label[row] == (sum(column[row + 1 : row + 25]) >= 0.1)
    assert np.isnan(amounts[456:]).all() and np.isnan(label[456:]).all()


def test_the_attributes_say_how_the_table_was_made(tmp_path: Path, raw: Path) -> None:
    """A table whose recipe is lost cannot be used for prediction."""
    path = prepare(config(tmp_path, threshold_mm=(0.1, 1.0)))
    sidecar = json.loads(path.with_suffix(".json").read_text())
    assert sidecar["source_files"]["a.nc"] == hashlib.sha256((raw / "a.nc").read_bytes()).hexdigest()
    assert sidecar["csv_sha256"] == hashlib.sha256(path.with_suffix(".csv").read_bytes()).hexdigest()
    assert sidecar["units"]["t2m"] == "K" and sidecar["units"]["precipitation"] == "mm"
    assert sidecar["threshold_mm"] == [0.1, 1.0] and sidecar["step_hours"] == 1 and sidecar["label_name"] == "rain_24h"
    assert "Copernicus" in sidecar["attribution"] and sidecar["synthetic"] == 0
    assert sidecar["regions"]["lon_-80"] == {"north": 0.0, "west": -80.0, "south": -0.5, "east": -80.0}
    with xr.open_dataset(path) as table:
        assert json.loads(table.attrs["recipe"]) == sidecar["recipe"]
        assert set(table.attrs) == set(sidecar) - {"csv_sha256"}
        assert table["t2m"].dtype == np.float32 and table["rain_24h"].encoding["_FillValue"] == -1


def test_lead_and_accumulation_name_the_label(tmp_path: Path, raw: Path) -> None:
    """A 12-hour label called rain_24h is the case's own mistake."""
    with xr.open_dataset(prepare(config(tmp_path, lead_time_hours=36, accumulation_hours=12))) as table:
        assert "rain_12h" in table
        assert table.attrs["lead_time_hours"] == 36
        tp = table["tp"].values.astype(np.float64)
        np.testing.assert_allclose(table["precipitation"].values[0], tp[25:37].sum(axis=0) * 1000, rtol=1e-5)


def test_six_hours_ahead_needs_no_accumulation_and_three_days_count_the_last(tmp_path: Path, raw: Path) -> None:
    """min(24, lead): a 6-hour lead sums 6 hours, a 72-hour lead the day that ends with it."""
    for lead, label, first in ((6, "rain_6h", 1), (72, "rain_24h", 49)):
        with xr.open_dataset(prepare(config(tmp_path, lead_time_hours=lead, threshold_mm=(0.1, 1, 5, 10)))) as table:
            tp = table["tp"].values.astype(np.float64)
            expected = tp[first : lead + 1].sum(axis=0) * 1000
            np.testing.assert_allclose(table["precipitation"].values[0], expected, rtol=1e-5)
            reached = (expected[:, None] >= [0.1, 1, 5, 10]).sum(axis=1)
            assert table[label].values[0].tolist() == reached.tolist()
            assert table.attrs["lead_time_hours"] == lead


def test_a_lead_longer_than_the_record_ends_with_its_name(tmp_path: Path, raw: Path) -> None:
    """20 days cannot say what falls 500 hours later, and nothing is written."""
    error = refused(config(tmp_path, lead_time_hours=500))
    assert error.code == "LEAD_TOO_LONG" and "479 h" in error.evidence and output_files(tmp_path) == []


def test_every_region_knows_its_mean_latitude(tmp_path: Path, raw: Path) -> None:
    """By hand: a gradient from north to south needs it, and a box's middle is not where its cells are."""
    weight = np.cos(np.deg2rad(make_era5.LATITUDE))
    expected = (make_era5.LATITUDE * weight).sum() / weight.sum()
    path = prepare(config(tmp_path))
    stored = json.loads(path.with_suffix(".json").read_text())["region_latitude"]
    assert stored == {"lon_-80": pytest.approx(expected, abs=1e-4), "lon_-79.75": pytest.approx(expected, abs=1e-4)}
    for suffix in (".csv", ".nc"):
        assert read_table(path.with_suffix(suffix)).region_latitude == stored


def test_columns_keep_only_what_was_asked_for_in_the_order_of_the_table(tmp_path: Path, raw: Path) -> None:
    """Two commands with the same columns in another order make the same table."""
    with xr.open_dataset(prepare(config(tmp_path, columns=("wind_speed", "tp")))) as table:
        assert list(table.data_vars) == ["tp", "wind_speed", "precipitation", "rain_24h"]


def test_years_choose_rows_and_a_missing_year_is_named(tmp_path: Path, raw: Path) -> None:
    """A typing error in a year must not shrink the record in silence."""
    write_month(raw, "c.nc", n=240, start="2021-01-01T00", variables=ALL_INSTANT, seed=2)
    with xr.open_dataset(prepare(config(tmp_path, years=(2021,)))) as table:
        assert set(table["time"].dt.year.values.tolist()) == {2021}
        assert list(json.loads(table.attrs["source_files"])) == ["c.nc"]
    error = refused(config(tmp_path, years=(2019, 2022)))
    assert error.code == "YEAR_MISSING" and "2019, 2022" in error.what and "2020, 2021" in error.evidence


def test_a_gap_is_reported_and_its_rows_stay_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A missing month is said, listed, and never bridged."""
    write_month(tmp_path / "raw", "a.nc", n=240)
    write_month(tmp_path / "raw", "b.nc", n=240, start="2020-03-01T00", seed=1)
    path = prepare(config(tmp_path))
    assert "TIME_GAP: 1200 missing between 2020-01-10 23:00 and 2020-03-01 00:00" in caplog.text
    with xr.open_dataset(path) as table:
        assert table.sizes["time"] == 480
        assert np.isnan(table["t2m_lag_1d"].values[240:264]).all()
        assert np.isnan(table["precipitation"].values[216:240]).all()


def test_variables_in_separate_files_are_joined(tmp_path: Path) -> None:
    """Many users download one variable a file."""
    folder = tmp_path / "raw"
    folder.mkdir()
    for name in ("tp", "t2m"):
        new_layout({name: field(name, 200)}, hours(200)).to_netcdf(folder / f"{name}.nc")
    with xr.open_dataset(prepare(config(tmp_path))) as table:
        assert table.sizes["time"] == 200 and bool(table["t2m"].notnull().all())


def test_missing_variables_are_named_in_one_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The features that can be made are made."""
    caplog.set_level("INFO")
    write_month(tmp_path / "raw", variables=("t2m", "sp", "u10", "v10"))
    sidecar = json.loads(prepare(config(tmp_path)).with_suffix(".json").read_text())
    assert sidecar["missing_features"][:3] == ["d2m", "msl", "tcwv"]
    assert caplog.text.count("cannot be made") == 1
    assert caplog.text.count("base rate of rain in") == 2


def test_no_precipitation_lists_what_is_there(tmp_path: Path) -> None:
    """Temperature alone makes no rain label."""
    (tmp_path / "raw").mkdir()
    new_layout({"t2m": field("t2m", 48)}, hours(48)).to_netcdf(tmp_path / "raw" / "a.nc")
    error = refused(config(tmp_path))
    assert error.code == "DATA_VARIABLE_MISSING" and "t2m" in error.evidence
    assert "total_precipitation" in error.next_command


def test_winds_at_100_m_are_explained(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """u100 looks like u10 in the list of the CDS."""
    (tmp_path / "raw").mkdir()
    values = {name: field(name, 240) for name in ("tp", "u100", "v100")}
    new_layout(values, hours(240)).to_netcdf(tmp_path / "raw" / "a.nc")
    prepare(config(tmp_path))
    assert "winds at 100 m" in caplog.text and "10m_u_component_of_wind" in caplog.text


def test_06_and_18_utc_with_a_24_hour_label_are_refused_and_the_flag_says_what_it_made(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """2 of 24 hours: measured to agree with the true label in 43-72 % of cases."""
    write_month(tmp_path / "raw", n=200, start="2020-01-01T06", step=12)
    error = refused(config(tmp_path))
    assert error.code == "LABEL_HOURS" and "2 of 24" in error.evidence
    assert output_files(tmp_path) == []
    path = prepare(config(tmp_path, allow_incomplete_hours=True))
    assert json.loads(path.with_suffix(".json").read_text())["label_hours"] == "2 of 24"
    assert "LABEL_HOURS" in caplog.text


def test_a_record_shorter_than_the_lead_has_no_label(tmp_path: Path) -> None:
    """One day of data holds no complete day after it."""
    write_month(tmp_path / "raw", n=20)
    assert refused(config(tmp_path)).code == "LEAD_TOO_LONG"


def test_one_class_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    """No rain at all: a classifier would score 100 %."""
    (tmp_path / "raw").mkdir()
    new_layout({"tp": np.zeros((100, 3, 2), np.float32)}, hours(100)).to_netcdf(tmp_path / "raw" / "a.nc")
    error = refused(config(tmp_path))
    assert error.code == "ONE_CLASS" and "0.1 mm" in error.evidence
    assert output_files(tmp_path) == []


def test_synthetic_and_real_files_are_not_mixed(tmp_path: Path, raw: Path) -> None:
    """A table of both would pass for real."""
    data = new_layout({"tp": field("tp", 240)}, hours(240, start="2020-02-01"))
    data.attrs["synthetic"] = 1
    data.to_netcdf(raw / "z.nc")
    error = refused(config(tmp_path))
    assert error.code == "SYNTHETIC_MIXED" and "z.nc" in error.evidence and "a.nc" in error.evidence


def test_a_bad_file_leaves_an_earlier_table_untouched(tmp_path: Path, raw: Path) -> None:
    """A failed run must not cost the last good table."""
    path = prepare(config(tmp_path))
    before = {file.name: file.read_bytes() for file in path.parent.iterdir()}
    (raw / "z.nc").write_bytes(b"<html>error</html>")
    assert refused(config(tmp_path)).code == "DATA_FILE"
    assert {file.name: file.read_bytes() for file in path.parent.iterdir()} == before


def test_an_output_that_cannot_be_written_is_refused_before_the_long_work(tmp_path: Path) -> None:
    """A file stands where the folder should be; the broken input is never reached."""
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "a.nc").write_bytes(b"<html>never read</html>")
    (tmp_path / "out").write_text("a file")
    with pytest.raises(StorageError) as caught:
        prepare(config(tmp_path))
    assert caught.value.code == "STORAGE_DENIED" and caught.value.exit_code == 6


@pytest.mark.parametrize("limit", [20_000, 130_000], ids=["in the NetCDF", "in the CSV"])
def test_a_disk_that_fills_up_leaves_nothing_behind(tmp_path: Path, raw: Path, limit: int) -> None:
    """The CSV does not fit: the NetCDF that did must not stay alone."""
    import resource
    import signal

    settings = config(tmp_path)
    output = Path(settings.output)
    table = make_table(build_regional(sorted(raw.iterdir()), settings.regions), settings)
    old_limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    old_handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, old_limit[1]))
    try:
        with pytest.raises(StorageError) as caught:
            write_table(table, output)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old_limit)
        signal.signal(signal.SIGXFSZ, old_handler)
    assert caught.value.code == "STORAGE_FULL"
    assert list(output.parent.iterdir()) == []


@pytest.mark.parametrize(
    ("flag", "value", "says"),
    [
        ("threshold_mm", (0.0001,), "looks like metres: 0.1 mm"),
        ("accumulation_hours", 48, "longer than lead_time_hours"),
        ("columns", ("t2",), "did you mean t2m"),
        ("columns", ("precipitation",), "unknown feature"),
        ("years", (2020, 2019), "--years"),
        ("output", "table.csv", "names the NetCDF file"),
    ],
)
def test_flags_that_cannot_be_right_are_refused(tmp_path: Path, flag: str, value: object, says: str) -> None:
    """Before any file is opened."""
    with pytest.raises(UsageError) as caught:
        config(tmp_path, **{flag: value})
    assert says in caught.value.what and flag in caught.value.where


def test_a_column_whose_variable_is_absent_names_the_variable(tmp_path: Path) -> None:
    """Relative humidity needs d2m."""
    write_month(tmp_path / "raw", variables=("t2m",))
    error = refused(config(tmp_path, columns=("relative_humidity",)))
    assert error.code == "DATA_VARIABLE_MISSING" and "d2m" in error.what and "relative_humidity" in error.where


def test_the_command_line_ends_with_a_message_and_the_documented_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No traceback for a foreseen fault."""
    assert main(["--input_dir", str(tmp_path / "nowhere"), "--output", str(tmp_path / "o.nc")]) == 3
    shown = capsys.readouterr().err
    assert shown.startswith("DATA_MISSING:") and "Traceback" not in shown and "quickstart.sh" in shown
    assert main(["--threshold_mm", "0.0001"]) == 2
    assert main(["--thresholdmm", "1"]) == 2


def test_flags_survive_the_way_to_the_command_line_and_back(tmp_path: Path) -> None:
    """Words -> config -> words: a run can be repeated from its record."""
    for settings in (
        PrepareConfig(),
        config(tmp_path, years=(2019, 2020), columns=("tp", "t2m"), threshold_mm=(0.1, 1.0), accumulation_hours=12),
    ):
        assert flags.parse("prepare", "", PrepareConfig, argv=flags.to_argv(settings)) == (settings,)


@pytest.mark.parametrize("attributes_from", ["netcdf", "json"])
def test_prediction_makes_the_same_rows_from_the_same_files(tmp_path: Path, raw: Path, attributes_from: str) -> None:
    """A feature that differs between training and prediction spoils the forecast in silence."""
    path = prepare(config(tmp_path, columns=("tp", "t2m", "wind_speed", "relative_humidity")))
    with xr.open_dataset(path, mask_and_scale=False) as table:
        attributes = dict(table.attrs)
        if attributes_from == "json":
            attributes = json.loads(path.with_suffix(".json").read_text())
        again = prepare_for_prediction(raw, attributes)
        assert list(again.data_vars) == list(table.data_vars)
        for name in table.data_vars:
            np.testing.assert_array_equal(again[name].values, table[name].values)
        assert again["region"].values.tolist() == table["region"].values.tolist()


def test_prediction_works_without_any_complete_label_and_without_both_classes(tmp_path: Path, raw: Path) -> None:
    """Tomorrow's rain is not known: that is why one predicts."""
    path = prepare(config(tmp_path))
    new = write_month(tmp_path / "new", n=12, start="2024-05-01T00", variables=ALL_INSTANT)
    table = prepare_for_prediction(new.parent, json.loads(path.with_suffix(".json").read_text()))
    assert table.sizes["time"] == 12 and (table["rain_24h"].values == -1).all()
    assert np.isnan(table["precipitation"].values).all() and np.isfinite(table["t2m"].values).all()


def test_prediction_names_what_the_run_needs_and_the_files_lack(tmp_path: Path, raw: Path) -> None:
    """The run was trained with dew point; these files have none."""
    path = prepare(config(tmp_path))
    new = write_month(tmp_path / "new", n=12, variables=("t2m", "sp"))
    with pytest.raises(DataError) as caught:
        prepare_for_prediction(new.parent, json.loads(path.with_suffix(".json").read_text()))
    assert caught.value.code == "DATA_VARIABLE_MISSING"
    assert "d2m" in caught.value.what and "2m_dewpoint_temperature" in caught.value.next_command


def test_prediction_refuses_another_time_step(tmp_path: Path, raw: Path) -> None:
    """A context of 720 rows would be 180 days instead of 30."""
    path = prepare(config(tmp_path))
    new = write_month(tmp_path / "new", n=40, step=6, variables=ALL_INSTANT)
    with pytest.raises(DataError) as caught:
        prepare_for_prediction(new.parent, json.loads(path.with_suffix(".json").read_text()))
    assert caught.value.code == "STEP_MISMATCH" and "every 6 h" in caught.value.evidence


def test_real_06_18_utc_files_are_refused(shared: Path, tmp_path: Path) -> None:
    """Six-hourly rain over Germany, as a user downloaded it."""
    name = "new_accum_tp_6hourly_germany_2024-2025_mixedexpver.nc"
    error = refused(config(tmp_path, input_dir=str(shared / "data" / "era5-format-samples" / name)))
    assert error.code == "LABEL_HOURS" and "00, 06, 12, 18 UTC" in error.what and "4 of 24" in error.evidence


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("new_zipnamednc_NO-tp_6hourly_java_2026-01.nc", "zust, t2m, sshf"),
        ("old_expver-dim_1-5_small.nc", "winds at 100 m"),
        ("old_netcdf3_int16_time-dim_12hourly_t2m-sd_point.nc", "t2m, sd"),
    ],
)
def test_real_files_without_rain_are_refused(shared: Path, tmp_path: Path, name: str, says: str) -> None:
    """What is there is listed, so that the user sees which request this was."""
    error = refused(config(tmp_path, input_dir=str(shared / "data" / "era5-format-samples" / name)))
    assert error.code == "DATA_VARIABLE_MISSING" and says in error.evidence


def test_the_real_rain_of_southern_peru_has_the_known_base_rates(shared: Path, tmp_path: Path) -> None:
    """Worked with plain xarray on the same file: .906 of 24-hour windows as an area mean, .508 per cell."""
    area = tmp_path / "area.yaml"
    area.write_text("south: {north: -17, west: -76, south: -19, east: -66}\n")
    folder = str(shared / "data" / "era5-southperu-nchile-2020-tp")
    for regions, expected in ((str(area), 0.906), ("cells", 0.508)):
        settings = config(tmp_path, input_dir=folder, regions=regions, columns=("tp",))
        table = make_table(build_regional(find_files(Path(folder)), regions), settings)
        rates = json.loads(table.attrs["base_rate"])
        assert np.mean(list(rates.values())) == pytest.approx(expected, abs=0.001)


def test_the_real_yerevan_files_have_the_known_base_rates(shared: Path, tmp_path: Path) -> None:
    """.703 at 0.1 mm and .456 at 1 mm are published for 2024, every third hour, five longitude columns.

    Worked with plain xarray: .7046 and .4568 by init_time in 2024, .7027 by the end of the label period in 2024.
    """
    folder = str(shared / "data" / "era5-yerevan")
    settings = config(tmp_path, input_dir=folder, years=(2024,), columns=("tp",), threshold_mm=(0.1, 1.0))
    with xr.open_dataset(prepare(settings)) as table:
        label = table["rain_24h"].values[table["time"].dt.hour.values % 3 == 0]
        label = label[~np.isnan(label).any(axis=1)]
        assert table.sizes["region"] == 5
    assert (label >= 1).mean() == pytest.approx(0.7046, abs=0.0002)
    assert (label >= 2).mean() == pytest.approx(0.4568, abs=0.0002)
