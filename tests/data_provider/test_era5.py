"""Reading: every layout gives one canonical Dataset, and what is not ERA5 is called by its name.

Files that are damaged, dangerous or no data at all: test_file_faults.py.
"""

from __future__ import annotations

from pathlib import Path

import netCDF4
import numpy as np
import pytest
import xarray as xr

from data_provider.era5 import find_files, read_era5
from tests import make_era5
from tests.make_era5 import ACCUM, INSTANT, LATITUDE, LONGITUDE, field, hours, new_layout, write_packed, write_zip
from utils.errors import DataError


def refused(path: Path) -> DataError:
    with pytest.raises(DataError) as caught:
        read_era5(path)
    assert str(path) in caught.value.where
    assert caught.value.next_command
    return caught.value


def test_a_zip_named_nc_is_read_as_one_dataset(tmp_path: Path) -> None:
    """The CDS sends a ZIP whenever instant and accumulated variables are mixed."""
    path = make_era5.write_month(tmp_path, n=48)
    data = read_era5(path)
    assert dict(data.sizes) == {"time": 48, "latitude": 3, "longitude": 2}
    assert set(data.data_vars) == {"t2m", "d2m", "sp", "u10", "v10", "tp"}
    np.testing.assert_array_equal(data["t2m"].values, field("t2m", 48))
    np.testing.assert_array_equal(data["tp"].values, field("tp", 48))


@pytest.mark.parametrize("names", [("data_0.nc", "data_1.nc"), (INSTANT, "data_stream-oper_stepType-max.nc")])
def test_members_are_found_whatever_their_names(tmp_path: Path, names: tuple[str, str]) -> None:
    """The CDS has named the members in several ways."""
    times = hours(30)
    path = write_zip(
        tmp_path / "a.nc",
        {names[0]: new_layout({"t2m": field("t2m", 30)}, times), names[1]: new_layout({"tp": field("tp", 30)}, times)},
    )
    assert set(read_era5(path).data_vars) == {"t2m", "tp"}


def test_members_are_joined_on_their_stamps_not_on_their_positions(tmp_path: Path) -> None:
    """Accumulations that begin an hour later, joined by position, would move all rain by an hour."""
    path = write_zip(
        tmp_path / "a.nc",
        {
            INSTANT: new_layout({"t2m": field("t2m", 24)}, hours(24)),
            ACCUM: new_layout({"tp": field("tp", 24)}, hours(24, start="2020-01-01T01")),
        },
    )
    data = read_era5(path)
    assert data.sizes["time"] == 25
    assert np.isnan(data["tp"].values[0]).all() and np.isnan(data["t2m"].values[-1]).all()
    np.testing.assert_array_equal(data["tp"].values[1:], field("tp", 24))


def test_members_without_a_common_time_are_refused(tmp_path: Path) -> None:
    """Two members of one request describe the same hours, or something went wrong."""
    path = write_zip(
        tmp_path / "a.nc",
        {
            INSTANT: new_layout({"t2m": field("t2m", 4)}, hours(4)),
            ACCUM: new_layout({"tp": field("tp", 4)}, hours(4, start="2021-01-01T00")),
        },
    )
    assert refused(path).code == "TIME_GAP"


def test_the_old_packed_layout_gives_the_unpacked_values(tmp_path: Path) -> None:
    """Scale and offset forgotten, 290 K would be a number around zero."""
    unpacked = write_packed(tmp_path / "old.nc", "t2m", field("t2m", 50), hours(50))
    data = read_era5(tmp_path / "old.nc")
    np.testing.assert_allclose(data["t2m"].values, unpacked, rtol=1e-6)
    np.testing.assert_array_equal(data["time"].values, hours(50))


