"""From files to the windows of training, validation and test, standardised by training statistics.

A window that touches a missing value is left out and counted; nothing is filled.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from data_provider import series_files, series_scaling
from data_provider.factory import place_table
from data_provider.series import Series
from data_provider.series_scaling import ChannelScaling
from data_provider.series_splits import Borders, SeriesConfig, borders
from data_provider.series_windows import Lengths, SeriesWindows, build_index, lay_out
from data_provider.series_windows import Sequence as Strand
from data_provider.splits import SPLIT_NAMES, TEST, TRAIN, VALIDATION
from utils.errors import DataError, join

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class SeriesData:
    """Series on the training device, ready to be cut into windows.

    Attributes:
        config: which series and splits.
        series: as read.
        scaling: fitted on the training rows of each.
        strands: what windows are cut from.
        rows: `(R, C)` float32 standardised values of all strands, NaN where missing.
        table: the same on the device.
        device: of the training.
        sha256: of all files.
    """

    config: SeriesConfig
    series: list[Series]
    scaling: list[ChannelScaling]
    strands: list[Strand]
    rows: np.ndarray
    table: torch.Tensor
    device: torch.device
    sha256: str

    @property
    def n_channels(self) -> int:
        """Channels of a window."""
        return self.rows.shape[1]

    @property
    def is_synthetic(self) -> bool:
        """True where any series calls itself made data."""
        return any(one.is_synthetic for one in self.series)

    def windows(self, split: int, lengths: Lengths) -> SeriesWindows:
        """Return the windows of a split.

        Raises:
            DataError: ``NO_WINDOWS``, there is none, or a file has none to learn from.
        """
        stride = self.config.train_stride if split == TRAIN else self.config.test_stride
        index, left_out = build_index(self.rows, self.strands, split, lengths, stride)
        if left_out:
            logger.info("  %s: %d windows touch a missing value and are left out", SPLIT_NAMES[split], left_out)
        self._require_windows(split, index.sequence, lengths, left_out)
        return SeriesWindows(self.table, index, lengths, self.strands, self.device)

    def _require_windows(self, split: int, used: np.ndarray, lengths: Lengths, left_out: int) -> None:
        """Refuse a split without windows, and a series that training would silently pass over."""
        present = {self.strands[number].name for number in np.unique(used)}
        errors = []
        for one in self.series:
            if any(name == one.name or name.startswith(f"{one.name}/") for name in present):
                continue
            if split != TRAIN and present:
                continue
            ends = next(fitted.borders for fitted in self.scaling if fitted.series == one.name)
            errors.append(_no_windows(one, split, ends, lengths, left_out))
        if errors:
            raise join(errors)

    def preprocessing(self) -> list[dict[str, Any]]:
        """Return what was fitted, as plain values."""
        return [fitted.to_json() for fitted in self.scaling]

    def description(self) -> list[dict[str, Any]]:
        """Return, for config.json, what each series is and what its rows were like in the file."""
        return [
            {
                "series": one.name,
                "source": str(one.source),
                "channels": list(one.channels),
                "first_time": str(one.times[0]),
                "last_time": str(one.times[-1]),
                "step_seconds": int(one.step / np.timedelta64(1, "s")),
                "synthetic": one.is_synthetic,
                **one.notes,
            }
            for one in self.series
        ]


def load_series(
    config: SeriesConfig, device: torch.device, fitted: Sequence[Mapping[str, Any]] | None = None
) -> SeriesData:
    """Read all series and standardise them.

    Args:
        config: which files and splits.
        device: of the training.
        fitted: preprocessing of an earlier run; fitted here on the training rows when None.

    Raises:
        DataError: a file is missing, no set of series, or none of its channels varies.
        UsageError: the splits do not fit the series.
    """
    files = series_files.find(config.path, config.exclude_series)
    series = series_files.read(files)
    _require_different_names(series)
    if fitted is None:
        scaling = [series_scaling.fit(one, borders(config, len(one.times), one.name)) for one in series]
    else:
        scaling = series_scaling.stored(fitted, series)
    rows, strands = lay_out(
        series,
        [own.apply(one) for own, one in zip(scaling, series, strict=True)],
        [Borders(*own.borders) for own in scaling],
        [own.channels for own in scaling],
        alone=config.variates == "univariate",
    )
    for one in series:
        _tell(one)
    return SeriesData(
        config=config,
        series=series,
        scaling=scaling,
        strands=strands,
        rows=rows,
        table=place_table(rows, device),
        device=device,
        sha256=series_files.fingerprint(files, config.path),
    )


def fingerprint(config: SeriesConfig) -> str:
    """Return the hash of the files that the flags name.

    Raises:
        DataError: there are none.
    """
    return series_files.fingerprint(series_files.find(config.path, config.exclude_series), config.path)


def _require_different_names(series: list[Series]) -> None:
    names = [one.name for one in series]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(
            "DATA_SERIES",
            "Two series have one name, so their results could not be told apart.",
            where=", ".join(str(one.source) for one in series if one.name == twice[0]),
            evidence=f"name {twice[0]}",
            next_command="rename one of the files, or leave one out with --exclude_series",
        )


def _tell(one: Series) -> None:
    notes = one.notes
    logger.info(
        "%s%s: %d rows from %s to %s, %d channels",
        "SYNTHETIC data, " if one.is_synthetic else "",
        one.name,
        len(one.times),
        one.times[0],
        one.times[-1],
        len(one.channels),
    )
    told = [f"{notes[name]} {name.replace('_', ' ')}" for name in ("rows_absent", "rows_repeated") if notes[name]]
    if notes["cells_contradicting"]:
        told.append(f"{notes['cells_contradicting']} cells contradict each other in repeated rows and count as missing")
    told += [f"{channel}: {what} count as missing" for channel, what in notes["fill_values"].items()]
    if told:
        logger.info("  %s", "; ".join(told))


def _no_windows(one: Series, split: int, ends: tuple[int, ...], lengths: Lengths, left_out: int) -> DataError:
    length = lengths.context + lengths.ahead
    first = (0, ends[0], ends[1])[split]
    reach = {TRAIN: "windows lie inside it", VALIDATION: "look-back may lie before", TEST: "look-back may lie before"}
    missing = int(one.notes["cells_missing"])
    return DataError(
        "NO_WINDOWS",
        f"A series has no usable window for {SPLIT_NAMES[split]}.",
        where=f"{one.source}, series {one.name}, rows {first} to {ends[split]}",
        evidence=f"a window takes {length} rows ({lengths.context} back, {lengths.ahead} ahead; {reach[split]}); "
        f"{missing} of its cells are missing; {left_out} windows of all series touch a missing value",
        next_command=f"a shorter --seq_len or --test_pred_len, other --split_shares, or leave it out: "
        f"--exclude_series '{one.source.name}'",
    )
