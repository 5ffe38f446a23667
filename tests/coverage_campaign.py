"""How often 95 % intervals hold the truth: many simulated records of weather that persists, scored like real ones.

    python -m tests.coverage_campaign --sets 1000
    python -m tests.coverage_campaign --sets 1000 --amounts

A record has two hours a day in five regions that share most of their weather; the label is the rain of the next 24
hours, so that neighbouring cases share half of it. Two forecasts see the weather with errors that persist too. The
truth is what a record of 300,000 days scores. Ends with 1 where an interval holds it in fewer than 93 % or more than
97 % of the sets, unless these are too few to tell. Of amounts it only tells: where a few storms decide a mean of
squares, a year without one has an interval that is too short, and no drawing of its days can mend that.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.signal import lfilter
from scipy.stats import norm

from utils import intervals, rain_scale
from utils.amounts import AmountForecasts, Amounts
from utils.forecasts import Forecasts
from utils.judgement import of_amounts

SCORES = ("roc_auc", "brier_skill_score", "macro_f1", "heidke_skill_score", "critical_success_index")
TRUTH_DAYS = 300_000
TRUTH_SEED = 10**9
# Chance alone moves the share of fewer sets by more than the band is wide.
FEWEST_SETS = 500
REGIONS = 5
BAND = (0.93, 0.97)


# The rain of a day has a skewness of 3.5, that of ERA5 at Yerevan one of 3.1.
AMOUNT_SCORES = ("mean_absolute_error", "root_mean_squared_error", "bias", "continuous_ranked_probability_score",
                 "crps_skill_score")  # fmt: skip
AMOUNT_TRUTH_DAYS = 60_000
SPREAD, MILLIMETRES, QUANTILES = 0.4, 8.0, 9


@dataclass(frozen=True)
class Weather:
    """What is simulated.

    Attributes:
        n_days: length of a record.
        persistence: correlation of the weather of one day with the next. With 0.4 the share of rainy cases of a day
            has one of a half with that of the next day, as in ERA5 at Yerevan.
        threshold: from which wetness on it rains; 0 is a base rate of a half.
    """

    n_days: int = 365
    persistence: float = 0.4
    threshold: float = 0.5


def simulate(weather: Weather, seed: int) -> dict[str, Forecasts]:
    """Two forecasts of one record: `good` sees the weather better than `poor`."""
    rng = np.random.default_rng(seed)
    total = _wetness(rng, weather)
    steps = len(total)
    observed = (total > weather.threshold).astype(np.int8)
    days = np.arange(steps) * np.timedelta64(12, "h")
    shared = {
        "init_time": np.repeat(np.datetime64("2020-01-01", "s") + days, REGIONS),
        "region": np.tile([f"region {number}" for number in range(REGIONS)], steps),
        "observed": observed.ravel(),
        "climatology": np.full(observed.size, 0.3),
        "persistence": np.roll(observed, 2, axis=0).ravel().astype(np.float64),
    }
    return {
        name: Forecasts(**shared, probability=_probability(rng, total, error, weather).ravel(), cut=0.4)
        for name, error in (("good", 0.6), ("poor", 0.9))
    }


def simulate_amounts(weather: Weather, seed: int) -> dict[str, AmountForecasts]:
    """The same of amounts: what falls above the threshold is log-normal in the wetness."""
    rng = np.random.default_rng(seed)
    record = simulate(weather, seed)["good"]
    total = _wetness(rng, weather)
    level = norm.ppf(rain_scale.levels(QUANTILES))
    climatology = Amounts.of_quantiles(np.tile(_millimetres(level, weather), (total.size, 1)))
    found = {}
    for name, error in (("good", 0.6), ("poor", 0.9)):
        mean, deviation = _seen(rng, total, error, weather)
        said = _millimetres(mean.reshape(-1, 1) + deviation * level, weather)
        found[name] = AmountForecasts(
            init_time=record.init_time,
            region=record.region,
            observed=_millimetres(total.ravel(), weather),
            forecast=Amounts.of_quantiles(said),
            climatology=climatology,
            persistence=climatology,
        )
    return found


@dataclass(frozen=True)
class Campaign:
    """What is simulated and scored."""

    simulate: Callable[[Weather, int], dict[str, Any]]
    measure: intervals.Measure[Any]
    scores: Sequence[str]


OF_EVENTS = Campaign(simulate, intervals.OF_EVENTS, SCORES)
OF_AMOUNTS = Campaign(simulate_amounts, of_amounts(0.1), AMOUNT_SCORES)


def coverage(
    weather: Weather, sets: int, draws: int = 1000, scores: Sequence[str] = SCORES, campaign: Campaign = OF_EVENTS
) -> dict[str, float]:
    """Share of the sets whose interval holds the truth, for each score and for differences of both forecasts."""
    long = replace(weather, n_days=TRUTH_DAYS if campaign is OF_EVENTS else AMOUNT_TRUTH_DAYS)
    truth = {name: campaign.measure.sums(each).scores() for name, each in campaign.simulate(long, TRUTH_SEED).items()}
    held = {name: 0 for score in scores for name in (score, f"difference of {score}")}
    for seed in range(sets):
        found = intervals.bootstrap_of(campaign.measure, campaign.simulate(weather, seed), draws, seed=seed)
        for score in scores:
            right = float(truth["good"][score][0])
            held[score] += _holds(found.interval("good", score), right)
            gap = right - float(truth["poor"][score][0])
            held[f"difference of {score}"] += _holds(found.difference("good", "poor", score).interval, gap)
    return {name: count / sets for name, count in held.items()}


def _wetness(rng: np.random.Generator, weather: Weather) -> np.ndarray:
    """`(steps, REGIONS)` of unit variance: the label looks at the two half days to come."""
    steps = 2 * weather.n_days
    wet = _persistent(rng, steps + 2, weather.persistence)
    return (wet[1:-1] + wet[2:])[:steps] / np.sqrt(2 + 2 * np.sqrt(weather.persistence))


def _millimetres(wetness: np.ndarray, weather: Weather) -> np.ndarray:
    return MILLIMETRES * np.maximum(0, np.exp(SPREAD * wetness) - np.exp(SPREAD * weather.threshold))


def _persistent(rng: np.random.Generator, steps: int, persistence: float) -> np.ndarray:
    """`(steps, REGIONS)` of unit variance, two steps a day, three quarters of it common to all regions."""
    step = np.sqrt(persistence)
    noise = rng.normal(size=(steps + 100, REGIONS + 1)) * np.sqrt(1 - step**2)
    own = lfilter([1.0], [1.0, -step], noise, axis=0)[100:]
    return np.sqrt(0.75) * own[:, :1] + np.sqrt(0.25) * own[:, 1:]


def _probability(rng: np.random.Generator, total: np.ndarray, error: float, weather: Weather) -> np.ndarray:
    """What a forecaster would say who sees the wetness with an error of this deviation and knows its law."""
    mean, deviation = _seen(rng, total, error, weather)
    return norm.sf(weather.threshold, loc=mean, scale=deviation)


def _seen(rng: np.random.Generator, total: np.ndarray, error: float, weather: Weather) -> tuple[np.ndarray, float]:
    """Mean and deviation of the wetness for who sees it with an error."""
    seen = total + error * _persistent(rng, len(total), weather.persistence)
    share = 1 / (1 + error**2)
    return share * seen, float(np.sqrt(1 - share))


def _holds(interval: tuple[float, float] | None, truth: float) -> bool:
    return interval is not None and interval[0] <= truth <= interval[1]


def main(words: list[str]) -> int:
    """Print the coverage of every interval."""
    parser = argparse.ArgumentParser(prog="python -m tests.coverage_campaign", description=__doc__.splitlines()[0])
    parser.add_argument("--sets", type=int, default=1000)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--days", type=int, default=Weather.n_days)
    parser.add_argument("--persistence", type=float, default=Weather.persistence)
    parser.add_argument("--amounts", action="store_true")
    given = parser.parse_args(words)
    campaign = OF_AMOUNTS if given.amounts else OF_EVENTS
    found = coverage(Weather(given.days, given.persistence), given.sets, given.draws, campaign.scores, campaign)
    for name, share in found.items():
        print(f"{name:<40} {share:.1%}")
    low, high = min(found.values()), max(found.values())
    print(f"{given.sets} sets of {given.days} days: intervals hold the truth in {low:.1%} to {high:.1%}")
    return int(campaign is OF_EVENTS and given.sets >= FEWEST_SETS and not BAND[0] <= low <= high <= BAND[1])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
