"""Everything that is fitted on the training times, kept as plain JSON and applied unchanged at prediction."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from data_provider import cleaning, scaling
from data_provider.cleaning import CleaningConfig, FillName
from data_provider.rain_table import RainTable
from data_provider.scaling import ScalingConfig
from utils.errors import DataError


@dataclass(frozen=True)
class Preprocessing:
    """Fitted state: which variables the model sees, in which order, clipped and scaled how.

    Attributes:
        source_features: columns of the table, in order.
        variables: what the model sees, in order; part of a checkpoint.
        dropped: constant columns that were left out, with their value.
        fill: how missing values are filled.
        max_gap_steps: longest forward fill, in rows.
        lower: clip limit per variable, None where there is none.
        upper: clip limit per variable, None where there is none.
        centre: subtracted, per variable, in the units of docs/data.md.
        spread: divided by, per variable.
        counts: what cleaning did to the table it was fitted on.
    """

    source_features: tuple[str, ...]
    variables: tuple[str, ...]
    dropped: dict[str, float | None]
    fill: FillName
    max_gap_steps: int
    lower: tuple[float | None, ...]
    upper: tuple[float | None, ...]
    centre: tuple[float, ...]
    spread: tuple[float, ...]
    counts: dict[str, int]

    @classmethod
    def fit(
        cls, table: RainTable, train_end: np.datetime64, clean: CleaningConfig, scale: ScalingConfig
    ) -> Preprocessing:
        """Fit on the rows of the table before `train_end` and on no others.

        Raises:
            DataError: no training rows, or nothing but constants in them.
        """
        values, names = cleaning.split_direction(table.values, table.features)
        steps = clean.max_gap_hours // table.step_hours if clean.fill.startswith("forward") else 0
        training = table.times < train_end
        keep = _kept(values[:, training][table.present[:, training]], clean, table, train_end)
        kept = tuple(name for name, used in zip(names, keep, strict=True) if used)
        filled, head = _filled(values[..., keep], table.present, clean.fill, steps)
        rows = filled[:, training][~head[:, training] & table.present[:, training]]
        if not len(rows):
            raise _no_rows(table, train_end, "every row has a blank")
        limits = _limits(rows, kept, clean)
        centre, spread = scaling.fit_scaling(np.clip(rows, *limits.astype(np.float32)), scale.scale)
        return cls(
            source_features=table.features,
            variables=kept,
            dropped=_dropped_values(names, values[:, training], keep),
            fill=clean.fill,
            max_gap_steps=steps,
            lower=_to_json(limits[0]),
            upper=_to_json(limits[1]),
            centre=tuple(map(float, centre)),
            spread=tuple(map(float, spread)),
            counts=_counts(values[..., keep], filled, table.present, head),
        )

    def apply(self, table: RainTable) -> np.ndarray:
        """Return scaled model inputs `(R, T, V)` float32; NaN where a value stays missing.

        Raises:
            DataError: the table lacks a column the model was trained on.
        """
        missing = [name for name in self.source_features if name not in table.features]
        if missing:
            raise DataError(
                "DATA_VARIABLE_MISSING",
                "The data lack variables that the model was trained on.",
                where=str(table.source),
                evidence=f"missing: {', '.join(missing)}",
                next_command="prepare files that hold these variables, with the columns of the training table",
            )
        order = [table.features.index(name) for name in self.source_features]
        values, names = cleaning.split_direction(table.values[..., order], self.source_features)
        values = values[..., [names.index(name) for name in self.variables]]
        filled, head = _filled(values, table.present, self.fill, self.max_gap_steps)
        lower = np.array([-np.inf if value is None else value for value in self.lower], np.float32)
        upper = np.array([np.inf if value is None else value for value in self.upper], np.float32)
        scaled = (np.clip(filled, lower, upper).astype(np.float64) - self.centre) / np.array(self.spread)
        if self.fill == "forward_then_zero":
            hole = np.isnan(scaled) & table.present[..., None] & ~head[..., None]
            scaled[hole] = 0.0  # the training mean, since this comes after scaling
        if self.fill != "none":
            scaled[head] = np.nan
        return scaled.astype(np.float32)

    def to_json(self) -> dict[str, Any]:
        """Return plain values for preprocessing.json."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Preprocessing:
        """Rebuild from what `to_json` wrote."""
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in content.items()
        }
        return cls(**values)


def _filled(values: np.ndarray, present: np.ndarray, fill: FillName, max_steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Return values after the forward fill, and the head rows that no fill may touch."""
    if fill == "none":
        return values, np.zeros(present.shape, bool)
    head = cleaning.head_rows(values, present)
    if fill.startswith("forward"):
        values = cleaning.fill_forward(values, present, max_steps)
    return values, head


def _kept(rows: np.ndarray, clean: CleaningConfig, table: RainTable, train_end: np.datetime64) -> np.ndarray:
    """Return `(C,)` True for the columns that the training rows `(N, C)` can say something about."""
    if not len(rows):
        raise _no_rows(table, train_end, "no row lies before its end")
    keep = ~cleaning.constant_columns(rows) if clean.drop_constant else ~np.isnan(rows).all(axis=0)
    if not keep.any():
        raise DataError(
            "ZERO_VARIANCE",
            "Every feature is constant in the training times.",
            where=str(table.source),
            evidence=f"{rows.shape[1]} columns, {len(rows)} rows",
            next_command="check the columns of the table",
        )
    return keep


def _no_rows(table: RainTable, train_end: np.datetime64, why: str) -> DataError:
    return DataError(
        "SPLIT_EMPTY",
        f"There are no training rows: {why}.",
        where=str(table.source),
        evidence=f"record {table.times[0]} to {table.times[-1]}, training ends {train_end}",
        next_command="check --train_until and the columns that are blank",
    )


def _limits(rows: np.ndarray, names: tuple[str, ...], clean: CleaningConfig) -> np.ndarray:
    if clean.clip_quantiles is None:
        return np.stack([np.full(len(names), -np.inf), np.full(len(names), np.inf)])
    return cleaning.clip_limits(rows, names, clean.clip_quantiles)


def _to_json(limits: np.ndarray) -> tuple[float | None, ...]:
    return tuple(float(value) if np.isfinite(value) else None for value in limits)


def _dropped_values(names: tuple[str, ...], values: np.ndarray, keep: np.ndarray) -> dict[str, float | None]:
    """Return the training value of each dropped column, None where it never had one."""
    dropped: dict[str, float | None] = {}
    for column in np.flatnonzero(~keep):
        known = values[..., column][~np.isnan(values[..., column])]
        dropped[names[column]] = float(known[0]) if len(known) else None
    return dropped


def _counts(before: np.ndarray, after: np.ndarray, present: np.ndarray, head: np.ndarray) -> dict[str, int]:
    missing_before = np.isnan(before) & present[..., None]
    body = (present & ~head)[..., None]
    return {
        "rows": int(present.sum()),
        "absent_rows": int((~present).sum()),
        "head_rows_dropped": int((head & present).sum()),
        "missing_values": int(missing_before.sum()),
        "values_filled_forward": int((missing_before & ~np.isnan(after)).sum()),
        "values_still_missing": int((np.isnan(after) & body).sum()),
    }
