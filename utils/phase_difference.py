"""Is a forecast better in one phase of a slow swing of the climate, such as El Nino, than in another?

The two phases share no day, so unlike two forecasts of the same days nothing cancels: the days of each are drawn by
themselves, and the interval is that of the difference of two independent figures. It holds how few days there are, not
how few events: one El Nino is one El Nino, however many days it has.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from utils import intervals
from utils.day_sums import day_sums
from utils.forecasts import Forecasts
from utils.intervals import BLOCK_DAYS, Difference
from utils.score_info import SCORES

BASE_RATE = "base_rate"


def difference(
    one: Forecasts, other: Forecasts, draws: int = 1000, block_days: int = BLOCK_DAYS, seed: int = 0
) -> dict[str, dict[str, Any]]:
    """All scores, and the base rate, of `one` minus those of `other`, with 95 % intervals.

    Args:
        one: forecasts of the days of one phase.
        other: those of the other; no day is in both.
        draws: of days, for each of the two.
        block_days: days that are drawn together.
        seed: equal ones give equal intervals.

    Returns:
        score -> `difference`, `interval` (two numbers) and `is_real` (the interval leaves out 0); each is None where
        it is undefined: a score of one phase has no value, or a phase has too few days for an interval.
    """
    ours = intervals.bootstrap({"": one}, draws, block_days, seed)
    theirs = intervals.bootstrap({"": other}, draws, block_days, seed + 1)
    found = {BASE_RATE: _base_rates(ours, theirs)}
    return {
        name: told(each) for name, each in (found | {n: ours.difference_from(theirs, "", n) for n in SCORES}).items()
    }


def told(found: Difference) -> dict[str, Any]:
    """A difference as it is kept in scores.json."""
    return {"difference": found.value, "interval": found.interval, "is_real": found.is_real}


def _base_rates(ours: intervals.Draws[Forecasts], theirs: intervals.Draws[Forecasts]) -> Difference:
    values = [float(np.mean(each.forecasts[""].observed)) for each in (ours, theirs)]
    if ours.weights is None or theirs.weights is None:
        return Difference(values[0] - values[1], None, None, None)
    drawn = day_sums(ours.forecasts[""]).base_rate(ours.weights)
    drawn_theirs = day_sums(theirs.forecasts[""]).base_rate(theirs.weights)
    return intervals.difference_of(values[0] - values[1], drawn - drawn_theirs, min(ours.n_blocks, theirs.n_blocks))
