"""`--task_name diagnose`: the checks alone, or a replay bundle opened again; answers on the screen and as a page."""

from __future__ import annotations

import logging
from dataclasses import fields
from datetime import datetime
from pathlib import Path

import models
from data_provider.factory import DataConfig
from data_provider.series_splits import SeriesConfig
from data_provider.splits import SplitConfig
from exp.diagnosis import bundle, preflight, record
from exp.diagnosis.attribution import attribute
from exp.diagnosis.report import Diagnosis
from exp.finished_runs import is_forecast, task_of
from exp.forecast_config import ForecastConfig
from exp.openltm_flags import OpenLTMFlags
from exp.settings import Settings
from utils.errors import UsageError
from utils.findings import require_no_error
from utils.reproducibility import choose_device
from utils.run_directory import read_json

logger = logging.getLogger(__name__)
NORMS_SHOWN = 8
OF_SERIES = {field.name for config in (SeriesConfig, ForecastConfig) for field in fields(config)}
OF_SERIES -= {field.name for config in (DataConfig, SplitConfig, OpenLTMFlags) for field in fields(config)}


def diagnose(settings: Settings) -> Path:
    """Run the checks that a training would, and one more pass without the checkpoint; train nothing.

    Returns:
        The readable page.

    Raises:
        ForeseenError: what was found to be wrong, after the report is written.
    """
    _refuse_series(settings)
    _refuse_amounts(settings)
    device = choose_device(settings.run.device, settings.run.gpu)
    if settings.diagnose.bundle:
        return _open_bundle(Path(settings.diagnose.bundle), settings)
    diagnosis = preflight.examine(settings, device, thorough=True).diagnosis
    tell(diagnosis)
    page = diagnosis.write(new_folder(settings))
    logger.info("page         %s", page)
    require_no_error(diagnosis.findings)
    return page


def _refuse_series(settings: Settings) -> None:
    """Refuse a training on series: the checks here read tables with a label, and models with classes."""
    run = settings.predict.run
    if settings.run.model in models.OF_SERIES:
        where = f"--model {settings.run.model}"
    elif run and (Path(run) / "config.json").is_file() and is_forecast(read_json(Path(run) / "config.json")):
        where = f"--run {run}"
    else:
        where = ", ".join(f"--{name}" for name in settings.given if name in OF_SERIES)
    if where:
        raise UsageError(
            "CONFIG",
            "The diagnosis looks at trainings that say whether it rains, and this is one on series.",
            where=where,
            evidence="a training on series takes a step on its first and its last window before it begins, and writes "
            "the cause of a bad step into diagnosis.json of its run",
            next_command="python run.py --task_name forecast --guard_level full and the other flags of the training: "
            "it names the first tensor that is not finite",
        )


def _refuse_amounts(settings: Settings) -> None:
    """Refuse a regression: the checks of its targets are made by the training, under the name of its task."""
    run = settings.predict.run
    stored = Path(run) / "config.json" if run else None
    if "n_quantiles" in settings.given:
        where = "--n_quantiles"
    elif settings.run.model in models.AMOUNTS_ONLY:
        where = f"--model {settings.run.model}"
    elif stored is not None and stored.is_file() and task_of(read_json(stored)["flags"]) == "regression":
        where = f"--run {run}"
    else:
        return
    raise UsageError(
        "CONFIG",
        "This diagnosis looks at trainings that say whether it rains, and this is one of amounts.",
        where=where,
        evidence="a regression makes the same checks, those of its amounts too, before its first step, and writes "
        "diagnosis.json and its page",
        next_command="python run.py --task_name regression and the other flags of the training; --bundle opens a bad "
        "step of any run",
    )


def new_folder(settings: Settings) -> Path:
    """Return a folder for a diagnosis that belongs to no run."""
    return Path(settings.run.checkpoints) / settings.run.model_id / f"diagnosis-{datetime.now():%Y%m%d-%H%M%S}"


def tell(diagnosis: Diagnosis) -> None:
    """Say everything on the screen: questions and answers, findings, ranges, gradients, the verdict."""
    logger.info("Diagnosis of %s", ", ".join(f"{name} {value}" for name, value in diagnosis.subject.items()))
    for number, check in enumerate(diagnosis.checks, start=1):
        answer = check.answer.upper() if check.answer == "guilty" else check.answer
        logger.info("  %d %-36s %-12s %s", number, check.name, answer, check.sentence)
    for finding in diagnosis.findings:
        if finding.severity != "error":
            logger.info("%s (%s)", finding, finding.severity)
    _tell_ranges(diagnosis)
    described = {name: diagnosis.batch[name] for name in ("input", "target", "output") if name in diagnosis.batch}
    described |= {f"loss term {name}": figures for name, figures in diagnosis.batch.get("loss_terms", {}).items()}
    for name, figures in described.items():
        logger.info("%-28s %s", name, record.sentence(figures))
    norms = diagnosis.batch.get("gradient_norms", {})
    if norms:
        logger.info("gradient norms, largest first:")
        for name, norm in list(norms.items())[:NORMS_SHOWN]:
            logger.info("  %-60s %.4g", name, norm)
    logger.info("%s", summary(diagnosis))


def summary(diagnosis: Diagnosis) -> str:
    """Return the last line of a diagnosis; what is wrong is told in full by the error that follows it."""
    looked_at = ", ".join(check.name for check in diagnosis.checks if check.answer in ("innocent", "handled"))
    if diagnosis.verdict is not None:
        return "\n".join([f"verdict: {diagnosis.verdict.code}", *diagnosis.verdict.aside])
    warnings = [finding.code for finding in diagnosis.findings if finding.severity == "warning"]
    if warnings:
        return f"No error; {len(warnings)} to think about, told above: {', '.join(warnings)}. In order: {looked_at}."
    return f"Nothing is wrong. In order: {looked_at}."


def _tell_ranges(diagnosis: Diagnosis) -> None:
    if not diagnosis.ranges:
        return
    logger.info(
        "%-24s %12s %12s %9s %12s %12s", "variable", "minimum", "maximum", "missing", "scaled min", "scaled max"
    )
    for row in diagnosis.ranges:
        logger.info(
            "%-24s %12s %12s %9s %12s %12s",
            row["variable"],
            *(_short(row.get(name)) for name in ("minimum", "maximum", "missing", "scaled_minimum", "scaled_maximum")),
        )


def _open_bundle(folder: Path, settings: Settings) -> Path:
    """Take the step of a bundle again and explain it."""
    suspect, description = bundle.load(folder, choose_device(settings.run.device, settings.run.gpu))
    stored = description["verdict"]
    logger.info("%s, made with %s", description["step"], description["made_with"])
    logger.info("then: %s: %s", stored.get("code"), stored.get("what"))
    verdict = attribute(suspect)
    logger.info("now:  %s", verdict)
    diagnosis = Diagnosis(
        subject={"bundle": str(folder), "step": description["step"], "verdict then": stored.get("code")},
        verdict=verdict,
        findings=[verdict.finding, *verdict.also],
        batch=verdict.record,
    )
    page = diagnosis.write(folder)
    logger.info("page         %s", page)
    require_no_error([verdict.finding])
    return page


def _short(value: float | int | None) -> str:
    return "" if value is None else f"{value:.5g}"
