"""Splits in time: label periods inside, contexts only backwards."""

from __future__ import annotations

import numpy as np
import pytest

from data_provider.splits import (
    AFTER_TEST,
    NO_SPLIT,
    TEST,
    TRAIN,
    VALIDATION,
    Boundaries,
    SplitConfig,
    assign,
    boundaries,
)
from utils.errors import DataError, UsageError

TIMES = np.arange("2019-01-01", "2022-01-01", dtype="datetime64[h]").astype("datetime64[s]")


def test_a_year_means_until_its_last_hour() -> None:
    """Training to 2019 that lost its last day, or took one of 2020, would shift every published figure."""
    ends = boundaries(SplitConfig(train_until="2019", validation_until="2020-12-31"), TIMES)
    assert ends == (np.datetime64("2020-01-01"), np.datetime64("2021-01-01"), None)


def test_a_label_period_lies_inside_one_split() -> None:
    """The rain of the first validation day must not be a training target, nor the other way round."""
    ends = boundaries(SplitConfig(train_until="2019", validation_until="2020"), TIMES)
    init = np.array(["2019-12-31T00", "2019-12-31T01", "2020-01-01T00", "2020-12-31T12"], "datetime64[s]")
    assert assign(init, ends, lead_time_hours=24, accumulation_hours=24).tolist() == [
        TRAIN, NO_SPLIT, VALIDATION, NO_SPLIT,
    ]  # fmt: skip


def test_a_long_lead_keeps_the_init_time_before_the_period() -> None:
    """With 48 h lead and 24 h sums the period begins a day after the init time: the init time may lie in training."""
    ends = boundaries(SplitConfig(train_until="2019", validation_until="2020"), TIMES)
    init = np.array(["2019-12-31T00", "2020-12-31T00"], "datetime64[s]")
    assert assign(init, ends, lead_time_hours=48, accumulation_hours=24).tolist() == [VALIDATION, TEST]


def test_no_period_of_any_hour_crosses_a_boundary_or_is_in_two_splits() -> None:
    """Exhaustive over three years of hours: the periods of the splits never overlap."""
    ends = boundaries(SplitConfig(), TIMES)
    split = assign(TIMES, ends, lead_time_hours=24, accumulation_hours=24)
    day = np.timedelta64(24, "h")
    assert (TIMES[split == TRAIN] + day).max() <= TIMES[split == VALIDATION].min()
    assert (TIMES[split == VALIDATION] + day).max() <= TIMES[split == TEST].min()
    assert 0.65 < (split == TRAIN).mean() < 0.75


def test_a_test_that_ends_before_the_record_leaves_the_rest_out() -> None:
    """A rolling origin tests one year: windows of the years after it, or across its end, are not that year's."""
    ends = boundaries(SplitConfig(train_until="2019", validation_until="2020-06", test_until="2020"), TIMES)
    assert ends.test_end == np.datetime64("2021-01-01")
    init = np.array(["2020-06-30T12", "2020-07-01", "2020-12-31T00", "2020-12-31T01", "2021-01-01"], "datetime64[s]")
    assert assign(init, ends, lead_time_hours=24, accumulation_hours=24).tolist() == [
        NO_SPLIT, TEST, TEST, NO_SPLIT, AFTER_TEST,
    ]  # fmt: skip


def test_ends_come_back_from_json_also_those_of_an_earlier_version() -> None:
    """A run scored again on another test period would not be the same run."""
    for test_until in (None, "2020"):
        ends = boundaries(SplitConfig(train_until="2019", validation_until="2020-06", test_until=test_until), TIMES)
        assert Boundaries.from_json(ends.to_json()) == ends
    old = {"train_end": "2020-01-01T00:00:00", "validation_end": "2020-07-01T00:00:00", "windows": {}}
    assert Boundaries.from_json(old).test_end is None  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("flags", "word"),
    [
        ({"test_until": "2021"}, "--validation_until"),
        ({"train_until": "2019", "validation_until": "2021", "test_until": "2020"}, "end after validation"),
        ({"train_until": "2019", "validation_until": "2020", "cross_validate": "years"}, "chooses all years"),
        ({"cross_validate_min_train_years": 0}, "at least 1"),
        ({"train_until": "2019"}, "--validation_until"),
        ({"train_until": "2020", "validation_until": "2019"}, "after training"),
        ({"train_until": "soon", "validation_until": "2020"}, "no date"),
        ({"split_shares": (0.5, 0.5)}, "three positive shares"),
    ],
)
def test_unusable_flags_are_refused_by_name(flags: dict, word: str) -> None:
    """A split that silently fell back to something else would be found weeks later."""
    with pytest.raises(UsageError, match=word):
        boundaries(SplitConfig(**flags), TIMES)


def test_dates_outside_the_record_are_a_data_fault() -> None:
    """Training until 2030 would leave nothing to validate on."""
    with pytest.raises(DataError, match="no data") as caught:
        boundaries(SplitConfig(train_until="2029", validation_until="2030"), TIMES)
    assert caught.value.code == "SPLIT_EMPTY" and "2021-12-31" in str(caught.value)
