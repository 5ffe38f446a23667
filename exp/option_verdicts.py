"""Intervals of the scores of options, and which differences between them are real: judged as any comparison is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from exp.compare import alike, reading, tables
from exp.compare.entries import Entry
from exp.compare.judging import EventJudge
from exp.option_scores import SCORES, Outcome
from utils.forecasts import Forecasts

ORDERED_BY = "brier_skill_score"
SHOWN = {title: SCORES[title] for title in ("Brier skill", "ROC AUC", "macro F1")}


@dataclass(frozen=True)
class Verdicts:
    """What the test days allow to say about options.

    Attributes:
        outcomes: of all options, in their order; scores against one climatology, with intervals.
        differences: from the option with the best Brier skill: `name`, `from`, `scores`.
        why_none: why there are no intervals; empty where there are.
    """

    outcomes: tuple[Outcome, ...]
    differences: tuple[Mapping[str, Any], ...] = ()
    why_none: str = ""

    def sentences(self) -> list[str]:
        """Say for each option whether its difference from the best one is real."""
        if self.why_none:
            return [f"No intervals: {self.why_none}."]
        return [
            f"{each['name']} from {each['from']}, the best by Brier skill: "
            + "; ".join(f"{title} {tables.verdict(each['scores'][name])}" for title, name in SHOWN.items())
            for each in self.differences
        ]


def of(outcomes: Sequence[Outcome]) -> Verdicts:
    """Judge the options that have finished seeds.

    Raises:
        UsageError: ``RUNS_DIFFER``, they were not tested on the same.
        DataError: ``RUN_WITHOUT_PREDICTIONS``.
    """
    entries = _entries([outcome for outcome in outcomes if outcome.runs])
    if not entries:
        return Verdicts(tuple(outcomes))
    judge = EventJudge(entries)
    letters = [entry.name for entry in entries]
    known = [letter for letter in letters if judge.value(letter, ORDERED_BY) is not None]
    best = max(known, key=lambda letter: judge.value(letter, ORDERED_BY) or 0.0, default=letters[0])
    return Verdicts(
        outcomes=tuple(_judged(each, judge) if each.runs else each for each in outcomes),
        differences=tuple(_difference(letter, best, judge) for letter in letters if letter != best),
        why_none=judge.settings["why_none"],
    )


def _judged(outcome: Outcome, judge: EventJudge) -> Outcome:
    letter, names = outcome.option.letter, list(SCORES.values())
    return replace(
        outcome,
        scores={name: tuple(judge.of_seeds(letter, name)) for name in names},
        intervals={name: judge.interval(letter, name) for name in names},
    )


def _difference(letter: str, best: str, judge: EventJudge) -> dict[str, Any]:
    scores = {name: judge.difference(letter, best, name) for name in SCORES.values()}
    return {"name": letter, "from": best, "scores": scores}


def _entries(outcomes: Sequence[Outcome]) -> list[Entry[Forecasts]]:
    """Return the test forecasts of the lowest threshold of all seeds, if they belong together."""
    paths = dict.fromkeys(Path(run) for outcome in outcomes for run in outcome.runs)
    if not paths:
        return []
    same = alike.require([reading.read(path) for path in paths])
    runs = {run.path: run for run in same.runs}
    entries = []
    for outcome in outcomes:
        own = [runs[Path(run)] for run in outcome.runs]
        forecasts, seeds = tuple(run.first for run in own), tuple(run.seed for run in own)
        entries.append(Entry(outcome.option.letter, "model", forecasts, seeds))
    return entries
