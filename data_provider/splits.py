"""Training, validation and test are separated in time, at the same instants for all regions.

A label period lies wholly inside its split; the context of a window may reach back into an earlier split, never
forward.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np

from utils.errors import DataError, UsageError
from utils.flag_rules import require

TRAIN, VALIDATION, TEST, NO_SPLIT, NOT_DRAWN, AFTER_TEST = 0, 1, 2, -1, -2, -3
SPLIT_NAMES = ("train", "validation", "test")


@dataclass(frozen=True, kw_only=True)
class SplitConfig:
    """Splits in time."""

    train_until: str | None = field(
        default=None,
        metadata={"help": "last year, day or hour of training (UTC), such as 2022 or 2022-12-31; else by split_shares"},
    )
    validation_until: str | None = field(
        default=None, metadata={"help": "last year, day or hour of validation; what follows is the test"}
    )
    test_until: str | None = field(
        default=None, metadata={"help": "last year, day or hour of the test; by default the end of the record"}
    )
    split_shares: tuple[float, ...] = field(
        default=(0.7, 0.15, 0.15),
        metadata={"help": "shares of the record for training, validation, test when no dates are given"},
    )
    train_windows: int | None = field(
        default=None,
        metadata={
            "help": "train on so many windows alone, drawn at random in blocks of time; the scaling is still fitted "
            "on all training rows, and validation and test stay whole"
        },
    )
    train_block_days: int = field(default=7, metadata={"help": "length of the blocks that --train_windows draws"})
    train_windows_seed: int = field(default=0, metadata={"help": "which blocks --train_windows draws"})
    cross_validate: Literal["years"] | None = field(
        default=None,
        metadata={
            "help": "years: rolling origin, one run for each year to be tested; it trains on all years before the "
            "last one, validates on that and tests on the year; then one table of all tested years"
        },
    )
    cross_validate_min_train_years: int = field(
        default=2, metadata={"help": "whole years of training that the first run of --cross_validate has at least"}
    )

    def __post_init__(self) -> None:
        if (self.train_until is None) != (self.validation_until is None):
            raise UsageError(
                "CONFIG",
                "--train_until and --validation_until belong together.",
                where="command line",
                next_command="give both, or neither to split by --split_shares",
            )
        way_out = "--train_until 2021 --validation_until 2022 --test_until 2023"
        needs_others = self.test_until is None or self.validation_until is not None
        require(self, "test_until", needs_others, "needs --train_until and --validation_until", way_out)
        years = self.cross_validate_min_train_years
        require(self, "cross_validate_min_train_years", years >= 1, "must be at least 1")
        alone = self.cross_validate is None or self.train_until is None
        require(
            self,
            "cross_validate",
            alone,
            "chooses all years itself; leave --train_until and the others out",
            "--cross_validate years",
        )
        shares = self.split_shares
        whole = len(shares) == 3 and min(shares) > 0 and abs(sum(shares) - 1) <= 1e-6
        require(self, "split_shares", whole, "takes three positive shares that sum to 1")
        require(self, "train_windows", self.train_windows is None or self.train_windows > 0, "must be at least 1")
        require(self, "train_block_days", self.train_block_days > 0, "must be at least 1")
        require(self, "train_windows_seed", self.train_windows_seed >= 0, "must be at least 0")


class Boundaries(NamedTuple):
    """First instant after training, after validation and, where the record goes on, after the test; datetime64[s]."""

    train_end: np.datetime64
    validation_end: np.datetime64
    test_end: np.datetime64 | None = None

    @classmethod
    def from_json(cls, content: Mapping[str, str | None]) -> Boundaries:
        """Rebuild from what `to_json` wrote; a run of an earlier version has no end of the test."""
        ends = (content.get(name) for name in cls._fields)
        return cls(*(None if end is None else np.datetime64(end) for end in ends))  # type: ignore[arg-type]

    def to_json(self) -> dict[str, str | None]:
        """Return the three instants as text."""
        return {name: None if end is None else str(end) for name, end in self._asdict().items()}


def boundaries(config: SplitConfig, times: np.ndarray) -> Boundaries:
    """Find where training and validation end.

    Args:
        config: dates or shares.
        times: `(T,)` datetime64[s], the whole record.

    Raises:
        UsageError: the dates cannot be read or lie in the wrong order.
        DataError: a date lies outside the record.
    """
    if config.train_until is None or config.validation_until is None:
        return _by_share(config.split_shares, times)
    ends = Boundaries(
        _end_of(config.train_until, "--train_until"),
        _end_of(config.validation_until, "--validation_until"),
        None if config.test_until is None else _end_of(config.test_until, "--test_until"),
    )
    _require_order(ends)
    if not (times[0] < ends.train_end and ends.validation_end < times[-1]):
        raise DataError(
            "SPLIT_EMPTY",
            "A split would hold no data.",
            where="--train_until, --validation_until",
            evidence=f"the record runs from {times[0]} to {times[-1]}; training would end {ends.train_end}, "
            f"validation {ends.validation_end}",
            next_command="choose dates inside the record, or leave both out to split by shares",
        )
    return ends


def assign(init_times: np.ndarray, ends: Boundaries, *, lead_time_hours: int, accumulation_hours: int) -> np.ndarray:
    """Return the split of each init time, -1 where the label period crosses a boundary.

    Args:
        init_times: `(N,)` datetime64[s].
        ends: where training and validation end.
        lead_time_hours: hours from init time to the end of the label period.
        accumulation_hours: length of the label period.

    Returns:
        `(N,)` int8 of 0 train, 1 validation, 2 test, -1 across a boundary, -3 after the test.
    """
    period_end = init_times + np.timedelta64(lead_time_hours, "h")
    period_start = period_end - np.timedelta64(accumulation_hours, "h")
    split = np.full(len(init_times), NO_SPLIT, np.int8)
    split[period_end <= ends.train_end] = TRAIN
    split[(period_start >= ends.train_end) & (period_end <= ends.validation_end)] = VALIDATION
    split[period_start >= ends.validation_end] = TEST
    if ends.test_end is not None:
        split[period_end > ends.test_end] = NO_SPLIT
        split[period_start >= ends.test_end] = AFTER_TEST
    return split


def _require_order(ends: Boundaries) -> None:
    is_late = ends.test_end is not None and not ends.validation_end < ends.test_end
    if ends.train_end < ends.validation_end and not is_late:
        return
    raise UsageError(
        "CONFIG",
        "The test must end after validation." if is_late else "Validation must end after training.",
        where="--train_until, --validation_until" + ", --test_until" * is_late,
        evidence=f"training ends {ends.train_end}, validation {ends.validation_end}"
        + f", the test {ends.test_end}" * is_late,
        next_command="--train_until 2022 --validation_until 2023" + " --test_until 2024" * is_late,
    )


def _by_share(shares: tuple[float, ...], times: np.ndarray) -> Boundaries:
    span = times[-1] - times[0]
    days = [(times[0] + span * part).astype("datetime64[D]") for part in (shares[0], shares[0] + shares[1])]
    return Boundaries(*(day.astype("datetime64[s]") for day in days))


def _end_of(text: str, flag: str) -> np.datetime64:
    """Return the first instant after a year, month, day or hour written as text."""
    try:
        moment = np.datetime64(text.strip().replace(" ", "T"))
    except ValueError:
        moment = np.datetime64("NaT")
    if np.isnat(moment):
        raise UsageError(
            "CONFIG",
            f"{flag} is no date.",
            where=flag,
            evidence=f"got {text!r}",
            next_command=f"{flag} 2022, {flag} 2022-12-31 or {flag} 2022-12-31T18",
        )
    unit = np.datetime_data(moment.dtype)[0]
    if unit in ("Y", "M", "D"):
        return (moment + 1).astype("datetime64[s]")
    return moment.astype("datetime64[s]")
