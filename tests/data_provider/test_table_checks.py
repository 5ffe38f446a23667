"""Faults put into a CSV, and what the checks of the raw table say of each: code, column, time, count, severity."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data_provider.cleaning import CleaningConfig
from data_provider.rain_table import RainTable, read_table, read_table_leniently
from data_provider.table_checks import inspect_table
from tests import make_table
from utils.errors import DataError
from utils.findings import Finding


def lenient(folder: Path, content: pd.DataFrame) -> RainTable:
    return read_table_leniently(make_table.write(folder, content=content))


def found(folder: Path, content: pd.DataFrame, *, context: int | None = None, **clean: bool) -> dict[str, Finding]:
    """Write a table, inspect it, and return its findings by code; no code may come twice."""
    findings = inspect_table(lenient(folder, content), CleaningConfig(**clean), context_length=context, stride_hours=6)  # type: ignore[arg-type]
    by_code = {finding.code: finding for finding in findings}
    assert len(by_code) == len(findings)
    json.dumps([finding.to_json() for finding in findings], allow_nan=False)
    return by_code


def test_a_sound_table_gives_no_finding(tmp_path: Path) -> None:
    """An alarm on sound data teaches users to ignore alarms."""
    assert found(tmp_path, make_table.frame(), context=48) == {}


def test_an_infinite_cell_is_named_by_column_time_and_line(tmp_path: Path) -> None:
    """D3: the reader must let the table through to the checks, and the checks must stop it."""
    content = make_table.frame()
    content.loc[1507, "sp"] = -np.inf
    content.loc[[30, 31], "t2m"] = np.inf
    finding = found(tmp_path, content)["DATA_INF"]
    assert finding.severity == "error"
    assert finding.figures["columns"] == {"t2m": 2, "sp": 1} and finding.figures["rows"] == 3
    assert finding.figures["regions"] == ["costa", "sierra"]
    assert "column t2m, first in region costa at 2019-01-02T06:00:00 (line 32)" in finding.where
    assert found(tmp_path, content, drop_bad_windows=True)["DATA_INF"].severity == "handled"
    with pytest.raises(DataError) as caught:
        read_table(tmp_path / "table.csv")
    assert caught.value.code == "DATA_INF"


def test_a_number_too_large_for_single_precision_is_infinite(tmp_path: Path) -> None:
    """1e39 is finite in the file and infinite in the model."""
    content = make_table.frame()
    content.loc[3, "t2m"] = 1e39
    assert found(tmp_path, content)["DATA_INF"].figures["columns"] == {"t2m": 1}


@pytest.mark.parametrize("wrong", [-1.0, 2.0, 0.5, np.inf])
def test_a_label_outside_the_classes_is_named_with_its_value_and_rows(tmp_path: Path, wrong: float) -> None:
    """D7: -1 as "unknown" would be the last class in many losses; 2 would be read beyond the last logit."""
    content = make_table.frame()
    content.loc[[40, 41, 1600], "rain_24h"] = wrong
    finding = found(tmp_path, content)["LABEL_RANGE"]
    assert finding.severity == "error" and finding.what.startswith("3 labels")
    assert finding.figures["values"] == {f"{wrong:g}": 3} and finding.figures["lines"] == [42, 43, 1602]
    assert "region costa at 2019-01-02T16:00:00 (line 42)" in finding.where
    assert found(tmp_path, content, drop_bad_windows=True)["LABEL_RANGE"].severity == "handled"
    table = lenient(tmp_path, content)
    assert (table.label[0, [40, 41]] == -1).all() and table.label[0, 42] == content.rain_24h[42]


def test_a_blank_label_is_no_fault(tmp_path: Path) -> None:
    """The last day of every record has no label yet."""
    content = make_table.frame()
    content.loc[100:140, "rain_24h"] = np.nan
    assert found(tmp_path, content) == {}


def test_more_classes_need_their_thresholds_in_the_description(tmp_path: Path) -> None:
    """Class 2 of a table of three classes is right once the .json says so."""
    content = make_table.frame()
    content.loc[10:20, "rain_24h"] = 2.0
    content.loc[21, "rain_24h"] = -1.0
    finding = found(tmp_path, content)["LABEL_RANGE"]
    assert finding.figures["rows"] == 12 and "value -1 in 1 row, 2 in 11 rows" in finding.evidence
    content.loc[21, "rain_24h"] = 2.0
    (tmp_path / "table.json").write_text(json.dumps({"label_name": "rain_24h", "threshold_mm": [0.1, 3.0]}))
    assert found(tmp_path, content) == {}


def test_absent_rows_are_named_and_their_windows_counted(tmp_path: Path) -> None:
    """D9: a gap was left out in silence; now its place, its length and its cost are said."""
    content = make_table.frame()
    gaps = [*range(300, 321), *range(1500 + 300, 1500 + 321), 700]
    finding = found(tmp_path, content.drop(index=gaps), context=48)["TIME_GAP"]
    assert finding.severity == "error" and finding.figures["rows"] == 43 and finding.figures["n_gaps"] == 3
    assert finding.figures["longest_rows"] == 21 and "21 rows (21 h) in region costa" in finding.evidence
    assert "2019-01-13T12:00:00 to 2019-01-14T08:00:00 in all regions" in finding.where
    assert "2019-01-30T04:00:00 to 2019-01-30T04:00:00 in region costa" in finding.where
    # Windows of 48 rows every 6 hours: those that end at 300, 306, ..., 366 (12 in each region), and 702, ..., 744 (8).
    assert (finding.figures["windows_lost"], finding.figures["windows"]) == (12 + 12 + 8, 2 * 242)
    assert "--drop_bad_windows" in finding.next_command
    assert found(tmp_path, content.drop(index=gaps), drop_bad_windows=True)["TIME_GAP"].severity == "handled"


def test_a_gap_in_a_table_of_one_region_names_the_region(tmp_path: Path) -> None:
    """Calling one region "all regions" would send the user looking for others."""
    content = make_table.frame(regions=("costa",)).drop(index=[40])
    assert "2019-01-02T16:00:00 in region costa" in found(tmp_path, content)["TIME_GAP"].where


def test_a_region_that_begins_later_has_no_gap(tmp_path: Path) -> None:
    """A station that was added in the second year has a shorter record, not a hole."""
    content = make_table.frame()
    late = content[(content.region == "sierra") & (content.timestamp < "2019-01-20")].index
    early = content[(content.region == "costa") & (content.timestamp > "2019-02-20")].index
    assert found(tmp_path, content.drop(index=[*late, *early]), context=48) == {}


def test_rows_that_are_there_but_wholly_blank_count_as_a_gap_and_are_told_apart(tmp_path: Path) -> None:
    """A table put on a regular axis by `reindex` looks whole and is not."""
    content = make_table.frame()
    content.loc[300:309, [*make_table.FEATURES]] = np.nan
    finding = found(tmp_path, content.drop(index=[500]))["TIME_GAP"]
    assert finding.figures["rows"] == 11 and "10 of them stand in the file" in finding.evidence


def test_equal_rows_are_merged_and_said(tmp_path: Path) -> None:
    """The same month appended twice does no harm; a silent merge would hide that it happened."""
    content = make_table.frame()
    content.loc[8, "tp"] = np.nan
    twice = pd.concat([content, content.iloc[5:10]])
    by_code = found(tmp_path, twice)
    finding = by_code["TIME_DUPLICATE"]
    assert finding.severity == "handled" and finding.figures["rows"] == 5
    assert "region costa at 2019-01-01T05:00:00 (line 3002)" in finding.where and "(line 7)" in finding.evidence
    in_place = content.iloc[[*range(10), 9, *range(10, 3000)]]
    assert [finding.code for finding in inspect_table(lenient(tmp_path, in_place), CleaningConfig())] == [
        "TIME_DUPLICATE", "DATA_NAN"
    ]  # fmt: skip
    straight, merged = lenient(tmp_path, content), lenient(tmp_path, twice)
    assert np.array_equal(straight.values, merged.values, equal_nan=True)
    assert np.array_equal(straight.label, merged.label)


@pytest.mark.parametrize(
    ("column", "said"), [("t2m", "t2m"), ("rain_24h", "label"), ("precipitation", "precipitation")]
)
def test_rows_that_contradict_each_other_are_refused(tmp_path: Path, column: str, said: str) -> None:
    """Which of the two is right nobody can know, also when only the label differs."""
    content = make_table.frame()
    second = content.iloc[5:7].copy()
    second.loc[6, column] = 1 - second.loc[6, column] if column == "rain_24h" else second.loc[6, column] + 1
    finding = {
        finding.severity: finding
        for finding in inspect_table(lenient(tmp_path, pd.concat([content, second])), CleaningConfig())
    }
    assert finding["handled"].figures["rows"] == 1 and finding["error"].code == "TIME_DUPLICATE"
    assert finding["error"].figures["rows"] == 1 and finding["error"].evidence.startswith(f"{said} ")
    assert "2019-01-01T06:00:00 (line 3003)" in finding["error"].where and "(line 8)" in finding["error"].evidence


def test_unsorted_rows_are_sorted_and_counted(tmp_path: Path) -> None:
    """A table sorted by date as text is in disorder within each region."""
    content = make_table.frame()
    order = [*range(100), 101, 100, *range(102, 2000), 2001, 2000, *range(2002, 3000)]
    finding = found(tmp_path, content.iloc[order])["TIME_UNSORTED"]
    assert finding.severity == "handled" and finding.figures["rows"] == 2
    assert "region costa at 2019-01-05T04:00:00 (line 103)" in finding.where
    assert found(tmp_path, content.sort_values(["timestamp", "region"])) == {}


def test_raw_blanks_are_counted_by_column_and_region(tmp_path: Path) -> None:
    """Whether they do harm depends on the flags; that they are there does not."""
    content = make_table.frame()
    content.loc[[4, 5, 6, 1800], "t2m"] = np.nan
    content.loc[5, "sp"] = np.nan
    # An hour that is absent is a gap, not a blank.
    finding = found(tmp_path, content.drop(index=[2900]))["DATA_NAN"]
    assert finding.severity == "information"
    assert finding.figures["columns"] == {"t2m": 4, "sp": 1} and finding.figures["rows"] == 4
    assert finding.figures["regions"]["costa"] == {
        "rows": 3,
        "first": "2019-01-01T04:00:00 (line 6)",
        "last": "2019-01-01T06:00:00 (line 8)",
    }
    assert finding.figures["regions"]["sierra"]["first"] == "2019-01-13T12:00:00 (line 1802)"


def test_one_is_singular(tmp_path: Path) -> None:
    """A text such as "1 rows are" reads like the work of a program that nobody looked at."""
    content = make_table.frame()
    content.loc[7, "sp"] = np.inf
    content.loc[9, "rain_24h"] = -1
    content.loc[40, "t2m"] = np.nan
    contradicting = content.iloc[[30]].assign(tp=0.1)
    content = pd.concat([content.drop(index=[200]), content.iloc[[60]], contradicting])
    said = [str(finding) for finding in inspect_table(lenient(tmp_path, content), CleaningConfig(), context_length=48)]
    assert len(said) == 7 and sum(": 1 " in text for text in said) == 6
    for text in said:
        assert not re.search(r"\b1 (rows|values|labels|gaps|times|windows|steps|features|regions)\b", text), text


def test_several_faults_are_listed_together(tmp_path: Path) -> None:
    """A user who mends one fault an hour gives up at the third."""
    content = make_table.frame()
    content.loc[7, "sp"] = np.inf
    content.loc[9, "rain_24h"] = -1
    content["t2m"] -= 273.15
    content = pd.concat([content.drop(index=[200]), content.iloc[[30]].assign(tp=0.1)])
    by_code = found(tmp_path, content)
    assert {"DATA_INF", "LABEL_RANGE", "TIME_GAP", "TIME_DUPLICATE", "DATA_RANGE"} <= set(by_code)
    with pytest.raises(DataError) as caught:
        read_table(tmp_path / "table.csv")
    assert all(code in str(caught.value) for code in ("DATA_INF", "LABEL_RANGE", "TIME_DUPLICATE"))


def test_a_netcdf_table_with_wrong_rows_is_inspected_like_a_csv(tmp_path: Path) -> None:
    """The two files of one table must not differ in what they are refused for."""
    xr = pytest.importorskip("xarray")
    times = pd.date_range("2019-01-01", periods=300, freq="h").delete([100, 101])
    generator = np.random.default_rng(0)
    shape = (len(times), 2)
    dataset = xr.Dataset(
        {
            "t2m": (("time", "region"), generator.normal(290, 3, shape)),
            "precipitation": (("time", "region"), np.ones(shape)),
            "rain_24h": (("time", "region"), generator.integers(0, 2, shape).astype(np.int8)),
        },
        coords={"time": times, "region": ["a", "b"]},
        attrs={
            "feature_names": '["t2m"]',
            "label_name": "rain_24h",
            "lead_time_hours": 24,
            "accumulation_hours": 24,
            "threshold_mm": "[0.1]",
        },
    )
    dataset["t2m"][50, 1] = np.inf
    dataset["rain_24h"][60, 0] = 7
    dataset["rain_24h"][-24:] = -1
    dataset.to_netcdf(tmp_path / "table.nc")
    findings = inspect_table(read_table_leniently(tmp_path / "table.nc"), CleaningConfig(), context_length=24)
    by_code = {finding.code: finding for finding in findings}
    assert set(by_code) == {"DATA_INF", "LABEL_RANGE", "TIME_GAP"}
    assert "region b at 2019-01-03T02:00:00" in by_code["DATA_INF"].where and "line" not in by_code["DATA_INF"].where
    assert by_code["LABEL_RANGE"].figures["values"] == {"7": 1} and by_code["TIME_GAP"].figures["rows"] == 4


def test_times_with_an_offset_are_put_into_utc(tmp_path: Path) -> None:
    """Programs write 2019-01-01T00:00:00-05:00; read as UTC, every label would be five hours off."""
    content = make_table.frame(n_times=100)
    content["timestamp"] = content["timestamp"].dt.tz_localize("UTC").dt.tz_convert("America/Lima")
    assert lenient(tmp_path, content).times[0] == np.datetime64("2019-01-01T00:00:00")
