"""From the words of a command line to the settings of a run."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import fields

from exp.compare.config import CompareConfig
from exp.openltm_flags import OpenLTMFlags
from exp.settings import (
    TRAINED,
    PredictConfig,
    RunConfig,
    Settings,
    all_groups,
    resolve,
    shown_groups,
    task_defaults,
)
from exp.verification_config import require_one_rule
from utils import flags

logger = logging.getLogger(__name__)
PREDICT_FLAGS = {"task_name", "run", "input_dir", "output", "device", "gpu", "checkpoints", "sample_stride_hours"}
COMPARE_FLAGS = {"task_name", *(field.name for field in fields(CompareConfig))}
REPORT_FLAGS = {"task_name", "run", "language", "checkpoints"}


def read(words: Sequence[str], *, description: str = "", epilog: str = "") -> Settings:
    """Read a command line; flags of other models are accepted and named in one line.

    A comparison alone takes words without a flag: the runs.

    Raises:
        UsageError: an unknown flag, preset or model, or a value that is refused.
    """
    groups = all_groups()
    named_runs, words = flags.apart(words, groups) if _task_typed(words) == "compare" else ([], words)
    first_look = resolve(flags.parse_given("run.py", "", groups, argv=words, help_text=False))
    defaults = task_defaults(first_look)
    first_look = defaults | first_look
    run = flags.build(RunConfig, first_look)
    shown = shown_groups(run.task_name, run.model)
    given = flags.parse_given(
        "run.py", description, shown, argv=words, epilog=epilog, also_known=groups, defaults=defaults
    )
    if named_runs:
        given["runs"] = (*given.get("runs", ()), *named_runs)
    used = {field.name for group in (*shown, OpenLTMFlags, PredictConfig) for field in fields(group)}
    user = run.model
    if run.task_name in ("forecast", "regression"):
        user = f"{run.model} in a {run.task_name}"
    if run.task_name == "predict":
        used, user = PREDICT_FLAGS, "predict: the run has its own"
    if run.task_name == "compare":
        used, user = COMPARE_FLAGS, "compare: the runs have their own"
    if run.task_name == "report":
        used, user = REPORT_FLAGS, "report: the run has its own"
    for name in given:
        if name not in used:
            logger.info("--%s is not used by %s.", name, user)
    values = defaults | resolve(given)
    require_one_rule(values)
    if run.task_name in TRAINED and not run.is_training:
        # What is given to find a run need not make a whole model; the run itself has the rest.
        values = {field.name: values[field.name] for field in fields(RunConfig) if field.name in values}
    return Settings.from_values(values, given)


def _task_typed(words: Sequence[str]) -> str:
    """Return the task that the words name, before they are read as flags."""
    parts = [part for word in words for part in (word.split("=", 1) if word.startswith("--task_name=") else [word])]
    named = [word for flag, word in zip(parts, parts[1:], strict=False) if flag == "--task_name"]
    return named[-1] if named else ""
