"""Numbers that other programs write for "missing" are named with their count and how to blank them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from data_provider.fill_values import find_fill_value
from data_provider.rain_table import read_table_leniently
from data_provider.unit_checks import inspect_units
from tests import make_table
from tests.data_provider.test_split_checks import found

MARKS = [9.969209968386869e36, 1e20, 1e15, 9999.0, -9999.0, -999.0, -32767.0]


@pytest.mark.parametrize("mark", MARKS)
@pytest.mark.parametrize("count", [1, 21, 600])
def test_a_mark_in_a_users_column_is_named_with_its_count_and_its_cure(tmp_path: Path, mark: float, count: int) -> None:
    """Six hundred cells of -9999 pull mean and deviation after them, so that none of them looks extreme."""
    content = make_table.frame()
    content["ndvi"] = np.random.default_rng(0).uniform(size=len(content))
    content.loc[np.arange(count) * 5, "ndvi"] = mark
    (finding,) = (one for one in found(tmp_path, content) if one.code == "DATA_EXTREME")
    assert finding.severity == "warning" and finding.figures["count"] == count
    assert "column ndvi, first in region costa at 2019-01-01T00:00:00 (line 2)" in finding.where
    assert f"{mark:.6g} in {count} of 3000 rows" in finding.evidence
    exec(finding.next_command.split(": ")[1], {"df": content})
    assert content["ndvi"].isna().sum() == count and content["ndvi"].max() <= 1


@pytest.mark.parametrize(
    "values", [np.arange(8000, 10_000.0), np.array([-999.0, -500.0, 0.0]), np.full(9, -9999.0), np.full(3, np.nan)]
)
def test_a_value_among_others_like_it_is_no_mark(values: np.ndarray) -> None:
    """Geopotential or a count of days may well pass through 9999."""
    assert find_fill_value(values) is None


def test_a_mark_in_a_known_column_is_blanked_and_not_converted(tmp_path: Path) -> None:
    """-9999 is no temperature in any unit."""
    content = make_table.frame()
    content.loc[40:60, "t2m"] = -9999.0
    (finding,) = inspect_units(read_table_leniently(make_table.write(tmp_path, content=content)))
    assert finding.code == "DATA_RANGE" and "-9999 in 21 rows" in finding.next_command
    assert "df['t2m'].replace(-9999, float('nan'))" in finding.next_command


def test_a_column_without_a_value_is_called_blank_and_not_constant(tmp_path: Path) -> None:
    """A user who is told that a blank column is constant looks for a value that is not there."""
    (finding,) = (one for one in found(tmp_path, make_table.frame().assign(ndvi=np.nan)) if one.code == "ZERO_VARIANCE")
    assert "blank in all training rows" in finding.what and "constant" not in str(finding)
    assert finding.evidence == "ndvi wholly blank, dropped"
