"""Least, largest, mean, deviation and what is missing of every column, in one pass over blocks of rows.

R regions, T times, C columns.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# Rows summed in double precision at a time: a whole copy of eleven years of hours would take half a gigabyte.
BLOCK_ROWS = 16_384


@dataclass(frozen=True, kw_only=True)
class ColumnStatistics:
    """What the columns of a table hold, `(C,)` each; blank where a column has no finite value.

    Attributes:
        low: least finite value.
        high: largest finite value.
        mean: of the finite values.
        deviation: standard deviation of the finite values.
        missing: number of NaN.
        infinite: number of infinite values.
        rows: number of rows counted.
    """

    low: np.ndarray
    high: np.ndarray
    mean: np.ndarray
    deviation: np.ndarray
    missing: np.ndarray
    infinite: np.ndarray
    rows: int

    def of(self, column: int) -> dict[str, float | int | None]:
        """Return the statistics of one column as plain values, None where there is none."""
        numbers = {name: float(getattr(self, name)[column]) for name in ("low", "high", "mean", "deviation")}
        return {name: value if np.isfinite(value) else None for name, value in numbers.items()} | {
            "missing": int(self.missing[column]),
            "infinite": int(self.infinite[column]),
        }


def describe(values: np.ndarray, rows: np.ndarray) -> ColumnStatistics:
    """Describe the columns of a table.

    Args:
        values: `(R, T, C)`, any float.
        rows: `(R, T)` True for the rows to count.
    """
    flat, wanted = values.reshape(-1, values.shape[-1]), rows.reshape(-1)
    width = flat.shape[1]
    low, high = np.full(width, np.inf), np.full(width, -np.inf)
    known, missing = np.zeros(width, np.int64), np.zeros(width, np.int64)
    total, square = np.zeros(width), np.zeros(width)
    # Sums are taken around a value of the column, so that squares of large values do not cancel.
    centre = _first_finite(flat)
    for start in range(0, len(flat), BLOCK_ROWS):
        chosen = wanted[start : start + BLOCK_ROWS]
        block = flat[start : start + BLOCK_ROWS] if chosen.all() else flat[start : start + BLOCK_ROWS][chosen]
        finite = np.isfinite(block)
        known += finite.sum(axis=0)
        missing += np.isnan(block).sum(axis=0)
        if not finite.all():
            low = np.minimum(low, np.where(finite, block, np.inf).min(axis=0, initial=np.inf))
            high = np.maximum(high, np.where(finite, block, -np.inf).max(axis=0, initial=-np.inf))
            moved = np.where(finite, block - centre, 0.0)
        else:
            low = np.minimum(low, block.min(axis=0, initial=np.inf))
            high = np.maximum(high, block.max(axis=0, initial=-np.inf))
            moved = block - centre
        total += moved.sum(axis=0)
        square += np.einsum("nc,nc->c", moved, moved)
    n_rows = int(wanted.sum())
    count = np.where(known > 0, known, np.nan)
    shift = total / count
    return ColumnStatistics(
        low=np.where(known > 0, low, np.nan),
        high=np.where(known > 0, high, np.nan),
        mean=centre + shift,
        deviation=np.sqrt(np.maximum(square / count - shift**2, 0.0)),
        missing=missing,
        infinite=n_rows - known - missing,
        rows=n_rows,
    )


def _first_finite(flat: np.ndarray) -> np.ndarray:
    """Return `(C,)` float64, a finite value of each column, 0 where there is none."""
    centre = np.zeros(flat.shape[1])
    for column in range(flat.shape[1]):
        for start in range(0, len(flat), BLOCK_ROWS):
            finite = np.isfinite(flat[start : start + BLOCK_ROWS, column])
            if finite.any():
                centre[column] = flat[start + int(np.argmax(finite)), column]
                break
    return centre
