"""Which series, and where training, validation and test of each lie in time."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

from utils.errors import UsageError
from utils.flag_rules import require


@dataclass(frozen=True, kw_only=True)
class SeriesConfig:
    """Series and windows."""

    root_path: str = field(default="datasets/series/", metadata={"help": "folder of the series"})
    data_path: str = field(
        default="",
        metadata={
            "help": "a CSV (date, numbers), a prepared table or NetCDF series in it; all files in root_path when empty"
        },
    )
    exclude_series: tuple[str, ...] = field(
        default=(), metadata={"help": "patterns of file names that are left out, such as ETT*"}
    )
    variates: Literal["univariate", "multivariate"] = field(
        default="univariate",
        metadata={"help": "univariate: each channel is a series of its own; multivariate: all channels in one window"},
    )
    seq_len: int = field(default=672, metadata={"help": "look-back in rows, cut to whole tokens"})
    split_shares: tuple[float, ...] = field(
        default=(0.7, 0.1, 0.2), metadata={"help": "shares of each series for training, validation, test"}
    )
    split_rows: tuple[int, ...] | None = field(
        default=None,
        metadata={"help": "ends of training, validation and test in rows instead (ETTh1: 8640 11520 14400)"},
    )
    train_stride: int = field(default=1, metadata={"help": "rows from one training window to the next"})
    test_stride: int = field(default=1, metadata={"help": "rows from one validation or test window to the next"})

    def __post_init__(self) -> None:
        for name in ("seq_len", "train_stride", "test_stride"):
            require(self, name, getattr(self, name) >= 1, "must be at least 1")
        shares, rows = self.split_shares, self.split_rows
        whole = len(shares) == 3 and min(shares) > 0 and abs(sum(shares) - 1) < 1e-6
        require(self, "split_shares", whole, "takes three positive shares that sum to 1")
        rising = rows is None or (len(rows) == 3 and 0 < rows[0] < rows[1] < rows[2])
        require(self, "split_rows", rising, "takes three rising numbers of rows", "--split_rows 8640 11520 14400")

    @property
    def path(self) -> Path:
        """The file or folder of the series."""
        return Path(self.root_path) / self.data_path


class Borders(NamedTuple):
    """First rows after training, validation and test."""

    train_end: int
    validation_end: int
    test_end: int


def borders(config: SeriesConfig, n_rows: int, name: str) -> Borders:
    """Return where the splits of a series of `n_rows` rows end.

    Raises:
        UsageError: ``--split_rows`` reaches beyond the series.
    """
    if config.split_rows is None:
        train, validation, _ = config.split_shares
        return Borders(round(n_rows * train), round(n_rows * (train + validation)), n_rows)
    if config.split_rows[2] <= n_rows:
        return Borders(*config.split_rows)
    raise UsageError(
        "CONFIG",
        "--split_rows reaches beyond the end of a series.",
        where=f"--split_rows, series {name}",
        evidence=f"the test ends at row {config.split_rows[2]}, the series has {n_rows} rows",
        next_command="--split_rows none splits each series by --split_shares",
    )
