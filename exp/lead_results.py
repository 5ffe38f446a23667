"""Forecasts at several lead times: each judged like a run of its own, and one table and picture of all."""

from __future__ import annotations

import csv
import io
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from data_provider.factory import Splits
from data_provider.lead_windows import at_lead
from data_provider.windows import WindowSet
from exp.drawing import BLUE, GREEN, ORANGE, legend, new_figure, save
from exp.lead_forecasters import LeadForecaster
from utils import run_directory
from utils.run_directory import lead_folder

logger = logging.getLogger(__name__)
TABLE, PICTURE = "lead_times.csv", "lead_times.png"
SHOWN = {"roc_auc": "ROC AUC", "brier_skill_score": "Brier skill"}
COLOURS = (BLUE, ORANGE, GREEN)


@dataclass(frozen=True)
class Told:
    """What a forecaster has said of the validation and test windows of one lead time.

    Attributes:
        known: windows, and `(N, C)` probabilities of them.
    """

    known: Sequence[tuple[WindowSet, np.ndarray]]

    def probabilities(self, windows: WindowSet) -> np.ndarray:
        """Return what was said of these windows."""
        return next(values for known, values in self.known if known is windows)


def of_each(forecaster: LeadForecaster, splits: Splits) -> Iterator[tuple[Splits, Told]]:
    """Yield every lead time as a data set of its own and what is said of it; the model is asked once.

    Args:
        forecaster: fitted.
        splits: with the labels of all lead times.
    """
    told = [forecaster.lead_probabilities(part) for part in (splits.validation, splits.test)]
    for number in range(1 + len(splits.further)):
        alone = at_lead(splits, number)
        parts = (alone.validation, alone.test)
        yield alone, Told([(part, values[:, number]) for part, values in zip(parts, told, strict=True)])


def rows_of(scores: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return one row for each lead time and threshold, in the order of the lead times.

    Args:
        scores: scores.json of each lead time.
    """
    rows = []
    for each in sorted(scores, key=lambda one: one["lead_time_hours"]):
        test = each["test"]
        tables = test.get("thresholds") or {f"{each['threshold_mm'][0]:g} mm": test}
        for threshold, table in tables.items():
            row = {
                "lead_time_hours": each["lead_time_hours"],
                "accumulation_hours": each["accumulation_hours"],
                "threshold": threshold,
                "n": table["overall"]["n"],
                "base_rate": table["overall"]["base_rate"],
            }
            for name in SHOWN:
                interval = table["overall"]["intervals"][name] or (None, None)
                row |= {name: table["overall"][name], f"{name}_low": interval[0], f"{name}_high": interval[1]}
            rows.append(row)
    return rows


def write(folder: Path, scores: Sequence[Mapping[str, Any]], label: str) -> None:
    """Write the table of all lead times and, where matplotlib is installed, their picture.

    Args:
        folder: of the run.
        scores: scores.json of each lead time.
        label: what the picture says about its data.

    Raises:
        StorageError: one cannot be written.
    """
    rows = rows_of(scores)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    run_directory.write_text(folder / TABLE, text.getvalue())
    if find_spec("matplotlib") is not None:
        _draw(folder / PICTURE, rows, label)


def tell(scores: Sequence[Mapping[str, Any]], folder: Path) -> None:
    """Show the table of all lead times.

    Args:
        scores: scores.json of each, the run's own first.
        folder: of the run, with what `write` has written.
    """
    rows = rows_of(scores)
    logger.info("\n%-12s %-8s %8s %10s   %s", "rain of", "at least", "n", "base rate", "95 % intervals")
    for row in rows:
        lead, period = row["lead_time_hours"], row["accumulation_hours"]
        told = "  ".join(f"{name} {_with_interval(row, key)}" for key, name in SHOWN.items())
        when = f"{lead - period}-{lead} h"
        logger.info("%-12s %-8s %8d %10.3f   %s", when, row["threshold"], row["n"], row["base_rate"], told)
    folders = ", ".join(lead_folder(each["lead_time_hours"]) for each in scores[1:])
    logger.info("lead times   %s; scores and page of the further ones: %s in the run", folder / TABLE, folders)


def _with_interval(row: Mapping[str, Any], name: str) -> str:
    if row[name] is None:
        return "not defined"
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    return f"{row[name]:.3f}" + ("" if low is None else f" [{low:.3f}, {high:.3f}]")


def _draw(path: Path, rows: Sequence[Mapping[str, Any]], label: str) -> None:
    """Draw each score against the lead time, a line for each threshold with its intervals."""
    figure, panels = new_figure(6.4, 6.4, rows=len(SHOWN), sharex=True)
    thresholds = list(dict.fromkeys(row["threshold"] for row in rows))
    leads = sorted({row["lead_time_hours"] for row in rows})
    for axes, (name, title) in zip(panels, SHOWN.items(), strict=True):
        for number, threshold in enumerate(thresholds):
            own = [row for row in rows if row["threshold"] == threshold and row[name] is not None]
            colour = COLOURS[number % len(COLOURS)]
            at = [row["lead_time_hours"] for row in own]
            axes.plot(at, [row[name] for row in own], "o-", color=colour, label=f"rain ≥ {threshold}", markersize=5)
            sure = [row for row in own if row[f"{name}_low"] is not None]
            low, high = ([row[f"{name}_{end}"] for row in sure] for end in ("low", "high"))
            axes.vlines([row["lead_time_hours"] for row in sure], low, high, color=colour, linewidth=1.5, alpha=0.6)
        axes.set_ylabel(title)
        axes.set_xticks(leads)
    panels[-1].set_xlabel("lead time in hours: the end of the rain asked for")
    legend(panels[0])
    rates = {row["lead_time_hours"]: row["base_rate"] for row in rows if row["threshold"] == thresholds[0]}
    facts = "test split, N = {}; base rate of {} {:.2f} to {:.2f}".format(
        rows[0]["n"], thresholds[0], min(rates.values()), max(rates.values())
    )
    save(figure, panels[0], path, "Skill and lead time", facts, label)