def test_a_dimension_expver_is_merged_and_the_preliminary_span_noted(tmp_path: Path) -> None:
    """Half the values are NaN by construction; averaging or dropping them would lose the newest months."""
    values = np.full((6, 2, 3, 2), np.nan)
    values[:4, 0] = field("t2m", 4)
    values[4:, 1] = field("t2m", 2, seed=1)
    unpacked = write_packed(tmp_path / "old.nc", "t2m", values, hours(6), expver=True)
    data = read_era5(tmp_path / "old.nc")
    np.testing.assert_allclose(data["t2m"].values[:4], unpacked[:4, 0], rtol=1e-6)
    np.testing.assert_allclose(data["t2m"].values[4:], unpacked[4:, 1], rtol=1e-6)
    assert data.attrs["preliminary"] == "2020-01-01 04:00..2020-01-01 05:00"


def test_expver_as_text_that_changes_inside_a_file_is_noted(tmp_path: Path) -> None:
    """Preliminary values may still change: the table must say which they are."""
    expver = np.array(["0001", "0001", "0005", "0005"])
    path = tmp_path / "a.nc"
    new_layout({"tp": field("tp", 4)}, hours(4), expver=expver).to_netcdf(path)
    assert read_era5(path).attrs["preliminary"] == "2020-01-01 02:00..2020-01-01 03:00"


def test_a_monthly_date_dimension_becomes_time(tmp_path: Path) -> None:
    """Monthly products count 20200201, which read as a number of days would be the year 57,000."""
    path = tmp_path / "monthly.nc"
    data = new_layout({"t2m": field("t2m", 2)}, hours(2)).rename(valid_time="date").drop_vars("expver")
    data.assign_coords(date=np.array([20200101, 20200201])).to_netcdf(path)
    assert read_era5(path)["time"].values.astype("datetime64[D]").astype(str).tolist() == ["2020-01-01", "2020-02-01"]


def test_longitudes_and_latitudes_come_in_one_order(tmp_path: Path) -> None:
    """0..360 and ascending latitudes describe the same cells: each value must stay at its own place."""
    path = tmp_path / "a.nc"
    values = field("t2m", 3)
    turned = values[:, ::-1]
    new_layout({"t2m": turned}, hours(3), latitude=LATITUDE[::-1], longitude=LONGITUDE + 360).to_netcdf(path)
    data = read_era5(path)
    np.testing.assert_array_equal(data["latitude"].values, LATITUDE)
    np.testing.assert_array_equal(data["longitude"].values, LONGITUDE)
    np.testing.assert_array_equal(data["t2m"].values, values)


def test_a_box_across_greenwich_is_sorted_with_its_values(tmp_path: Path) -> None:
    """359.75 is -0.25, west of 0: the columns must change places together with the longitudes."""
    path = tmp_path / "a.nc"
    values = field("t2m", 2)
    new_layout({"t2m": values}, hours(2), longitude=np.array([0.0, 359.75])).to_netcdf(path)
    data = read_era5(path)
    assert data["longitude"].values.tolist() == [-0.25, 0.0]
    np.testing.assert_array_equal(data["t2m"].values, values[:, :, ::-1])


@pytest.mark.parametrize(
    ("name", "unit", "stored", "canonical"),
    [
        ("tp", "m", 0.001, 0.001),
        ("tp", "mm", 1.0, 0.001),
        ("tp", "kg m**-2", 1.0, 0.001),
        ("tp", "m s**-1", 0.001 / 3600, 0.001),
        ("tp", "kg m**-2 s**-1", 1 / 3600, 0.001),
        ("t2m", "degC", 20.0, 293.15),
        ("sp", "hPa", 900.0, 90_000.0),
    ],
)
def test_units_are_read_and_converted(tmp_path: Path, name: str, unit: str, stored: float, canonical: float) -> None:
    """The same rain in millimetres, metres or as a rate must become the same number."""
    path = tmp_path / "a.nc"
    new_layout({name: np.full((2, 3, 2), stored, np.float32)}, hours(2), units={name: unit}).to_netcdf(path)
    np.testing.assert_allclose(read_era5(path)[name].values, canonical, rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "value", "likely"),
    [("tp", 5.0, "likely unit: mm"), ("t2m", 21.0, "likely unit: degrees Celsius"), ("sp", 900.0, "likely unit: hPa")],
)
def test_a_wrong_unit_is_recognised_by_impossible_values(tmp_path: Path, name: str, value: float, likely: str) -> None:
    """Five metres of rain in an hour, or a surface at 21 K, are units mislabelled."""
    path = tmp_path / "a.nc"
    new_layout({name: np.full((2, 3, 2), value, np.float32)}, hours(2)).to_netcdf(path)
    error = refused(path)
    assert error.code == "DATA_RANGE"
    assert name in error.evidence and likely in error.evidence and "allowed" in error.evidence


