"""D9: gaps, contradicting rows, wrong labels and infinite values end a run with 3, or cost counted windows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import run as program
from data_provider import prepare, synthetic_era5
from data_provider.cleaning import CleaningConfig
from data_provider.factory import DataConfig, Splits, load_splits
from data_provider.rain_table import RainTable, read_table_leniently
from data_provider.scaling import ScalingConfig
from data_provider.splits import SplitConfig
from tests import make_table
from utils.errors import DataError

CONTEXT = 48
SMALL = ["--model", "logistic_regression", "--seq_len", "48", "--sample_stride_hours", "6", "--device", "cpu"]


def load(folder: Path, content: pd.DataFrame | None = None, table: RainTable | None = None, **clean: Any) -> Splits:
    if content is not None:
        make_table.write(folder, content=content)
    return load_splits(
        DataConfig(root_path=str(folder), data_path="table.csv", seq_len=CONTEXT, sample_stride_hours=1),
        SplitConfig(),
        CleaningConfig(**clean),
        ScalingConfig(),
        context_length=CONTEXT,
        device=torch.device("cpu"),
        table=table,
    )


def gap(content: pd.DataFrame) -> pd.DataFrame:
    return content.drop(index=range(400, 410))


def contradiction(content: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([content, content.loc[[400]].assign(t2m=250.0)])


def infinite(content: pd.DataFrame) -> pd.DataFrame:
    content.loc[400, "sp"] = np.inf
    return content


def wrong_label(content: pd.DataFrame) -> pd.DataFrame:
    content.loc[[400, 401], "rain_24h"] = 5.0
    return content


def blank(content: pd.DataFrame) -> pd.DataFrame:
    content.loc[400:409, "t2m"] = np.nan
    return content


CASES = [
    # Every window that holds a bad row is lost: 48 rows of context beside the row itself; wrong labels cost their own.
    (gap, "TIME_GAP", "time_gap", 10 + 47),
    (contradiction, "TIME_DUPLICATE", "contradicting_rows", 48),
    (infinite, "DATA_INF", "infinite_values", 48),
    (wrong_label, "LABEL_RANGE", "label_out_of_range", 2),
    (blank, "DATA_NAN", "missing_values", 10 - 6 + 47),
]


@pytest.mark.parametrize(("damage", "code", "cause", "lost"), CASES)
def test_bad_windows_are_refused_or_left_out_and_counted(
    tmp_path: Path, damage: Any, code: str, cause: str, lost: int
) -> None:
    """A flag that drops silently, or drops too much, hides a fault instead of handling it."""
    whole = load(tmp_path, make_table.frame())
    with pytest.raises(DataError) as caught:
        load(tmp_path, damage(make_table.frame()))
    assert caught.value.code == code and caught.value.exit_code == 3
    splits = load(tmp_path, drop_bad_windows=True)
    assert splits.left_out[cause] == lost
    assert {name for name, count in splits.left_out.items() if count} == {
        cause, "without_label", "across_a_split_boundary",
    }  # fmt: skip
    assert splits.left_out["without_label"] == whole.left_out["without_label"]
    assert len(whole.train) - len(splits.train) == lost and len(whole.test) == len(splits.test)
    assert [finding.severity for finding in splits.findings if finding.code == code][-1] == "handled"
    for part in splits.sets:
        assert torch.isfinite(part.inputs(torch.arange(len(part)))).all()
        assert set(part.labels.tolist()) == {0, 1}


@pytest.mark.parametrize(("damage", "code", "cause", "lost"), CASES[:3])
def test_no_window_that_is_kept_holds_a_bad_row(tmp_path: Path, damage: Any, code: str, cause: str, lost: int) -> None:
    """Also not a filled one: a value made up for a contradicting or infinite row is still made up."""
    splits = load(tmp_path, damage(make_table.frame()), drop_bad_windows=True)
    bad = np.arange(400, 410) if cause == "time_gap" else np.array([400])
    for part in splits.sets:
        row, of_costa = part.index.end, part.index.region == 0
        assert not (of_costa & (row >= bad[0]) & (row < bad[-1] + CONTEXT)).any()
    assert (
        splits.table.present[1].all()
        and not splits.table.present[0, bad].any()
        and np.isnan(splits.table.values[0, bad]).all()
    )
    assert (splits.table.label[0, bad] == -1).all() and splits.table.label[0, 399] >= 0


def test_a_contradiction_in_one_region_costs_no_window_of_another(tmp_path: Path) -> None:
    """The same hour of the other regions is sound."""
    content = make_table.frame()
    splits = load(tmp_path, pd.concat([content, content.loc[[1900]].assign(tp=0.1)]), drop_bad_windows=True)
    assert splits.table.present[0].all() and np.flatnonzero(~splits.table.present[1]).tolist() == [400]


def test_a_window_with_two_faults_is_counted_once(tmp_path: Path) -> None:
    """The counts must add up to what is missing from the splits."""
    content = make_table.frame()
    content.loc[[405, 425], "sp"] = np.inf
    splits = load(tmp_path, content.drop(index=range(410, 415)), drop_bad_windows=True)
    assert splits.left_out["time_gap"] == 5 + 47
    # Rows 405 to 409 end windows with the first infinite value alone, rows 462 to 472 with the second alone.
    assert splits.left_out["infinite_values"] == 5 + 11


def test_statistics_do_not_see_what_was_left_out(tmp_path: Path) -> None:
    """One infinity in the mean would make a whole column blank."""
    splits = load(tmp_path, infinite(make_table.frame()), drop_bad_windows=True)
    assert np.isfinite(splits.preprocessing.centre).all() and max(splits.preprocessing.spread) < 1e4


def test_a_table_that_was_read_is_not_read_again(tmp_path: Path) -> None:
    """Eleven years of hours take five seconds to parse; the diagnosis has them already."""
    path = make_table.write(tmp_path)
    table = read_table_leniently(path)
    again = load(tmp_path)
    path.unlink()
    given = load(tmp_path, table=table)
    assert torch.equal(given.train.table, again.train.table) and given.left_out == again.left_out


def test_a_lenient_table_does_not_slip_through_to_training(tmp_path: Path) -> None:
    """The lenient reader is for listing faults; handing its table on must not switch the refusals off."""
    for damage, code, _, _ in CASES:
        table = read_table_leniently(make_table.write(tmp_path, content=damage(make_table.frame())))
        with pytest.raises(DataError) as caught:
            load(tmp_path, table=table)
        assert caught.value.code == code


def test_several_faults_are_refused_in_one_message(tmp_path: Path) -> None:
    """One fault a run costs a night in a queue each."""
    content = make_table.frame()
    content.loc[[2000, 2001], "sp"] = np.inf
    content.loc[900, "rain_24h"] = -1.0
    with pytest.raises(DataError) as caught:
        load(tmp_path, gap(content))
    assert all(code in str(caught.value) for code in ("DATA_INF", "LABEL_RANGE", "TIME_GAP"))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Half a year of synthetic files, whole and without March, and a table of each."""
    folder = tmp_path_factory.mktemp("project")
    assert synthetic_era5.main(["--output", str(folder / "era5"), "--years", "2019"]) == 0
    for path in sorted((folder / "era5").glob("*.nc"))[6:]:
        path.unlink()
    (folder / "regions.yaml").write_text("north: {north: 0, west: -80, south: -8, east: -70}\n")
    for name in ("whole", "gap"):
        if name == "gap":
            sorted((folder / "era5").glob("*.nc"))[2].unlink()
        words = ["--input_dir", str(folder / "era5"), "--output", str(folder / f"{name}.nc")]
        columns = ["--regions", str(folder / "regions.yaml"), "--columns", "tp", "t2m", "sp", "tp_lag_1d"]
        assert prepare.main([*words, *columns]) == 0
    return folder


