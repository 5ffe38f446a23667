"""What a run that says whether it rains came to: scored, drawn and written."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

from data_provider.factory import Splits
from exp import figures, judging, lead_results, marks, scoring, settling, where_and_when
from exp.forecasters import ClassForecaster
from exp.judging import Judging
from exp.lead_forecasters import LeadForecaster
from exp.scoring import Probabilities
from exp.settings import Settings
from exp.settling import Kept, Settled
from utils import calibration_file, run_directory
from utils.verification import format_table

logger = logging.getLogger(__name__)
SUMMARISED = ("roc_auc", "brier_skill_score", "macro_f1", "balanced_accuracy", "matthews_correlation", "accuracy")


@dataclass(frozen=True)
class _Result:
    """What was written of one lead time.

    Attributes:
        scores: as in scores.json.
        drawn: the figures.
        settled: on validation.
    """

    scores: dict[str, Any]
    drawn: list[Path]
    settled: Settled


def _write(
    forecaster: Probabilities,
    splits: Splits,
    *,
    settings: Settings,
    folder: Path,
    history: list[dict[str, Any]],
    facts: Mapping[str, Any],
    stopped_by: str | None,
    kept: Kept | None,
    before_the_end: Callable[[dict[str, Any]], None] | None = None,
) -> _Result:
    """Score, draw and write what is said of one lead time; scores.json comes after all that belongs to it."""
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
        **judging.head_of_scores(settings, splits, facts),
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
    if before_the_end is not None:
        before_the_end(scores)
    run_directory.write_json(folder / run_directory.FINISHED_FILE, scores)
    return _Result(scores, drawn, result.settled)


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
    """Score, draw, write, tell; scores.json comes last, since it marks a run as finished."""
    facts = facts or judging.training_facts(forecaster, splits.test.device, history)
    write = partial(_write, settings=settings, facts=facts, stopped_by=stopped_by)
    if not splits.further:
        result = write(forecaster, splits, folder=folder, history=history, kept=kept)
    else:
        of_leads = cast(LeadForecaster, forecaster)
        result, *further = _at_each_lead(of_leads, splits, settings, write, folder=folder, history=history, kept=kept)
    scores = result.scores
    logger.info("\n%s on the test split\n%s", judging.title(scores), format_table(scores["test"], is_brief=is_brief))
    if scoring.main_scores(scores["test"])["constant_answer"] and not scores["collapsed"]:
        logger.info("The answer is the same every time: what this cost/loss ratio asks for, not a collapse.")
    judging.tell(scores, folder, result.drawn, settling.in_words(result.settled, scores["decision"]))
    if splits.further:
        lead_results.tell([scores, *(each.scores for each in further)], folder)
    judging.write_page(folder, settings)
    return scores


def _at_each_lead(
    forecaster: LeadForecaster,
    splits: Splits,
    settings: Settings,
    write: Callable[..., _Result],
    *,
    folder: Path,
    history: list[dict[str, Any]],
    kept: Kept | None,
) -> list[_Result]:
    """Judge every lead time, the further ones in folders of the run; the first comes first and is written last."""
    first, *further = lead_results.of_each(forecaster, splits)
    results = []
    for alone, told in further:
        name = run_directory.lead_folder(alone.table.lead_time_hours)
        run_directory.make_folder(folder / name)
        own = None if kept is None else settling.for_another_look(folder.parent / name, settings)[0]
        results.append(write(told, alone, folder=folder / name, history=[], kept=own))
        judging.write_page(folder / name, settings)
    alone, told = first
    label = judging.label_of_figures(settings, splits)

    def with_all(scores: dict[str, Any]) -> None:
        lead_results.write(folder, [scores, *(each.scores for each in results)], label)

    of_run = write(told, alone, folder=folder, history=history, kept=kept, before_the_end=with_all)
    return [of_run, *results]


def _summarise(settings: Settings, runs: Sequence[Path], results: Sequence[Mapping[str, Any]]) -> None:
    overall = [scoring.main_scores(result["test"]) for result in results]
    scores = {name: [each[name] for each in overall] for name in SUMMARISED}
    judging.summarise(settings, runs, results, scores)


OF_CLASSES = Judging(_score_and_write, _summarise)
