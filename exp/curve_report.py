"""A learning curve as a table, a picture and files: mean over the draws, and how far they lie apart."""

from __future__ import annotations

import logging
import statistics
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from exp.drawing import BLUE, GREEN, GREY, INK, ORANGE, legend, new_figure, save
from exp.scoring import ERA5_ATTRIBUTION
from utils import run_directory
from utils.files import write_whole

logger = logging.getLogger(__name__)
FIGURE = "learning_curve.png"
# Colour and line of each method; references are broken lines.
LOOKS = {
    "scratch": (INK, "-", "from scratch"),
    "untrained_probe": (GREY, ":", "head on an encoder that was never trained"),
    "probe": (GREEN, "-", "head on the pre-trained encoder (linear probe)"),
    "frozen_warmup": (BLUE, "-", "pre-trained, frozen at first"),
    "fine_tune": ("#CC79A7", "-", "pre-trained, fine-tuned"),
    "gradient_boosting": (ORANGE, "--", "gradient boosting"),
}
SCORES = {"roc_auc": "ROC AUC", "brier_skill_score": "Brier skill"}
Row = dict[str, Any]


def write(folder: Path, rows: Sequence[Row]) -> None:
    """Write `cells.json`, `cells.csv`, `learning_curve.md` and, where matplotlib is installed, the picture.

    Raises:
        StorageError: one cannot be written.
    """
    run_directory.write_json(folder / "cells.json", list(rows))
    write_whole(folder / "cells.csv", lambda path: pd.DataFrame(rows).to_csv(path, index=False))
    write_whole(folder / "learning_curve.md", lambda path: path.write_text(table(rows) + "\n", encoding="utf-8"))
    if find_spec("matplotlib") is not None:
        draw(folder / FIGURE, rows)


def table(rows: Sequence[Row]) -> str:
    """Return Markdown: a line per method, a column per number of windows, `mean +- deviation (draws)`.

    A cell whose forecast said the same every time in some draw carries a `=` and its scores are no skill.
    """
    parts = []
    sizes = _sizes(rows)
    for score, title in SCORES.items():
        head = [f"{title} at", *(f"{size} windows" for size in sizes)]
        lines = [head, ["---"] * len(head)]
        for method in _methods(rows):
            lines.append([LOOKS[method][2], *(_cell(_of(rows, method, size), score) for size in sizes)])
        parts.append("\n".join("| " + " | ".join(line) + " |" for line in lines))
    return "\n\n".join([_facts(rows), *parts])


def draw(path: Path, rows: Sequence[Row]) -> Path:
    """Draw ROC AUC against the number of training windows; the band is one deviation of the draws to either side.

    The range of the draws would grow with their number, and so be wider where more was measured.
    """
    figure, (axes,) = new_figure(8.5, 5.4)
    for method in _methods(rows):
        colour, line, name = LOOKS[method]
        points = sorted({row["windows"] for row in rows if row["method"] == method})
        found = [[row["roc_auc"] for row in rows if row["method"] == method and row["windows"] == n] for n in points]
        known = [(n, values) for n, values in zip(points, found, strict=True) if None not in values]
        if not known:
            continue
        numbers, draws = zip(*known, strict=True)
        means = np.array([statistics.mean(values) for values in draws])
        spread = np.array([statistics.stdev(values) if len(values) > 1 else 0.0 for values in draws])
        axes.plot(numbers, means, color=colour, linestyle=line, marker="o", markersize=4, label=name)
        axes.fill_between(numbers, means - spread, means + spread, color=colour, alpha=0.13, linewidth=0)
    # "All" are some fewer for a model that looks back further: one label for them.
    ticks = [max(row["windows"] for row in rows if row["size"] == size) for size in _sizes(rows)]
    axes.set_xscale("log")
    axes.set_xticks(ticks, [f"{n:,}" for n in ticks])
    axes.minorticks_off()
    axes.set_xlabel("training windows (whole weeks, drawn at random); bands: one deviation of the draws")
    axes.set_ylabel("ROC AUC on the test period")
    legend(axes, loc="lower right")
    data = "synthetic data, not ERA5" if any(row["synthetic"] for row in rows) else ERA5_ATTRIBUTION
    return save(figure, axes, path, "Is pre-training worth it?", _facts(rows), data)


def _facts(rows: Sequence[Row]) -> str:
    draws = len({row["seed"] for row in rows})
    first = rows[0]
    skipped = sum(row["skipped_steps"] for row in rows)
    return (
        f"{first['n']:,} test windows, base rate {first['base_rate']:.3f}; {draws} draw{'s' if draws > 1 else ''} of "
        f"training windows and initial weights; {skipped} skipped steps"
    )


def _cell(rows: Sequence[Row], score: str) -> str:
    values = [row[score] for row in rows if row[score] is not None]
    if not values:
        return "-"
    spread = f" +- {statistics.stdev(values):.3f}" if len(values) > 1 else ""
    constant = " =" if any(row["collapsed"] for row in rows) else ""
    return f"{statistics.mean(values):.3f}{spread} ({len(values)}){constant}"


def _of(rows: Sequence[Row], method: str, size: str) -> list[Row]:
    return [row for row in rows if row["method"] == method and row["size"] == size]


def _methods(rows: Sequence[Row]) -> list[str]:
    return [method for method in LOOKS if any(row["method"] == method for row in rows)]


def _sizes(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(row["size"] for row in sorted(rows, key=lambda row: row["windows"])))
