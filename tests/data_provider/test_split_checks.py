"""Faults put into a CSV, and what the checks of windows, labels and features say of each."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from data_provider.cleaning import CleaningConfig
from data_provider.cutting import CutTable, cut_table
from data_provider.rain_table import read_table_leniently
from data_provider.scaling import ScalingConfig
from data_provider.split_checks import describe_columns, inspect_splits
from data_provider.splits import NO_SPLIT, TEST, TRAIN, VALIDATION, SplitConfig
from data_provider.window_checks import verify_windows
from data_provider.windows import WindowIndex
from tests import make_table
from utils.findings import Finding


def cut(
    folder: Path, content: pd.DataFrame | None = None, *, context: int = 48, scale: str = "standard", **clean: Any
) -> CutTable:
    table = read_table_leniently(make_table.write(folder, content=content))
    scaling = ScalingConfig(scale=scale)  # type: ignore[arg-type]
    return cut_table(
        table, SplitConfig(), CleaningConfig(**clean), scaling, context_length=context, stride_hours=table.step_hours
    )


def found(folder: Path, content: pd.DataFrame, *, context: int = 48, **clean: Any) -> list[Finding]:
    parts = cut(folder, content, context=context, **clean)
    findings = inspect_splits(parts, CleaningConfig(**clean), batch_size=16)
    json.dumps([finding.to_json() for finding in findings], allow_nan=False)
    return findings


def test_a_sound_table_gives_no_finding(tmp_path: Path) -> None:
    """An alarm on sound data teaches users to ignore alarms."""
    assert found(tmp_path, make_table.frame()) == []


def the_case() -> pd.DataFrame:
    """Five regions one after another, 2,190 rows 12 hours apart, lags that leave six blank rows at each head."""
    regions = ("costa_norte", "costa_sur", "sierra_norte", "sierra_sur", "selva")
    content = make_table.frame(n_times=2190, regions=regions, step_hours=12)
    for days in (1, 2, 3):
        content[f"tp_lag_{days}d"] = content.groupby("region")["tp"].shift(2 * days)
    return content


def test_the_case_is_named_with_its_columns_rows_times_regions_and_shares(tmp_path: Path) -> None:
    """D1: 389 of 389 batches were skipped, and weeks went into blaming the checkpoint."""
    (finding,) = found(tmp_path, the_case(), context=1440, fill="none")
    assert (finding.code, finding.severity) == ("DATA_NAN", "error")
    figures = finding.figures
    assert figures["columns"] == {"tp_lag_1d": 10, "tp_lag_2d": 20, "tp_lag_3d": 30} and figures["rows"] == 30
    assert figures["regions"]["sierra_norte"] == {
        "rows": 6,
        "first": "2019-01-01T00:00:00 (line 4382)",
        "last": "2019-01-03T12:00:00 (line 4387)",
    }
    # Whole regions: of 2,190 - 1,439 windows of each, 749 have a label; the first six begin in blank rows.
    assert (figures["windows_touched"], figures["windows"]) == (5 * 6, 5 * 749)
    share = 30 / figures["windows"]
    assert figures["share_of_windows"] == pytest.approx(share)
    of_training = figures["share_of_training_windows"]
    assert of_training > share and figures["share_of_batches"] == pytest.approx(1 - (1 - of_training) ** 16)
    stacked = figures["stacked"]
    assert (stacked["rows"], stacked["windows"]) == (7664, 6224) and round(100 * stacked["share"], 1) == 64.1
    batches = f"{100 * figures['share_of_batches']:.1f} % of batches of 16"
    assert "64.1 % of its 6224 windows" in finding.evidence and batches in finding.evidence
    assert "tp_lag_1d, tp_lag_2d, tp_lag_3d" in finding.where
    assert "costa_norte at 2019-01-01T00:00:00 (line 2)" in finding.where


def test_the_default_fill_takes_care_of_the_case_and_says_so(tmp_path: Path) -> None:
    """Handled is not the same as absent: 30 windows were left out."""
    (finding,) = found(tmp_path, the_case(), context=1440)
    assert (finding.code, finding.severity) == ("DATA_NAN", "handled")
    assert finding.figures["missing_values"] == 60 and finding.figures["windows_over_head_rows"] == 30
    assert finding.what == "60 missing values are taken care of; 30 windows are left out for them."


def test_rows_in_another_order_are_stacked_as_they_stand_in_the_file(tmp_path: Path) -> None:
    """Sorted by time, the blank rows of all regions come first: five times six of them touch 30 windows."""
    content = the_case().sort_values(["timestamp", "region"], kind="stable")
    (finding,) = found(tmp_path, content, context=1440, fill="none")
    assert finding.figures["stacked"]["windows_touched"] == 30


def test_a_column_without_any_value_is_not_blamed(tmp_path: Path) -> None:
    """It is dropped before training; counted as blank rows it would hide the columns that are at fault."""
    content = the_case().assign(cape=np.nan)
    finding, constant = found(tmp_path, content, context=1440, fill="none")
    assert "cape" not in finding.figures["columns"] and round(100 * finding.figures["stacked"]["share"], 1) == 64.1
    assert constant.figures["features"] == {
        "cape": {"train_value": None, "kept": False, "changes_later": False, "max_z": None}
    }


@pytest.mark.parametrize("flags", [{"fill": "drop"}, {"drop_bad_windows": True}, {"fill": "forward_then_zero"}])
def test_blanks_that_the_flags_deal_with_are_handled_with_counts(tmp_path: Path, flags: dict) -> None:
    """The same blanks, three ways out of them."""
    content = make_table.frame()
    content.loc[400:420, "t2m"] = np.nan
    (finding,) = found(tmp_path, content, **flags)
    assert finding.severity == "handled" and finding.figures["columns"] == {"t2m": 21}
    # Without a fill 21 rows stay blank, with one the first 6 are filled; a window holds 48 rows.
    left_out = {"drop": 21 + 47, "forward_then_zero": 0}.get(flags.get("fill", ""), 15 + 47)
    assert finding.figures["windows_touched"] == left_out


def test_blanks_beyond_the_fill_are_refused_and_head_rows_are_not_blamed(tmp_path: Path) -> None:
    """Head rows are dropped with all their columns: naming these would hide the column at fault."""
    content = make_table.frame()
    content.loc[:11, "tp"] = np.nan
    content.loc[400:420, "t2m"] = np.nan
    (finding,) = found(tmp_path, content)
    assert finding.severity == "error" and finding.figures["columns"] == {"t2m": 15}
    assert "t2m, first in region costa at 2019-01-17T22:00:00 (line 408)" in finding.where
    assert finding.figures["windows_touched"] == 15 + 47


@pytest.mark.parametrize("fill", ["forward", "none"])
@pytest.mark.parametrize(("n_blank", "hours", "mended"), [(3, 36, True), (9, 48, False)])
def test_rows_further_apart_than_the_longest_fill_get_an_offer_that_bridges(
    tmp_path: Path, fill: str, n_blank: int, hours: int, mended: bool
) -> None:
    """With rows 12 h apart and fills of 6 h at most, "--fill forward" was advised and bridged nothing."""
    content = make_table.frame(step_hours=12)
    content.loc[400 : 399 + n_blank, "t2m"] = np.nan
    (finding,) = found(tmp_path, content, fill=fill)
    assert f"--max_gap_hours {hours} " in finding.next_command and ("bridges all" in finding.next_command) is mended
    (after,) = found(tmp_path, content, fill="forward", max_gap_hours=hours)
    assert (after.severity == "handled") is mended and "max_gap_hours" not in after.next_command


def test_head_rows_alone_get_no_offer_of_a_longer_fill(tmp_path: Path) -> None:
    """The plain forward fill drops them, and no length of it would fill them; a blank column has no gap to bridge."""
    (finding, *_) = found(tmp_path, the_case().assign(sp=np.nan), context=1440, fill="none")
    assert finding.next_command.startswith("--fill forward (repeat")


def test_a_constant_feature_is_named_with_its_value_and_its_fate(tmp_path: Path) -> None:
    """D4: zero variance was one of the case's suspects; dropped or kept, it must be said."""
    content = make_table.frame().assign(sp=90_000.0)
    (finding,) = found(tmp_path, content)
    assert (finding.code, finding.severity) == ("ZERO_VARIANCE", "warning")
    assert finding.evidence == "sp 90000, dropped" and finding.figures["features"]["sp"]["kept"] is False
    (finding,) = found(tmp_path, content, drop_constant=False)
    assert finding.evidence == "sp 90000, kept by --drop_constant false"
    assert finding.figures["features"]["sp"]["train_value"] == 90_000


