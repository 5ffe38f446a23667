"""From a prepared table to the windows of training, validation and test."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from data_provider import splits
from data_provider.cleaning import CleaningConfig
from data_provider.preprocessing import Preprocessing
from data_provider.rain_table import UNKNOWN_LABEL, RainTable, read_table
from data_provider.scaling import ScalingConfig
from data_provider.splits import SPLIT_NAMES, SplitConfig
from data_provider.windows import WindowIndex, WindowSet, build_index, with_missing
from utils.errors import DataError, UsageError

logger = logging.getLogger(__name__)
# A table may take this share of the free memory of the device; else batches are streamed from the host.
TABLE_MEMORY_SHARE = 0.5


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Data and windows."""

    root_path: str = field(default="datasets/processed/", metadata={"help": "folder of the prepared table"})
    data_path: str = field(
        default="peru_rainfall.csv", metadata={"help": "prepared table (.csv or .nc), made by scripts/prepare_era5.sh"}
    )
    seq_len: int = field(
        default=1440,
        metadata={"help": "context in rows of the table (hours where it is hourly), cut to whole tokens"},
    )
    sample_stride_hours: int = field(
        default=12,
        metadata={"help": "one window every so many hours, from 00 UTC, in all splits; 1 uses every hour"},
    )

    def __post_init__(self) -> None:
        for name in ("seq_len", "sample_stride_hours"):
            if getattr(self, name) < 1:
                raise UsageError(
                    "CONFIG",
                    f"--{name} must be at least 1.",
                    where=f"--{name}",
                    evidence=f"got {getattr(self, name)}",
                    next_command=f"--{name} {DataConfig.__dataclass_fields__[name].default}",
                )

    @property
    def path(self) -> Path:
        """The prepared table."""
        return Path(self.root_path) / self.data_path


@dataclass(frozen=True)
class Splits:
    """Windows of the three splits and what they were made with."""

    train: WindowSet
    validation: WindowSet
    test: WindowSet
    table: RainTable
    preprocessing: Preprocessing
    ends: splits.Boundaries
    left_out: dict[str, int]

    @property
    def sets(self) -> tuple[WindowSet, WindowSet, WindowSet]:
        """Training, validation, test."""
        return self.train, self.validation, self.test

    @property
    def pressure_index(self) -> int | None:
        """Position of the surface pressure among the model's variables."""
        names = self.preprocessing.variables
        return names.index("sp") if "sp" in names else None


def load_splits(
    data: DataConfig,
    split: SplitConfig,
    clean: CleaningConfig,
    scale: ScalingConfig,
    *,
    context_length: int,
    device: torch.device,
    preprocessing: Preprocessing | None = None,
    ends: splits.Boundaries | None = None,
) -> Splits:
    """Read the table, fit or reuse the preprocessing, and list the windows of each split.

    Args:
        data: which table and windows.
        split: where the splits lie in time.
        clean: missing values, outliers, constants.
        scale: scaling.
        context_length: L, `seq_len` cut to whole tokens.
        device: training device.
        preprocessing: fitted state of an earlier run; fitted here on the training times when None.
        ends: boundaries of an earlier run, which its test must keep however long the table is now; else from `split`.

    Raises:
        DataError: no windows, missing values that the flags do not handle, or a split with one class only.
    """
    table = read_table(data.path)
    ends = ends or splits.boundaries(split, table.times)
    fitted = preprocessing or Preprocessing.fit(table, ends.train_end, clean, scale)
    values = fitted.apply(table)
    index = windows_of(table, context_length, data.sample_stride_hours)
    total = len(index)
    index = index.select(index.label != UNKNOWN_LABEL)
    without_label = total - len(index)
    index, left_out = _without_missing(index, values, table, fitted.variables, context_length, clean)
    left_out["without_label"] = without_label
    assigned = splits.assign(
        index.init_time, ends, lead_time_hours=table.lead_time_hours, accumulation_hours=table.accumulation_hours
    )
    left_out["across_a_split_boundary"] = int((assigned == splits.NO_SPLIT).sum())
    tensor = place_table(values, device)
    parts = [
        WindowSet(tensor, index.select(assigned == number), context_length, table.regions, device)
        for number in range(len(SPLIT_NAMES))
    ]
    _check_classes(parts, table)
    train, validation, test = parts
    return Splits(train, validation, test, table=table, preprocessing=fitted, ends=ends, left_out=left_out)


