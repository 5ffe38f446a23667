"""What every score of a set of forecasts can be made from, summed per day; and the scores of such sums.

A day is a calendar day (UTC) of init_time: all regions and hours of it are one unit. Scores of any weighting of the
days, such as a draw of a bootstrap, then need no look at the cases. D days, G weightings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from utils import probability_scores
from utils.contingency import COUNTS, contingency_scores
from utils.forecasts import Forecasts

RANKING_BINS = 1000
FORECASTS = ("probability", "climatology", "persistence")


@dataclass(frozen=True)
class DaySums:
    """Sums per day of one set of forecasts.

    Attributes:
        days: `(D,)` datetime64[D], those with forecasts, in order.
        sums: sparse `(S, D)`.
        places: name -> rows of `sums`.
    """

    days: np.ndarray
    sums: Any
    places: dict[str, slice]

    def scores(self, weights: np.ndarray | None = None) -> dict[str, np.ndarray]:
        """Every score of `score_info.SCORES` for each weighting of the days.

        ROC AUC and average precision are those of probabilities in `RANKING_BINS` bins; where there are no more
        different probabilities than bins they are exact.

        Args:
            weights: `(D, G)`, how often each day counts; by default once, `G` = 1.

        Returns:
            name -> `(G,)`, NaN where undefined.
        """
        part = self._totals(np.ones((len(self.days), 1)) if weights is None else weights)
        return contingency_scores(dict(zip(COUNTS, part["table"], strict=True))) | _of_probabilities(part)

    def _totals(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        totals = self.sums @ weights
        return {name: totals[place] for name, place in self.places.items()}

    def base_rate(self, weights: np.ndarray) -> np.ndarray:
        """Share of rain observed for each weighting `(D, G)` of the days, `(G,)`; NaN without a case."""
        counts = self.sums[self.places["table"]] @ weights
        total = counts.sum(0)
        # In the order of COUNTS: hits and misses are the rain.
        return np.divide(counts[:2].sum(0), total, out=np.full(len(total), np.nan), where=total > 0)


def scores_on_all_days(each: Sequence[DaySums]) -> list[dict[str, float]]:
    """Return every score of each of several sets of forecasts on all of its days, NaN where undefined.

    Their 2x2 tables are scored in one call: for one alone a call takes longer than all other scores together.
    """
    if not each:
        return []
    parts = [sums._totals(np.ones((len(sums.days), 1))) for sums in each]
    tables = np.concatenate([part["table"] for part in parts], axis=1)
    of_tables = contingency_scores(dict(zip(COUNTS, tables, strict=True)))
    return [
        {name: float(values[place]) for name, values in of_tables.items()}
        | {name: float(value[0]) for name, value in _of_probabilities(part).items()}
        for place, part in enumerate(parts)
    ]


def day_sums(forecasts: Forecasts) -> DaySums:
    """Sum everything that scores are made from over each day."""
    from scipy.sparse import coo_array

    days, day = np.unique(np.asarray(forecasts.init_time).astype("datetime64[D]"), return_inverse=True)
    observed = np.asarray(forecasts.observed).astype(bool)
    probability = np.asarray(forecasts.probability, dtype=np.float64)
    rows, data, places, size = [], [], {}, 0
    for name, (n_rows, row, values) in _parts(forecasts, probability, observed).items():
        places[name] = slice(size, size + n_rows)
        rows.append(row + size)
        data.append(values)
        size += n_rows
    columns = np.tile(day, len(rows))
    sums = coo_array((np.concatenate(data), (np.concatenate(rows), columns)), shape=(size, len(days)))
    compact = sums.tocsr()
    compact.eliminate_zeros()
    return DaySums(days=days, sums=compact, places=places)


def _of_probabilities(part: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the scores that need no cut, `(G,)` each, of sums `(S, G)`."""
    value = probability_scores.economic_value(part["rain_value"], part["dry_value"])
    return {
        **probability_scores.brier_scores(part["table"].sum(0), *(part[f"brier_{name}"][0] for name in FORECASTS)),
        **probability_scores.calibration_scores(part["count"], part["said"], part["rain"]),
        "maximum_economic_value": _highest(value),
        **probability_scores.ranking_scores(part["rain_rank"], part["dry_rank"]),
    }


def _parts(
    forecasts: Forecasts, probability: np.ndarray, observed: np.ndarray
) -> dict[str, tuple[int, np.ndarray, np.ndarray]]:
    """Name -> number of sums, which of them each case adds to, and what it adds."""
    rain, one = observed.astype(np.float64), np.ones(len(observed))
    # In the order of COUNTS: hits, misses, false alarms, correct negatives.
    cell = 2 * (~observed).astype(np.int64) + np.where(probability >= forecasts.cut, 0, 1)
    bins = probability_scores.CALIBRATION_BINS
    calibration = probability_scores.calibration_bin(probability)
    value, n_values = probability_scores.economic_value_bin(probability), len(probability_scores.COST_LOSS_RATIOS) + 1
    rank, n_ranks = _ranking_bin(probability)
    first = np.zeros(len(observed), dtype=np.int64)
    squares = {name: (np.asarray(getattr(forecasts, name), dtype=np.float64) - rain) ** 2 for name in FORECASTS}
    return {
        "table": (4, cell, one),
        **{f"brier_{name}": (1, first, square) for name, square in squares.items()},
        "count": (bins, calibration, one),
        "said": (bins, calibration, probability),
        "rain": (bins, calibration, rain),
        "rain_value": (n_values, value, rain),
        "dry_value": (n_values, value, 1 - rain),
        "rain_rank": (n_ranks, rank, rain),
        "dry_rank": (n_ranks, rank, 1 - rain),
    }


def _ranking_bin(probability: np.ndarray) -> tuple[np.ndarray, int]:
    """Bin of each case for its rank, and their number: equal probabilities share a bin, and bins have about one size.

    Bins of equal width would put most cases of a forecast that is often near 0 into one bin, where its order is lost.
    """
    values, place, count = np.unique(probability, return_inverse=True, return_counts=True)
    if len(values) <= RANKING_BINS:
        return place, max(len(values), 1)
    middle = np.cumsum(count) - count / 2
    return (middle / len(probability) * RANKING_BINS).astype(np.int64)[place], RANKING_BINS


def _highest(values: np.ndarray) -> np.ndarray:
    """Largest of `(K, G)` over K, NaN where none is defined."""
    return np.where(np.isnan(values).all(0), np.nan, np.where(np.isnan(values), -np.inf, values).max(0))
