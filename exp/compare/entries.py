"""What stands in a table: every group with the forecasts of its seeds, and the two plain references."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Literal

import numpy as np

from exp.compare.alike import Alike
from exp.compare.groups import Group
from exp.compare.reading import StoredRun, reference_cut
from utils.amounts import AmountForecasts
from utils.forecasts import REFERENCES, Forecasts, ReferenceName
from utils.intervals import F

Kind = Literal["model", "reference", "ensemble"]


@dataclass(frozen=True)
class Entry(Generic[F]):
    """One line of the table.

    Attributes:
        name: of the group, reference or ensemble.
        kind: a network is a model, whatever is fitted without one a reference.
        forecasts: test forecasts, one for each seed, all on the same instants in the same order.
        seeds: of these; empty for what has none.
    """

    name: str
    kind: Kind
    forecasts: tuple[F, ...]
    seeds: tuple[int, ...] = ()


def of_event(groups: Sequence[Group], alike: Alike, threshold: float) -> list[Entry[Forecasts]]:
    """Return the entries of one threshold; climatology and persistence are made where no run of them is among them."""
    return _entries(
        groups, lambda run: run.test[threshold], lambda name: stored_reference(alike.reference, threshold, name)
    )


def of_amounts(groups: Sequence[Group], reference: AmountForecasts) -> list[Entry[AmountForecasts]]:
    """Return the entries of the table of amounts.

    Args:
        groups: those that have amounts.
        reference: amounts of the run whose references are those of all.
    """
    return _entries(groups, amounts_of, reference.reference)


def amounts_of(run: StoredRun) -> AmountForecasts:
    """Return the amounts of a run that has them."""
    assert run.amounts is not None, "asked for of a regression"
    return run.amounts


def _entries(
    groups: Sequence[Group], of_run: Callable[[StoredRun], F], stored: Callable[[ReferenceName], F]
) -> list[Entry[F]]:
    entries = [
        Entry(
            group.name,
            "reference" if group.is_reference else "model",
            tuple(of_run(run) for run in group.runs),
            tuple(group.seeds),
        )
        for group in groups
    ]
    there = {group.name for group in groups}
    return entries + [Entry(name, "reference", (stored(name),)) for name in REFERENCES if name not in there]


def stored_reference(run: StoredRun, threshold: float, name: ReferenceName) -> Forecasts:
    """Return a reference as a forecast of its own, with the cut that validation chose for it."""
    if run.parts:
        return Forecasts.joined([stored_reference(part, threshold, name) for part in run.parts])
    return run.test[threshold].reference(name, reference_cut(run.scores, threshold, name))


def mean_probability(forecasts: Sequence[Forecasts]) -> np.ndarray:
    """Return the mean probability `(N,)` over seeds."""
    return np.mean([each.probability for each in forecasts], axis=0)
