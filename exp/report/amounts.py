"""The part of a regression's page that its yes/no scores do not tell: how good the amounts themselves are."""

from __future__ import annotations

from typing import Any

from exp.report import tables
from exp.report.record import Record
from exp.report.words import Words
from utils.regression_score_info import AMOUNT_SCORES

SECTION = "amount"
AGAINST = (
    "continuous_ranked_probability_score", "crps_skill_score", "mean_absolute_error", "root_mean_squared_error", "bias",
)  # fmt: skip


def part(record: Record, words: Words) -> dict[str, Any] | None:
    """Return scores of the amounts with intervals, and the run beside its references; None without amounts."""
    if record.scores.get("task") != "regression":
        return None
    test = record.scores["test"]
    names = [name for name in AMOUNT_SCORES if name in test["overall"]]
    return {
        "scores": [tables.score(name, test["overall"], AMOUNT_SCORES[name], words, SECTION) for name in names],
        "note": tables.note(test, names, record.events[0].cases, words),
        "references": tables.references(test, words, AGAINST, SECTION),
    }
