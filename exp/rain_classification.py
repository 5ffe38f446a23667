"""Will it rain in the next 24 hours? From flags to a trained, scored and drawn forecast in one run directory."""

from __future__ import annotations

import copy
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import torch

from data_provider import enso
from data_provider.factory import SPLIT_NAMES, Splits
from data_provider.preprocessing import Preprocessing
from data_provider.rain_table import RainTable, require_table
from data_provider.splits import Boundaries
from exp import forecasters, rain_splits, resume, run_description, settling, training_run, transfer, where_and_when
from exp.class_results import OF_CLASSES
from exp.diagnosis import command, preflight
from exp.diagnosis.explain import Explainer
from exp.diagnosis.report import Diagnosis
from exp.finished_runs import find_run, load_forecaster, stored_settings
from exp.forecasters import Forecaster, NetworkForecaster
from exp.judging import TRAINING_FACTS, Judging
from exp.settings import Settings, context_length
from exp.settling import Kept
from exp.state_keeper import Keeping
from exp.verified_states import Point
from utils import checkpoint, distributed, run_directory
from utils.errors import DataError, ForeseenError, NumericalError, UsageError, join
from utils.files import sha256
from utils.findings import Finding, require_no_error
from utils.reproducibility import choose_device, seed_everything, seed_rank

logger = logging.getLogger(__name__)
LEVELS = {"error": logging.ERROR, "warning": logging.WARNING, "handled": logging.INFO}


def train(settings: Settings, *, is_brief: bool = False, judging: Judging = OF_CLASSES) -> list[Path]:
    """Train and score one run per seed.

    Args:
        settings: of the runs.
        is_brief: show the overall scores alone, where many runs are compared; scores.json has all of them.
        judging: of another task on the same windows; by default that of classes.

    Returns:
        The run directories.

    Raises:
        ForeseenError: flags, data, checkpoint or numbers are at fault; the message says which.
    """
    plan = resume.plan(settings)
    settings = plan.settings
    inputs = resume.without_weights_not_needed(plan)
    require_inputs(inputs)
    device = choose_device(settings.run.device, settings.run.gpu)
    splits, diagnosis = _examine(inputs, device)
    tested = splits.test.index.init_time
    where_and_when.tell(where_and_when.surroundings(settings.verification.oni, splits.table, tested), tested)
    runs, results = training_run.each_seed(
        plan, lambda settings, point: _train_one(settings, splits, device, diagnosis, point, judging, is_brief=is_brief)
    )
    if len(runs) > 1 and distributed.current().is_first:
        judging.summarise(settings, runs, results)
    return runs


def _examine(settings: Settings, device: torch.device) -> tuple[Splits, Diagnosis]:
    """Look at everything before the first step; where something is wrong, write the report and raise it."""
    logger.info("Looking at data, checkpoint, one forward and one backward pass ...")
    started = time.monotonic()
    found = preflight.examine(settings, device)
    diagnosis = found.diagnosis
    if diagnosis.errors or found.splits is None:
        if distributed.current().is_first:
            page = diagnosis.write(command.new_folder(settings))
            logger.info("%s\nreport       %s", command.summary(diagnosis), page)
        require_no_error(diagnosis.findings)
    assert found.splits is not None, "data without an error can be used"
    settings.verification.require_fits(found.splits.table.thresholds_mm)
    _describe(found.splits)
    _tell(diagnosis.findings)
    logger.info("  nothing in the way of training (%.1f s)", time.monotonic() - started)
    return found.splits, diagnosis


