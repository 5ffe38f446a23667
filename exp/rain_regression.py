"""How much will it rain in the next 24 hours? The runs of the classification, with amounts as targets.

What is learned: quantiles of the rain of the label period, on a scale that takes the weight off a few storms. Why
quantiles: `utils.rain_scale`. Preflight, guard, resume, locks and the best state are those of every training here.
"""

from __future__ import annotations

import logging
import statistics
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from data_provider.factory import Splits
from exp import amount_figures, amount_scoring, marks, rain_classification, scoring
from exp.amount_forecasters import AmountForecaster
from exp.rain_classification import Judging, label_of_figures
from exp.settings import Settings
from exp.settling import NOTHING_SETTLED, Kept
from utils import calibration_file, rain_scale, run_directory
from utils.regression_score_info import format_amounts
from utils.verification import format_table

logger = logging.getLogger(__name__)
SUMMARISED = (
    "mean_absolute_error", "continuous_ranked_probability_score", "crps_skill_score", "mae_skill_score",
    "root_mean_squared_error", "bias",
)  # fmt: skip


def train(settings: Settings, *, is_brief: bool = False) -> list[Path]:
    """Train and score one run per seed.

    Args:
        settings: of the runs.
        is_brief: show the overall scores alone; scores.json has all of them.

    Returns:
        The run directories.

    Raises:
        ForeseenError: flags, data, checkpoint or numbers are at fault; the message says which.
    """
    return rain_classification.train(settings, is_brief=is_brief, judging=OF_AMOUNTS)


def score_again(settings: Settings) -> Path:
    """Score the newest finished run that agrees with every flag given; write the scores into a folder of that run.

    Raises:
        UsageError: no finished run agrees.
    """
    return rain_classification.score_again(settings, OF_AMOUNTS)


def _score_and_write(
    forecaster: AmountForecaster,
    splits: Splits,
    settings: Settings,
    folder: Path,
    history: list[dict[str, Any]],
    facts: dict[str, Any] | None = None,
    stopped_by: str | None = None,
    is_brief: bool = False,
    kept: Kept = NOTHING_SETTLED,
) -> dict[str, Any]:
    """Score, draw, write; scores.json comes last, since it marks a run as finished."""
    n_quantiles = settings.regression.n_quantiles
    judging = settings.verification
    result = amount_scoring.evaluate(forecaster, splits, n_quantiles, judging, kept)
    cuts = result.settled.decision.cut
    knowing = marks.beside_lead_zero(result.events, splits.table, splits.test.index, judging.bootstrap_draws)
    is_collapsed = result.test["overall"]["constant_answer"]
    scoring.write_probabilities(
        folder / "predictions",
        splits.table,
        splits.test.index,
        result.probability,
        cuts,
        result.events,
        amounts=amount_scoring.columns(result.forecasts),
    )
    drawn = _draw(folder, history, result, settings, splits)
    scores = {
        "task": "regression",
        "model": settings.run.model,
        "seed": settings.run.seed,
        "synthetic": splits.table.is_synthetic,
        "units": "mm in the label period",
        "quantile_levels": rain_scale.levels(n_quantiles).tolist(),
        "threshold_mm": splits.table.thresholds_mm,
        "lead_time_hours": splits.table.lead_time_hours,
        "accumulation_hours": splits.table.accumulation_hours,
        **(facts or {"cost": forecaster.cost(), "skipped_steps": sum(row["skipped_steps"] for row in history)}),
        "cut": cuts,
        "calibration": calibration_file.write(folder, result.settled.calibration),
        "decision": result.decision,
        "collapsed": is_collapsed,
        "marks": marks.find(result.test["events"], knowing, is_collapsed=is_collapsed),
        "stopped_by": stopped_by,
        "validation": result.validation,
        "test": result.test,
    }
    run_directory.write_json(folder / run_directory.FINISHED_FILE, scores)
    _report(folder, scores, drawn, splits, is_brief=is_brief)
    return scores


def _draw(
    folder: Path,
    history: list[dict[str, Any]],
    result: amount_scoring.Evaluation,
    settings: Settings,
    splits: Splits,
) -> list[Path]:
    if find_spec("matplotlib") is None:
        logger.info("matplotlib is not installed: no figures.")
        return []
    return amount_figures.write_all(folder, history, result.forecasts, label_of_figures(settings, splits))


def _report(folder: Path, scores: dict[str, Any], drawn: list[Path], splits: Splits, *, is_brief: bool) -> None:
    title = "SYNTHETIC data, not ERA5: " if splits.table.is_synthetic else ""
    events = format_table(scores["test"]["events"], is_brief=True)
    table = f"{format_amounts(scores['test'], is_brief=is_brief)}\n\nchance of reaching each threshold\n{events}"
    hours = splits.table.accumulation_hours
    logger.info("\n%s%s on the test split, rain of %d h\n%s", title, scores["model"], hours, table)
    for mark in scores["marks"]:
        logger.warning("%s: %s", mark["code"], mark["sentence"])
    logger.info("scores       %s", folder / run_directory.FINISHED_FILE)
    logger.info("predictions  %s", folder / "predictions.csv")
    if drawn:
        logger.info("figures      %s", drawn[0].parent)


def _summarise(settings: Settings, runs: list[Path], results: list[dict[str, Any]]) -> None:
    """Write mean and deviation over the seeds beside the runs."""
    summary: dict[str, Any] = {"runs": [run.name for run in runs], "seeds": [result["seed"] for result in results]}
    logger.info("\n%s over %d seeds (mean, deviation)", settings.run.model, len(runs))
    for name in SUMMARISED:
        found = [result["test"]["overall"][name] for result in results]
        values = [value for value in found if value is not None]
        if len(values) > 1:
            summary[name] = {"mean": statistics.mean(values), "deviation": statistics.stdev(values), "values": values}
            logger.info("  %-36s %.4f  %.4f", name, summary[name]["mean"], summary[name]["deviation"])
    path = runs[-1].parent / f"summary-{settings.run.model}-{datetime.now():%Y%m%d-%H%M%S}.json"
    run_directory.write_json(path, summary)
    logger.info("summary      %s", path)


OF_AMOUNTS = Judging(_score_and_write, _summarise)