def test_a_drizzle_in_millimetres_called_metres_is_recognised_by_its_mean(tmp_path: Path) -> None:
    """No single hour is impossible at 0.1 m, but 0.01 m in every hour would be 88 m a year."""
    path = tmp_path / "a.nc"
    new_layout({"tp": np.full((240, 3, 2), 0.01, np.float32)}, hours(240)).to_netcdf(path)
    error = refused(path)
    assert error.code == "DATA_RANGE" and "likely unit: mm" in error.evidence


def test_an_unknown_unit_is_refused_not_guessed(tmp_path: Path) -> None:
    """Inches taken for metres would pass many checks."""
    path = tmp_path / "a.nc"
    new_layout({"tp": field("tp", 2)}, hours(2), units={"tp": "inches"}).to_netcdf(path)
    error = refused(path)
    assert error.code == "DATA_UNIT" and "inches" in error.evidence


def test_infinite_values_are_refused(tmp_path: Path) -> None:
    """An infinity survives every mean."""
    values = field("t2m", 2)
    values[1, 1, 1] = np.inf
    new_layout({"t2m": values}, hours(2)).to_netcdf(tmp_path / "a.nc")
    assert refused(tmp_path / "a.nc").code == "DATA_RANGE"


def test_a_trace_below_zero_from_packing_becomes_zero_rain(tmp_path: Path) -> None:
    """Old files hold about -1e-19 m; negative rain would make nonsense of sums."""
    new_layout({"tp": np.full((2, 3, 2), -1e-9, np.float32)}, hours(2)).to_netcdf(tmp_path / "a.nc")
    assert (read_era5(tmp_path / "a.nc")["tp"].values == 0).all()


def test_unsorted_times_are_sorted_with_their_values(tmp_path: Path) -> None:
    """A reader that trusts the order would lag by the wrong hours."""
    order = [3, 0, 2, 1]
    new_layout({"t2m": field("t2m", 4)[order]}, hours(4)[order]).to_netcdf(tmp_path / "a.nc")
    data = read_era5(tmp_path / "a.nc")
    np.testing.assert_array_equal(data["time"].values, hours(4))
    np.testing.assert_array_equal(data["t2m"].values, field("t2m", 4))


def test_identical_duplicates_are_merged_within_and_across_files(tmp_path: Path) -> None:
    """Requests that overlap by a day are usual and harmless."""
    rows = [0, 1, 1, 2]
    new_layout({"t2m": field("t2m", 6)[rows]}, hours(6)[rows]).to_netcdf(tmp_path / "a.nc")
    new_layout({"t2m": field("t2m", 6)[1:]}, hours(6)[1:]).to_netcdf(tmp_path / "b.nc")
    data = read_era5([tmp_path / "a.nc", tmp_path / "b.nc"])
    np.testing.assert_array_equal(data["t2m"].values, field("t2m", 6))


def test_contradicting_duplicates_are_refused_by_name(tmp_path: Path) -> None:
    """Two values for one hour: taking either would be a guess."""
    new_layout({"t2m": field("t2m", 3)}, hours(3)).to_netcdf(tmp_path / "a.nc")
    other = field("t2m", 3)
    other[1, 2, 0] += 1
    new_layout({"t2m": other}, hours(3)).to_netcdf(tmp_path / "b.nc")
    with pytest.raises(DataError) as caught:
        read_era5([tmp_path / "a.nc", tmp_path / "b.nc"])
    assert caught.value.code == "TIME_DUPLICATE"
    assert "2020-01-01 01:00" in caught.value.where
    assert "a.nc" in caught.value.where and "b.nc" in caught.value.where


