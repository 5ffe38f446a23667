"""Forecasts beside what happened: the typed border between experiments and their scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np

from utils.errors import DataError

ReferenceName = Literal["climatology", "persistence"]
REFERENCES: tuple[ReferenceName, ...] = get_args(ReferenceName)
SEASONS, WET_MONTHS = ("wet", "dry"), ("12", "01", "02", "03")
_ARRAYS = ("init_time", "region", "probability", "observed", "climatology", "persistence")


@dataclass(frozen=True, kw_only=True)
class Forecasts:
    """Probabilities of one event beside what happened, one entry per region and init_time.

    Attributes:
        init_time: `(N,)` datetime64, when the forecast is made.
        region: `(N,)` names.
        probability: `(N,)` forecast probability of the event.
        observed: `(N,)` 0 or 1.
        climatology: `(N,)` probability from the monthly training climatology of the region.
        persistence: `(N,)` 1 where the period of equal length that ends at init_time had the event, 0 where not; the
            training share where that period is not complete.
        cut: probability from which on the event is forecast; `(N,)` where forecasts of several runs are put together.
    """

    init_time: np.ndarray
    region: np.ndarray
    probability: np.ndarray
    observed: np.ndarray
    climatology: np.ndarray
    persistence: np.ndarray
    cut: float | np.ndarray = 0.5

    def __post_init__(self) -> None:
        _check_lengths(self)
        for name in ("probability", "climatology", "persistence"):
            check_values(name, np.asarray(getattr(self, name), dtype=np.float64))
        check_values("observed", np.asarray(self.observed, dtype=np.float64), binary=True)

    def select(self, chosen: np.ndarray) -> Forecasts:
        """The entries where the boolean `(N,)` is true."""
        cut = self.cut[chosen] if isinstance(self.cut, np.ndarray) else self.cut
        return Forecasts(**{name: getattr(self, name)[chosen] for name in _ARRAYS}, cut=cut)

    @property
    def one_cut(self) -> float | None:
        """The cut where all have the same one, else None."""
        cuts = np.unique(self.cut)
        return float(cuts[0]) if len(cuts) == 1 else None

    @classmethod
    def joined(cls, parts: Sequence[Forecasts]) -> Forecasts:
        """Put forecasts of several runs one behind the other; each keeps its own cut."""
        return cls(
            **{name: np.concatenate([getattr(part, name) for part in parts]) for name in _ARRAYS},
            cut=np.concatenate([np.broadcast_to(part.cut, len(part.observed)) for part in parts]),
        )

    def reference(self, name: ReferenceName, cut: float | np.ndarray = 0.5) -> Forecasts:
        """A reference forecast of the same cases as a forecast of its own, with its own cut."""
        return self.replaced(np.asarray(getattr(self, name), dtype=np.float64), cut)

    def replaced(self, probability: np.ndarray, cut: float | np.ndarray = 0.5) -> Forecasts:
        """Other probabilities `(N,)` of the same cases."""
        return replace(self, probability=probability, cut=cut)


@dataclass(frozen=True, kw_only=True)
class ClassForecasts:
    """Probabilities of several ordered classes (number of thresholds reached) beside what happened.

    Attributes:
        init_time: `(N,)` datetime64.
        region: `(N,)` names.
        probability: `(N, K)` probability of each class.
        observed: `(N,)` class, 0 to K - 1.
        climatology: `(N, K)` monthly training climatology of the region.
        persistence: `(N, K)` the class of the period of equal length that ends at init_time, as probabilities.
        threshold_mm: the K - 1 thresholds between the classes, in millimetres.
        cut: K - 1 cuts, one per threshold.
    """

    init_time: np.ndarray
    region: np.ndarray
    probability: np.ndarray
    observed: np.ndarray
    climatology: np.ndarray
    persistence: np.ndarray
    threshold_mm: tuple[float, ...]
    cut: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        _check_lengths(self)
        n_classes = len(self.threshold_mm) + 1
        if not self.cut:
            object.__setattr__(self, "cut", (0.5,) * (n_classes - 1))
        if self.probability.shape[1:] != (n_classes,) or len(self.cut) != n_classes - 1:
            raise ValueError(
                f"{len(self.threshold_mm)} thresholds need {n_classes} class probabilities and {n_classes - 1} cuts, "
                f"got {self.probability.shape[1:]} and {len(self.cut)}"
            )

    def exceedance(self, threshold: int) -> Forecasts:
        """Forecasts of "threshold number `threshold` is reached", counted from 0."""
        return Forecasts(
            init_time=self.init_time,
            region=self.region,
            probability=_at_least(self.probability, threshold + 1),
            observed=(np.asarray(self.observed) > threshold).astype(np.int8),
            climatology=_at_least(self.climatology, threshold + 1),
            persistence=_at_least(self.persistence, threshold + 1),
            cut=self.cut[threshold],
        )

    def events(self) -> list[Forecasts]:
        """Forecasts of each threshold."""
        return [self.exceedance(number) for number in range(len(self.threshold_mm))]

    def predicted_class(self) -> np.ndarray:
        """`(N,)` number of thresholds forecast as reached, counted upwards until the first that is not."""
        reached = [self.exceedance(j).probability >= self.cut[j] for j in range(len(self.cut))]
        return np.logical_and.accumulate(reached, axis=0).sum(0)


def month_of(init_time: np.ndarray) -> np.ndarray:
    """Calendar month of `(N,)` datetime64 as text, "01" to "12"."""
    names = np.array([f"{month:02d}" for month in range(1, 13)])
    return names[np.asarray(init_time).astype("datetime64[M]").astype(np.int64) % 12]


def season_of(init_time: np.ndarray) -> np.ndarray:
    """Season of `(N,)` datetime64 in most of Peru: "wet" from December to March, else "dry"."""
    return np.where(np.isin(month_of(init_time), WET_MONTHS), *SEASONS)


def hour_of(init_time: np.ndarray) -> np.ndarray:
    """Hour (UTC) of `(N,)` datetime64 as text, "00" to "23"."""
    names = np.array([f"{hour:02d}" for hour in range(24)])
    return names[np.asarray(init_time).astype("datetime64[h]").astype(np.int64) % 24]


def _check_lengths(forecasts: Forecasts | ClassForecasts) -> None:
    lengths = {name: len(getattr(forecasts, name)) for name in _ARRAYS}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"forecasts need arrays of one length, got {lengths}")


def check_values(name: str, values: np.ndarray, *, binary: bool = False) -> None:
    """Refuse what is not a probability, or not 0 or 1."""
    wrong = ~np.isin(values, (0.0, 1.0)) if binary else ~((values >= 0) & (values <= 1))
    if wrong.any():
        raise DataError(
            "METRIC_UNDEFINED",
            f"{int(wrong.sum())} of {values.size} values of {name} are not {'0 or 1' if binary else 'in 0 to 1'}",
            where=f"{name}, first at sample {int(np.argmax(wrong))}",
            evidence=f"value {values[int(np.argmax(wrong))]}",
            next_command="look at metrics.jsonl of the run for skipped steps, and train with a lower --learning_rate",
        )


def exceedances(probability: np.ndarray) -> np.ndarray:
    """Turn class probabilities `(N, K)` into those of reaching each threshold `(N, K - 1)`; they never rise with it.

    Summed from the highest class down, so that rounding cannot make a higher threshold likelier than a lower one.
    """
    from_above = np.cumsum(np.asarray(probability, dtype=np.float64)[:, :0:-1], axis=1)[:, ::-1]
    return np.clip(from_above, 0.0, 1.0)  # a sum of rounded parts may pass 1 by a hair


def _at_least(probability: np.ndarray, level: int) -> np.ndarray:
    return exceedances(probability)[:, level - 1]
