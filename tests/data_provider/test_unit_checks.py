"""D6: a wrong unit in a user's own table is found by its values; sound data are never refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data_provider import prepare
from data_provider.cleaning import CleaningConfig
from data_provider.rain_table import read_table_leniently
from data_provider.table_checks import inspect_table
from data_provider.unit_checks import allowed_for, inspect_units
from tests import make_table
from utils.findings import Finding


def units(folder: Path, content: pd.DataFrame) -> list[Finding]:
    return inspect_units(read_table_leniently(make_table.write(folder, content=content)))


@pytest.mark.parametrize(
    ("column", "change", "unit", "allowed", "way_out"),
    [
        ("tp", lambda tp: tp * 1000, "mm", [-1e-5, 0.3], "df['tp'] * 0.001"),
        ("t2m", lambda kelvin: kelvin - 273.15, "degrees Celsius", [180, 340], "df['t2m'] + 273.15"),
        ("sp", lambda pascal: pascal / 100, "hPa", [45_000, 110_000], "df['sp'] * 100"),
    ],
)
def test_a_wrong_unit_is_named_with_what_was_seen_and_allowed(
    tmp_path: Path, column: str, change, unit: str, allowed: list[float], way_out: str
) -> None:
    """A model learns happily from a mixture of units and forecasts nonsense from the first right file."""
    content = make_table.frame()
    content[column] = change(content[column])
    (finding,) = units(tmp_path, content)
    assert (finding.code, finding.severity) == ("DATA_RANGE", "error")
    assert finding.figures["column"] == column and finding.figures["likely_unit"] == unit
    assert finding.figures["allowed"] == allowed
    assert finding.figures["seen"] == pytest.approx([content[column].min(), content[column].max()], rel=1e-5)
    assert way_out in finding.next_command and f"likely unit: {unit}" in finding.evidence


def test_one_region_in_another_unit_is_found_and_named(tmp_path: Path) -> None:
    """Tables are often joined from several sources; the range of the whole then spans both units."""
    content = make_table.frame()
    content.loc[content.region == "sierra", "t2m"] -= 273.15
    (finding,) = units(tmp_path, content)
    assert finding.figures["regions"] == ["sierra"] and finding.figures["rows"] == 1500
    assert finding.figures["likely_unit"] == "degrees Celsius"
    assert "first in region sierra at 2019-01-01T00:00:00 (line 1502)" in finding.where


def test_only_the_wrong_rows_are_converted_where_the_others_are_right(tmp_path: Path) -> None:
    """Adding 273.15 to a whole column, of which a twentieth was in Celsius, would have ruined the rest."""
    content = make_table.frame()
    right = content["t2m"].copy()
    content.loc[400:540, "t2m"] -= 273.15
    (finding,) = units(tmp_path, content)
    assert "141 of 3000 rows, in costa" in finding.evidence and "of these rows alone" in finding.evidence
    line = finding.next_command.split(": ")[1].split(", or")[0]
    assert line == "df.loc[df['t2m'] < 180, 't2m'] += 273.15"
    exec(line, {"df": content})
    assert np.allclose(content["t2m"], right) and units(tmp_path, content) == []


def test_damaged_rows_are_located_and_given_no_unit(tmp_path: Path) -> None:
    """Values of which only a few would fit another unit are damaged; converting them hides it."""
    content = make_table.frame()
    content.loc[400:409, "t2m"] = [*np.linspace(-9000, -2000, 5), *np.linspace(5, 25, 5)]
    (finding,) = units(tmp_path, content)
    assert finding.figures["likely_unit"].startswith("none") and "273.15" not in finding.next_command
    assert "(line 402) to region costa at 2019-01-18T01:00:00 (line 411)" in finding.next_command


def test_a_few_rows_of_rain_in_millimetres_do_not_convert_the_column(tmp_path: Path) -> None:
    """A month in millimetres among years in metres lifts the mean past what falls anywhere, too."""
    content = make_table.frame()
    content["tp"] *= 1e-4 / content["tp"].mean()
    content.loc[:200, "tp"] *= 1000
    (finding,) = units(tmp_path, content)
    assert "0.001" not in finding.next_command and finding.figures["likely_unit"].startswith("none")


def test_rain_in_millimetres_in_a_dry_place_is_found_by_its_mean_or_by_the_label_amounts(tmp_path: Path) -> None:
    """Where an hour never brings 0.3 mm, millimetres pass for metres by their range alone."""
    content = make_table.frame()
    wet = content["tp"].max()
    content["tp"] *= 0.25 / wet  # up to 0.25 "m" an hour
    (finding,) = units(tmp_path, content)
    assert finding.figures["likely_unit"] == "mm" and finding.figures["mean"] > 0.004
    drizzle = make_table.frame()
    drizzle["tp"] *= 0.01 / wet
    drizzle["precipitation"] *= 0.01 / wet / 1000
    (finding,) = units(tmp_path, drizzle)
    assert finding.what == "tp and the rain of the label period do not agree." and finding.severity == "error"


def test_columns_made_from_a_variable_inherit_its_range_and_are_told_with_it(tmp_path: Path) -> None:
    """Five messages for one wrong column would hide that there is one cause."""
    content = make_table.frame()
    content["t2m"] -= 273.15
    content["t2m_lag_1d"] = content["t2m"]
    content["t2m_rolling_mean_7d"] = content["t2m"]
    content["t2m_rolling_std_7d"] = 4.0 + content["t2m"] % 1
    (finding,) = units(tmp_path, content)
    assert finding.figures["columns"] == ["t2m", "t2m_lag_1d", "t2m_rolling_mean_7d"]


def test_a_lag_alone_in_the_wrong_unit_is_found(tmp_path: Path) -> None:
    """The variable itself may have been left out of the table."""
    content = make_table.frame()
    content["tcwv_lag_3d"] = 5.0 + np.arange(len(content)) % 300
    (finding,) = units(tmp_path, content)
    assert finding.figures["column"] == "tcwv_lag_3d" and finding.figures["seen"] == [5, 304]


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("tp_rolling_mean_7d", -1e-5, 0.3),
        ("t2m_rolling_std_7d", 0, 160),
        ("wind_speed", 0, 141.42135623730951),
        ("relative_humidity", 0, 150),
        ("u10", -100, 100),
    ],
)
def test_ranges_follow_from_the_variable_or_the_definition(name: str, low: float, high: float) -> None:
    """A range that is too narrow refuses real weather."""
    allowed = allowed_for(name)
    assert allowed is not None and (allowed.low, allowed.high) == pytest.approx((low, high))


@pytest.mark.parametrize("name", ["rain_rate", "soil", "nino34", "t2m_anomaly", "tp_rolling_sum_7d", "x_lag_1d"])
def test_a_column_that_is_not_known_is_not_judged(name: str) -> None:
    """A user's own feature has whatever range it has."""
    assert allowed_for(name) is None


