"""Features: hand-worked values, nothing from the future, nothing from another region, nothing across a gap."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from data_provider.features import (
    CASE_NAMES,
    NAMES,
    make_features,
    makeable,
    missing,
    needs,
    relative_humidity,
    wind_direction,
    wind_speed,
)
from data_provider.units import CORE
from tests.make_era5 import field, hours

CASE_27 = [
    "tp", "t2m", "d2m", "sp", "msl", "u10", "v10", "tcwv", "cape", "wind_speed", "wind_direction", "td_spread",
    "relative_humidity", "pressure_tendency_12h", "tp_lag_1d", "tp_lag_2d", "tp_lag_3d", "t2m_lag_1d", "t2m_lag_2d",
    "t2m_lag_3d", "tcwv_lag_1d", "tcwv_lag_2d", "tcwv_lag_3d", "tp_rolling_mean_7d", "tp_rolling_std_7d",
    "t2m_rolling_mean_7d", "t2m_rolling_std_7d",
]  # fmt: skip


def regional(n: int = 400, *, times: np.ndarray | None = None, variables: tuple[str, ...] = CORE) -> xr.Dataset:
    times = hours(n) if times is None else times
    data = {name: (("time", "region"), field(name, len(times), shape=(1, 2))[:, 0]) for name in variables}
    return xr.Dataset(data, coords={"time": times, "region": ["a", "b"]})


def test_the_columns_are_the_27_of_the_case_in_their_order() -> None:
    """Users' own code reads the CSV by these names."""
    assert list(makeable(CORE, 1.0)) == CASE_27 == list(CASE_NAMES)
    assert list(make_features(regional(10), CASE_NAMES).data_vars) == CASE_27


def test_optional_variables_come_right_after_the_core_ones() -> None:
    """tcc, sst and blh are used where the files have them."""
    names = makeable((*CORE, "blh", "tcc"), 1.0)
    assert names[9:12] == ("tcc", "blh", "wind_speed") and len(names) == 29


def test_relative_humidity_is_61_per_cent_at_25_and_17_degrees() -> None:
    """The notes put kelvin into a Celsius formula and got 88.8 % for a true 61.2 %."""
    value = relative_humidity(np.array([298.15]), np.array([290.15]))
    assert value[0] == pytest.approx(61.2, abs=0.05)
    assert relative_humidity(np.array([280.0]), np.array([280.0]))[0] == pytest.approx(100.0)


@pytest.mark.parametrize(
    ("u", "v", "degrees"), [(0, -1, 0), (-1, 0, 90), (0, 1, 180), (1, 0, 270), (-1, -1, 45), (1, -1, 315), (0, 0, 0)]
)
def test_wind_direction_is_where_the_wind_comes_from(u: float, v: float, degrees: float) -> None:
    """A wind towards the south (v = -1) is a north wind: 0 degrees."""
    assert wind_direction(np.array([float(u)]), np.array([float(v)]))[0] == pytest.approx(degrees)


def test_wind_direction_stays_below_360_in_float32() -> None:
    """359.9999999 rounds to 360 in float32: one direction would have two numbers."""
    assert wind_direction(np.array([1e-12]), np.array([-1.0])).astype(np.float32)[0] == 0.0


def test_wind_speed_is_the_length_of_the_vector() -> None:
    """3, 4, 5."""
    assert wind_speed(np.array([3.0]), np.array([-4.0]))[0] == 5.0


def test_lags_count_days_and_begin_when_there_is_history() -> None:
    """Hour k holds 280 + k: one day ago is 280 + k - 24."""
    data = regional(100)
    data["t2m"][:] = 280.0 + np.arange(100)[:, None]
    made = make_features(data, CASE_NAMES)
    for days in (1, 2, 3):
        lag = made[f"t2m_lag_{days}d"].values[:, 0]
        assert np.isnan(lag[: 24 * days]).all()
        np.testing.assert_allclose(lag[24 * days :], 280.0 + np.arange(100 - 24 * days))


def test_the_rolling_window_is_the_168_hours_up_to_and_with_t() -> None:
    """Hour k holds 200 + k: the mean of 201..368 is 284.5 at t = 168, its sample deviation sqrt(168 x 169 / 12)."""
    data = regional(200)
    data["t2m"][:] = 200.0 + np.arange(200.0)[:, None]
    made = make_features(data, CASE_NAMES)
    mean, deviation = made["t2m_rolling_mean_7d"].values[:, 0], made["t2m_rolling_std_7d"].values[:, 0]
    assert np.isnan(mean[:167]).all() and np.isnan(deviation[:167]).all()
    assert mean[167] == pytest.approx(283.5) and mean[168] == pytest.approx(284.5)
    assert deviation[168] == pytest.approx(np.sqrt(168 * 169 / 12))


