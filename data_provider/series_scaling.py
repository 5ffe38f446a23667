"""Each channel of each series in deviations from its training mean, fitted on training rows alone.

T rows, V channels.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from data_provider.scaling import fit_scaling
from data_provider.series import Series
from data_provider.series_splits import Borders
from utils.errors import DataError

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ChannelScaling:
    """What was fitted on the training rows of one series.

    Attributes:
        series: its name.
        borders: ends of training, validation and test in rows.
        channels: `V` names of the channels that vary in training, in order.
        mean: `V` training means, in the units of the file.
        deviation: `V` training deviations, in the units of the file.
        dropped: channels that are constant or missing in training, and so are left out.
    """

    series: str
    borders: tuple[int, ...]
    channels: tuple[str, ...]
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    dropped: tuple[str, ...]

    def apply(self, series: Series) -> np.ndarray:
        """Return `(T, V)` float32 standardised values of the channels that were kept, NaN where missing."""
        columns = [series.channels.index(name) for name in self.channels]
        scaled = (series.values[:, columns].astype(np.float64) - self.mean) / self.deviation
        return scaled.astype(np.float32)

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> ChannelScaling:
        """Return what `to_json` wrote."""
        values: dict[str, Any] = {name: tuple(own) if isinstance(own, list) else own for name, own in content.items()}
        return cls(**values)


def fit(series: Series, ends: Borders) -> ChannelScaling:
    """Fit the scaling of a series on its training rows.

    Raises:
        DataError: ``ZERO_VARIANCE``, no channel varies in training.
    """
    training = series.values[: ends.train_end]
    known = np.isfinite(training)
    low, high = np.where(known, training, np.inf).min(axis=0), np.where(known, training, -np.inf).max(axis=0)
    varies = high > low
    names = np.array(series.channels, object)
    if not varies.any():
        raise DataError(
            "ZERO_VARIANCE",
            "No channel of a series varies in training.",
            where=f"{series.source}, series {series.name}, rows 0 to {ends.train_end}",
            evidence=f"constant or missing: {', '.join(names[~varies])}",
            next_command=f"other --split_shares, or leave it out: --exclude_series '{series.source.name}'",
        )
    if not varies.all():
        logger.warning(
            "ZERO_VARIANCE: %s: constant or missing in training, left out: %s", series.name, ", ".join(names[~varies])
        )
    mean, deviation = fit_scaling(training[:, varies], "standard")
    return ChannelScaling(
        series=series.name,
        borders=tuple(ends),
        channels=tuple(names[varies]),
        mean=tuple(mean.tolist()),
        deviation=tuple(deviation.tolist()),
        dropped=tuple(names[~varies]),
    )


def stored(content: Sequence[Mapping[str, Any]], series: Sequence[Series]) -> list[ChannelScaling]:
    """Return the scaling that an earlier run fitted to these series.

    Raises:
        DataError: ``DATA_SERIES``, these are other series or channels.
    """
    fitted = {entry["series"]: ChannelScaling.from_json(entry) for entry in content}
    for one in series:
        own = fitted.get(one.name)
        absent = sorted(set(own.channels) - set(one.channels)) if own else []
        if own is None or absent:
            raise DataError(
                "DATA_SERIES",
                "The files do not hold the series that the run was trained on.",
                where=f"{one.source}, series {one.name}",
                evidence=f"channels absent: {', '.join(absent)}" if own else f"run: {', '.join(fitted)}",
                next_command="give the files that the run was trained on (environment.json names them)",
            )
    return [fitted[one.name] for one in series]
