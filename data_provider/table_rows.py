"""Rows as a file holds them, laid on regions x times; what is wrong with them is noted and nothing is hidden.

R regions, T times, C features, N rows in the order of the file.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

UNKNOWN_LABEL = -1


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Rows of a source, in its order.

    Attributes:
        region: `(N,)` position among the regions.
        times: `(N,)` datetime64[s].
        values: `(N, C)` float32, NaN where a value is missing.
        label: `(N,)` float64 as written, NaN where it is blank.
        precipitation_mm: `(N,)` float32.
        from_lines: whether row n stands in line n + 2 of a text file.
    """

    region: np.ndarray
    times: np.ndarray
    values: np.ndarray
    label: np.ndarray
    precipitation_mm: np.ndarray
    from_lines: bool


def _no_numbers() -> np.ndarray:
    return np.zeros(0, np.int64)


def _no_times() -> np.ndarray:
    return np.zeros(0, "datetime64[s]")


@dataclass(frozen=True, kw_only=True)
class RepeatedRows:
    """Rows whose region and time stand in an earlier row already, `K` of them in the order of the file.

    Attributes:
        region: `(K,)` position among the regions.
        time: `(K,)` datetime64[s].
        line: `(K,)` line of the row in a text file, 0 in other files.
        first_line: `(K,)` line of the row it repeats.
        contradicts: `(K,)` True where a value differs from that of the row it repeats.
        first_difference: which column, and its two values, in the first row that contradicts.
    """

    region: np.ndarray = field(default_factory=_no_numbers)
    time: np.ndarray = field(default_factory=_no_times)
    line: np.ndarray = field(default_factory=_no_numbers)
    first_line: np.ndarray = field(default_factory=_no_numbers)
    contradicts: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))
    first_difference: str = ""


@dataclass(frozen=True, kw_only=True)
class WrongLabels:
    """Labels that are no class of the table, `K` of them: region, time, line (0 where there is none), as written."""

    region: np.ndarray = field(default_factory=_no_numbers)
    time: np.ndarray = field(default_factory=_no_times)
    line: np.ndarray = field(default_factory=_no_numbers)
    value: np.ndarray = field(default_factory=lambda: np.zeros(0))


@dataclass(frozen=True, kw_only=True)
class RowNotes:
    """What the rows of the file were like before they were laid in order.

    Attributes:
        lines: `(R, T)` int32 line of each row in a text file, 0 where there is none; None for other files.
        n_unsorted: rows that are older than the row of their region before them.
        first_unsorted: region, time and line of the first of them.
        repeated: rows that stand there more than once.
        wrong_labels: labels outside the classes; unknown in the table.
    """

    lines: np.ndarray | None = None
    n_unsorted: int = 0
    first_unsorted: tuple[int, np.datetime64, int] | None = None
    repeated: RepeatedRows = field(default_factory=RepeatedRows)
    wrong_labels: WrongLabels = field(default_factory=WrongLabels)


@dataclass(frozen=True, kw_only=True)
class LaidRows:
    """Rows laid on regions x times: `values (R, T, C)`, `label (R, T)` int8, `precipitation_mm (R, T)`."""

    values: np.ndarray
    label: np.ndarray
    precipitation_mm: np.ndarray
    notes: RowNotes