def test_a_dry_week_after_rain_has_exactly_no_deviation() -> None:
    """Running sums leave crumbs behind, which scaling would blow up."""
    data = regional(600)
    data["tp"][:] = 0.0
    data["tp"][100:130] = 0.003
    made = make_features(data, CASE_NAMES)
    assert (made["tp_rolling_std_7d"].values[300:] == 0).all()
    assert (made["tp_rolling_mean_7d"].values[300:] == 0).all()


def test_the_pressure_tendency_is_now_minus_twelve_hours_ago() -> None:
    """Falling pressure is negative."""
    data = regional(30)
    data["sp"][:] = 90_000.0 - 10.0 * np.arange(30)[:, None]
    tendency = make_features(data, CASE_NAMES)["pressure_tendency_12h"].values
    assert np.isnan(tendency[:12]).all()
    np.testing.assert_allclose(tendency[12:], -120.0)


def test_the_spread_is_temperature_minus_dew_point() -> None:
    """In kelvin, never negative in saturated air but for rounding."""
    data = regional(5)
    np.testing.assert_allclose(
        make_features(data, CASE_NAMES)["td_spread"], data["t2m"].values - data["d2m"].values, rtol=1e-6
    )


@pytest.mark.parametrize("changed", range(0, 400, 57))
def test_a_later_hour_changes_no_earlier_feature(changed: int) -> None:
    """A feature that sees ahead makes scores that no forecast can keep; not one bit may change."""
    before = make_features(regional(), CASE_NAMES)
    data = regional()
    for name in CORE:
        data[name][changed] = data[name][changed] * 1.01
    after = make_features(data, CASE_NAMES)
    for name in CASE_NAMES:
        np.testing.assert_array_equal(after[name].values[:changed], before[name].values[:changed])
    assert not after.isel(time=changed).equals(before.isel(time=changed))


def test_another_region_changes_nothing() -> None:
    """Regions stacked one after another once shared lags in the case."""
    before = make_features(regional(), CASE_NAMES)
    data = regional()
    for name in CORE:
        data[name][:, 1] = data[name][:, 1] * 1.01
    after = make_features(data, CASE_NAMES)
    assert after.sel(region="a").equals(before.sel(region="a"))
    assert not after.sel(region="b").equals(before.sel(region="b"))


def test_history_is_counted_in_hours_and_never_reaches_across_a_gap() -> None:
    """After a gap of ten days, 24 rows back is not one day ago."""
    times = np.concatenate([hours(200), hours(200, start="2020-01-20T00")])
    made = make_features(regional(times=times), CASE_NAMES)
    for name, rows in (("t2m_lag_1d", 24), ("pressure_tendency_12h", 12), ("tp_rolling_mean_7d", 167)):
        values = made[name].values[200:, 0]
        assert np.isnan(values[:rows]).all() and np.isfinite(values[rows:]).all()
    assert np.isfinite(made["t2m"].values).all()


def test_a_lag_finds_the_same_hour_of_the_day_before_across_a_short_gap() -> None:
    """One missing hour shifts nothing: the value a day ago is still the value a day ago."""
    keep = np.arange(100) != 40
    data = regional(100).isel(time=keep)
    lag = make_features(data, CASE_NAMES)["t2m_lag_1d"]
    assert np.isnan(lag.sel(time=hours(100)[64]).values).all()
    np.testing.assert_array_equal(lag.sel(time=hours(100)[70]), data["t2m"].sel(time=hours(100)[46]))


def test_a_longer_step_keeps_the_days() -> None:
    """At 12 hours a step a day is two rows, a week fourteen."""
    made = make_features(regional(times=hours(40, step=12)), CASE_NAMES)
    np.testing.assert_array_equal(made["t2m_lag_1d"].values[2:], made["t2m"].values[:-2])
    assert np.isnan(made["tp_rolling_mean_7d"].values[:13]).all()
    assert np.isfinite(made["tp_rolling_mean_7d"].values[13:]).all()


def test_what_a_source_lacks_is_named_and_the_rest_is_made() -> None:
    """The Yerevan files have no d2m, msl, tcwv and cape."""
    variables = ("tp", "t2m", "sp", "u10", "v10", "blh")
    made, lacking = makeable(variables, 1.0), missing(variables, 1.0)
    assert set(lacking) == {
        "d2m", "msl", "tcwv", "cape", "td_spread", "relative_humidity", "tcwv_lag_1d", "tcwv_lag_2d", "tcwv_lag_3d",
    }  # fmt: skip
    assert "blh" in made and "wind_speed" in made and not set(made) & set(lacking)


def test_a_step_that_does_not_divide_a_history_leaves_that_feature_out() -> None:
    """Daily data know nothing of twelve hours ago."""
    assert missing(CORE, 24.0) == ("pressure_tendency_12h",)


def test_needs_lists_the_variables_behind_columns() -> None:
    """Prediction reads these and no others."""
    assert needs(["wind_speed", "td_spread", "tp_lag_2d"]) == ("tp", "t2m", "d2m", "u10", "v10")
    assert len(NAMES) == 30