def test_a_feature_that_changes_only_after_training_is_told_with_its_largest_z(tmp_path: Path) -> None:
    """D5: kept, it jumps from 0 to thousands of "deviations" in the test, where no loss warns."""
    content = make_table.frame()
    train_end = cut(tmp_path, content).ends.train_end
    content.loc[content.timestamp < train_end, "sp"] = 90_000.0
    later = content.loc[content.timestamp >= train_end, "sp"].to_numpy(np.float32).astype(np.float64)
    (finding,) = found(tmp_path, content)
    facts = finding.figures["features"]["sp"]
    assert "changes afterwards" in finding.what and facts["train_value"] == 90_000 and not facts["kept"]
    assert facts["max_z"] == pytest.approx(np.abs(later - 90_000).max() / later.std())
    (finding,) = found(tmp_path, content, drop_constant=False)
    # A spread of 0 is replaced by 1, so the model sees the pressure difference itself.
    assert finding.figures["features"]["sp"]["max_z"] == pytest.approx(np.abs(later - 90_000).max())
    assert finding.severity == "warning" and "of the scale the model sees" in finding.evidence


def test_a_feature_that_becomes_another_constant_is_told_without_a_z(tmp_path: Path) -> None:
    """A sensor that was replaced once: there is no deviation to measure with."""
    content = make_table.frame()
    content["sp"] = np.where(content.timestamp < cut(tmp_path, content).ends.train_end, 90_000.0, 91_000.0)
    (finding,) = found(tmp_path, content)
    assert finding.figures["features"]["sp"]["max_z"] is None and "another constant" in finding.evidence


