"""Rows D1 and D3-D9, D13 of the fault matrix, through the real program: literal code, exit code, state of the disk.

Each fault is written into a CSV. D2 is in test_fault_matrix.py, D10-D12 in data_provider/test_file_faults.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import run as program
from tests import make_table

Table = pd.DataFrame


def start(folder: Path, capsys: pytest.CaptureFixture[str], content: Table, *words: str) -> tuple[int, str, dict]:
    """Train on a table; return exit code, all that was said, and the only diagnosis there is."""
    make_table.write(folder, content=content)
    places = ["--root_path", str(folder), "--data_path", "table.csv", "--checkpoints", str(folder / "runs")]
    code = program.main(["--preset", "smoke", *places, *words])
    said = capsys.readouterr()
    assert "Traceback" not in said.err
    (report,) = (folder / "runs").rglob("diagnosis.json")
    if code:
        left = [path for path in (folder / "runs").rglob("*") if path.is_file()]
        assert sorted(path.name for path in left) == ["diagnosis.html", "diagnosis.json"], "report only"
    return code, said.out + said.err, json.loads(report.read_text())


def finding(report: dict, code: str) -> dict:
    """Return the finding with this code that weighs most."""
    order = ("error", "warning", "handled", "information")
    return min((f for f in report["findings"] if f["code"] == code), key=lambda f: order.index(f["severity"]))


def with_cell(column: str, value: float, rows: slice = slice(700, 701)) -> Callable[[Table], Table]:
    """Write a value into some rows of a column."""

    def change(content: Table) -> Table:
        content = content.copy()
        content[column] = content[column].astype(float)
        content.iloc[rows, content.columns.get_loc(column)] = value
        return content

    return change


def without_rows(content: Table) -> Table:
    """Cut ten hours out of the first region."""
    return content.drop(index=range(700, 710))


def contradicting(content: Table) -> Table:
    """Give one hour of a region a second row with another temperature."""
    return pd.concat([content, content.iloc[[700]].assign(t2m=299.0)], ignore_index=True)


REFUSED: dict[str, tuple[Callable[[Table], Table], str, tuple[str, ...]]] = {
    "D3": (with_cell("t2m", np.inf), "DATA_INF", ("t2m", "2019-01-30T04:00:00", "costa")),
    "D6 millimetres": (lambda c: c.assign(tp=c.tp * 1000), "DATA_RANGE", ("tp", "mm")),
    "D6 Celsius": (lambda c: c.assign(t2m=c.t2m - 273.15), "DATA_RANGE", ("t2m", "Celsius")),
    "D7 minus one": (with_cell("rain_24h", -1.0), "LABEL_RANGE", ("-1", "line 702")),
    "D7 n_classes": (with_cell("rain_24h", 2.0), "LABEL_RANGE", ("2", "line 702")),
    "D8": (lambda c: c.assign(rain_24h=c.rain_24h.where(c.rain_24h.isna(), 1.0)), "ONE_CLASS", ("train", "threshold")),
    "D9 gap": (without_rows, "TIME_GAP", ("costa", "2019-01-30", "--drop_bad_windows")),
    "D9 duplicate": (contradicting, "TIME_DUPLICATE", ("costa", "2019-01-30T04:00:00", "--drop_bad_windows")),
}


@pytest.mark.parametrize("row", REFUSED)
def test_data_that_nothing_can_be_learned_from_end_with_3_and_a_report(
    row: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before the first step, with column, place and a way out; nothing but the report on the disk."""
    change, cause, parts = REFUSED[row]
    code, said, report = start(tmp_path, capsys, change(make_table.frame()))
    assert code == 3 and report["verdict"]["code"] == cause
    text = json.dumps(finding(report, cause)) + said
    assert all(part in text for part in parts), [part for part in parts if part not in text]
    assert finding(report, cause)["next"]


def test_d1_the_blank_lag_rows_of_the_case_are_named_with_the_share_of_its_windows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Columns, rows, times, region, and the 64.1 % that the case's loader made of them."""
    regions = ("costa_norte", "costa_centro", "costa_sur", "sierra", "selva")
    content = make_table.frame(n_times=2190, regions=regions, step_hours=12)
    for name in ("tp", "t2m", "sp"):
        content[f"{name}_lag_3d"] = content.groupby("region")[name].shift(6)
    words = ("--fill", "none", "--seq_len", "1440", "--input_token_len", "480", "--output_token_len", "480")
    code, said, report = start(tmp_path, capsys, content, *words)
    figures = finding(report, "DATA_NAN")["figures"]
    assert code == 3 and report["verdict"]["code"] == "DATA_NAN" and "64.1 % of its 6224 windows" in said
    assert figures["stacked"]["share"] == pytest.approx(0.641, abs=5e-4) and figures["rows"] == 30
    assert set(figures["columns"]) == {"tp_lag_3d", "t2m_lag_3d", "sp_lag_3d"} and set(figures["regions"]) == set(
        regions
    )
    assert "2019-01-01T00:00:00" in said and "costa_norte" in said
    assert any("without columns tp_lag_3d" in sentence for sentence in report["verdict"]["rules_out"])


@pytest.mark.parametrize("change", [without_rows, contradicting], ids=["gap", "duplicate"])
def test_d9_with_drop_bad_windows_the_run_goes_on_and_counts_what_it_left_out(
    change: Callable[[Table], Table], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A missing day must not cost a whole record, nor vanish in silence."""
    code, said, report = start(tmp_path, capsys, change(make_table.frame()), "--drop_bad_windows")
    cause = "TIME_GAP" if change is without_rows else "TIME_DUPLICATE"
    assert code == 0 and finding(report, cause)["severity"] == "handled" and cause in said
    (config,) = (tmp_path / "runs").rglob("config.json")
    assert sum(json.loads(config.read_text())["splits"]["left_out"].values()) > 4


@pytest.mark.parametrize(
    ("row", "change", "cause", "part"),
    [
        ("D4", lambda c: c.assign(tcc=0.25), "ZERO_VARIANCE", "0.25"),
        ("D5", lambda c: c.assign(snow=np.where(np.arange(len(c)) % 1500 > 1300, 3.0, 0.5)), "ZERO_VARIANCE", "0.5"),
        ("D13", with_cell("sp", 99_000.0), "DATA_EXTREME", "sp"),
    ],
    ids=["D4", "D5", "D13"],
)
def test_data_that_only_look_strange_are_told_recorded_and_trained_on(
    row: str, change, cause: str, part: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A constant column, one that wakes up in the test, a value far out: warned of, not refused."""
    code, said, report = start(tmp_path, capsys, change(make_table.frame()))
    found = finding(report, cause)
    assert code == 0 and found["severity"] == "warning" and cause in said and part in json.dumps(found)


def test_d4_a_constant_column_is_kept_on_request(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Dropped or kept is the user's choice, and recorded."""
    content = make_table.frame().assign(tcc=0.25)
    code, _, report = start(tmp_path, capsys, content, "--drop_constant", "no")
    (config,) = (tmp_path / "runs").rglob("config.json")
    assert code == 0 and "tcc" in json.loads(config.read_text())["variables"]
    assert "kept" in json.dumps(finding(report, "ZERO_VARIANCE"))


def test_shuffled_rows_are_sorted_and_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Order in the file is no fault of the data; the windows are made in time."""
    content = make_table.frame().sample(frac=1.0, random_state=0)
    code, said, report = start(tmp_path, capsys, content)
    assert code == 0 and finding(report, "TIME_UNSORTED")["severity"] == "handled" and "TIME_UNSORTED" in said
