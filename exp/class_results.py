"""What a run that says whether it rains came to: scored, drawn and written."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from data_provider.factory import Splits
from exp import figures, judging, marks, scoring, settling, where_and_when
from exp.forecasters import ClassForecaster
from exp.judging import Judging
from exp.settings import Settings
from exp.settling import Kept
from utils import calibration_file, run_directory
from utils.verification import format_table

logger = logging.getLogger(__name__)
SUMMARISED = ("roc_auc", "brier_skill_score", "macro_f1", "balanced_accuracy", "matthews_correlation", "accuracy")


def _score_and_write(
    forecaster: ClassForecaster,
    splits: Splits,
    settings: Settings,
    folder: Path,
    history: list[dict[str, Any]],
    facts: dict[str, Any] | None = None,
    stopped_by: str | None = None,
    is_brief: bool = False,
    kept: Kept | None = None,
) -> dict[str, Any]:
    """Score, draw, write; scores.json comes last, since it marks a run as finished."""
    flags = settings.verification
    kept = settling.of_model(settings.run.model) if kept is None else kept
    result = scoring.evaluate(forecaster, splits, flags, kept)
    about = where_and_when.surroundings(flags.oni, splits.table, splits.test.index.init_time)
    test = where_and_when.complete(result.test, result.forecasts, about, flags.bootstrap_draws)
    scoring.write_evaluation(folder, splits, result)
    drawn = judging.draw(
        lambda label: figures.write_all(folder, history, result.forecasts, result.test, label), settings, splits
    )
    knowing = marks.beside_lead_zero(result.forecasts, splits.table, splits.test.index, flags.bootstrap_draws)
    scores = {
        **judging.head_of_scores(settings, splits, forecaster, history, facts),
        "cut": result.cuts,
        "cut_score": result.cut_score,
        "calibration": calibration_file.write(folder, result.settled.calibration),
        "decision": result.decision,
        "collapsed": result.is_collapsed,
        "marks": marks.find(result.test, knowing, is_collapsed=result.is_collapsed),
        "stopped_by": stopped_by,
        "validation": result.validation,
        "test": test,
    }
    run_directory.write_json(folder / run_directory.FINISHED_FILE, scores)
    logger.info("\n%s on the test split\n%s", judging.title(scores), format_table(test, is_brief=is_brief))
    if scoring.main_scores(test)["constant_answer"] and not scores["collapsed"]:
        logger.info("The answer is the same every time: what this cost/loss ratio asks for, not a collapse.")
    judging.tell(scores, folder, drawn, settling.in_words(result.settled, result.decision))
    judging.write_page(folder, settings)
    return scores


def _summarise(settings: Settings, runs: Sequence[Path], results: Sequence[Mapping[str, Any]]) -> None:
    overall = [scoring.main_scores(result["test"]) for result in results]
    scores = {name: [each[name] for each in overall] for name in SUMMARISED}
    judging.summarise(settings, runs, results, scores)


OF_CLASSES = Judging(_score_and_write, _summarise)
