"""95 % intervals of scores and of differences of scores: a paired block bootstrap over days.

What happens at all regions and hours of a day is one unit, since neighbours share their weather. Units are drawn in
blocks of days that follow one another, since days share it too: labels of one day reach into the next, weather systems
take some days to pass, and after about two weeks nothing is left of them, so that a block is `BLOCK_DAYS` = 14 days.
Forecasts of one bootstrap are scored on the same draws, so that what their days have in common cancels in a difference.

The ends are expanded percentiles: further out than those of 95 % as the t distribution is wider than the normal one,
since a record is worth no more than its number of blocks. Plain percentiles hold the truth too seldom in simulated
records of a year that persist like real rain (`tests/coverage_campaign.py`).

Source: Künsch (1989), The jackknife and the bootstrap for general stationary observations; Politis and Romano (1992),
A circular block-resampling procedure for stationary data; Wilks (2019), Statistical Methods in the Atmospheric
Sciences, 5.3.5; Hesterberg (2015), What teachers should know about the bootstrap (expanded percentiles).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

from utils.amounts import AmountForecasts
from utils.day_sums import day_sums
from utils.errors import UsageError
from utils.event_scores import score as score_of
from utils.forecasts import Forecasts
from utils.score_info import SCORES

LEVEL = 0.95
BLOCK_DAYS = 14
LEAST_BLOCKS = 8
MOST_UNDEFINED = 0.05
NO_DRAWS = "no draws were asked for"  # the reason stored where the intervals were switched off
# Means of squares or distances of ten bins: chance raises them in the record, and in draws of it once more, so that
# the interval of a forecast that can be trusted lies wholly above the truth.
WITHOUT_INTERVALS = ("reliability", "expected_calibration_error")


class Sums(Protocol):
    """What the scores of one set of forecasts can be made from, per day."""

    def scores(self, weights: np.ndarray | None = None) -> dict[str, np.ndarray]:
        """Every score for each weighting `(D, G)` of the days, `(G,)`, NaN where undefined."""
        ...


F = TypeVar("F", Forecasts, AmountForecasts)


@dataclass(frozen=True)
class Measure(Generic[F]):
    """How forecasts of one kind are scored.

    Attributes:
        names: of their scores.
        score: all scores of a set of forecasts on all its days, ready for JSON.
        sums: what the scores of draws are made from.
        without_intervals: names of scores whose draws tell nothing of the truth.
    """

    names: Sequence[str]
    score: Callable[[F], dict[str, Any]]
    sums: Callable[[F], Sums]
    without_intervals: Sequence[str] = ()


OF_EVENTS: Measure[Forecasts] = Measure(tuple(SCORES), score_of, day_sums, WITHOUT_INTERVALS)


@dataclass(frozen=True)
class Difference:
    """A score of one forecast minus that of another on the same cases.

    Attributes:
        value: the difference; None where one of the scores is undefined.
        low: lower end of its 95 % interval; None without an interval.
        high: upper end.
        is_real: the interval leaves out 0; None without an interval. It says nothing of which is the better one:
            of an error the lower one is.
    """

    value: float | None
    low: float | None
    high: float | None
    is_real: bool | None

    @property
    def interval(self) -> tuple[float, float] | None:
        """Both ends, or None."""
        return None if self.low is None or self.high is None else (self.low, self.high)


@dataclass(frozen=True)
class Draws(Generic[F]):
    """The scores of several forecasts on the same draws of days.

    Attributes:
        forecasts: name -> forecasts of the same instants.
        measure: how they are scored.
        weights: `(D, draws)`, how often a draw holds each day; None where there are no intervals.
        n_blocks: independent blocks that the days amount to.
        why_none: why there are no intervals; empty where there are.
    """

    forecasts: Mapping[str, F]
    measure: Measure[F]
    weights: np.ndarray | None
    n_blocks: float
    why_none: str = ""

    @cached_property
    def _values(self) -> dict[str, dict[str, Any]]:
        return {name: self.measure.score(each) for name, each in self.forecasts.items()}

    @cached_property
    def _drawn(self) -> dict[str, dict[str, np.ndarray]]:
        assert self.weights is not None, "asked for where there are draws"
        undefined = dict.fromkeys(self.measure.without_intervals, np.full(self.weights.shape[1], np.nan))
        return {name: self.measure.sums(each).scores(self.weights) | undefined for name, each in self.forecasts.items()}

    def scores(self, name: str) -> dict[str, Any]:
        """All scores of a forecast on all days, ready for JSON."""
        return dict(self._values[name])

    def value(self, name: str, score: str) -> float | None:
        """Score of a forecast on all days; None where undefined."""
        return self._values[name][score]

    def interval(self, name: str, score: str) -> tuple[float, float] | None:
        """95 % interval of a score of one forecast.

        Returns:
            Lower and upper end; None where there are no intervals (`why_none`), the score is undefined, or more than
            `MOST_UNDEFINED` of the draws leave it undefined.
        """
        if self.weights is None or self.value(name, score) is None:
            return None
        return ends(self._drawn[name][score], self.n_blocks)

    def intervals(self, name: str) -> dict[str, tuple[float, float] | None]:
        """95 % intervals of all scores of one forecast."""
        return {score: self.interval(name, score) for score in self.measure.names}

    def difference(self, one: str, other: str, score: str) -> Difference:
        """A score of `one` minus that of `other`, on the same draws, with its 95 % interval."""
        ours, theirs = self.value(one, score), self.value(other, score)
        if ours is None or theirs is None:
            return Difference(None, None, None, None)
        if self.weights is None:
            return Difference(ours - theirs, None, None, None)
        return difference_of(ours - theirs, self._drawn[one][score] - self._drawn[other][score], self.n_blocks)

    def drawn(self, name: str, score: str) -> np.ndarray | None:
        """Score of a forecast in every draw `(draws,)`, NaN where undefined; None where there are no intervals."""
        return None if self.weights is None else self._drawn[name][score]

    def difference_from(self, other: Draws[F], name: str, score: str) -> Difference:
        """A score of the forecasts `name` here minus that in `other`, whose days are others and drawn by themselves.

        For two sets of forecasts that share no day; each needs a seed of its own, so that the draws are independent.
        The interval is as wide as the smaller of the two needs it.
        """
        ours, theirs = self.value(name, score), other.value(name, score)
        if ours is None or theirs is None:
            return Difference(None, None, None, None)
        if self.weights is None or other.weights is None:
            return Difference(ours - theirs, None, None, None)
        drawn = self._drawn[name][score] - other._drawn[name][score]
        return difference_of(ours - theirs, drawn, min(self.n_blocks, other.n_blocks))


def ends(drawn: np.ndarray, n_blocks: float) -> tuple[float, float] | None:
    """Ends of the 95 % interval of a figure whose values in the draws are `(draws,)`, NaN where undefined.

    Returns:
        Lower and upper end; None where more than `MOST_UNDEFINED` of the draws are undefined.
    """
    known = drawn[np.isfinite(drawn)]
    if len(known) < (1 - MOST_UNDEFINED) * len(drawn):
        return None
    tail = _tail(n_blocks)
    low, high = np.quantile(known, [tail, 1 - tail])
    return float(low), float(high)


def difference_of(value: float, drawn: np.ndarray, n_blocks: float) -> Difference:
    """A difference whose values in the draws are `(draws,)`, with its 95 % interval."""
    found = ends(drawn, n_blocks)
    if found is None:
        return Difference(value, None, None, None)
    return Difference(value, *found, is_real=not found[0] <= 0 <= found[1])


def bootstrap(
    forecasts: Mapping[str, Forecasts], draws: int = 1000, block_days: int = BLOCK_DAYS, seed: int = 0
) -> Draws[Forecasts]:
    """Draw days for yes/no forecasts; see `bootstrap_of`."""
    return bootstrap_of(OF_EVENTS, forecasts, draws, block_days, seed)


def bootstrap_of(
    measure: Measure[F], forecasts: Mapping[str, F], draws: int = 1000, block_days: int = BLOCK_DAYS, seed: int = 0
) -> Draws[F]:
    """Draw days in blocks, for the intervals of all scores of forecasts and of differences between them.

    Args:
        measure: how forecasts of this kind are scored.
        forecasts: name -> forecasts, all of the same instants, in any order.
        draws: 0 makes no intervals.
        block_days: days that are drawn together, neighbours in the list of days with forecasts, which is a circle.
        seed: equal ones give equal draws.

    Returns:
        The draws; without intervals where there are fewer than `LEAST_BLOCKS` blocks of days.

    Raises:
        UsageError: ``DIFFERENT_INSTANTS``, the forecasts are not of the same init times, regions and observations.
    """
    _require_same_instants(forecasts)
    first = next(iter(forecasts.values()))
    n_days = len(np.unique(np.asarray(first.init_time).astype("datetime64[D]")))
    n_blocks = n_days / block_days
    why_none = ""
    if draws == 0:
        why_none = NO_DRAWS
    elif n_blocks < LEAST_BLOCKS:
        why_none = f"{n_days} days are fewer than {LEAST_BLOCKS} blocks of {block_days} days"
    weights = None if why_none else draw_days(n_days, draws, block_days, seed)
    return Draws(forecasts=dict(forecasts), measure=measure, weights=weights, n_blocks=n_blocks, why_none=why_none)


def draw_days(n_days: int, draws: int, block_days: int, seed: int) -> np.ndarray:
    """How often each day is in each draw of blocks, `(n_days, draws)`; a draw has as many days as the record.

    The law is that of `scores.processing.block_bootstrap`, whose time grows with the square of the days (three
    seconds for three years, most of a minute for eleven) and which draws from the random state that all share.
    """
    n_blocks = -(-n_days // block_days)
    starts = np.random.default_rng(seed).integers(n_days, size=(n_blocks, 1, draws))
    days = (starts + np.arange(block_days)[None, :, None]).reshape(-1, draws)[:n_days] % n_days
    places = days * draws + np.arange(draws)
    return np.bincount(places.ravel(), minlength=n_days * draws).reshape(n_days, draws).astype(np.float64)


def _tail(n_blocks: float) -> float:
    """Share of the draws beyond each end of the interval."""
    from scipy.stats import norm, t

    quantile = t.ppf((1 + LEVEL) / 2, n_blocks - 1) * np.sqrt(n_blocks / (n_blocks - 1))
    return float(norm.sf(quantile))


def _require_same_instants(forecasts: Mapping[str, F]) -> None:
    (first, *others) = forecasts
    wanted = _instants(forecasts[first])
    for name in others:
        for what, ours, theirs in zip(
            ("init times", "regions", "observations"), wanted, _instants(forecasts[name]), strict=True
        ):
            if len(ours) == len(theirs) and np.array_equal(ours, theirs):
                continue
            raise UsageError(
                "DIFFERENT_INSTANTS",
                "Forecasts can be compared on the same cases alone.",
                where=f"{what} of {first} and {name}",
                evidence=_first_difference(ours, theirs),
                next_command="train or score both with the same table and the same flags of splits and strides",
            )


def _instants(forecasts: Forecasts | AmountForecasts) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    time = np.asarray(forecasts.init_time).astype("datetime64[s]")
    region = np.asarray(forecasts.region).astype(str)
    order = np.lexsort((region, time))
    return time[order], region[order], np.asarray(forecasts.observed)[order]


def _first_difference(ours: np.ndarray, theirs: np.ndarray) -> str:
    if len(ours) != len(theirs):
        return f"{len(ours)} and {len(theirs)} cases"
    place = int(np.argmax(ours != theirs))
    return f"case {place} in the order of time and region: {ours[place]} and {theirs[place]}"
