"""docs/scores.md explains every key that a real scores.json has."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from utils.regression_score_info import AMOUNT_SCORES
from utils.score_info import SCORES

PAGE = Path(__file__).resolve().parents[3] / "docs" / "scores.md"
# Below these, keys are names from the data: regions, months, hours, phases, thresholds.
BY_NAME = (
    "by_region",
    "by_month",
    "by_season",
    "by_hour",
    "by_enso",
    "thresholds",
    "references",
    "latitude",
    "months",
    "calendar_months",
)


def keys(content: Any, *, are_names: bool = False) -> Iterator[str]:
    if isinstance(content, list):
        for item in content:
            yield from keys(item)
    elif isinstance(content, dict):
        for key, value in content.items():
            if not are_names:
                yield key
            yield from keys(value, are_names=key in BY_NAME)


def test_every_key_of_a_real_file_is_documented(finished_run: Path, amount_runs: Path) -> None:
    """Whoever reads the file with a program would have to guess units, and when a value is null."""
    documented = set(re.findall(r"`([^`]+)`", PAGE.read_text(encoding="utf-8"))) | set(SCORES) | set(AMOUNT_SCORES)
    for path in (finished_run / "scores.json", *amount_runs.glob("*/scores.json")):
        content = json.loads(path.read_text(encoding="utf-8"))
        assert set(keys(content)) - documented == set()
