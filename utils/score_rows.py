"""Rows of scores for a terminal: one width for all tables; "-" stands for an undefined score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

# Heading, key and decimals of a column.
Columns = Sequence[tuple[str, str, int]]
_WIDTH, _NAME_WIDTH = 8, 14
# Months and hours would fill the screen; scores.json has them.
_PRINTED_GROUPS = {"by_region": "region", "by_season": "season", "by_enso": "ENSO phase", "by_year": "year"}
_GROUP_NAMES = {
    "wet": "Dec-Mar", "dry": "Apr-Nov", "el_nino": "El Nino", "la_nina": "La Nina",
}  # fmt: skip
_MOST_ROWS = 12


def header(columns: Columns, corner: str = "") -> str:
    """Return the line of headings."""
    return f"{corner:<{_NAME_WIDTH}}" + "".join(f"{heading:>{_WIDTH}}" for heading, _, _ in columns)


def row(name: str, scores: Mapping[str, Any], columns: Columns) -> str:
    """Return the scores of one group; `=` at the end marks an answer that is always the same."""
    label = name if len(name) < _NAME_WIDTH else name[: _NAME_WIDTH - 2] + "~"
    cells = "".join(f"{number(scores[key], decimals):>{_WIDTH}}" for _, key, decimals in columns)
    return f"{label:<{_NAME_WIDTH}}{cells}" + (" =" if scores["constant_answer"] else "")


def groups(scores: Mapping[str, Any], columns: Columns) -> list[str]:
    """Return the rows of all groups of a score table that fit a screen, each group below its title."""
    lines = []
    for group, title in _PRINTED_GROUPS.items():
        rows = [row(_GROUP_NAMES.get(name, name), entry, columns) for name, entry in scores.get(group, {}).items()]
        lines += _within_a_screen(title, rows)
    return lines


def _within_a_screen(title: str, rows: list[str]) -> list[str]:
    if not rows:
        return []
    more = [f"and {len(rows) - _MOST_ROWS} more in scores.json"] if len(rows) > _MOST_ROWS else []
    return [f"by {title}", *rows[:_MOST_ROWS], *more]


def number(value: float | None, decimals: int) -> str:
    """Return a score as text."""
    return "-" if value is None else f"{value:.{decimals}f}"
