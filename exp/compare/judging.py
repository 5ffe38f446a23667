"""Scores with intervals, and which differences are real, all on the same draws of days.

The interval of several seeds is that of the mean of their scores: days are drawn, the seeds are kept. It tells what
other days might have given these trained models. What another training might give is the spread over the seeds, which
stands beside it.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any, Generic

import numpy as np

from exp.compare.entries import Entry
from utils import intervals
from utils.diebold_mariano import diebold_mariano
from utils.forecasts import Forecasts
from utils.intervals import Draws, F, Measure


class Judge(Generic[F]):
    """Judges entries on the same instants.

    Args:
        measure: how their forecasts are scored.
        entries: each with a name of its own.
    """

    def __init__(self, measure: Measure[F], entries: Sequence[Entry[F]]) -> None:
        self._parts = {
            entry.name: [f"{entry.name}/{number}" for number in range(len(entry.forecasts))] for entry in entries
        }
        self.draws: Draws[F] = intervals.bootstrap_of(
            measure,
            {
                part: one
                for entry in entries
                for part, one in zip(self._parts[entry.name], entry.forecasts, strict=True)
            },
        )

    def value(self, name: str, score: str) -> float | None:
        """Return the mean of a score over the seeds, None where one is undefined."""
        return _mean(self.of_seeds(name, score))

    def of_seeds(self, name: str, score: str) -> list[float | None]:
        """Return a score of each seed."""
        return [self.draws.value(part, score) for part in self._parts[name]]

    def facts(self, name: str) -> dict[str, Any]:
        """Return whether it is a constant answer, in one seed at least."""
        return {"constant_answer": any(each["constant_answer"] for each in self._scores(name))}

    def interval(self, name: str, score: str) -> list[float] | None:
        """Return the 95 % interval of the mean over the seeds; None where there is none, or a seed has no score."""
        return None if self.value(name, score) is None else self._ends(self._drawn(name, score))

    def spread(self, name: str, score: str) -> dict[str, float] | None:
        """Return how far the seeds lie apart: deviation, lowest, highest; None for one seed."""
        values = [value for value in self.of_seeds(name, score) if value is not None]
        if len(values) < 2:
            return None
        return {"deviation": statistics.stdev(values), "lowest": min(values), "highest": max(values)}

    def difference(self, one: str, other: str, score: str) -> dict[str, Any]:
        """Return a score of one minus that of another, on the same draws.

        Returns:
            `difference`, `interval`, `is_real` (the interval does not hold zero; None where it is undefined) and
            `in_every_seed` (every seed of the one is on the same side of every seed of the other; None for one seed
            each).
        """
        mine, theirs = self.value(one, score), self.value(other, score)
        value = None if mine is None or theirs is None else mine - theirs
        ours, others = self._drawn(one, score), self._drawn(other, score)
        interval = None if value is None or ours is None or others is None else self._ends(ours - others)
        return {
            "difference": value,
            "interval": interval,
            "is_real": None if interval is None else not interval[0] <= 0 <= interval[1],
            "in_every_seed": _in_every_seed(self.of_seeds(one, score), self.of_seeds(other, score)),
        }

    def tests(self, one: str, other: str) -> dict[str, Any]:  # noqa: ARG002 - there is none for every kind
        """Return what else tells two forecasts apart, by name."""
        return {}

    @property
    def settings(self) -> dict[str, Any]:
        """How the intervals were made, and why there are none where there are none."""
        return {
            "level": intervals.LEVEL,
            "draws": 0 if self.draws.weights is None else self.draws.weights.shape[1],
            "block_days": intervals.BLOCK_DAYS,
            "why_none": self.draws.why_none,
        }

    def _scores(self, name: str) -> list[dict[str, Any]]:
        return [self.draws.scores(part) for part in self._parts[name]]

    def _drawn(self, name: str, score: str) -> np.ndarray | None:
        """Return the mean over the seeds of a score in every draw."""
        found = [self.draws.drawn(part, score) for part in self._parts[name]]
        known = [values for values in found if values is not None]
        return np.mean(known, axis=0) if len(known) == len(found) else None

    def _ends(self, drawn: np.ndarray | None) -> list[float] | None:
        ends = None if drawn is None else intervals.ends(drawn, self.draws.n_blocks)
        return None if ends is None else list(ends)


class EventJudge(Judge[Forecasts]):
    """Judges yes/no forecasts.

    Args:
        entries: each with a name of its own.
        lead_time_hours: from init_time to the end of the label period.
    """

    def __init__(self, entries: Sequence[Entry[Forecasts]], *, lead_time_hours: int = 24) -> None:
        super().__init__(intervals.OF_EVENTS, entries)
        self._lead_time_hours = lead_time_hours

    def facts(self, name: str) -> dict[str, Any]:
        """Return cut and share of rain said for each seed, and whether it is a constant answer in one."""
        own = {key: [each[key] for each in self._scores(name)] for key in ("cut", "predicted_rain_share")}
        return own | super().facts(name)

    def tests(self, one: str, other: str) -> dict[str, Any]:
        """Return the test of Diebold and Mariano; None where a side is several seeds, for it is of two forecasts."""
        if len(self._parts[one]) > 1 or len(self._parts[other]) > 1:
            return {"diebold_mariano": None}
        mine, theirs = (self.draws.forecasts[self._parts[name][0]] for name in (one, other))
        return {"diebold_mariano": diebold_mariano(mine, theirs, self._lead_time_hours)}


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.mean(known) if len(known) == len(values) else None


def _in_every_seed(mine: Sequence[float | None], theirs: Sequence[float | None]) -> bool | None:
    one, other = ([value for value in values if value is not None] for values in (mine, theirs))
    if len(one) < len(mine) or len(other) < len(theirs) or max(len(one), len(other)) < 2:
        return None
    return min(one) > max(other) or max(one) < min(other)
