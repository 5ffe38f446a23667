"""What stands in the table of one event: every group with the forecasts of its seeds, and the two plain references."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from exp.compare.alike import Alike
from exp.compare.groups import Group
from utils.forecasts import Forecasts

Kind = Literal["model", "reference", "ensemble"]
# References that every run has stored beside its own forecasts.
STORED: tuple[Literal["climatology", "persistence"], ...] = ("climatology", "persistence")


@dataclass(frozen=True)
class Entry:
    """One line of the table.

    Attributes:
        name: of the group, reference or ensemble.
        kind: a network is a model, whatever is fitted without one a reference.
        forecasts: test forecasts, one for each seed, all on the same instants in the same order.
        seeds: of these; empty for what has none.
    """

    name: str
    kind: Kind
    forecasts: tuple[Forecasts, ...]
    seeds: tuple[int, ...] = ()


def of_event(groups: Sequence[Group], alike: Alike, threshold: float) -> list[Entry]:
    """Return the entries of one threshold; climatology and persistence are made where no run of them is among them."""
    entries = [
        Entry(
            group.name,
            "reference" if group.is_reference else "model",
            tuple(run.test[threshold] for run in group.runs),
            tuple(group.seeds),
        )
        for group in groups
    ]
    there = {group.name for group in groups}
    return entries + [
        Entry(name, "reference", (stored_reference(alike.reference.test[threshold], name),))
        for name in STORED
        if name not in there
    ]


def stored_reference(forecasts: Forecasts, name: Literal["climatology", "persistence"]) -> Forecasts:
    """Return a reference as a forecast of its own; it says rain from one half on, as no validation chose its cut."""
    return replace(forecasts, probability=np.asarray(getattr(forecasts, name), dtype=np.float64), cut=0.5)


def mean_probability(forecasts: Sequence[Forecasts]) -> np.ndarray:
    """Return the mean probability `(N,)` over seeds."""
    return np.mean([each.probability for each in forecasts], axis=0)
