"""Runs are compared on identical test instants and labels alone; what keeps them apart is told as a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from exp.compare.reading import Events, StoredRun
from utils.errors import UsageError
from utils.forecasts import Forecasts

Key = tuple[str, str]
FIRST_SHOWN = 3
# What must be the same for two forecasts to be of the same thing. Boundaries are among them: weights that saw the
# test period of another run, or chose their cut on it, would be judged on what they know.
PROPERTIES: dict[str, Callable[[StoredRun], Any]] = {
    "training ends": lambda run: run.config["splits"]["train_end"],
    "validation ends": lambda run: run.config["splits"]["validation_end"],
    "threshold in mm": lambda run: run.scores["threshold_mm"],
    "lead time in h": lambda run: run.scores["lead_time_hours"],
    "accumulation in h": lambda run: run.scores["accumulation_hours"],
    "regions": lambda run: run.config["regions"],
    "synthetic data": lambda run: run.scores["synthetic"],
}


@dataclass(frozen=True)
class Alike:
    """Runs on the same test instants.

    Attributes:
        runs: with the forecasts of these instants alone, in one order of time and region.
        left_out: name of run -> test windows that it has and others lack.
        reference: the run whose climatology and persistence are those of all.
        reference_difference: largest difference of any run's climatology from that.
        amount_reference: the same for amounts; None where no run has any.
        amount_reference_difference: of the expected amount of climatology, in millimetres.
    """

    runs: tuple[StoredRun, ...]
    left_out: Mapping[str, int]
    reference: StoredRun
    reference_difference: float
    amount_reference: StoredRun | None = None
    amount_reference_difference: float = 0.0


def require(runs: Sequence[StoredRun], *, common_instants: bool = False, command: str = "") -> Alike:
    """Refuse runs that were not tested on the same, and give those that were the same reference forecasts.

    Args:
        runs: at least one.
        common_instants: where the instants alone differ, take those that all runs have.
        command: that compares them, where it takes `--common_instants`, for the message.

    Raises:
        UsageError: ``RUNS_DIFFER`` with a table of all differences.
    """
    with_amounts = [run for run in runs if run.amounts is not None]
    lines = [line for name, of in PROPERTIES.items() if (line := _difference(name, runs, of))]
    # A CRPS of more quantiles is another number for the same distribution.
    lines += _difference("quantiles", with_amounts, lambda run: len(run.scores["quantile_levels"])).splitlines()
    keys = [keys_of(run.test) for run in runs]
    common = set(keys[0]).intersection(*keys[1:])
    if not lines:
        lines = [
            *_observed("observed class of test", runs, lambda run: _classes(run.test)),
            *_observed("observed class of validation", runs, lambda run: _classes(run.validation)),
            *_observed("observed mm of test", with_amounts, _millimetres),
        ]
    way_out = (
        "compare runs of the same table, splits and label; train those that differ anew, with the flags of the rest"
    )
    if not lines and any(len(common) != len(own) for own in keys) and (not common_instants or not common):
        lines = [_difference("test instants", runs, lambda run: _span(run.first)), f"{len(common)} are in all runs"]
        if common and command:
            way_out = f"{command} --common_instants compares these {len(common)}"
    if any(line.startswith("lead time") for line in lines):
        way_out += "; of runs with several --lead_times, --lead_time 24 compares those of one"
    if lines:
        raise UsageError(
            "RUNS_DIFFER",
            "These runs were not tested on the same.",
            where=", ".join(str(run.path) for run in runs),
            evidence="differences\n" + "\n".join(f"    {line}" for line in lines),
            next_command=way_out,
        )
    left_out = {run.name: len(own) - len(common) for run, own in zip(runs, keys, strict=True)}
    return _with_one_amount_reference(_with_one_reference([_at(run, common) for run in runs], left_out))


def keys_of(events: Events) -> list[Key]:
    """Return init time and region of every forecast."""
    forecasts = next(iter(events.values()))
    return list(zip(np.datetime_as_string(forecasts.init_time, "s"), map(str, forecasts.region), strict=True))


def select(events: Events, wanted: set[Key]) -> dict[float, Forecasts]:
    """Return the forecasts of the instants wanted."""
    chosen = _chosen(events, wanted)
    return {threshold: forecasts.select(chosen) for threshold, forecasts in events.items()}


def _chosen(events: Events, wanted: set[Key]) -> np.ndarray:
    return np.array([key in wanted for key in keys_of(events)], dtype=bool)


def _at(run: StoredRun, wanted: set[Key]) -> StoredRun:
    """Return a run, and the runs that it was put together from, with the test forecasts of the instants wanted."""
    amounts = None if run.amounts is None else run.amounts.select(_chosen(run.test, wanted))
    parts = tuple(_at(part, wanted) for part in run.parts)
    return replace(run, test=select(run.test, wanted), amounts=amounts, parts=parts)


def common_validation(runs: Sequence[StoredRun]) -> tuple[list[StoredRun], int]:
    """Return the runs on the validation instants that all have, and how many are left out.

    Weights are found there, and nothing is compared, so windows that a longer context lacks may go.

    Raises:
        UsageError: ``RUNS_DIFFER``, they have none in common.
    """
    keys = [keys_of(run.validation) for run in runs]
    common = set(keys[0]).intersection(*keys[1:])
    if not common:
        raise UsageError(
            "RUNS_DIFFER",
            "These runs have no validation window in common, so no weights can be found.",
            where=", ".join(str(run.path) for run in runs),
            evidence="; ".join(f"{run.name}: {len(own)} windows" for run, own in zip(runs, keys, strict=True)),
            next_command="leave --ensemble away, or train them with the same --sample_stride_hours",
        )
    left_out = len(set().union(*keys) - common)
    return [replace(run, validation=select(run.validation, common)) for run in runs], left_out


def _difference(name: str, runs: Sequence[StoredRun], of: Callable[[StoredRun], Any]) -> str:
    """Return which runs have which value; empty where all have the same."""
    found: dict[str, list[str]] = {}
    for run in runs:
        found.setdefault(_words(of(run)), []).append(run.name)
    if len(found) < 2:
        return ""
    return f"{name:<18} " + "; ".join(f"{value}: {', '.join(names)}" for value, names in found.items())


def _observed(name: str, runs: Sequence[StoredRun], of: Callable[[StoredRun], dict[Key, float]]) -> list[str]:
    """Tell where runs were told another outcome of the same instant."""
    told = [of(run) for run in runs]
    lines = []
    for run, found in zip(runs[1:], told[1:], strict=True):
        common = told[0].keys() & found.keys()
        wrong = sorted(key for key in common if found[key] != told[0][key])
        if wrong:
            examples = ", ".join(" ".join(key) for key in wrong[:FIRST_SHOWN])
            lines.append(f"{name:<18} {len(wrong)} of {len(common)}: {runs[0].name}, {run.name}; {examples}")
    return lines


def _millimetres(run: StoredRun) -> dict[Key, float]:
    """Return the observed amount of every instant of a run with amounts."""
    return {} if run.amounts is None else dict(zip(keys_of(run.test), run.amounts.observed.tolist(), strict=True))


def _classes(events: Events) -> dict[Key, float]:
    """Return the observed class of every instant; nothing for a split that was not read."""
    if not events:
        return {}
    reached = np.stack([event.observed for event in events.values()]).sum(axis=0)
    return dict(zip(keys_of(events), map(int, reached), strict=True))


def _span(forecasts: Forecasts) -> str:
    days = [np.datetime_as_string(end, "h") for end in (forecasts.init_time.min(), forecasts.init_time.max())]
    rate = float(np.mean(forecasts.observed))
    return f"{len(forecasts.init_time)} test windows from {days[0]} to {days[1]}, base rate {rate:.4f}"


def _words(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _with_one_reference(runs: list[StoredRun], left_out: Mapping[str, int]) -> Alike:
    """Give all runs the references of one: of a run of climatology itself, else of the one with most training windows.

    A longer context costs a run its first training windows, so the climatologies differ by a hair, and skill against
    two climatologies could not be compared.
    """
    best = _of_most_windows(runs)
    difference = 0.0
    shared = []
    for run in runs:
        events = dict(run.test)
        for threshold, event in run.test.items():
            theirs = best.test[threshold]
            difference = max(difference, float(np.abs(event.climatology - theirs.climatology).max()))
            events[threshold] = replace(event, climatology=theirs.climatology, persistence=theirs.persistence)
        shared.append(replace(run, test=events))
    reference = next(run for run in shared if run.path == best.path)
    return Alike(tuple(shared), left_out, reference, difference)


def _with_one_amount_reference(same: Alike) -> Alike:
    """Give all amounts the references of one run too, among those that have amounts."""
    with_amounts = [run for run in same.runs if run.amounts is not None]
    if not with_amounts:
        return same
    best = _of_most_windows(with_amounts)
    theirs, difference = best.amounts, 0.0
    assert theirs is not None
    shared = []
    for run in same.runs:
        own = run.amounts
        if own is not None:
            difference = max(difference, float(np.abs(own.climatology.mean - theirs.climatology.mean).max()))
            own = replace(own, climatology=theirs.climatology, persistence=theirs.persistence)
        shared.append(replace(run, amounts=own))
    return replace(same, runs=tuple(shared), amount_reference=best, amount_reference_difference=difference)


def _of_most_windows(runs: Sequence[StoredRun]) -> StoredRun:
    """Return the run whose references are taken for all."""
    itself = [run for run in runs if run.model == "climatology"]
    return max(itself or runs, key=lambda run: run.config["splits"]["windows"]["train"])
