"""Before the first step, every run: configuration, data, checkpoint, one forward and one backward pass."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

import models
from data_provider.factory import Splits
from data_provider.windows import CALENDAR_MARKS, WindowSet
from exp import forecasters, transfer
from exp.diagnosis import checkpoint_check, data_check, model_check, soundness_check
from exp.diagnosis.attribution import attribute
from exp.diagnosis.data_check import DataReport
from exp.diagnosis.report import Check, Diagnosis
from exp.diagnosis.verdict import Verdict
from exp.forecasters import NetworkForecaster
from exp.settings import Dimensions, Settings, context_length
from exp.stages import Stages
from models._history import require_variables
from utils.errors import ForeseenError, UsageError
from utils.findings import Finding
from utils.reproducibility import seed_everything

logger = logging.getLogger(__name__)
WINDOWS_EXAMINED = 1
# Where there are no data, a model is looked at with the sizes of a table that prepare makes of ERA5.
USUAL_VARIABLES, USUAL_REGIONS = 27, 5
# The names that options ask for; the rest only have to be there.
NAMED = ("tp", "t2m", "sp", "u10", "v10")
USUAL_NAMES = (*NAMED, *(f"variable {number}" for number in range(len(NAMED), USUAL_VARIABLES)))
RANDOM_TOKENS, RANDOM_ROWS = 2, 168
ABOUT_MISSING_VALUES = ("DATA_NAN", "DATA_INF")


@dataclass
class Preflight:
    """A diagnosis, and the windows it has loaded on the way.

    Attributes:
        diagnosis: what was found.
        splits: for the training that follows; None where the data cannot be used.
    """

    diagnosis: Diagnosis
    splits: Splits | None


def examine(settings: Settings, device: torch.device, *, thorough: bool = False) -> Preflight:
    """Look at everything before the first step; raise nothing that can be told as a finding.

    Args:
        settings: flags of the training.
        device: where it will run.
        thorough: also look at the model without its checkpoint, and go on where data are missing.

    Raises:
        UsageError: the flags do not make a model.
    """
    length = context_length(settings)
    diagnosis = Diagnosis(subject=_subject(settings, device))
    diagnosis.findings += trimmed(settings, length)
    diagnosis.checks.append(Check("configuration", "innocent", f"model {settings.run.model}, context {length} rows"))
    data = data_check.examine(settings, length, device)
    diagnosis.findings += data.findings
    diagnosis.ranges, diagnosis.missing = data.ranges, data.missing
    state = _checkpoint(settings, diagnosis)
    diagnosis.findings += _classes(settings, data)
    variables = data.cut.preprocessing.variables if data.cut is not None else ()
    if variables and getattr(settings.model, "history_features", False):
        require_variables(variables)
    diagnosis.findings += soundness_check.examine(settings, variables, state)
    experiment: Verdict | None = None
    proof: tuple[str, ...] = ()
    if models.kind(settings.run.model) == "network" and (thorough or data.splits is not None):
        experiment, proof = _model(settings, device, length, data, state, diagnosis, thorough=thorough)
    diagnosis.checks.append(data.check)
    _conclude(diagnosis, experiment, proof)
    return Preflight(diagnosis, None if data.errors else data.splits)


def dimensions_of(splits: Splits) -> Dimensions:
    """Return the sizes that only the data know."""
    return Dimensions(
        n_classes=splits.table.n_classes,
        n_variables=len(splits.preprocessing.variables),
        context_length=splits.train.context_length,
        n_marks=splits.train.marks.shape[1],
        n_regions=len(splits.table.regions),
        step_hours=splits.table.step_hours,
        pressure_index=splits.pressure_index,
        variables=splits.preprocessing.variables,
        centre=splits.preprocessing.centre,
        spread=splits.preprocessing.spread,
        n_leads=1 + len(splits.further),
    )


def _subject(settings: Settings, device: torch.device) -> dict[str, Any]:
    return {
        "table": str(settings.data.path),
        "model": settings.run.model,
        "device": str(device),
        "precision": settings.trainer.amp,
        "checkpoint": settings.run.pretrain_model_path if settings.run.adaptation else "none, from scratch",
    }


def trimmed(settings: Settings, length: int) -> list[Finding]:
    """Tell which rows of the context are not used because they fill no whole token."""
    dropped = settings.data.seq_len - length
    if not dropped:
        return []
    return [
        Finding(
            code="CONTEXT_TRIMMED",
            severity="handled",
            what=f"The newest {length} rows of each window are used and the oldest {dropped} dropped, so that the "
            "context is whole tokens.",
            where="--seq_len, --input_token_len",
            evidence=f"seq_len {settings.data.seq_len} is no multiple of {settings.model.input_token_len}",
            next_command=f"--seq_len {length} says the same",
            figures={"used": length, "dropped": dropped},
        )
    ]


def _classes(settings: Settings, data: DataReport) -> list[Finding]:
    wanted = settings.run.n_classes
    if data.cut is None or wanted in (None, data.cut.table.n_classes):
        return []
    table = data.cut.table
    return [
        Finding(
            code="CONFIG",
            severity="error",
            kind=UsageError,
            what=f"--n_classes {wanted} does not fit the table, which has {table.n_classes} classes.",
            where=str(table.source),
            evidence=f"thresholds {', '.join(map(str, table.thresholds_mm))} mm",
            next_command=f"--n_classes {table.n_classes}, or prepare with other thresholds (--threshold_mm)",
        )
    ]


def _checkpoint(settings: Settings, diagnosis: Diagnosis) -> dict[str, Any] | None:
    if not settings.run.adaptation:
        diagnosis.checks.append(Check("checkpoint", "not checked", "none is loaded: the weights start from scratch"))
        if "pretrain_model_path" in settings.given:
            diagnosis.findings.append(_not_loaded(settings))
        # A run that goes on without weights that are gone was asked for them all the same.
        if "load_parts" in settings.given and not settings.given.get("adaptation"):
            diagnosis.findings.append(_nothing_to_take_parts_of(settings))
        return None
    state, check, findings = checkpoint_check.examine(Path(settings.run.pretrain_model_path))
    diagnosis.checks.append(check)
    diagnosis.findings += findings
    return state


def _not_loaded(settings: Settings) -> Finding:
    return Finding(
        code="CONFIG",
        severity="warning",
        what="A checkpoint is named but not loaded, nor looked at.",
        where=f"--pretrain_model_path {settings.run.pretrain_model_path}",
        evidence="--adaptation is not given",
        next_command="add --adaptation",
    )


def _nothing_to_take_parts_of(settings: Settings) -> Finding:
    return Finding(
        code="CONFIG",
        severity="error",
        kind=UsageError,
        what="Parts are named to be loaded, and no checkpoint is loaded.",
        where=f"--load_parts {','.join(settings.transfer.load_parts)}",
        evidence="--adaptation is not given",
        next_command="add --adaptation, or leave out --load_parts",
    )


def _model(
    settings: Settings,
    device: torch.device,
    length: int,
    data: DataReport,
    state: dict[str, Any] | None,
    diagnosis: Diagnosis,
    *,
    thorough: bool,
) -> tuple[Verdict | None, tuple[str, ...]]:
    """Take the passes: without the checkpoint where asked, with it, and on windows with missing values.

    Returns:
        The verdict where two whole windows were not finite, and what was shown on a window with missing values.
    """
    dimensions, windows, variables = _material(settings, length, data, device)
    seed_everything(settings.run.seed)
    forecaster = forecasters.build(settings, dimensions, device)
    assert isinstance(forecaster, NetworkForecaster)
    if not _stages(forecaster, settings, diagnosis):
        return None, ()
    ids = model_check.first_and_last(windows)
    suspect = model_check.suspect_of(forecaster, windows, ids, variables, "two windows before the first step")
    suspect = replace(suspect, is_sound=data.splits is not None and not data.errors)
    if state is not None and thorough:
        _, checks, findings, _ = model_check.examine(suspect)
        diagnosis.checks.append(replace(checks[0], name="forward pass without the checkpoint"))
        diagnosis.findings += findings
    if state is not None and not _load(forecaster, state, settings, diagnosis):
        return None, ()
    suspect = replace(suspect, is_loaded=state is not None)
    seen, checks, findings, verdict = model_check.examine(suspect)
    name = "forward pass with the checkpoint" if state is not None else "forward pass without a checkpoint"
    diagnosis.checks += [replace(checks[0], name=name), *checks[1:]]
    diagnosis.findings += findings
    diagnosis.batch = seen.figures if seen else {}
    about_missing = any(finding.code in ABOUT_MISSING_VALUES for finding in data.errors)
    if seen is None or data.splits is None or not about_missing or not data_check.has_touched(data):
        return verdict, ()
    return verdict, _what_missing_values_do(forecaster, data, device, settings)


def usual_dimensions(length: int, *, n_classes: int = 2, n_leads: int = 1) -> Dimensions:
    """Return the sizes of an hourly table such as the case's, with windows of so many rows."""
    return Dimensions(
        n_classes=n_classes,
        n_variables=USUAL_VARIABLES,
        context_length=length,
        n_marks=CALENDAR_MARKS + USUAL_REGIONS,
        n_regions=USUAL_REGIONS,
        step_hours=1,
        pressure_index=None,
        variables=USUAL_NAMES,
        centre=(0.0,) * USUAL_VARIABLES,
        spread=(1.0,) * USUAL_VARIABLES,
        n_leads=n_leads,
    )


