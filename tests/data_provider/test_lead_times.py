"""Labels at other lead times from one table: the right hours, nothing from before, no window across a boundary."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from data_provider.cleaning import CleaningConfig
from data_provider.cutting import CutTable, cut_table
from data_provider.factory import DataConfig, Splits, splits_of
from data_provider.label_checks import inspect_classes
from data_provider.lead_times import as_prepared, index_at, tables_at
from data_provider.lead_windows import LeadWindows, at_lead, with_lead_times
from data_provider.rain_table import RainTable, read_table_leniently
from data_provider.scaling import ScalingConfig
from data_provider.splits import TEST, TRAIN, VALIDATION, SplitConfig
from tests import make_table
from utils.errors import DataError, UsageError

CPU = torch.device("cpu")
CONTEXT = 48


def six_hours(folder: Path, **given: int) -> RainTable:
    """Return a table whose label is the rain of 6 hours, as `--lead_time_hours 6` makes it."""
    content = make_table.frame(**given)
    parts = []
    for _, part in content.groupby("region", sort=False):
        hourly = part["tp"].to_numpy() * 1000
        sums = np.convolve(hourly, np.ones(6), "valid")
        future = np.full(len(hourly), np.nan)
        future[:-6] = sums[1:]
        parts.append(part.assign(precipitation=future, rain_6h=np.where(np.isnan(future), np.nan, future >= 0.1)))
    make_table.write(folder, content=pd.concat(parts).drop(columns="rain_24h"))
    attributes = {"lead_time_hours": 6, "accumulation_hours": 6, "label_name": "rain_6h", "threshold_mm": [0.1]}
    (folder / "table.json").write_text(json.dumps(attributes))
    return read_table_leniently(folder / "table.csv")


def cut(table: RainTable, *lead_times: int) -> CutTable:
    return cut_table(
        table,
        SplitConfig(),
        CleaningConfig(),
        ScalingConfig(),
        context_length=CONTEXT,
        stride_hours=1,
        lead_times=lead_times,
    )


def splits(table: RainTable, *lead_times: int) -> Splits:
    return with_lead_times(splits_of(cut(table, *lead_times), CPU))


def fallen(table: RainTable, region: int, first_row: int, last_row: int) -> float:
    """Rain in millimetres of hourly rows, both ends taken."""
    return 1000 * float(table.values[region, first_row : last_row + 1, table.features.index("tp")].sum())


@pytest.mark.parametrize(("lead", "begins"), [(6, 0), (12, 0), (24, 0), (48, 24), (72, 48)])
def test_the_rain_of_a_lead_time_is_that_of_its_hours(tmp_path: Path, lead: int, begins: int) -> None:
    """One hour off, and the model would be asked about other rain than it is scored on."""
    table = six_hours(tmp_path)
    (asked,) = tables_at(table, [lead])
    for row in (100, 500, 900):
        expected = fallen(table, 1, row + begins + 1, row + lead)
        assert asked.precipitation_mm[1, row] == pytest.approx(expected, rel=1e-4, abs=1e-4)
        assert asked.label[1, row] == (round(expected, 6) >= 0.1)
    assert (asked.lead_time_hours, asked.accumulation_hours) == (lead, lead - begins)


def test_a_label_is_unknown_where_its_hours_are_not_over(tmp_path: Path) -> None:
    """At the end of the record and across a gap nobody knows what fell."""
    table = six_hours(tmp_path)
    label = table.label.copy()
    label[0, 400] = -1
    rain = np.where(label < 0, np.float32(np.nan), table.precipitation_mm)
    (asked,) = tables_at(replace(table, label=label, precipitation_mm=rain), [24])
    assert (asked.label[:, -24:] == -1).all() and (asked.label[1, :-24] >= 0).all()
    assert np.flatnonzero(asked.label[0, :-24] < 0).tolist() == [382, 388, 394, 400]
    assert np.isnan(asked.precipitation_mm[asked.label < 0]).all()


def test_a_day_further_is_the_label_of_the_next_day(tmp_path: Path) -> None:
    """A table of classes alone, without amounts, gives whole periods all the same."""
    content = make_table.frame().drop(columns="precipitation")
    table = read_table_leniently(make_table.write(tmp_path, content=content))
    own, further = tables_at(table, [24, 48])
    assert own is table
    assert (further.label[:, :-24] == table.label[:, 24:]).all() and (further.label[:, -24:] == -1).all()


def test_the_shortest_may_also_be_asked_of_a_later_table(tmp_path: Path) -> None:
    """The table of 48 h ahead knows the rain of tomorrow too: it is the label of a day before."""
    content = make_table.frame()
    make_table.write(tmp_path, content=content)
    (tmp_path / "table.json").write_text('{"lead_time_hours": 48, "accumulation_hours": 24, "label_name": "rain_24h"}')
    table = read_table_leniently(tmp_path / "table.csv")
    (asked,) = tables_at(table, [24])
    assert (asked.label[:, 24:] == table.label[:, :-24]).all() and (asked.label[:, :24] == -1).all()


def test_the_past_class_is_of_the_period_that_ends_at_the_init_time(tmp_path: Path) -> None:
    """Persistence that knows an hour of the future would make every skill against it wrong."""
    table = six_hours(tmp_path)
    cut_up = cut(table, 24, 48)
    for each in (cut_up.table, *cut_up.further):
        index = index_at(each, cut_up.index)
        for number in (0, len(index) // 2, len(index) - 1):
            row = index.end[number] - index.region[number] * len(table.times)
            if index.past_class[number] >= 0:
                past = fallen(table, index.region[number], row - 23, row)
                assert index.past_class[number] == (round(past, 6) >= 0.1)
        assert (index.past_class >= 0).mean() > 0.9


def test_no_label_of_any_lead_time_crosses_a_boundary(tmp_path: Path) -> None:
    """A training window whose third day lies in validation has seen the answer."""
    cut_up = cut(six_hours(tmp_path), 24, 6, 72)
    start, end = cut_up.index.init_time, cut_up.index.init_time + np.timedelta64(72, "h")
    assert (end[cut_up.assigned == TRAIN] <= cut_up.ends.train_end).all()
    validation = cut_up.assigned == VALIDATION
    assert (start[validation] >= cut_up.ends.train_end).all() and (end[validation] <= cut_up.ends.validation_end).all()
    assert (start[cut_up.assigned == TEST] >= cut_up.ends.validation_end).all()


def test_every_window_has_all_labels_and_the_first_comes_first(tmp_path: Path) -> None:
    """A loss over an unknown class is a loss over nothing."""
    table = six_hours(tmp_path)
    found = splits(table, 24, 6, 72)
    for windows in found.sets:
        assert isinstance(windows, LeadWindows)
        targets = windows.targets(torch.arange(len(windows)))
        assert targets.shape == (len(windows), 3) and (targets >= 0).all()
        assert (targets[:, 0].numpy() == windows.index.label).all()
        for number in range(3):
            alone = at_lead(found, number)
            assert (alone.table.label.reshape(-1)[windows.index.end] == targets[:, number].numpy()).all()


@pytest.mark.parametrize("number", [0, 1])
def test_a_lead_time_alone_is_the_data_set_of_its_own_table(tmp_path: Path, number: int) -> None:
    """Scored in a folder of the run, it must be what a table prepared for it gives."""
    table, hours = six_hours(tmp_path), (24, 12)
    alone = at_lead(splits(table, *hours), number)
    expected = splits(table, hours[number])
    for mine, theirs in zip(alone.sets, expected.sets, strict=True):
        both = np.isin(theirs.index.end, mine.index.end)
        assert both.mean() > 0.9
        for name in ("label", "past_class", "precipitation_mm"):
            assert np.array_equal(getattr(mine.index, name), getattr(theirs.index, name)[both], equal_nan=True), name
    assert not alone.further


def test_without_lead_times_nothing_changes(tmp_path: Path) -> None:
    """A flag that is left out must not move a window."""
    table = six_hours(tmp_path)
    plain, asked = cut(table), cut(table, 6)
    assert np.array_equal(plain.index.end, asked.index.end) and np.array_equal(plain.assigned, asked.assigned)
    assert splits(table, 6).train.labels.ndim == 1


def test_what_was_prepared_is_found_again(tmp_path: Path) -> None:
    """New files are prepared as the table was, not as the first lead time asks."""
    table = six_hours(tmp_path)
    (asked,) = tables_at(table, [48])
    prepared = as_prepared(asked.attributes)
    assert {prepared["lead_time_hours"], prepared["accumulation_hours"]} == {6}
    assert as_prepared(table.attributes) == table.attributes


def test_a_period_that_the_table_does_not_have_is_refused(tmp_path: Path) -> None:
    """The rain of six hours cannot be taken out of that of a day; the message says how to prepare for it."""
    table = read_table_leniently(make_table.write(tmp_path))
    with pytest.raises(UsageError, match="6 h that ends 6 h ahead") as caught:
        tables_at(table, [24, 6])
    assert "--lead_time_hours 6" in caught.value.next_command


def test_a_period_that_is_no_sum_of_whole_ones_is_refused(tmp_path: Path) -> None:
    """13 hours are two periods of six and one hour that nobody knows."""
    with pytest.raises(UsageError, match="13 h that ends 13 h ahead"):
        tables_at(six_hours(tmp_path), [13])


def test_rows_further_apart_than_the_lead_time_are_refused(tmp_path: Path) -> None:
    """With a row every six hours no period ends 27 hours ahead."""
    table = read_table_leniently(make_table.write(tmp_path, content=make_table.frame(step_hours=6)))
    with pytest.raises(UsageError, match="27 h ahead"):
        tables_at(table, [27])


@pytest.mark.parametrize("wrong", [(0,), (24, 24), (-6, 24)])
def test_lead_times_that_make_no_sense_are_refused(wrong: tuple[int, ...]) -> None:
    """Two outputs of the same hours would only cost time."""
    with pytest.raises(UsageError, match="lead_times"):
        DataConfig(lead_times=wrong)


def test_sums_are_refused_where_the_labels_were_not_made_from_the_amounts(tmp_path: Path) -> None:
    """A table labelled at 3 mm that says nothing of it would give a day labelled at 0.1 mm beside it."""
    table = six_hours(tmp_path)
    other = replace(table, label=rain_classes(table, 3.0))
    with pytest.raises(UsageError, match="not made from its amounts"):
        tables_at(other, [6, 24])
    assert tables_at(other, [6])[0] is other


def test_a_label_that_rounding_alone_parts_from_its_amount_is_taken(tmp_path: Path) -> None:
    """19.9999994 mm is below 20 mm, and is stored as 20: a table of ten years would be refused for one hour."""
    table = six_hours(tmp_path)
    amounts, label = table.precipitation_mm.copy(), table.label.copy()
    amounts[0, 100], label[0, 100] = np.float32(0.1), 0
    (asked,) = tables_at(replace(table, precipitation_mm=amounts, label=label), [12])
    assert (asked.label >= 0).any()


def rain_classes(table: RainTable, threshold_mm: float) -> np.ndarray:
    return np.where(table.label < 0, table.label, table.precipitation_mm >= threshold_mm).astype(np.int8)


def test_a_lead_time_beyond_the_record_is_named(tmp_path: Path) -> None:
    """It was told as three empty splits and a wrong unit."""
    with pytest.raises(DataError) as caught:
        tables_at(six_hours(tmp_path), [24, 9000])
    assert caught.value.code == "LEAD_TOO_LONG" and "9000" in caught.value.where


def test_one_class_at_a_further_lead_time_is_found_and_named(tmp_path: Path) -> None:
    """An output that learns a constant looks like a forecast."""
    cut_up = cut(six_hours(tmp_path), 24, 48)
    (further,) = cut_up.further
    constant = replace(cut_up, further=(replace(further, label=np.where(further.label < 0, -1, 1).astype(np.int8)),))
    found = inspect_classes(constant)
    assert {finding.code for finding in found} == {"ONE_CLASS"} and all("48 h ahead" in one.where for one in found)
    assert inspect_classes(cut_up) == []
