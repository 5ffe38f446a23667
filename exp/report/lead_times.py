"""The table of a run that tells several lead times, with the way to the page of each."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from exp.lead_results import SHOWN, TABLE
from exp.report.record import PAGE_FILE, Record
from exp.report.words import Words, number, whole
from utils.run_directory import lead_folder


def part(record: Record, words: Words) -> dict[str, Any] | None:
    """Return head and rows; None of a run with one lead time, and of the page of a further one."""
    path = record.run / TABLE
    if not path.is_file():
        return None
    with path.open(encoding="utf-8", newline="") as file:
        rows = [_row(record.run, row, words) for row in csv.DictReader(file)]
    return {"head": [words("table.area"), words("table.skill")], "rows": rows}


def _row(run: Path, row: Mapping[str, str], words: Words) -> dict[str, Any]:
    lead = int(row["lead_time_hours"])
    page = Path(lead_folder(lead), PAGE_FILE)
    return {
        "name": words("leads.period", first=lead - int(row["accumulation_hours"]), last=lead),
        "page": page.as_posix() if (run / page).is_file() else "",
        "threshold": row["threshold"],
        "n": whole(int(row["n"])),
        "base_rate": number(float(row["base_rate"])),
        "scores": [_score(row, name) for name in SHOWN],
    }


def _score(row: Mapping[str, str], name: str) -> dict[str, str]:
    value, low, high = (float(row[key]) if row[key] else None for key in (name, f"{name}_low", f"{name}_high"))
    interval = "" if low is None or high is None else f"{number(low)} … {number(high)}"
    return {"value": number(value), "interval": interval}
