"""What stands in the table of one event: every group with the forecasts of its seeds, and the two plain references."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from exp.compare.alike import Alike
from exp.compare.groups import Group
from exp.compare.reading import StoredRun
from utils.forecasts import REFERENCES, Forecasts, ReferenceName

Kind = Literal["model", "reference", "ensemble"]


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
        Entry(name, "reference", (stored_reference(alike.reference, threshold, name),))
        for name in REFERENCES
        if name not in there
    ]


def stored_reference(run: StoredRun, threshold: float, name: ReferenceName) -> Forecasts:
    """Return a reference as a forecast of its own, with the cut that validation chose for it.

    Runs of an earlier version did not choose one: from one half on it is rain.
    """
    if run.parts:
        return Forecasts.joined([stored_reference(part, threshold, name) for part in run.parts])
    test = run.scores["test"]
    scores = test.get("thresholds", {}).get(f"{threshold:g} mm", test)
    cut = scores.get("references", {}).get(name, {}).get("cut", 0.5)
    return run.test[threshold].reference(name, cut)


def mean_probability(forecasts: Sequence[Forecasts]) -> np.ndarray:
    """Return the mean probability `(N,)` over seeds."""
    return np.mean([each.probability for each in forecasts], axis=0)