def windows_of(table: RainTable, context_length: int, stride_hours: int) -> WindowIndex:
    """List the windows of a table, labelled or not.

    Raises:
        DataError: the record is shorter than the context.
    """
    index = build_index(
        table.times,
        table.present,
        table.label,
        table.precipitation_mm,
        context_length=context_length,
        stride_hours=stride_hours,
        lead_steps=table.lead_time_hours // table.step_hours,
        step_hours=table.step_hours,
    )
    if len(index):
        return index
    longest = _longest_run(table.present)
    raise DataError(
        "CONTEXT_TOO_LONG",
        "The context is longer than any part of the record without a gap.",
        where=f"--seq_len {context_length}, {table.source}",
        evidence=f"{longest} rows in a row at most, {table.step_hours} h apart",
        next_command=f"--seq_len {max(min(longest // 2, 720), 1)}, or prepare more years",
    )


def place_table(values: np.ndarray, device: torch.device) -> torch.Tensor:
    """Return the table as one tensor `(R * T, V)`, on the device when it fits, else on the host."""
    flat = torch.from_numpy(np.ascontiguousarray(values.reshape(-1, values.shape[-1])))
    if device.type != "cuda":
        return flat
    free, _ = torch.cuda.mem_get_info(device)
    if flat.nbytes <= TABLE_MEMORY_SHARE * free:
        return flat.to(device)
    logger.info("The table (%.1f GB) does not fit the device: batches are streamed.", flat.nbytes / 1e9)
    return flat.pin_memory()


def _without_missing(
    index: WindowIndex,
    values: np.ndarray,
    table: RainTable,
    variables: tuple[str, ...],
    context_length: int,
    clean: CleaningConfig,
) -> tuple[WindowIndex, dict[str, int]]:
    """Leave out windows that begin in the head rows; refuse or drop those with other missing values."""
    missing = with_missing(values, index, context_length)
    at_head = np.zeros(len(index), bool)
    if clean.fill != "none":
        head = np.cumsum(~np.isnan(values).any(axis=-1), axis=1).reshape(-1) == 0
        at_head = missing & head[index.end - context_length + 1]
    elsewhere = missing & ~at_head
    if elsewhere.any() and clean.fill != "drop":
        raise _missing_values(elsewhere, values, table, variables)
    return index.select(~missing), {"missing_values": int(elsewhere.sum()), "head_rows": int(at_head.sum())}


def _missing_values(touched: np.ndarray, values: np.ndarray, table: RainTable, variables: tuple[str, ...]) -> DataError:
    """Return the error that says which variables, rows and times are missing, and how many windows they touch."""
    missing = np.isnan(values) & table.present[..., None]
    region, row, _ = (int(axis[0]) for axis in np.nonzero(missing))
    names = [name for name, is_missing in zip(variables, missing.any(axis=(0, 1)), strict=True) if is_missing]
    shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    return DataError(
        "DATA_NAN",
        f"{100 * touched.mean():.1f} % of the windows hold a missing value; one is enough to make an output NaN.",
        where=f"{table.source}, {shown}, first in region {table.regions[region]} at {table.times[row]}",
        evidence=f"{int(missing.sum())} missing values in {int(missing.any(axis=-1).sum())} rows; "
        f"{int(touched.sum())} of {len(touched)} windows touched",
        next_command="--fill forward_then_zero (training mean), --fill drop (leave these windows out), or mend the "
        "source and prepare again",
    )


def _check_classes(parts: list[WindowSet], table: RainTable) -> None:
    for name, part in zip(SPLIT_NAMES, parts, strict=True):
        counts = np.bincount(part.index.label, minlength=table.n_classes)
        if len(counts) > table.n_classes:
            raise DataError(
                "LABEL_RANGE",
                f"The table holds class {len(counts) - 1}, but its thresholds make {table.n_classes} classes.",
                where=str(table.source),
                evidence=f"thresholds {table.thresholds_mm} mm",
                next_command="write threshold_mm into the .json beside the table, or prepare it anew",
            )
        if (counts > 0).sum() < 2:
            raise DataError(
                "ONE_CLASS" if len(part) else "SPLIT_EMPTY",
                f"The {name} split has {'one class only' if len(part) else 'no windows'}.",
                where=str(table.source),
                evidence=f"class counts {counts.tolist()}, threshold {table.thresholds_mm} mm, "
                f"record {table.times[0]} to {table.times[-1]}",
                next_command="check the threshold (millimetres) and the units of tp, shorten --seq_len, or move "
                "--train_until and --validation_until",
            )


def _longest_run(present: np.ndarray) -> int:
    longest = 0
    for row in present:
        edges = np.flatnonzero(np.diff(np.concatenate([[False], row, [False]]).astype(np.int8)))
        longest = max(longest, int((edges[1::2] - edges[::2]).max(initial=0)))
    return longest
