"""Fewer training windows: whole blocks of time, drawn at random, the same for every model."""

from __future__ import annotations

import numpy as np
import pytest

from data_provider.splits import SplitConfig
from data_provider.training_draw import drawn
from utils.errors import UsageError

REGIONS = 5


def days(first: str, count: int) -> np.ndarray:
    """Return one init time a day for each region, region after region."""
    times = np.datetime64(first, "s") + np.arange(count) * np.timedelta64(86400, "s")
    return np.tile(times, REGIONS)


def config(count: int, seed: int = 0, block_days: int = 7) -> SplitConfig:
    """Return the flags of a draw."""
    return SplitConfig(train_windows=count, train_windows_seed=seed, train_block_days=block_days)


def test_exactly_so_many_windows_are_drawn() -> None:
    """A curve over the number of windows whose numbers are not kept would be read wrong."""
    times = days("2019-01-01", 700)
    for count in (1, 99, 300, 3500):
        assert drawn(times, config(count)).sum() == count


def test_all_of_them_without_a_number() -> None:
    """Without the flag nothing may be left out."""
    assert drawn(days("2019-01-01", 10), SplitConfig()).all()


def test_blocks_are_whole_but_for_the_last() -> None:
    """Neighbouring windows overlap: single windows strewn over the years would be worth more than a short record."""
    times = days("2019-01-01", 700)
    chosen = times[drawn(times, config(300))]
    weeks, counts = np.unique((chosen.astype("datetime64[D]").astype(int)) // 7, return_counts=True)
    assert len(weeks) == 9 and sorted(counts.tolist()) == [20] + [35] * 8


def test_the_windows_of_an_instant_stay_together() -> None:
    """Regions of a day share their weather; the cut goes through time and not through regions."""
    times = days("2019-01-01", 700)
    _, counts = np.unique(times[drawn(times, config(300))], return_counts=True)
    assert set(counts.tolist()) == {REGIONS}


def test_the_first_windows_are_no_better_than_others() -> None:
    """Taking the head of a record would make one winter of it."""
    times = days("2019-01-01", 700)
    months = {int(m) for s in range(10) for m in times[drawn(times, config(70, s))].astype("datetime64[M]").astype(int)}
    assert len(months) > 10


def test_a_seed_draws_again_the_same_and_another_other_blocks() -> None:
    """Two methods are compared on the same windows, and spread is that over draws."""
    times = days("2019-01-01", 700)
    assert (drawn(times, config(300, 3)) == drawn(times, config(300, 3))).all()
    assert (drawn(times, config(300, 3)) != drawn(times, config(300, 4))).any()


def test_a_longer_context_does_not_change_the_draw() -> None:
    """A model that looks back 30 days has no windows in the first weeks; its other blocks must be the same ones."""
    long, short = days("2019-01-01", 700), days("2019-02-03", 667)
    first = set(long[drawn(long, config(300))])
    second = set(short[drawn(short, config(300))])
    in_both = {time for time in first if time >= np.datetime64("2019-02-03")}
    assert len(in_both - second) <= 7


def test_more_than_there_are_is_refused_with_the_number() -> None:
    """A user who asks for 5,000 of 3,500 must not believe that it was 5,000."""
    with pytest.raises(UsageError, match="3500"):
        drawn(days("2019-01-01", 700), config(3501))


@pytest.mark.parametrize("flags", [{"train_windows": 0}, {"train_windows": 5, "train_block_days": 0}])
def test_a_draw_of_nothing_is_refused(flags: dict) -> None:
    """Zero windows or blocks of no length are typing errors."""
    with pytest.raises(UsageError, match="at least 1"):
        SplitConfig(**flags)
