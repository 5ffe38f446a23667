"""The calendar: a square a day, a row a month, one grid per region and year."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape

import numpy as np

from exp.report.chart import WIDTH
from exp.report.record import Cases
from exp.report.words import Words

MOST_REGIONS, MOST_GRIDS = 9, 18
LEFT, TOP = 32, 16
CELL = (WIDTH - LEFT) / 31
MARKED_DAYS = (1, 5, 10, 15, 20, 25, 30)
OUTCOMES = ("correct_negatives", "hits", "false_alarms", "misses")
DAY, MONTH, YEAR = "datetime64[D]", "datetime64[M]", "datetime64[Y]"


@dataclass(frozen=True)
class Calendar:
    """All grids of one event.

    Attributes:
        grids: (name, drawing) of each.
        hour: of the forecasts that are shown, as two digits.
        n_regions: where each day shows what most regions had; 0 where each has a grid of its own.
        n_left_out: grids of earlier years that are not shown.
    """

    grids: list[tuple[str, str]]
    hour: str
    n_regions: int
    n_left_out: int


def draw(cases: Cases, words: Words) -> Calendar:
    """Draw the calendar of the forecasts of one hour of the day, the one that most days have."""
    times = cases.init_time
    hours = times.astype("datetime64[h]").astype(np.int64) % 24
    found, counts = np.unique(hours, return_counts=True)
    hour = int(found[np.argmax(counts)])
    daily = cases.select(hours == hour)
    names = np.unique(daily.region)
    has_own = len(names) <= MOST_REGIONS
    series = list(_by_region(daily)) if has_own else [("", *_of_most(daily))]
    years = np.unique(daily.init_time.astype(YEAR))
    shown = years[-max(1, MOST_GRIDS // len(series)) :]
    grids = []
    for region, days, outcome in series:
        for year in shown:
            inside = days.astype(YEAR) == year
            if inside.any():
                key = "calendar.of_region" if has_own else "calendar.of_most"
                name = words(key, year=year, **({"region": region} if has_own else {}))
                grids.append((name, grid(days[inside], outcome[inside], name, words)))
    return Calendar(grids, f"{hour:02d}", 0 if has_own else len(names), len(series) * (len(years) - len(shown)))


def grid(days: np.ndarray, outcome: np.ndarray, name: str, words: Words) -> str:
    """Draw one grid.

    Args:
        days: `(N,)` datetime64[D] of one year.
        outcome: `(N,)` place in `OUTCOMES`.
        name: of the grid.
        words: of the page.
    """
    months = np.unique(days.astype(MONTH))
    row = np.searchsorted(months, days.astype(MONTH))
    column = (days - days.astype(MONTH)).astype(np.int64)
    parts = []
    for place, month in enumerate(months):
        text = words(f"month_short.{str(month)[5:7]}")
        parts.append(f'<text x="{LEFT - 6}" y="{TOP + (place + 0.8) * CELL:.1f}" text-anchor="end">{text}</text>')
    for day in MARKED_DAYS:
        parts.append(f'<text x="{LEFT + (day - 0.5) * CELL:.1f}" y="{TOP - 5}" text-anchor="middle">{day}</text>')
    counts = {}
    for code, look in enumerate(OUTCOMES):
        mine = outcome == code
        counts[look] = int(mine.sum())
        corners = zip(column[mine].tolist(), row[mine].tolist(), strict=True)
        drawn = "".join(shape(look, LEFT + x * CELL, TOP + y * CELL) for x, y in corners)
        parts.append(f'<path class="{look}" d="{drawn}"/>' if drawn else "")
    alt = words("calendar.alt", name=name, **counts)
    height = TOP + len(months) * CELL + 2
    head = f'<svg class="calendar" viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{escape(alt)}">'
    return f"{head}{''.join(parts)}</svg>"


def shape(outcome: str, x: float, y: float) -> str:
    """Return the path of one square; the four outcomes differ in shape too, for who cannot tell the colours apart."""
    left, top, side = x + 1, y + 1, CELL - 2
    if outcome == "hits":
        return f"M{left:.1f} {top:.1f}h{side:.1f}v{side:.1f}h-{side:.1f}z"
    if outcome == "misses":
        return f"M{left:.1f} {top:.1f}l{side:.1f} {side:.1f}m0-{side:.1f}l-{side:.1f} {side:.1f}"
    if outcome == "false_alarms":
        return f"M{left + 1:.1f} {top + 1:.1f}h{side - 2:.1f}v{side - 2:.1f}h-{side - 2:.1f}z"
    return f"M{left + side / 2 - 1.5:.1f} {top + side / 2 - 1.5:.1f}h3v3h-3z"


def _by_region(daily: Cases) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    for name in dict.fromkeys(daily.region.tolist()):
        part = daily.select(daily.region == name)
        yield name, part.init_time.astype(DAY), _outcome(part.is_forecast, part.observed == 1)


def _of_most(daily: Cases) -> tuple[np.ndarray, np.ndarray]:
    """Return the days, and what at least half of the regions had forecast and observed on each."""
    days, place = np.unique(daily.init_time.astype(DAY), return_inverse=True)
    total = np.bincount(place)
    predicted = np.bincount(place, weights=daily.is_forecast) >= total / 2
    return days, _outcome(predicted, np.bincount(place, weights=daily.observed) >= total / 2)


def _outcome(predicted: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """Return places in `OUTCOMES` of `(N,)` forecasts and observations."""
    return np.where(predicted, np.where(observed, 1, 2), np.where(observed, 3, 0))
