"""A table cut into windows, with everything about them known and nothing refused yet.

R regions, T times, V variables, N windows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from data_provider import row_checks, splits
from data_provider.cleaning import CleaningConfig
from data_provider.gap_checks import inside_record
from data_provider.lead_times import index_at, tables_at
from data_provider.preprocessing import Preprocessing
from data_provider.rain_table import RainTable
from data_provider.scaling import ScalingConfig
from data_provider.splits import SplitConfig
from data_provider.table_rows import UNKNOWN_LABEL
from data_provider.training_draw import drawn
from data_provider.windows import WindowIndex, index_of, touching, with_missing
from utils.errors import DataError


@dataclass(frozen=True, kw_only=True)
class CutTable:
    """The labelled windows of a table and what they are made of.

    Attributes:
        table: without its bad rows; those are absent.
        preprocessing: fitted, or that of an earlier run.
        values: `(R, T, V)` float32 scaled model inputs.
        index: all labelled windows, those with missing values too.
        missing: `(N,)` True for windows that hold a missing value.
        at_head: `(N,)` True for those of them that begin in the head rows of their region, when these are dropped.
        assigned: `(N,)` split of each window, -1 for none, -2 for training windows that were not drawn,
            -3 for those after the test.
        ends: where the splits end.
        context_length: L in rows.
        left_out: windows that are not in `index`, by cause.
        further: the table with the label of each further lead time; every window has all of these.
    """

    table: RainTable
    preprocessing: Preprocessing
    values: np.ndarray
    index: WindowIndex
    missing: np.ndarray
    at_head: np.ndarray
    assigned: np.ndarray
    ends: splits.Boundaries
    context_length: int
    left_out: dict[str, int]
    further: tuple[RainTable, ...] = ()

    @property
    def training_rows(self) -> np.ndarray:
        """`(R, T)` True for the rows that statistics are fitted on: present, before training ends."""
        return self.table.present & (self.table.times < self.ends.train_end)

    @property
    def head(self) -> np.ndarray:
        """`(R, T)` True for the head rows that the fill drops."""
        if self.preprocessing.fill == "none":
            return np.zeros(self.table.present.shape, bool)
        return np.cumsum(~np.isnan(self.values).any(axis=-1), axis=1) == 0

    def whole_windows(self, split: int) -> WindowIndex:
        """The windows of a split that hold no missing value."""
        return self.index.select((self.assigned == split) & ~self.missing)

    @property
    def whole_training_windows(self) -> WindowIndex:
        """The training windows that hold no missing value, those that were not drawn too."""
        return self.index.select(np.isin(self.assigned, (splits.TRAIN, splits.NOT_DRAWN)) & ~self.missing)

    def all_left_out(self) -> dict[str, int]:
        """Windows that no split uses, by cause."""
        return {
            "missing_values": int((self.missing & ~self.at_head).sum()),
            "head_rows": int(self.at_head.sum()),
            **self.left_out,
            "across_a_split_boundary": int(((self.assigned == splits.NO_SPLIT) & ~self.missing).sum()),
            "not_drawn": int((self.assigned == splits.NOT_DRAWN).sum()),
            "after_the_test": int(((self.assigned == splits.AFTER_TEST) & ~self.missing).sum()),
        }


def cut_table(
    table: RainTable,
    split: SplitConfig,
    clean: CleaningConfig,
    scale: ScalingConfig,
    *,
    context_length: int,
    stride_hours: int,
    preprocessing: Preprocessing | None = None,
    ends: splits.Boundaries | None = None,
    lead_times: Sequence[int] = (),
) -> CutTable:
    """Take the bad rows out of a table, fit or reuse the preprocessing, list the windows and assign them to splits.

    Args:
        table: as `read_table_leniently` returns it.
        split: where the splits lie in time.
        clean: missing values, outliers, constants.
        scale: scaling.
        context_length: L in rows.
        stride_hours: hours between windows.
        preprocessing: fitted state of an earlier run; fitted here on the training times when None.
        ends: boundaries of an earlier run; else from `split`.
        lead_times: of the label in hours, the first before the further ones; that of the table where there are none.

    Raises:
        UsageError: ``CONFIG``, the table does not give the label of a lead time.
        DataError: no windows, no training rows or nothing but constants in them.
    """
    ends = ends or splits.boundaries(split, table.times)
    usable, *further = tables_at(without_bad_rows(table), lead_times)
    fitted = preprocessing or Preprocessing.fit(usable, ends.train_end, clean, scale)
    values = fitted.apply(usable)
    index = windows_of(usable, context_length, stride_hours)
    left_out = _lost_to_bad_rows(table, usable, context_length, stride_hours)
    labels = [index.label, *(index_at(each, index).label for each in further)]
    known = np.all([label != UNKNOWN_LABEL for label in labels], axis=0)
    wrong = _wrong_labels(table)[index.end] & (index.label == UNKNOWN_LABEL)
    left_out |= {"without_label": int((~known & ~wrong).sum()), "label_out_of_range": int(wrong.sum())}
    index = index.select(known)
    missing = with_missing(values, index, context_length)
    assigned = splits.assign(index.init_time, ends, **_all_periods([usable, *further]))
    cut = CutTable(
        table=usable,
        preprocessing=fitted,
        values=values,
        index=index,
        missing=missing,
        at_head=np.zeros(len(index), bool),
        assigned=_with_draw(assigned, index, missing, split),
        ends=ends,
        context_length=context_length,
        left_out=left_out,
        further=tuple(further),
    )
    return replace(cut, at_head=missing & cut.head.reshape(-1)[index.end - context_length + 1])


def _all_periods(tables: Sequence[RainTable]) -> dict[str, int]:
    """Return the hours from the init time to the end of the last label period, and from the first start to it."""
    end = max(table.lead_time_hours for table in tables)
    start = min(table.lead_time_hours - table.accumulation_hours for table in tables)
    return {"lead_time_hours": end, "accumulation_hours": end - start}


def _with_draw(assigned: np.ndarray, index: WindowIndex, missing: np.ndarray, split: SplitConfig) -> np.ndarray:
    """Mark the training windows that were not drawn; one with a missing value is neither drawn nor counted."""
    usable = np.flatnonzero((assigned == splits.TRAIN) & ~missing)
    result = assigned.copy()
    result[usable[~drawn(index.init_time[usable], split)]] = splits.NOT_DRAWN
    return result


def without_bad_rows(table: RainTable) -> RainTable:
    """Return the table with contradicting rows and rows with infinite values absent, so that no window holds one."""
    bad = np.logical_or.reduce(list(row_checks.bad_rows(table).values()))
    if not bad.any():
        return table
    return replace(
        table,
        values=np.where(bad[..., None], np.float32(np.nan), table.values),
        present=table.present & ~bad,
        label=np.where(bad, np.int8(UNKNOWN_LABEL), table.label),
        precipitation_mm=np.where(bad, np.float32(np.nan), table.precipitation_mm),
    )


def windows_of(table: RainTable, context_length: int, stride_hours: int) -> WindowIndex:
    """List the windows of a table, labelled or not.

    Raises:
        DataError: the record is shorter than the context.
    """
    index = index_of(table, context_length, stride_hours)
    if len(index):
        return index
    longest = longest_run(table.present)
    raise DataError(
        "CONTEXT_TOO_LONG",
        "The context is longer than any part of the record without a gap.",
        where=f"--seq_len {context_length}, {table.source}",
        evidence=f"{row_checks.counted(longest, 'row')} in a row at most, {table.step_hours} h apart",
        next_command=f"--seq_len {max(min(longest // 2, 720), 1)}, or prepare more years",
    )


def _lost_to_bad_rows(table: RainTable, usable: RainTable, context_length: int, stride_hours: int) -> dict[str, int]:
    """Count the windows that gaps and bad rows cost; each window under its first cause."""
    record = inside_record(table.present)
    causes = {"time_gap": ~table.present, **row_checks.bad_rows(table)}
    if np.array_equal(record, usable.present):
        return dict.fromkeys(causes, 0)
    index = index_of(table, context_length, stride_hours, present=record)
    lost, seen = {}, np.zeros(len(index), bool)
    for cause, rows in causes.items():
        touched = touching(rows, index, context_length) & ~seen
        lost[cause] = int(touched.sum())
        seen |= touched
    return lost


def _wrong_labels(table: RainTable) -> np.ndarray:
    """`(R * T,)` True for rows whose label is no class."""
    wrong = table.notes.wrong_labels
    marked = np.zeros(table.present.shape, bool)
    marked[wrong.region, np.searchsorted(table.times, wrong.time)] = True
    return marked.reshape(-1)


def longest_run(present: np.ndarray) -> int:
    """Return how many rows are marked in a row at most, in any region of `(R, T)`."""
    longest = 0
    for row in present:
        edges = np.flatnonzero(np.diff(np.concatenate([[False], row, [False]]).astype(np.int8)))
        longest = max(longest, int((edges[1::2] - edges[::2]).max(initial=0)))
    return longest
