"""The part of a regression's page that its yes/no scores do not tell: how good the amounts themselves are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from exp.report import tables
from exp.report.geography import skill_class
from exp.report.record import Record
from exp.report.words import Words, number, whole
from exp.stored_forecasts import has_amounts
from utils.regression_score_info import AMOUNT_SCORES

SECTION = "amount"
AGAINST = (
    "continuous_ranked_probability_score", "crps_skill_score", "mean_absolute_error", "root_mean_squared_error", "bias",
)  # fmt: skip
COLUMNS = ("mean_observed", "mean_absolute_error", "bias", "continuous_ranked_probability_score")


def part(record: Record, words: Words) -> dict[str, Any] | None:
    """Return scores of the amounts with intervals, and the run beside its references; None without amounts."""
    if not has_amounts(record.scores):
        return None
    test = record.scores["test"]
    names = [name for name in AMOUNT_SCORES if name in test["overall"]]
    return {
        "scores": [tables.score(name, test["overall"], AMOUNT_SCORES[name], words, SECTION) for name in names],
        "note": tables.note(test, names, record.events[0].cases, words),
        "groups": _groups(test, words),
        "references": tables.references(test, words, AGAINST, SECTION),
    }


def _groups(test: Mapping[str, Any], words: Words) -> Iterator[dict[str, Any]]:
    """Yield one table for each grouping that the run has: by region, month, season and hour."""
    regions = test["by_region"]
    yield {"title": words("amount.by_region"), "head": words("places.region"), "rows": _rows(regions, list(regions))}
    for key, head in tables.GROUPS.items():
        entries = test.get(key)
        if entries:
            names = [tables.group_name(key, name, words) for name in entries]
            yield {"title": words(f"times.{key}"), "head": words(f"times.{head}"), "rows": _rows(entries, names)}


def _rows(entries: Mapping[str, Mapping[str, Any]], names: list[str]) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "cells": [whole(entry["n"]), *(number(entry[column], 2) for column in COLUMNS)],
            "skill": number(entry["crps_skill_score"], 2),
            "skill_class": skill_class(entry["crps_skill_score"]),
        }
        for name, entry in zip(names, entries.values(), strict=True)
    ]
