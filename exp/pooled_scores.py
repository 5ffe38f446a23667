"""The test forecasts of several runs that test one year each, scored together and year by year."""

from __future__ import annotations

import logging
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from exp import stored_forecasts, where_and_when
from exp.scoring import main_scores
from exp.settings import Settings
from exp.verification_config import VerificationConfig
from exp.where_and_when import Surroundings
from utils import intervals, regression_scores, run_directory
from utils.amounts import AmountForecasts
from utils.forecasts import REFERENCES, Forecasts
from utils.intervals import F, Measure
from utils.judgement import Terms, judge, judge_amounts, of_amounts
from utils.regression_score_info import format_amounts
from utils.verification import format_table, score_table

logger = logging.getLogger(__name__)
# Those of amounts are in the files of a regression alone.
OF_THE_TABLE = (
    "task",
    "units",
    "quantile_levels",
    "synthetic",
    "threshold_mm",
    "lead_time_hours",
    "accumulation_hours",
)
OVER_SEEDS = ("roc_auc", "brier_skill_score", "macro_f1", "matthews_correlation")
AMOUNTS_OVER_SEEDS = ("mean_absolute_error", "continuous_ranked_probability_score", "crps_skill_score", "bias")
BY_YEAR = ("roc_auc", "brier_skill_score")
AMOUNTS_BY_YEAR = ("continuous_ranked_probability_score", "crps_skill_score")
THIS = "this"


@dataclass(frozen=True)
class Fold:
    """A finished run that tests one year."""

    year: int
    seed: int
    run: Path


def write(settings: Settings, folds: Sequence[Fold], about: Surroundings) -> Path:
    """Pool the test forecasts of each seed, score them, show and write the table.

    Args:
        settings: of the command.
        folds: the finished runs of all years and seeds.
        about: what is known of the places and times of the forecasts.

    Returns:
        The file, beside the runs.

    Raises:
        DataError: ``RUN_WITHOUT_PREDICTIONS``.
    """
    first = run_directory.read_json(folds[0].run / run_directory.FINISHED_FILE)
    seeds = sorted({fold.seed for fold in folds})
    pooled = {
        str(seed): _of_seed([fold for fold in folds if fold.seed == seed], about, settings.verification)
        for seed in seeds
    }
    content = {
        "model": settings.run.model,
        **{name: first[name] for name in OF_THE_TABLE if name in first},
        "years": sorted({fold.year for fold in folds}),
        "runs": [{"test_year": fold.year, "seed": fold.seed, "run": fold.run.name} for fold in folds],
        "pooled": pooled,
        "over_seeds": _over_seeds(list(pooled.values())),
    }
    for seed, table in pooled.items():
        _show(content, seed, table)
    for name, found in content["over_seeds"].items():
        logger.info("  %-22s mean %.4f  deviation %.4f  over %d seeds", name, *found.values(), len(seeds))
    stamp = f"{datetime.now():%Y%m%d-%H%M%S}"
    path = folds[0].run.parent / f"cross_validation-{settings.run.model}-{stamp}.json"
    run_directory.write_json(path, content)
    logger.info("scores       %s", path)
    for hours in settings.data.lead_times[1:]:
        logger.info("%3d h ahead: python run.py --task_name compare %s --lead_time %d", hours, path.parent, hours)
    return path


def _of_seed(folds: Sequence[Fold], about: Surroundings, judging: VerificationConfig) -> dict[str, Any]:
    """Return the score table of one seed; of amounts it has those of the thresholds under `events`."""
    events = _events_of_seed(folds, about, judging)
    amounts = [each for fold in folds if (each := stored_forecasts.read_amounts(fold.run)) is not None]
    if not amounts:
        return events
    threshold = run_directory.read_json(folds[0].run / run_directory.FINISHED_FILE)["threshold_mm"][0]
    forecasts, measure = AmountForecasts.joined(amounts), of_amounts(threshold)
    table = judge_amounts(
        regression_scores.score_table(forecasts, threshold), forecasts, threshold, judging.bootstrap_draws
    )
    return table | {"by_year": _by_year(measure, forecasts, judging.bootstrap_draws), "events": events}