@pytest.mark.parametrize("order", [("final.nc", "early.nc"), ("early.nc", "final.nc")])
def test_final_values_replace_preliminary_ones_whatever_the_order(tmp_path: Path, order: tuple[str, str]) -> None:
    """A month downloaded again after three months holds ERA5 where ERA5T was."""
    early = field("t2m", 3, seed=1)
    new_layout({"t2m": early}, hours(3), expver=np.full(3, "0005")).to_netcdf(tmp_path / "early.nc")
    new_layout({"t2m": field("t2m", 2)}, hours(2)).to_netcdf(tmp_path / "final.nc")
    data = read_era5([tmp_path / name for name in order])
    np.testing.assert_array_equal(data["t2m"].values[:2], field("t2m", 2))
    np.testing.assert_array_equal(data["t2m"].values[2], early[2])
    assert data.attrs["preliminary"] == "2020-01-01 02:00..2020-01-01 02:00"


def test_files_of_different_areas_are_refused(tmp_path: Path) -> None:
    """Area means over different cells are different quantities."""
    new_layout({"t2m": field("t2m", 2)}, hours(2)).to_netcdf(tmp_path / "a.nc")
    new_layout({"t2m": field("t2m", 2)}, hours(2, start="2020-02-01"), longitude=LONGITUDE + 1).to_netcdf(
        tmp_path / "b.nc"
    )
    with pytest.raises(DataError) as caught:
        read_era5([tmp_path / "a.nc", tmp_path / "b.nc"])
    assert caught.value.code == "DATA_GRID"
    assert "-79.75" in caught.value.evidence and "-78.75" in caught.value.evidence


def test_long_names_and_mean_rates_become_short_names(tmp_path: Path) -> None:
    """Zarr stores call the variables by their request names."""
    data = new_layout({"t2m": field("t2m", 2), "tp": np.full((2, 3, 2), 1 / 3600, np.float32)}, hours(2))
    data = data.rename(t2m="2m_temperature", tp="avg_tprate")
    data["avg_tprate"].attrs["units"] = "kg m**-2 s**-1"
    data.to_netcdf(tmp_path / "a.nc")
    read = read_era5(tmp_path / "a.nc")
    assert set(read.data_vars) == {"t2m", "tp"}
    np.testing.assert_allclose(read["tp"].values, 0.001, rtol=1e-6)


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"GRIB" + bytes(range(1, 200)), "grib"),
        (b'{"message": "quota exceeded"}', "json"),
        (b"Internal error\n", "text"),
        (bytes(5000), "zeros"),
        (bytes(range(256)) * 4, "unknown"),
        (b"\x1f\x8b" + bytes(20), "gzip"),
    ],
)
def test_rarer_foreign_files_are_called_what_they_are(tmp_path: Path, content: bytes, kind: str) -> None:
    """The library's words "Unknown file format" send people looking for the wrong fault."""
    path = tmp_path / "era5.nc"
    path.write_bytes(content)
    error = refused(path)
    assert error.code == "DATA_FILE"
    assert f"kind found: {kind}" in error.evidence and "kind expected" in error.evidence
    assert path.read_bytes() == content


@pytest.mark.parametrize("form", ["NETCDF3_CLASSIC", "NETCDF3_64BIT_OFFSET", "NETCDF3_64BIT_DATA"])
@pytest.mark.parametrize("unlimited", [True, False])
def test_whole_netcdf3_files_of_all_versions_are_not_called_truncated(
    tmp_path: Path, form: str, unlimited: bool
) -> None:
    """The expected size comes from the header; a byte too many would refuse good files."""
    path = tmp_path / "a.nc"
    with netCDF4.Dataset(path, "w", format=form) as file:  # type: ignore[arg-type]
        for name, size in (("time", None if unlimited else 3), ("latitude", 3), ("longitude", 2)):
            file.createDimension(name, size)
        file.createVariable("latitude", "f4", ("latitude",))[:] = LATITUDE
        file.createVariable("longitude", "f4", ("longitude",))[:] = LONGITUDE
        time = file.createVariable("time", "i2", ("time",))
        time.units = "hours since 2020-01-01"
        time[:] = [0, 1, 2]
        variable = file.createVariable("t2m", "f4", ("time", "latitude", "longitude"))
        variable.units = "K"
        variable[:] = field("t2m", 3)
    np.testing.assert_array_equal(read_era5(path)["t2m"].values, field("t2m", 3))
    path.write_bytes(path.read_bytes()[:-5])
    assert "truncated netcdf3" in refused(path).evidence