def test_a_wind_direction_that_never_changes_is_found_behind_its_sine_and_cosine(tmp_path: Path) -> None:
    """The model sees two columns that the table does not have."""
    (finding,) = found(tmp_path, make_table.frame().assign(wind_direction=90.0))
    assert set(finding.figures["features"]) == {"wind_direction_sin", "wind_direction_cos"}


def test_one_class_in_a_split_is_named_with_counts_and_threshold(tmp_path: Path) -> None:
    """D8: accuracy 100 %, skill none, and the cause is a unit."""
    content = make_table.frame()
    ends = cut(tmp_path, content).ends
    late = (content.timestamp >= ends.validation_end) & content.rain_24h.notna()
    content.loc[late, "rain_24h"] = 0.0
    content.loc[late, "precipitation"] /= 1e3
    (finding,) = found(tmp_path, content)
    assert (finding.code, finding.severity) == ("ONE_CLASS", "error") and finding.figures["split"] == "test"
    counts = finding.figures["counts"]
    assert counts[1] == 0 and counts[0] == len(cut(tmp_path, content).whole_windows(TEST)) > 300
    assert f"class counts {counts}, threshold 0.1 mm" in finding.evidence and "in metres" in finding.evidence


@pytest.mark.parametrize(
    ("amount_mm", "likely"),
    [
        (lambda mm: mm, "the labels were not made from these amounts"),
        (lambda mm: mm + 5, "never below the threshold"),
        (lambda mm: mm * np.nan, "no rain amounts to compare"),
    ],
)
def test_the_likely_cause_of_one_class_is_read_from_the_amounts(tmp_path: Path, amount_mm: Any, likely: str) -> None:
    """A threshold of 0.0001 meant as metres, and labels of another table, need different cures."""
    content = make_table.frame()
    content["rain_24h"] = content["rain_24h"].where(content["rain_24h"].isna(), 1.0)
    content["precipitation"] = amount_mm(content["precipitation"])
    findings = found(tmp_path, content)
    assert [finding.figures["split"] for finding in findings] == ["train", "validation", "test"]
    assert all(finding.code == "ONE_CLASS" and likely in finding.evidence for finding in findings)


