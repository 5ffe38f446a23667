"""Runs of `--cross_validate` that test one year each, put together as one run that tests all of them.

Each keeps its cuts, its climatology and what it was trained on; their test days make one record, which is long enough
to settle differences that one year cannot.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from exp.compare.reading import YEARS, StoredRun
from utils import run_directory
from utils.amounts import AmountForecasts
from utils.errors import UsageError
from utils.forecasts import Forecasts


def together(runs: Sequence[StoredRun], test_year: int | None = None) -> list[StoredRun]:
    """Put the folds of one seed and the same flags into one run each; all other runs stay as they are.

    Args:
        runs: as they were read.
        test_year: leave out the folds that test another year.

    Raises:
        UsageError: ``CONFIG``, of one of the folders no run tests that year.
    """
    if test_year is not None:
        runs = _of_year(runs, test_year)
    found: dict[Any, list[StoredRun]] = {}
    for run in runs:
        key = (_without_years(run.own_flags), run.seed) if run_directory.is_fold(run.home) else run.path
        found.setdefault(key, []).append(run)
    return [parts[0] if len(parts) == 1 else _one(sorted(parts, key=_tested)) for parts in found.values()]


def _of_year(runs: Sequence[StoredRun], year: int) -> list[StoredRun]:
    folds = [run for run in runs if run_directory.is_fold(run.home)]
    others = [run for run in runs if not run_directory.is_fold(run.home)]
    found = [*others, *(run for run in folds if _tested(run) == str(year))]
    # A folder that is left without a run would be missing from the table without a word.
    left = {run.home.parent for run in found}
    if any(run.home.parent not in left for run in folds) or any(_tested(run) != str(year) for run in others):
        raise UsageError(
            "CONFIG",
            f"Not all that is compared tests the year {year}.",
            where="--test_year",
            evidence="; ".join(
                f"{folder} tests {', '.join(years)}" for folder, years in sorted(_years_of(runs).items())
            ),
            next_command=f"--test_year {max(map(_tested, runs))}",
        )
    return found


def _years_of(runs: Sequence[StoredRun]) -> dict[str, list[str]]:
    """Return folder -> the years that its runs test."""
    found: dict[str, set[str]] = {}
    for run in runs:
        found.setdefault(run.home.parent.name, set()).add(_tested(run))
    return {folder: sorted(years) for folder, years in found.items()}


def refuse_ensemble(runs: Sequence[StoredRun]) -> None:
    """Refuse to weigh runs that were put together: each of their years has a validation split of its own.

    Raises:
        UsageError: ``CONFIG``.
    """
    several = [run.name for run in runs if run.parts]
    if several:
        raise UsageError(
            "CONFIG",
            "An ensemble is weighed on one validation split, and runs of --cross_validate have one for each year.",
            where="--ensemble",
            evidence=", ".join(several),
            next_command="leave --ensemble away, or compare the runs of one year",
        )


def _one(parts: Sequence[StoredRun]) -> StoredRun:
    last = parts[-1]
    flags = {name: value for name, value in last.config["flags"].items() if name not in YEARS}
    splits = {
        **last.config["splits"],
        **{name: [part.config["splits"][name] for part in parts] for name in ("train_end", "validation_end")},
        "windows": {"train": sum(part.config["splits"]["windows"]["train"] for part in parts)},
    }
    return replace(
        last,
        scores={**last.scores, "marks": _marks(parts)},
        config={**last.config, "flags": flags, "splits": splits},
        test={threshold: Forecasts.joined([part.test[threshold] for part in parts]) for threshold in last.test},
        validation={},
        amounts=_amounts(parts),
        parts=tuple(parts),
    )


def _amounts(parts: Sequence[StoredRun]) -> AmountForecasts | None:
    """Return the amounts of all years; None of classifications."""
    found = [part.amounts for part in parts if part.amounts is not None]
    return AmountForecasts.joined(found) if found else None


def _marks(parts: Sequence[StoredRun]) -> list[dict[str, str]]:
    """Return each mark once, with the years that have it before the sentence of the last of them."""
    found: dict[str, dict[str, Any]] = {}
    for part in parts:
        for mark in part.scores.get("marks", []):
            entry = found.setdefault(mark["code"], {"years": []})
            entry |= mark
            entry["years"].append(_tested(part))
    return [
        {"code": code, "sentence": f"tested on {', '.join(entry['years'])}: {entry['sentence']}"}
        for code, entry in found.items()
    ]


def _tested(run: StoredRun) -> str:
    """Return the year that a fold tests."""
    return str(run.first.init_time.min())[:4]


def _without_years(flags: Mapping[str, Any]) -> str:
    return json.dumps({name: value for name, value in flags.items() if name not in YEARS}, sort_keys=True)