def test_a_netcdf_file_that_is_no_map_is_refused(tmp_path: Path) -> None:
    """A NetCDF file of something else has no latitude."""
    xr.Dataset({"x": ("station", np.arange(3.0))}).to_netcdf(tmp_path / "a.nc")
    error = refused(tmp_path / "a.nc")
    assert error.code == "DATA_FILE" and "no time and no latitude and no longitude" in error.what


def test_an_ensemble_is_refused_not_averaged(tmp_path: Path) -> None:
    """Ten members are ten weathers; taking the first in silence would be wrong."""
    data = new_layout({"t2m": field("t2m", 2)}, hours(2)).drop_vars("number")
    data.expand_dims(number=10).to_netcdf(tmp_path / "a.nc")
    assert "number of 10" in refused(tmp_path / "a.nc").what


def test_an_empty_or_missing_folder_names_the_way_to_data(tmp_path: Path) -> None:
    """The first thing a newcomer meets."""
    for folder in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(DataError) as caught:
            find_files(folder)
        assert caught.value.code == "DATA_MISSING"
        assert str(folder) in caught.value.where
        assert "docs/data.md" in caught.value.next_command
        assert "scripts/quickstart.sh" in caught.value.next_command


READ_RIGHT = {
    "new_accum_tp_6hourly_germany_2024-2025_mixedexpver.nc": (2840, {"tp"}),
    "new_zipnamednc_NO-tp_6hourly_java_2026-01.nc": (124, {"zust", "t2m", "sshf"}),
    "new_zipnamednc_tp-d2m-u10-v10-sp_hourly_telangana_2023-09-01_07.nc": (168, {"tp", "d2m", "u10", "v10", "sp"}),
    "old_expver-dim_1-5_small.nc": (22, {"u100", "v100"}),
    "old_netcdf3_int16_time-dim_12hourly_t2m-sd_point.nc": (4746, {"t2m", "sd"}),
}


@pytest.mark.parametrize("name", sorted(READ_RIGHT))
def test_real_samples_of_all_layouts_are_read(shared: Path, name: str) -> None:
    """Files users really have; made-up ones may share our misunderstandings."""
    data = read_era5(shared / "data" / "era5-format-samples" / name)
    n_times, variables = READ_RIGHT[name]
    assert data.sizes["time"] == n_times and set(data.data_vars) == variables
    assert not any(bool(data[variable].isnull().any()) for variable in data)


def test_the_real_mixed_file_notes_its_preliminary_months(shared: Path) -> None:
    """PROVENANCE.txt: expver 0005 from 2025-10-01 12 UTC."""
    path = shared / "data" / "era5-format-samples" / "new_accum_tp_6hourly_germany_2024-2025_mixedexpver.nc"
    assert read_era5(path).attrs["preliminary"] == "2025-10-01 12:00..2025-12-10 18:00"


def test_the_real_table_in_text_is_refused(shared: Path) -> None:
    """A CSV that someone saved as .nc."""
    error = refused(shared / "data" / "era5-format-samples" / "bad_csv-text-named.nc")
    assert error.code == "DATA_FILE" and "kind found: csv" in error.evidence


def test_real_rain_over_southern_peru_is_read_whole(shared: Path) -> None:
    """A year of hourly rain, 8784 hours."""
    (path,) = (shared / "data" / "era5-southperu-nchile-2020-tp").glob("*.nc")
    data = read_era5(path)
    assert dict(data.sizes) == {"time": 8784, "latitude": 9, "longitude": 41}
    assert float(data["tp"].min()) >= 0 and float(data["tp"].max()) < 0.05
