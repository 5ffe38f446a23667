"""How much will it rain in the next 24 hours? The runs of the classification, with amounts as targets.

What is learned: quantiles of the rain of the label period, on a scale that takes the weight off a few storms. Why
quantiles: `utils.rain_scale`. Preflight, guard, resume, locks and the best state are those of every training here.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from data_provider.factory import Splits
from exp import amount_figures, amount_scoring, judging, marks, rain_classification, settling, where_and_when
from exp.amount_forecasters import AmountForecaster
from exp.judging import Judging
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
    flags, n_quantiles = settings.verification, settings.regression.n_quantiles
    facts = facts or judging.training_facts(forecaster, splits.test.device, history)
    result = amount_scoring.evaluate(forecaster, splits, n_quantiles, flags, kept)
    amount_scoring.write(folder, splits, result)
    drawn = judging.draw(
        lambda label: amount_figures.write_all(folder, history, result.forecasts, label), settings, splits
    )
    about = where_and_when.surroundings(flags.oni, splits.table, splits.test.index.init_time)
    events = where_and_when.complete(result.test["events"], result.events, about, flags.bootstrap_draws)
    test = result.test | {"events": events}
    knowing = marks.beside_lead_zero(result.events, splits.table, splits.test.index, flags.bootstrap_draws)
    scores = {
        "task": "regression",
        "units": "mm in the label period",
        "quantile_levels": rain_scale.levels(n_quantiles).tolist(),
        **judging.head_of_scores(settings, splits, facts),
        "cut": result.settled.decision.cut,
        "cut_score": settling.cut_score(result.decision),
        "calibration": calibration_file.write(folder, result.settled.calibration),
        "decision": result.decision,
        "collapsed": test["overall"]["constant_answer"],
        "marks": marks.of_amounts(test, knowing),
        "stopped_by": stopped_by,
        "validation": result.validation,
        "test": test,
    }
    run_directory.write_json(folder / run_directory.FINISHED_FILE, scores)
    hours = splits.table.accumulation_hours
    logger.info("\n%s on the test split, rain of %d h\n%s", judging.title(scores), hours, _table(scores, is_brief))
    judging.tell(scores, folder, drawn)
    judging.write_page(folder, settings)
    return scores


def _table(scores: dict[str, Any], is_brief: bool) -> str:
    events = format_table(scores["test"]["events"], is_brief=True)
    return f"{format_amounts(scores['test'], is_brief=is_brief)}\n\nchance of reaching each threshold\n{events}"


def _summarise(settings: Settings, runs: list[Path], results: list[dict[str, Any]]) -> None:
    scores = {name: [result["test"]["overall"][name] for result in results] for name in SUMMARISED}
    judging.summarise(settings, runs, results, scores)


OF_AMOUNTS = Judging(_score_and_write, _summarise)