@pytest.mark.parametrize("kind", ["standard", "minmax"])
def test_scaled_columns_are_told_to_be_scaled_and_not_to_be_celsius(tmp_path: Path, kind: str) -> None:
    """Adding 273.15 to a standardised column would be the wrong cure."""
    content = make_table.frame()
    for name in ("t2m", "sp"):
        values = content[name]
        low, width = (
            (values.mean(), values.std()) if kind == "standard" else (values.min(), values.max() - values.min())
        )
        content[name] = (values - low) / width
    findings = units(tmp_path, content)
    assert [finding.figures["column"] for finding in findings] == ["t2m", "sp"]
    for finding in findings:
        assert finding.severity == "warning" and "looks scaled already" in finding.what
        assert "Celsius" not in str(finding) and finding.figures["likely_unit"] == "scaled"


@pytest.mark.parametrize(("mean", "deviation"), [(-10.0, 1.0), (0.0, 6.0)])
def test_celsius_of_a_cold_place_is_not_taken_for_scaled(tmp_path: Path, mean: float, deviation: float) -> None:
    """A quiet winter at -10 degrees varies by one, and a continental year has a mean near 0."""
    content = make_table.frame()
    content["t2m"] = mean + deviation * np.random.default_rng(0).normal(size=len(content))
    (finding,) = units(tmp_path, content)
    assert finding.severity == "error" and finding.figures["likely_unit"] == "degrees Celsius"


def test_a_constant_column_is_left_to_the_check_of_constants(tmp_path: Path) -> None:
    """A column of ones has no unit; telling the user to convert it would mislead."""
    assert units(tmp_path, make_table.frame().assign(t2m=1.0)) == []


def test_coarse_tables_may_hold_the_rain_of_their_step(tmp_path: Path) -> None:
    """Twelve hours of a rainy season exceed what an hour can bring on average."""
    content = make_table.frame(step_hours=12)
    content["tp"] *= 0.006 / content["tp"].mean()
    content["precipitation"] *= 0.012 * 1000 / content["precipitation"].mean()
    assert units(tmp_path, content) == []


def test_a_few_wet_days_are_not_judged_by_their_mean(tmp_path: Path) -> None:
    """A table of one hurricane has a mean that no year has."""
    content = make_table.frame(n_times=200)
    content[["tp", "precipitation"]] *= 0.008 / content["tp"].mean()
    assert units(tmp_path, content) == []


def test_real_era5_gives_no_error_and_no_warning(tmp_path: Path, shared: Path) -> None:
    """Six years of hourly ERA5 around Yerevan: heat, frost, cloudbursts and all."""
    words = ["--input_dir", str(shared / "data" / "era5-yerevan"), "--output", str(tmp_path / "yerevan.nc")]
    columns = ["--regions", "grid_columns", "--columns", "tp", "t2m", "sp", "u10", "v10", "blh"]
    assert prepare.main([*words, *columns]) == 0
    table = read_table_leniently(tmp_path / "yerevan.nc")
    assert inspect_table(table, CleaningConfig(), context_length=1440, stride_hours=12) == []
