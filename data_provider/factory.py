"""From a prepared table to the windows of training, validation and test."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from data_provider import splits
from data_provider.cleaning import CleaningConfig
from data_provider.cutting import CutTable, cut_table
from data_provider.preprocessing import Preprocessing
from data_provider.rain_table import RainTable, read_table_leniently
from data_provider.scaling import ScalingConfig
from data_provider.split_checks import inspect_splits, told_once
from data_provider.splits import SPLIT_NAMES, SplitConfig
from data_provider.table_checks import inspect_table
from data_provider.windows import WindowIndex, WindowSet
from utils.findings import Finding, require_no_error
from utils.flag_rules import require

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
    lead_times: tuple[int, ...] = field(
        default=(),
        metadata={
            "help": "hours from the forecast to the end of the rain asked for, several told by one model, such as "
            "24 48 72; the first is the run's own, the others are scored in folders lead_<hours>h (default: that of "
            "the table)"
        },
    )

    def __post_init__(self) -> None:
        for name in ("seq_len", "sample_stride_hours"):
            require(self, name, getattr(self, name) >= 1, "must be at least 1")
        hours, way_out = self.lead_times, "--lead_times 24 48 72"
        require(self, "lead_times", all(each >= 1 for each in hours), "takes hours of at least 1", way_out)
        require(self, "lead_times", len({*hours}) == len(hours), "names one lead time twice", way_out)

    @property
    def path(self) -> Path:
        """The prepared table."""
        return Path(self.root_path) / self.data_path


@dataclass(frozen=True)
class Splits:
    """Windows of the three splits, what they were made with, and what the checks found that does not stop a run."""

    train: WindowSet
    validation: WindowSet
    test: WindowSet
    table: RainTable
    preprocessing: Preprocessing
    ends: splits.Boundaries
    left_out: dict[str, int]
    # What a reference that needs no training, such as a climatology, may know: with --train_windows more than `train`.
    all_training: WindowIndex
    findings: tuple[Finding, ...] = ()
    # The table with the label of each further lead time.
    further: tuple[RainTable, ...] = ()

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
    table: RainTable | None = None,
    batch_size: int | None = None,
    of_amounts: bool = False,
) -> Splits:
    """Read the table, refuse what cannot be learned from, fit or reuse the preprocessing, and list all windows.

    Args:
        data: which table and windows.
        split: where the splits lie in time.
        clean: missing values, outliers, constants.
        scale: scaling.
        context_length: L, `seq_len` cut to whole tokens.
        device: training device.
        preprocessing: fitted state of an earlier run; fitted here on the training times when None.
        ends: boundaries of an earlier run, which its test must keep however long the table is now; else from `split`.
        table: as `read_table_leniently` returned it, where the caller has read it already.
        batch_size: windows of a batch; with it a message says how many batches are spoiled.
        of_amounts: check the amounts of rain, which `data_provider.amounts` makes the targets, instead of the classes.

    Raises:
        DataError: faults of the table or of its windows that the flags do not handle; all of one stage in one message.
    """
    table = read_table_leniently(data.path) if table is None else table
    stride = data.sample_stride_hours
    of_table = inspect_table(table, clean, context_length=context_length, stride_hours=stride)
    require_no_error(of_table)
    cut = cut_table(
        table,
        split,
        clean,
        scale,
        context_length=context_length,
        stride_hours=stride,
        preprocessing=preprocessing,
        ends=ends,
        lead_times=data.lead_times,
    )
    of_splits = inspect_splits(cut, clean, batch_size=batch_size, of_amounts=of_amounts)
    require_no_error(of_splits)
    return splits_of(cut, device, findings=tuple(told_once([*of_table, *of_splits])))


def splits_of(cut: CutTable, device: torch.device, *, findings: tuple[Finding, ...] = ()) -> Splits:
    """Return the windows of the three splits of a table that was cut and inspected; missing values are left out.

    Args:
        cut: what `inspect_table` and `inspect_splits` found no error in.
        device: training device.
        findings: what they found besides.
    """
    tensor = place_table(cut.values, device)
    train, validation, test = (
        WindowSet(tensor, cut.whole_windows(number), cut.context_length, cut.table.regions, device)
        for number in range(len(SPLIT_NAMES))
    )
    return Splits(
        train,
        validation,
        test,
        table=cut.table,
        preprocessing=cut.preprocessing,
        ends=cut.ends,
        left_out=cut.all_left_out(),
        all_training=cut.whole_training_windows,
        findings=findings,
        further=cut.further,
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