def test_a_threshold_with_one_class_in_a_split_is_said_and_the_rest_is_made(tmp_path: Path) -> None:
    """A heavy rain that a short test never sees leaves one threshold undefined; the others can still be scored."""
    content = make_table.frame()
    ends = cut(tmp_path, content).ends
    (tmp_path / "table.json").write_text('{"threshold_mm": [0.1, 1, 5]}')
    heavy = content.rain_24h.notna() & (content.precipitation >= 5)
    content["rain_24h"] = content.rain_24h.where(~heavy, 3.0)
    content.loc[(content.timestamp >= ends.validation_end) & heavy, "rain_24h"] = 2.0
    (finding,) = found(tmp_path, content)
    assert (finding.code, finding.severity) == ("ONE_CLASS", "warning")
    assert "test split" in finding.what and "5 mm is never reached" in finding.what
    assert finding.figures["thresholds_mm"] == [5.0] and finding.figures["counts"][3] == 0


def test_refused_blanks_are_the_only_complaint_about_windows(tmp_path: Path) -> None:
    """With every window touched, "the split is empty" would be a second name for the same fault."""
    content = make_table.frame()
    content["t2m"] = content["t2m"].where(np.arange(len(content)) % 60 > 30)
    (finding,) = found(tmp_path, content)
    assert finding.code == "DATA_NAN" and finding.figures["share_of_windows"] > 0.9


def test_a_split_without_windows_is_called_empty(tmp_path: Path) -> None:
    """One class and no window at all need different cures."""
    content = make_table.frame()
    ends = cut(tmp_path, content).ends
    content.loc[content.timestamp >= ends.validation_end, "rain_24h"] = np.nan
    (finding,) = found(tmp_path, content)
    assert finding.code == "SPLIT_EMPTY" and finding.figures == {
        "split": "test", "counts": [0, 0], "threshold_mm": [0.1], "likely": ""
    }  # fmt: skip


def test_extreme_training_values_are_named_with_count_rows_and_maximum(tmp_path: Path) -> None:
    """D13: possible for the planet, impossible for the place, and the gradient follows it."""
    content = make_table.frame()
    content["sp"] = 90_000 + 30 * np.random.default_rng(0).normal(size=len(content))
    content.loc[[700, 1510], "sp"] = [60_000.0, 95_000.0]
    content.loc[1499, "sp"] = 60_000.0  # in the test period: not a training value
    (finding,) = found(tmp_path, content)
    assert (finding.code, finding.severity) == ("DATA_EXTREME", "warning")
    figures = finding.figures
    assert (figures["feature"], figures["count"], figures["region"], figures["raw"]) == ("sp", 1, "costa", 60_000)
    assert figures["rows"] == ["2019-01-30T04:00:00 (line 702)"] and figures["time"] == "2019-01-30T04:00:00"
    parts = cut(tmp_path, content)
    column = parts.preprocessing.variables.index("sp")
    assert figures["max"] == pytest.approx(abs(parts.values[0, 700, column])) and figures["max"] > 10


def test_heavy_rain_is_information_and_damaged_rain_a_warning(tmp_path: Path) -> None:
    """Rain is zero in most hours: every record of real rain has hours 20 deviations out."""
    content = make_table.frame()
    content["tp"] /= 5
    content.loc[700, "tp"] = 0.02
    (finding,) = found(tmp_path, content)
    assert (finding.code, finding.severity) == ("DATA_EXTREME", "information")
    content.loc[700, "tp"] = 0.2
    (finding,) = found(tmp_path, content)
    assert finding.severity == "warning" and finding.figures["raw"] == pytest.approx(0.2)


def shifted(index: WindowIndex, by: int) -> WindowIndex:
    return replace(index, end=index.end + by)