def places(folder: Path, table: str) -> list[str]:
    return ["--root_path", str(folder), "--data_path", table, "--checkpoints", str(folder / "runs")]


@pytest.mark.parametrize("suffix", [".csv", ".nc"])
def test_a_missing_month_is_refused_with_its_days_and_the_flag(
    project: Path, capsys: pytest.CaptureFixture[str], suffix: str
) -> None:
    """Half a year without March was trained on without a word."""
    assert program.main([*SMALL, *places(project, f"gap{suffix}")]) == 3
    said = capsys.readouterr().err
    assert said.startswith("TIME_GAP") and "2019-03-01T00:00:00 to 2019-03-31T23:00:00" in said
    assert "744 rows" in said and "--drop_bad_windows" in said and "windows touch a gap" in said


def test_the_synthetic_data_have_no_gap_and_nothing_to_warn_of(project: Path) -> None:
    """The quick start is the first thing a user runs; an alarm there would be the last."""
    splits = load_splits(
        DataConfig(root_path=str(project), data_path="whole.csv", seq_len=CONTEXT),
        SplitConfig(),
        CleaningConfig(),
        ScalingConfig(),
        context_length=CONTEXT,
        device=torch.device("cpu"),
    )
    assert {finding.code for finding in splits.findings if finding.severity in ("error", "warning")} == set()
    assert splits.left_out["time_gap"] == 0


def test_with_the_flag_a_gap_costs_counted_windows_and_prediction_works_across_one(project: Path) -> None:
    """New files have gaps too; a forecast is made wherever there is a whole context."""
    assert program.main([*SMALL, *places(project, "gap.csv"), "--drop_bad_windows"]) == 0
    (scores,) = project.glob("runs/*/*/scores.json")
    left_out = json.loads((scores.parent / "config.json").read_text())["splits"]["left_out"]
    # Every sixth hour from 1 March 00 UTC on, until 48 whole rows lie behind: 744 / 6 in the gap, 47 hours after it.
    assert left_out["time_gap"] == 744 // 6 + 8
    words = ["--task_name", "predict", "--run", str(scores.parent), "--input_dir", str(project / "era5")]
    assert program.main([*words, "--output", str(project / "tomorrow"), "--device", "cpu"]) == 0
    made = pd.read_csv(project / "tomorrow.csv", parse_dates=["init_time"])
    march = (made.init_time >= "2019-03-01") & (made.init_time < "2019-04-01")
    assert len(made) > 1000 and not march.any() and (made.init_time > "2019-04-05").any()