def _material(
    settings: Settings, length: int, data: DataReport, device: torch.device
) -> tuple[Dimensions, WindowSet, tuple[str, ...]]:
    """Return sizes, windows and variables: those of the data, or a short stretch of random numbers without data."""
    if data.splits is not None:
        splits = data.splits
        return dimensions_of(splits), splits.train, splits.preprocessing.variables
    token = getattr(settings.model, "input_token_len", 1)
    needed = max(RANDOM_TOKENS * token, getattr(settings.model, "last_hours", 0), RANDOM_ROWS)
    dimensions = usual_dimensions(
        min(length, -(-needed // token) * token), n_leads=max(len(settings.data.lead_times), 1)
    )
    logger.info("No usable data: the model is looked at with random numbers in %d variables.", USUAL_VARIABLES)
    names = USUAL_NAMES
    return dimensions, model_check.random_windows(dimensions, device), names


def _load(forecaster: NetworkForecaster, state: dict[str, Any], settings: Settings, diagnosis: Diagnosis) -> bool:
    """Load the checkpoint; say whether it fits."""
    try:
        plan = transfer.load(forecaster, settings, state)
    except ForeseenError as error:
        diagnosis.findings.append(Finding.from_error(error))
        diagnosis.checks.append(Check("checkpoint fits the model", "guilty", f"{error.code}: {error.what}"))
        return False
    diagnosis.checks.append(Check("checkpoint fits the model", "innocent", plan.summary if plan else ""))
    return True


def _stages(forecaster: NetworkForecaster, settings: Settings, diagnosis: Diagnosis) -> bool:
    """Say whether what is to learn in which epoch can be: found later, it would leave a run that never began."""
    try:
        Stages(forecaster.model, settings.transfer, settings.trainer.train_epochs)
    except UsageError as error:
        diagnosis.findings.append(Finding.from_error(error))
        diagnosis.checks.append(Check("stages of learning", "guilty", f"{error.code}: {error.what}"))
        return False
    return True


def _what_missing_values_do(
    forecaster: NetworkForecaster, data: DataReport, device: torch.device, settings: Settings
) -> tuple[str, ...]:
    """Show on a window with missing values that these, and nothing else, make a step not finite."""
    assert data.cut is not None
    windows = data_check.touched_windows(data.cut, device, WINDOWS_EXAMINED)
    ids = torch.arange(len(windows), device=device)
    names = data.cut.preprocessing.variables
    suspect = model_check.suspect_of(forecaster, windows, ids, names, "a window with missing values")
    suspect = replace(suspect, is_loaded=settings.run.adaptation, is_sound=False)
    return attribute(suspect, with_record=False).rules_out


def _conclude(diagnosis: Diagnosis, experiment: Verdict | None, proof: tuple[str, ...]) -> None:
    """Let the error that decides the exit code be the verdict, and all others stand beside it."""
    if any(finding.code == "CKPT_NONFINITE" for finding in diagnosis.errors):
        # The same fault twice: the file is where the user can mend it.
        diagnosis.findings = [finding for finding in diagnosis.findings if finding.code != "WEIGHT_NONFINITE"]
    if not diagnosis.errors:
        return
    first, *rest = sorted(diagnosis.errors, key=lambda finding: finding.kind.exit_code)
    innocent: tuple[str, ...] = ()
    if first.code in ABOUT_MISSING_VALUES:
        innocent = proof
    elif experiment is not None:
        innocent = experiment.rules_out
    diagnosis.verdict = Verdict(
        finding=first, also=tuple(rest), rules_out=innocent, record=experiment.record if experiment else {}
    )