def _events_of_seed(folds: Sequence[Fold], about: Surroundings, judging: VerificationConfig) -> dict[str, Any]:
    """Return the score table of the yes/no forecasts of one seed; of several thresholds each has its own."""
    read = [stored_forecasts.read(fold.run) for fold in folds]
    own = [run_directory.read_json(fold.run / run_directory.FINISHED_FILE) for fold in folds]
    tables = {}
    for threshold in read[0]:
        name = f"{threshold:g} mm"
        parts = [each[threshold] for each in read]
        forecasts = Forecasts.joined(parts)
        terms = Terms(
            draws=judging.bootstrap_draws,
            lead_time_hours=own[0]["lead_time_hours"],
            reference_cuts=(_reference_cuts([each["test"] for each in own], name, parts),),
        )
        tables[name] = _table(forecasts, about, terms)
    return next(iter(tables.values())) if len(tables) == 1 else {"thresholds": tables}


def _reference_cuts(tables: Sequence[dict[str, Any]], threshold: str, parts: Sequence[Forecasts]) -> dict[str, Any]:
    """Return name -> `(N,)` cut of each reference, as each run chose it on its validation year."""
    of_events = [table.get("events", table) for table in tables]
    events = [table["thresholds"][threshold] if "thresholds" in table else table for table in of_events]
    return {
        name: np.concatenate(
            [
                np.full(len(part.observed), event["references"][name]["cut"])
                for event, part in zip(events, parts, strict=True)
            ]
        )
        for name in REFERENCES
    }


def _table(forecasts: Forecasts, about: Surroundings, terms: Terms) -> dict[str, Any]:
    judged = judge(score_table(forecasts), forecasts, terms)
    table = where_and_when.complete(judged, forecasts, about, terms.draws)
    return table | {"by_year": _by_year(intervals.OF_EVENTS, forecasts, terms.draws)}


def _by_year(measure: Measure[F], forecasts: F, draws: int) -> dict[str, dict[str, Any]]:
    """Return the scores of each year by itself, with their intervals."""
    year = np.asarray(forecasts.init_time).astype("datetime64[Y]").astype(str)
    found = {}
    for name in np.unique(year):
        drawn = intervals.bootstrap_of(measure, {THIS: forecasts.select(year == name)}, draws)
        found[str(name)] = drawn.scores(THIS) | {"intervals": drawn.intervals(THIS)}
    return found


def _over_seeds(tables: Sequence[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Return mean and deviation of the scores of all years together, where there are several seeds."""
    if len(tables) < 2:
        return {}
    own = [main_scores(table) for table in tables]
    values = {name: [scores[name] for scores in own if scores[name] is not None] for name in OVER_SEEDS}
    if "events" in tables[0]:
        values |= {name: [table["overall"][name] for table in tables] for name in AMOUNTS_OVER_SEEDS}
    return {
        name: {"mean": statistics.mean(each), "deviation": statistics.stdev(each)}
        for name, each in values.items()
        if len(each) > 1
    }


def _show(content: dict[str, Any], seed: str, table: dict[str, Any]) -> None:
    title = "SYNTHETIC data, not ERA5: " if content["synthetic"] else ""
    years = f"{content['years'][0]} to {content['years'][-1]}"
    tested = f"{title}{content['model']}, seed {seed}, tested on {years}, a run for each year"
    if "events" in table:
        lines = _lines(table["by_year"], AMOUNTS_BY_YEAR)
        logger.info("\n%s, amounts\n%s\n%s", tested, format_amounts(table), "\n".join(lines))
        tested += ", chances"
    events = table.get("events", table)
    for threshold, event in events.get("thresholds", {"": events}).items():
        of = f", {threshold} or more" if threshold else ""
        lines = _lines(event["by_year"], BY_YEAR)
        logger.info("\n%s%s\n%s\n%s", tested, of, format_table(event), "\n".join(lines))


def _lines(by_year: dict[str, Any], names: Sequence[str]) -> Iterator[str]:
    yield "year by year, with 95 % intervals"
    for year, scores in by_year.items():
        told = []
        for name in names:
            value, interval = scores[name], scores["intervals"][name]
            behind = "" if interval is None else f" ({interval[0]:.3f} to {interval[1]:.3f})"
            told.append(f"{name} {'-' if value is None else f'{value:.3f}'}{behind}")
        yield f"  {year}  base rate {scores['base_rate']:.3f}  " + "  ".join(told)
