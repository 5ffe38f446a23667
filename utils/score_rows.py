"""Rows of scores for a terminal: one width for all tables; "-" stands for an undefined score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

# Heading, key and decimals of a column.
Columns = Sequence[tuple[str, str, int]]
_WIDTH, _NAME_WIDTH = 8, 14


def header(columns: Columns, corner: str = "") -> str:
    """Return the line of headings."""
    return f"{corner:<{_NAME_WIDTH}}" + "".join(f"{heading:>{_WIDTH}}" for heading, _, _ in columns)


def row(name: str, scores: Mapping[str, Any], columns: Columns) -> str:
    """Return the scores of one group; `=` at the end marks an answer that is always the same."""
    label = name if len(name) < _NAME_WIDTH else name[: _NAME_WIDTH - 2] + "~"
    cells = "".join(f"{number(scores[key], decimals):>{_WIDTH}}" for _, key, decimals in columns)
    return f"{label:<{_NAME_WIDTH}}{cells}" + (" =" if scores["constant_answer"] else "")


def number(value: float | None, decimals: int) -> str:
    """Return a score as text."""
    return "-" if value is None else f"{value:.{decimals}f}"