def score_again(settings: Settings, judging: Judging = OF_CLASSES) -> Path:
    """Score the newest finished run that agrees with every flag given; write the scores into a folder of that run.

    Args:
        settings: of the command.
        judging: of another task on the same windows; by default that of classes.

    Raises:
        UsageError: no finished run agrees.
    """
    run = find_run(settings)
    logger.info("Scoring %s again.", run)
    stored = run_directory.read_json(run / "config.json")
    _require_its_lead_times(run, stored, settings)
    again = stored_settings(stored, settings.given)
    device = choose_device(again.run.device, again.run.gpu)
    preprocessing = Preprocessing.from_json(run_directory.read_json(run / "preprocessing.json"))
    ends = Boundaries.from_json(stored["splits"])
    splits = _load(again, device, preprocessing, ends)
    _compare_data(run, stored, splits)
    kept, again = _settled_before(run, again, splits)
    forecaster = load_forecaster(run, again, device)
    folder = run / f"{run_directory.SCORED_AGAIN}{datetime.now():%Y%m%d-%H%M%S}"
    folder.mkdir(exist_ok=True)
    own = run_directory.read_json(run / run_directory.FINISHED_FILE)
    facts = {name: own[name] for name in TRAINING_FACTS}
    judging.score_and_write(forecaster, splits, again, folder, history=[], facts=facts, kept=kept)
    return folder


def _settled_before(run: Path, settings: Settings, splits: Splits) -> tuple[Kept, Settings]:
    """Return what a run had settled and no flag asks to settle anew, and the settings with the flags that do."""
    kept, flags = settling.for_another_look(run, settings)
    flags.require_fits(splits.table.thresholds_mm)
    return kept, replace(settings, verification=flags)


def _require_its_lead_times(run: Path, stored: dict[str, Any], settings: Settings) -> None:
    """Refuse other lead times than those that the outputs of the run were trained for."""
    before = tuple(stored["flags"].get("lead_times") or ())
    if settings.given.get("lead_times", before) == before:
        return
    told = " ".join(map(str, before))
    raise UsageError(
        "CONFIG",
        "A run tells the lead times that it was trained for, in their order.",
        where=f"--lead_times, {run}",
        evidence=f"run: {told or 'that of its table'}  now: {' '.join(map(str, settings.given['lead_times']))}",
        next_command="leave --lead_times out, or train with these",
    )


def require_inputs(settings: Settings) -> None:
    """Name every file and device that is missing in one message, before anything is read.

    Raises:
        ForeseenError: the first of them by its exit code; the others are told with it.
    """
    checks: list[Callable[[], Any]] = [
        partial(choose_device, settings.run.device, settings.run.gpu),
        partial(require_table, settings.data.path),
    ]
    if settings.run.adaptation:
        checks.append(partial(checkpoint.require, Path(settings.run.pretrain_model_path)))
    if settings.verification.oni is not None:
        checks.append(partial(enso.read_oni, Path(settings.verification.oni)))
    errors = []
    for check in checks:
        try:
            check()
        except ForeseenError as error:
            errors.append(error)
    if errors:
        raise join(errors)


def _compare_data(run: Path, stored: dict[str, Any], splits: Splits) -> None:
    """Refuse other regions; say when the table is not the one the run was trained on."""
    if list(splits.table.regions) != list(stored["regions"]):
        raise DataError(
            "DATA_REGIONS",
            "The table does not hold the regions that the run was trained on.",
            where=str(splits.table.source),
            evidence=f"run: {', '.join(stored['regions'])}; table: {', '.join(splits.table.regions)}",
            next_command="score it on the table it was trained on (environment.json names it)",
        )
    if run_directory.read_json(run / "environment.json")["data_sha256"] != sha256(splits.table.source):
        logger.warning("The table has changed since the run was trained; the boundaries of its splits are kept.")


def _load(
    settings: Settings,
    device: torch.device,
    preprocessing: Preprocessing | None = None,
    ends: Boundaries | None = None,
) -> Splits:
    splits = rain_splits.load(settings, device, preprocessing=preprocessing, ends=ends)
    _describe(splits)
    _tell([*preflight.trimmed(settings, context_length(settings)), *splits.findings])
    return splits


def _tell(findings: Sequence[Finding]) -> None:
    """Say what the flags take care of and what is worth a thought."""
    for finding in findings:
        if finding.severity != "information":
            logger.log(LEVELS[finding.severity], "%s", finding)


