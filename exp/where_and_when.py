"""Where and when a forecast is good: by ENSO phase, El Nino against La Nina, and from north to south.

Scores by region, month, season and hour need nothing but the forecasts (`utils.verification.score_table`); those here
need the Oceanic Nino Index and the latitude of the regions beside them.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from data_provider.enso import EL_NINO, LA_NINA, PHASES, Oni, read_oni
from data_provider.rain_table import RainTable
from utils import phase_difference
from utils.forecasts import ClassForecasts, Forecasts, month_of
from utils.gradient import gradient
from utils.verification import score_groups

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Surroundings:
    """What is known of the places and times of forecasts besides the weather.

    Attributes:
        latitude: region -> degrees north, where the table says it.
        oni: the Oceanic Nino Index; None without `--oni`.
    """

    latitude: Mapping[str, float] = field(default_factory=dict)
    oni: Oni | None = None


def surroundings(oni: str | None, table: RainTable, init_time: np.ndarray) -> Surroundings:
    """Find what is known about the forecasts of a table.

    Args:
        oni: file of the Oceanic Nino Index, or None.
        table: the prepared table.
        init_time: `(N,)` of the forecasts that will be scored.

    Raises:
        DataError: ``ONI_FILE``, ``ONI_FORMAT`` or ``ONI_TOO_SHORT``, also for months that the file does not have.
    """
    if oni is None:
        return Surroundings(table.region_latitude)
    index = read_oni(Path(oni))
    index.require(init_time)
    return Surroundings(table.region_latitude, index)


def complete(
    table: dict[str, Any], forecasts: Forecasts | ClassForecasts, about: Surroundings, draws: int = 1000
) -> dict[str, Any]:
    """Add ENSO phases and the gradient from north to south to the scores of forecasts.

    Args:
        table: as from `score_table`.
        forecasts: that it was made from.
        about: what is known of their places and times.
        draws: of the bootstrap; 0 makes no intervals.

    Returns:
        The table with `gradient` and, where the index is known, `enso`, `by_enso` and `enso_difference`; of several
        classes each threshold has its own.
    """
    if isinstance(forecasts, ClassForecasts):
        thresholds = {
            name: complete(each, forecasts.exceedance(number), about, draws)
            for number, (name, each) in enumerate(table["thresholds"].items())
        }
        return table | {"thresholds": thresholds}
    found = gradient(forecasts, about.latitude, draws)
    return table | _by_phase(forecasts, about.oni, draws) | {"gradient": found}


def tell(about: Surroundings, init_time: np.ndarray) -> None:
    """Say which phases the forecasts at init times `(N,)` have, which they lack, and which are not decided yet."""
    if about.oni is None:
        return
    facts = _facts(about.oni, init_time)
    months = ", ".join(f"{phase} {count}" for phase, count in facts["months"].items())
    logger.info("  ENSO phases of the test, in months: %s (%s)", months, about.oni.source)
    absent = [phase for phase, count in facts["months"].items() if not count]
    if absent:
        logger.info("  no month of %s in the test: it has no scores of its own", ", ".join(absent))
    if facts["undecided"]:
        logger.warning(
            "  ENSO phase not decided yet, fewer than five seasons so far, counted as neutral: %s",
            ", ".join(facts["undecided"]),
        )


def _by_phase(forecasts: Forecasts, oni: Oni | None, draws: int) -> dict[str, Any]:
    if oni is None:
        return {}
    phase = oni.phase_of(forecasts.init_time)
    parts = {name: forecasts.select(phase == name) for name in (EL_NINO, LA_NINA)}
    both = all(len(part.observed) for part in parts.values())
    difference = phase_difference.difference(parts[EL_NINO], parts[LA_NINA], draws) if both else None
    return {
        "enso": _facts(oni, forecasts.init_time),
        "by_enso": score_groups(forecasts, phase, PHASES),
        "enso_difference": difference,
    }


def _facts(oni: Oni, init_time: np.ndarray) -> dict[str, Any]:
    """Return what the phases were made from: the file, its span, months of each phase, months not decided yet.

    Which calendar months a phase has is told beside their number: in one year El Nino may be its summer and La Nina its
    winter, and their difference is then that of the seasons.
    """
    months = np.unique(np.asarray(init_time).astype("datetime64[M]"))
    phase = oni.phase_of(months)
    return {
        "file": oni.source.name,
        "first": str(oni.first),
        "last": str(oni.last),
        "months": {name: int((phase == name).sum()) for name in PHASES},
        "calendar_months": {name: sorted(set(month_of(months[phase == name]).tolist())) for name in PHASES},
        "undecided": oni.undecided_months(init_time),
    }
