"""Regions that would vanish from training, and what the checks say of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data_provider.cleaning import CleaningConfig
from data_provider.rain_table import read_table_leniently
from data_provider.split_checks import told_once
from data_provider.table_checks import inspect_table
from tests import make_table
from tests.data_provider.test_split_checks import cut, found
from utils.findings import Finding

REGIONS = ("costa", "sierra", "selva")


def of_regions(findings: list[Finding]) -> dict[str, Finding]:
    return {finding.severity: finding for finding in findings if finding.severity in ("error", "warning")}


def three_regions() -> pd.DataFrame:
    return make_table.frame(n_times=600, regions=REGIONS).drop(columns="wind_direction")


def test_a_region_that_loses_all_windows_to_a_blank_column_is_an_error(tmp_path: Path) -> None:
    """A column that begins in a later year made two of five regions vanish, and the program said nothing was wrong."""
    content = three_regions()
    content.loc[:599, "sp"] = np.nan
    findings = found(tmp_path, content)
    finding = of_regions(findings)["error"]
    assert (finding.code, finding.figures["columns"]) == ("DATA_NAN", ["sp"])
    lost = finding.figures["regions"]["costa"]
    assert set(finding.figures["regions"]) == {"costa"} and lost["windows_lost"] == lost["windows"] > 500
    assert "region costa, column sp" in finding.where and f"costa {lost['windows']} of" in finding.evidence
    assert "df.drop(columns=['sp'])" in finding.next_command and "isin(['costa'])" in finding.next_command
    (handled,) = (finding for finding in findings if finding.severity == "handled")
    assert "2 of 3 regions still have windows" in handled.what


@pytest.mark.parametrize("fill", ["drop", "forward"])
def test_the_training_mean_is_offered_only_where_it_brings_windows_back(tmp_path: Path, fill: str) -> None:
    """No fill touches head rows: sending a user with a blank head to another fill costs a run and changes nothing."""
    scattered, head = three_regions(), three_regions()
    scattered.loc[20:599:20, "sp"] = np.nan
    head.loc[:599, "sp"] = np.nan
    for content, helps in ((scattered, True), (head, False)):
        if fill == "forward" and helps:
            continue  # single blanks are bridged: there is nothing to offer
        said = of_regions(found(tmp_path, content, fill=fill))["error"]
        assert ("forward_then_zero" in said.next_command) is helps
        after = of_regions(found(tmp_path, content, fill="forward_then_zero"))
        assert ("error" not in after) is helps


def test_a_notable_share_of_lost_windows_is_a_warning_and_a_small_one_is_not(tmp_path: Path) -> None:
    """A tenth of the record gone is no longer what lags cost; three lag rows are."""
    content = three_regions()
    content.loc[600:800, "sp"] = np.nan
    findings = of_regions(found(tmp_path, content))
    assert set(findings) == {"warning"} and set(findings["warning"].figures["regions"]) == {"sierra"}
    assert "region sierra, column sp" in findings["warning"].where
    content = three_regions()
    content.loc[600:602, "sp"] = np.nan
    assert of_regions(found(tmp_path, content)) == {}


def test_a_region_lost_to_head_rows_is_named_beside_refused_blanks(tmp_path: Path) -> None:
    """Mended one after the other, each fault costs a run."""
    content = three_regions()
    content.loc[:599, "sp"] = np.nan
    content.loc[900:940, "t2m"] = np.nan
    errors = [finding for finding in found(tmp_path, content) if finding.severity == "error"]
    assert [finding.code for finding in errors] == ["DATA_NAN", "DATA_NAN"]
    assert "regions" in errors[1].figures and set(errors[1].figures["regions"]) == {"costa"}


def test_a_region_with_too_few_rows_for_a_window_is_named(tmp_path: Path) -> None:
    """A single row of a region gave it a mark in the model and not one window."""
    content = three_regions()
    finding = of_regions(found(tmp_path, content.drop(index=range(1, 600))))["warning"]
    assert finding.code == "CONTEXT_TOO_LONG" and finding.figures["rows_in_a_row"] == {"costa": 1}
    assert "region costa" in finding.where and "a window takes 48" in finding.evidence
    assert cut(tmp_path, content.drop(index=range(1, 600))).index.region.min() == 1


def test_the_raw_count_of_blanks_is_told_only_where_nothing_else_speaks_of_them(tmp_path: Path) -> None:
    """The same blanks told twice look like two faults; told by nobody they are hidden."""
    content = three_regions()
    content.loc[700:702, "sp"] = np.nan
    decided = found(tmp_path, content)
    raw = inspect_table(read_table_leniently(tmp_path / "table.csv"), CleaningConfig())
    assert [finding.severity for finding in raw] == ["information"] and told_once(raw) == raw
    assert told_once([*raw, *decided]) == decided