@pytest.mark.parametrize(
    ("by", "said"), [(1, "do not end at their init time"), (-1, "rows of two regions"), (1500, "two regions")]
)
def test_windows_moved_by_a_row_are_caught(tmp_path: Path, by: int, said: str) -> None:
    """One row too late puts the first hour of the label into the input; one region off mixes coast and highlands."""
    parts = cut(tmp_path)
    assert verify_windows(parts) == []
    findings = verify_windows(replace(parts, index=shifted(parts.index, by)))
    assert findings and {finding.code for finding in findings} == {"REGION_CROSS"}
    assert any(said in finding.what for finding in findings) and findings[0].severity == "error"


@pytest.mark.parametrize("region", [0, 1])
def test_a_window_that_straddles_two_regions_is_named(tmp_path: Path, region: int) -> None:
    """In the case 16-64 % of the windows did; a single one is enough to be found."""
    parts = cut(tmp_path)
    end = parts.index.end.copy()
    number = int(np.flatnonzero(parts.index.region == region)[0])
    end[number] = 1500 + 20
    (finding,) = verify_windows(replace(parts, index=replace(parts.index, end=end)))
    assert (
        finding.what == "1 window holds rows of two regions."
        and finding.figures["region"] == ("costa", "sierra")[region]
    )
    assert finding.figures["end_row"] == 1520 and finding.figures["init_time"] == "2019-01-02T23:00:00"


def test_a_label_of_another_row_is_caught(tmp_path: Path) -> None:
    """Labels that slip by a row still look like labels."""
    parts = cut(tmp_path)
    label = parts.index.label.copy()
    label[5] = 1 - label[5]
    (finding,) = verify_windows(replace(parts, index=replace(parts.index, label=label)))
    assert "label of another row" in finding.what and finding.figures["windows"] == 1


def test_a_label_period_across_a_split_is_caught(tmp_path: Path) -> None:
    """Rain of the first validation day as a training target is a leak that no score shows."""
    parts = cut(tmp_path)
    assigned = parts.assigned.copy()
    crossing = np.flatnonzero(assigned == NO_SPLIT)
    assigned[crossing[0]] = TRAIN
    (finding,) = verify_windows(replace(parts, assigned=assigned))
    assert finding.code == "REGION_CROSS" and "out of its split" in finding.what and finding.figures["windows"] == 1
    assigned[:] = VALIDATION
    (finding,) = verify_windows(replace(parts, assigned=assigned))
    assert finding.figures["windows"] == int((parts.assigned != VALIDATION).sum())


def test_a_window_across_a_gap_is_caught(tmp_path: Path) -> None:
    """An index made before a row went missing would close the gap up."""
    parts = cut(tmp_path)
    present = parts.table.present.copy()
    present[1, 700] = False
    (finding,) = verify_windows(replace(parts, table=replace(parts.table, present=present)))
    assert finding.code == "TIME_GAP" and finding.figures["windows"] == 48 and finding.figures["region"] == "sierra"


def test_ranges_are_plain_figures(tmp_path: Path) -> None:
    """The diagnosis writes them to JSON and shows them as a table."""
    content = make_table.frame()
    content.loc[400:402, "t2m"] = np.nan
    parts = cut(tmp_path, content)
    columns = describe_columns(parts)
    json.dumps(columns, allow_nan=False)
    raw = columns["raw"]["t2m"]
    assert raw["missing"] == 3 and raw["mean"] == pytest.approx(content.t2m.mean(), rel=1e-6)
    assert raw["low"] == pytest.approx(content.t2m.min(), rel=1e-6)
    assert columns["scaled"]["t2m"]["missing"] == 0  # three hours are filled forward
    assert columns["scaled_training"]["t2m"]["deviation"] == pytest.approx(1, abs=1e-5)
    assert abs(columns["scaled"]["t2m"]["mean"]) > 1e-4
    assert columns["target"]["precipitation"]["high"] == pytest.approx(content.precipitation.max(), rel=1e-6)
    assert columns["target"]["precipitation"]["missing"] == 48
