"""Forecast amounts of rain beside what fell: the typed border between a regression and its scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from utils import rain_scale
from utils.errors import DataError
from utils.forecasts import REFERENCES, ReferenceName

SAME_MM = 0.01
_SERIES = ("init_time", "region", "observed")
_FORECASTS = ("forecast", *REFERENCES)


@dataclass(frozen=True)
class Amounts:
    """What one forecaster says about the rain of some periods, in millimetres.

    Attributes:
        quantiles: `(N, K)` at `rain_scale.levels(K)`, K odd, not falling along K.
        mean: `(N,)` expected amount.
    """

    quantiles: np.ndarray
    mean: np.ndarray

    @classmethod
    def of_quantiles(cls, quantiles: np.ndarray) -> Amounts:
        """Take the mean of the quantiles, the midpoint rule, as the expected amount."""
        return cls(quantiles, quantiles.mean(axis=1))

    @classmethod
    def joined(cls, parts: Sequence[Amounts]) -> Amounts:
        """Put amounts one behind the other."""
        return cls(np.concatenate([each.quantiles for each in parts]), np.concatenate([each.mean for each in parts]))

    def __len__(self) -> int:
        return len(self.mean)

    @property
    def median(self) -> np.ndarray:
        """`(N,)` the amount that is passed as often as not: the forecast of least absolute error."""
        return self.quantiles[:, self.quantiles.shape[1] // 2]

    @property
    def is_constant(self) -> bool:
        """True when the same is said every time, to a hundredth of a millimetre: a network never repeats itself."""
        said = np.column_stack([self.quantiles, self.mean])
        return len(self) == 0 or float(np.ptp(said, axis=0).max()) < SAME_MM

    def select(self, chosen: np.ndarray) -> Amounts:
        """The entries where the boolean `(N,)` is true."""
        return Amounts(self.quantiles[chosen], self.mean[chosen])

    def exceedance(self, threshold_mm: float) -> np.ndarray:
        """Return the probability `(N,)` that so much rain is reached.

        Between two quantiles the level is interpolated along millimetres. Below the lowest, the distribution begins at
        no rain with level 0. Beyond the highest quantile q, of level l, the probability is
        (1 - l) (1 + q) / (1 + threshold), a convention: it goes on without a jump and falls to zero.

        Args:
            threshold_mm: above 0.
        """
        level = rain_scale.levels(self.quantiles.shape[1])
        beyond = (1 - level[-1]) * (1 + self.quantiles[:, -1]) / (1 + threshold_mm)
        values = np.concatenate([np.zeros((len(self), 1)), self.quantiles], axis=1)
        reached_at = np.concatenate([[0.0], level])
        number = (values < threshold_mm).sum(axis=1)
        upper = np.minimum(number, len(level))
        row = np.arange(len(self))
        low, high = values[row, upper - 1], values[row, upper]
        share = np.divide(threshold_mm - low, high - low, out=np.zeros(len(self)), where=high > low)
        below = reached_at[upper - 1] + np.clip(share, 0, 1) * (reached_at[upper] - reached_at[upper - 1])
        return np.where(number > len(level), beyond, 1 - below)


@dataclass(frozen=True, kw_only=True)
class AmountForecasts:
    """Amounts from a forecaster and from both references, beside what fell.

    Attributes:
        init_time: `(N,)` datetime64, when the forecast is made.
        region: `(N,)` names.
        observed: `(N,)` rain of the label period in millimetres.
        forecast: of the model.
        climatology: quantiles and mean of the training split, by region and month of init_time.
        persistence: the rain of the period of equal length that ends at init_time, said with certainty.
    """

    init_time: np.ndarray
    region: np.ndarray
    observed: np.ndarray
    forecast: Amounts
    climatology: Amounts
    persistence: Amounts

    def __post_init__(self) -> None:
        lengths = {name: len(getattr(self, name)) for name in (*_SERIES, *_FORECASTS)}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"forecasts need arrays of one length, got {lengths}")
        for name in _FORECASTS:
            amounts: Amounts = getattr(self, name)
            _require_amounts(name, np.column_stack([amounts.quantiles, amounts.mean]))
        _require_amounts("observed", np.asarray(self.observed, dtype=np.float64)[:, None])

    @classmethod
    def joined(cls, parts: Sequence[AmountForecasts]) -> AmountForecasts:
        """Put forecasts of several runs, of as many quantiles each, one behind the other."""
        of: dict[str, Any] = {name: np.concatenate([getattr(part, name) for part in parts]) for name in _SERIES}
        of |= {name: Amounts.joined([getattr(part, name) for part in parts]) for name in _FORECASTS}
        return cls(**of)

    def reference(self, name: ReferenceName) -> AmountForecasts:
        """A reference of the same cases as a forecast of its own."""
        return replace(self, forecast=getattr(self, name))

    def select(self, chosen: np.ndarray) -> AmountForecasts:
        """The entries where the boolean `(N,)` is true."""
        series = {name: getattr(self, name)[chosen] for name in _SERIES}
        return AmountForecasts(**series, **{name: getattr(self, name).select(chosen) for name in _FORECASTS})


def _require_amounts(name: str, values: np.ndarray) -> None:
    """Refuse what is no amount of rain: a score of it would be a number that means nothing."""
    wrong = ~(np.isfinite(values) & (values >= 0)).all(axis=1)
    if wrong.any():
        first = int(np.argmax(wrong))
        raise DataError(
            "METRIC_UNDEFINED",
            f"{int(wrong.sum())} of {len(values)} values of {name} are no amount of rain.",
            where=f"{name}, first at sample {first}",
            evidence=f"values {values[first][:5].tolist()}",
            next_command="look at metrics.jsonl of the run for skipped steps, and train with a lower --learning_rate",
        )
