"""What all ways to judge a run on rain have in common: what scores.json begins with, the page, the mean over seeds."""

from __future__ import annotations

import logging
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch

from data_provider.factory import Splits
from exp.forecasters import Forecaster
from exp.peak_memory import peak_memory
from exp.report import write as report
from exp.scoring import ERA5_ATTRIBUTION
from exp.settings import Settings
from utils import run_directory

logger = logging.getLogger(__name__)
TRAINING_FACTS = ("cost", "skipped_steps")


@dataclass(frozen=True)
class Judging:
    """What becomes of a trained forecaster: all in which the tasks on rain differ once their model is built.

    Attributes:
        score_and_write: scores, draws and writes a run; scores.json comes last, since it marks a run as finished.
        summarise: writes mean and deviation over the seeds beside the runs.
    """

    score_and_write: Callable[..., dict[str, Any]]
    summarise: Callable[[Settings, list[Path], list[dict[str, Any]]], None]


def head_of_scores(settings: Settings, splits: Splits, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return what scores.json says of a run before its scores.

    Args:
        settings: of the run.
        splits: of the run.
        facts: cost and skipped steps, of `training_facts` or of a run that is scored again.
    """
    table = splits.table
    return {
        "model": settings.run.model,
        "seed": settings.run.seed,
        "synthetic": table.is_synthetic,
        "threshold_mm": table.thresholds_mm,
        "lead_time_hours": table.lead_time_hours,
        "accumulation_hours": table.accumulation_hours,
        **facts,
    }


def draw(write_all: Callable[[str], list[Path]], settings: Settings, splits: Splits) -> list[Path]:
    """Draw the figures of a run where matplotlib is installed.

    Args:
        write_all: takes what every figure says about its data.
        settings: of the run.
        splits: of the run.
    """
    if find_spec("matplotlib") is None:
        logger.info("matplotlib is not installed: no figures.")
        return []
    return write_all(label_of_figures(settings, splits))


def title(scores: Mapping[str, Any]) -> str:
    """Return the model, and that its data are synthetic where they are."""
    return f"{'SYNTHETIC data, not ERA5: ' if scores['synthetic'] else ''}{scores['model']}"


def tell(scores: Mapping[str, Any], folder: Path, drawn: Sequence[Path], settled: Sequence[str] = ()) -> None:
    """Say the marks of a run, what was settled on validation, and where everything lies.

    Args:
        scores: as in scores.json.
        folder: of the run.
        drawn: its figures.
        settled: lines of `settling.in_words`.
    """
    for mark in scores["marks"]:
        logger.warning("%s: %s", mark["code"], mark["sentence"])
    for line in settled:
        logger.info("%s", line)
    logger.info("scores       %s", folder / run_directory.FINISHED_FILE)
    logger.info("predictions  %s", folder / "predictions.csv")
    if drawn:
        logger.info("figures      %s", drawn[0].parent)


def write_page(folder: Path, settings: Settings) -> None:
    """Write report.html where jinja2 is installed."""
    if not report.can_be_written():
        logger.info("jinja2 is not installed: no %s.", report.FILE)
        return
    logger.info("report       %s", report.write_run(folder, settings.verification.language))


def summarise(
    settings: Settings, runs: Sequence[Path], results: Sequence[Mapping[str, Any]], scores: Mapping[str, list[Any]]
) -> None:
    """Write mean and deviation over the seeds beside the runs.

    Args:
        settings: of the runs.
        runs: their directories.
        results: their scores.json.
        scores: name -> one value per run, None where undefined.
    """
    summary: dict[str, Any] = {"runs": [run.name for run in runs], "seeds": [result["seed"] for result in results]}
    logger.info("\n%s over %d seeds (mean, deviation)", settings.run.model, len(runs))
    width = max(map(len, scores))
    for name, found in scores.items():
        values = [value for value in found if value is not None]
        if len(values) < 2:
            continue
        summary[name] = {"mean": statistics.mean(values), "deviation": statistics.stdev(values), "values": values}
        logger.info("  %-*s %.4f  %.4f", width, name, summary[name]["mean"], summary[name]["deviation"])
    path = runs[-1].parent / f"summary-{settings.run.model}-{datetime.now():%Y%m%d-%H%M%S}.json"
    run_directory.write_json(path, summary)
    logger.info("summary      %s", path)


def training_facts(
    forecaster: Forecaster, device: torch.device, history: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Return what the training of a run took.

    Args:
        forecaster: that was trained.
        device: of the training.
        history: one row per epoch.
    """
    return {
        "cost": forecaster.cost() | peak_memory(device),
        "skipped_steps": sum(row["skipped_steps"] for row in history),
    }


def label_of_figures(settings: Settings, splits: Splits) -> str:
    """Return what every figure says about itself: model, data, test period, and whose information it contains."""
    times = splits.test.index.init_time
    first, last = np.datetime_as_string(times.min(), "D"), np.datetime_as_string(times.max(), "D")
    data = "synthetic data, not ERA5" if splits.table.is_synthetic else ERA5_ATTRIBUTION
    return f"{settings.run.model}, seed {settings.run.seed}; test {first} to {last}\n{data}"
