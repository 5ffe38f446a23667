"""From the words of a command line to the settings of a run."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

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
from utils.errors import UsageError

logger = logging.getLogger(__name__)
# Tasks on finished runs, which have all other flags themselves.
OF_FINISHED_RUNS = {
    "predict": {"task_name", "run", "input_dir", "output", "device", "gpu", "checkpoints", "sample_stride_hours"},
    "compare": {"task_name", *(field.name for field in fields(CompareConfig))},
    "report": {"task_name", "run", "language", "checkpoints"},
}


def read(words: Sequence[str], *, description: str = "", epilog: str = "") -> Settings:
    """Read a command line; flags of other models are accepted and named in one line.

    Tasks on finished runs take words without a flag: the runs.

    Raises:
        UsageError: an unknown flag, preset or model, or a value that is refused.
    """
    groups = all_groups()
    task = _task_typed(words)
    named_runs, words = flags.apart(words, groups) if task in OF_FINISHED_RUNS else ([], words)
    first_look = resolve(flags.parse_given("run.py", "", groups, argv=words, help_text=False))
    defaults = task_defaults(first_look)
    first_look = defaults | first_look
    run = flags.build(RunConfig, first_look)
    shown = shown_groups(run.task_name, run.model)
    own = OF_FINISHED_RUNS.get(run.task_name)
    given = flags.parse_given(
        "run.py", description, shown, argv=words, epilog=epilog, also_known=groups, defaults=defaults, shown=own
    )
    if named_runs:
        given |= _runs(task, named_runs, given)
    used = own or {field.name for group in (*shown, OpenLTMFlags, PredictConfig) for field in fields(group)}
    for name in given:
        if name not in used:
            logger.info("--%s is not used by %s.", name, _user(run))
    values = defaults | resolve(given)
    require_one_rule(values)
    if run.task_name in TRAINED and not run.is_training:
        # What is given to find a run need not make a whole model; the run itself has the rest.
        values = {field.name: values[field.name] for field in fields(RunConfig) if field.name in values}
    return Settings.from_values(values, given)


def _user(run: RunConfig) -> str:
    """Return who has no use for a flag."""
    if run.task_name in OF_FINISHED_RUNS:
        return f"{run.task_name}: {'the runs have their' if run.task_name == 'compare' else 'the run has its'} own"
    return f"{run.model} in a {run.task_name}" if run.task_name in ("forecast", "regression") else run.model


def _runs(task: str, words: Sequence[str], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the flag that runs named without one belong to.

    Raises:
        UsageError: several, where the task is of one.
    """
    if task == "compare":
        return {"runs": (*given.get("runs", ()), *words)}
    named = [*words, *([given["run"]] if "run" in given else [])]
    if len(named) > 1:
        raise UsageError(
            "CONFIG",
            f"--task_name {task} is of one run.",
            where="--run",
            evidence=f"named: {', '.join(named)}",
            next_command=f"python run.py --task_name {task} --run {named[0]}",
        )
    return {"run": named[0]}


def _task_typed(words: Sequence[str]) -> str:
    """Return the task that the words name, before they are read as flags."""
    parts = [part for word in words for part in (word.split("=", 1) if word.startswith("--task_name=") else [word])]
    named = [word for flag, word in zip(parts, parts[1:], strict=False) if flag == "--task_name"]
    return named[-1] if named else ""