def _describe(splits: Splits) -> None:
    table = splits.table
    logger.info(
        "%s%s: %d regions, %d times from %s to %s every %d h, %d variables",
        "SYNTHETIC data, " if table.is_synthetic else "",
        table.source,
        len(table.regions),
        len(table.times),
        table.times[0],
        table.times[-1],
        table.step_hours,
        len(splits.preprocessing.variables),
    )
    logger.info("  variables: %s", " ".join(splits.preprocessing.variables))
    for each in (table, *splits.further):
        logger.info("  label: %s", _label_period(each))
    if "recipe" not in table.attributes:
        logger.info("  a table of your own: it can be trained and scored on; predict needs one made by prepare")
    for name, part in zip(SPLIT_NAMES, splits.sets, strict=True):
        index = part.index
        logger.info(
            "  %-10s %6d windows of %d rows (%.3g days), %s to %s, base rate %.3f",
            name,
            len(part),
            part.context_length,
            part.context_length * table.step_hours / 24,
            index.init_time.min(),
            index.init_time.max(),
            (index.label > 0).mean(),
        )
    counts = splits.preprocessing.counts
    handled = {name: value for name, value in (counts | splits.left_out).items() if value and name != "rows"}
    if handled:
        logger.info("  cleaning: %s", ", ".join(f"{name} {value}" for name, value in handled.items()))
    if splits.preprocessing.dropped:
        logger.info("  ZERO_VARIANCE: constant in training, dropped: %s", ", ".join(splits.preprocessing.dropped))


def _label_period(table: RainTable) -> str:
    """Return in words which rain the table's label counts: its lead time was chosen when it was prepared."""
    lead, thresholds = table.lead_time_hours, " ".join(f"{threshold:g}" for threshold in table.thresholds_mm)
    period = f"(t + {lead - table.accumulation_hours} h, t + {lead} h]"
    return f"lead time {lead} h, rain of {period} reaches {thresholds} mm"


def _train_one(
    settings: Settings,
    splits: Splits,
    device: torch.device,
    diagnosis: Diagnosis,
    point: Point | None,
    judging: Judging,
    *,
    is_brief: bool,
) -> tuple[Path, dict[str, Any]]:
    if point is not None:
        now = run_description.of_data(splits)
        resume.require_same_data(now, point, allowed=settings.checkpoint.allow_resume_changes)
    seed_everything(settings.run.seed)
    dimensions = preflight.dimensions_of(splits)
    forecaster = forecasters.build(settings, dimensions, device)
    loaded = transfer.load(forecaster, settings) if point is None else None
    ranks = distributed.current()
    seed_rank(settings.run.seed)
    with training_run.hold(settings, device, point) as held:
        run = held.run
        if loaded is not None and ranks.is_first:
            logger.info("%s", loaded.table())
            run_directory.write_json(run / transfer.PLAN_FILE, loaded.to_json())
        if held.needs_description:
            run_description.write(run, settings, splits, dimensions, device)
        own = copy.deepcopy(diagnosis)
        if point is not None:
            own.recall(run)
        elif ranks.is_first:
            own.write(run)
        explain = Explainer(run, settings, dimensions, splits.preprocessing.variables, own)
        description = run_description.of_state(settings, splits, dimensions)
        keeping = Keeping(description=description, point=point, touch=held.touch)
        try:
            history = forecaster.fit(splits, run, explain, keeping)
            if not ranks.is_first:
                return run, {}
            return run, judging.score_and_write(forecaster, splits, settings, run, history, is_brief=is_brief)
        except NumericalError as error:
            try:
                if ranks.is_first:
                    _score_what_there_is(forecaster, splits, settings, run, error, judging)
            finally:
                ranks.of_all(None)  # a launcher ends all ranks as soon as one of them has ended
            raise


def _score_what_there_is(
    forecaster: Forecaster, splits: Splits, settings: Settings, run: Path, error: NumericalError, judging: Judging
) -> None:
    """With --nan_policy stop, score the best finite weights of a run that was cut short."""
    if settings.guard.nan_policy != "stop" or not isinstance(forecaster, NetworkForecaster):
        return
    if forecaster.best_epoch is None:
        logger.warning("No epoch was finished before the run was stopped: nothing to score.")
        return
    logger.warning("Stopped by %s: scoring the weights of epoch %d.", error.code, forecaster.best_epoch)
    judging.score_and_write(forecaster, splits, settings, run, forecaster.history, stopped_by=error.code)
