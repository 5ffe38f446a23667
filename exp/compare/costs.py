"""What a run cost: time, memory, parameters; None where its files do not tell."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from exp.compare.groups import Group
from exp.compare.reading import StoredRun
from exp.network_training import METRICS_FILE


def of_group(group: Group) -> dict[str, Any]:
    """Return the cost of one seed of a group: means of the times, the most of the memory.

    Returns:
        `training_seconds`, `evaluation_seconds`, `parameters`, `peak_memory_bytes`, `peak_memory_of`, `skipped_steps`
        (over all seeds).
    """
    found = [of_run(run) for run in group.runs]
    peaks = [each["peak_memory_bytes"] for each in found if each["peak_memory_bytes"] is not None]
    return {
        "training_seconds": _mean([each["training_seconds"] for each in found]),
        "evaluation_seconds": _mean([each["evaluation_seconds"] for each in found]),
        "parameters": found[0]["parameters"],
        "peak_memory_bytes": max(peaks, default=None),
        "peak_memory_of": found[0]["peak_memory_of"],
        "skipped_steps": sum(each["skipped_steps"] for each in found),
    }


def of_run(run: StoredRun) -> dict[str, Any]:
    """Return what one run cost; keys as in `of_group`."""
    if run.parts:
        return _summed([of_run(part) for part in run.parts])
    cost = run.scores.get("cost", {})
    training, evaluation = seconds(run.home)
    return {
        "training_seconds": cost.get("fit_seconds") if training is None else training,
        "evaluation_seconds": evaluation,
        "parameters": cost.get("parameters"),
        "peak_memory_bytes": cost.get("peak_memory_bytes"),
        "peak_memory_of": cost.get("peak_memory_of"),
        "skipped_steps": run.scores.get("skipped_steps", 0),
    }


def _summed(parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return what several trainings cost together; memory is that of the largest."""

    def of(name: str) -> list[Any]:
        return [part[name] for part in parts if part[name] is not None]

    times = ("training_seconds", "evaluation_seconds", "skipped_steps")
    return {
        **parts[0],
        **{name: sum(of(name)) if len(of(name)) == len(parts) else None for name in times},
        "peak_memory_bytes": max(of("peak_memory_bytes"), default=None),
    }


def seconds(run: Path) -> tuple[float | None, float | None]:
    """Return the seconds that training and evaluation took, from metrics.jsonl; None for a run without epochs."""
    path = run / METRICS_FILE
    if not path.is_file():
        return None, None
    rows: list[dict[str, Any]] = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    if not rows:
        return None, None
    training, evaluation = (sum(row.get(name) or 0 for row in rows) for name in ("train_seconds", "evaluation_seconds"))
    return training, evaluation


def marks_of(group: Group) -> list[dict[str, str]]:
    """Return the marks of a group, each with the seeds that have it: `code`, `sentence`, `seeds`."""
    found: dict[str, dict[str, Any]] = {}
    for run in group.runs:
        for mark in run.scores.get("marks", _collapsed(run)):
            entry = found.setdefault(mark["code"], {**mark, "seeds": []})
            entry["seeds"].append(run.seed)
    return list(found.values())


def _collapsed(run: StoredRun) -> list[dict[str, str]]:
    """Return the mark of a run that was written before runs had marks."""
    if not run.scores.get("collapsed"):
        return []
    return [{"code": "COLLAPSED", "sentence": "The forecast says the same every time; none of its scores is skill."}]


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.mean(known) if known else None