def lay(rows: Rows, axis: np.ndarray, n_regions: int, n_classes: int, features: tuple[str, ...]) -> LaidRows:
    """Lay rows on a regular time axis; of rows that repeat each other the first is kept.

    Args:
        rows: as in the file.
        axis: `(T,)` datetime64[s], regular; holds every time of the rows.
        n_regions: R.
        n_classes: classes of the label; others are noted and become unknown.
        features: names of the C features.
    """
    shape = (n_regions, len(axis))
    step = axis[1] - axis[0]
    cell = rows.region * len(axis) + (rows.times - axis[0]) // step
    first, repeated = _repeated(rows, cell, shape[0] * shape[1], features)
    label, wrong = _classes(rows, n_classes)
    in_order = len(first) == shape[0] * shape[1] and bool((cell == np.arange(len(cell))).all())

    def laid(column: np.ndarray, blank: float) -> np.ndarray:
        if in_order:
            return column.reshape(*shape, *column.shape[1:])
        full = np.full((shape[0] * shape[1], *column.shape[1:]), blank, column.dtype)
        full[cell[first]] = column[first]
        return full.reshape(*shape, *column.shape[1:])

    lines = laid(np.arange(2, len(cell) + 2, dtype=np.int32), 0) if rows.from_lines else None
    count, where = _unsorted(rows)
    return LaidRows(
        values=laid(rows.values, np.nan),
        label=laid(label, UNKNOWN_LABEL),
        precipitation_mm=laid(rows.precipitation_mm, np.nan),
        notes=RowNotes(lines=lines, n_unsorted=count, first_unsorted=where, repeated=repeated, wrong_labels=wrong),
    )


def _classes(rows: Rows, n_classes: int) -> tuple[np.ndarray, WrongLabels]:
    """Return `(N,)` int8 classes, unknown where blank or wrong, and the wrong ones."""
    right = np.isin(rows.label, np.arange(n_classes))
    wrong = np.flatnonzero(~np.isnan(rows.label) & ~right)
    noted = WrongLabels(
        region=rows.region[wrong], time=rows.times[wrong], line=_lines(rows, wrong), value=rows.label[wrong]
    )
    return np.where(right, rows.label, UNKNOWN_LABEL).astype(np.int8), noted


def _unsorted(rows: Rows) -> tuple[int, tuple[int, np.datetime64, int] | None]:
    """Count the rows that are older than the row of their region before them, and find the first."""
    order = np.argsort(rows.region, kind="stable")
    same = np.diff(rows.region[order]) == 0
    back = order[1:][same & (np.diff(rows.times[order]) < np.timedelta64(0, "s"))]
    if not len(back):
        return 0, None
    row = back.min()
    return len(back), (int(rows.region[row]), rows.times[row], int(_lines(rows, row)))


def _repeated(rows: Rows, cell: np.ndarray, n_cells: int, features: tuple[str, ...]) -> tuple[np.ndarray, RepeatedRows]:
    """Return the first row of each cell, and the rows that repeat one."""
    if np.bincount(cell, minlength=n_cells).max() <= 1:
        return np.arange(len(cell)), RepeatedRows()
    _, first, of_cell = np.unique(cell, return_index=True, return_inverse=True)
    earlier = first[of_cell]
    later = np.flatnonzero(earlier != np.arange(len(cell)))
    unlike = _unlike(rows, earlier[later], later)
    contradicts = np.asarray(unlike.any(axis=1))
    difference = ""
    if contradicts.any():
        at = int(np.argmax(contradicts))
        column = int(np.argmax(unlike[at]))
        old, new = (_everything(rows, np.array([row]))[0, column] for row in (earlier[later[at]], later[at]))
        difference = f"{(*features, 'precipitation', 'label')[column]} {old:.6g} against {new:.6g}"
    noted = RepeatedRows(
        region=rows.region[later],
        time=rows.times[later],
        line=_lines(rows, later),
        first_line=_lines(rows, earlier[later]),
        contradicts=contradicts,
        first_difference=difference,
    )
    return first, noted


def _unlike(rows: Rows, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return `(K, C + 2)` True where two rows hold different values; two blanks are equal."""
    old, new = _everything(rows, first), _everything(rows, second)
    return ~((old == new) | (np.isnan(old) & np.isnan(new)))


def _everything(rows: Rows, at: np.ndarray) -> np.ndarray:
    """Return `(K, C + 2)` features, rain and label of the rows `at`."""
    return np.column_stack([rows.values[at], rows.precipitation_mm[at], rows.label[at]])


def _lines(rows: Rows, at: np.ndarray) -> np.ndarray:
    return at + 2 if rows.from_lines else np.zeros_like(at)
