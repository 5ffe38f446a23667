"""Finished runs: find one by the flags given, rebuild its settings and its model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch

import models
from exp import forecasters
from exp.forecasters import Forecaster
from exp.guard import GuardConfig
from exp.settings import Dimensions, Settings, resolve, shown_groups
from exp.state_keeper import CheckpointConfig
from exp.trainer import TrainerConfig
from exp.verification_config import VerificationConfig
from utils import checkpoint, run_directory
from utils.checkpoint_contents import judge
from utils.errors import UsageError
from utils.findings import require_no_error

# Where a run is computed and kept says nothing about what it is.
# The second line says how a forecast is scored, which may be another way each time.
IGNORED_WHEN_MATCHING = {
    "is_training", "checkpoints", "device", "gpu", "itr", "config", "preset", "task_name", "run",
    "test_pred_len", "references", "season_hours", "test_stride"}  # fmt: skip
IGNORED_WHEN_MATCHING |= {field.name for config in (CheckpointConfig, VerificationConfig) for field in fields(config)}
# Flags of earlier versions, by their names of now: a run that was stored with one must not be rebuilt with a default.
RENAMED = {"variate_attention": "variate_mode"}
# What a run did that was stored before these flags were there; of every other flag it did what is the default.
MEANT_THEN = {"test_until": None, "calibration": "none"}


def find_run(settings: Settings) -> Path:
    """Return the run that `--run` names, or the newest finished one that agrees with the flags given.

    Those of a preset count as given. A run of `--cross_validate` is found where `--model_id` names the folder of these.

    Raises:
        UsageError: none agrees, and the message shows how the newest ones differ; or the one named is not finished.
    """
    if settings.given.get("run"):
        return _named(Path(settings.given["run"]), settings)
    # A preset names a model; how long it was trained is compared only when it was typed.
    configs = (*fields(TrainerConfig), *fields(GuardConfig))
    training = {field.name for field in configs} - set(settings.given)
    ignored = IGNORED_WHEN_MATCHING | training
    wanted = {name: value for name, value in resolve(settings.given).items() if name not in ignored}
    differences = []
    folds = 0
    for run in run_directory.finished_runs(settings.run.checkpoints):
        if run_directory.is_fold(run) and "model_id" not in wanted:
            folds += 1
            continue
        config = run_directory.read_json(run / "config.json")
        if task_of(config["flags"]) != settings.run.task_name:
            continue
        stored = with_flags_since(config["flags"]) | {"n_classes": config["dimensions"]["n_classes"]}
        different = [
            f"--{name} is {stored.get(name)}, not {value}"
            for name, value in wanted.items()
            if name in stored and comparable(name, stored.get(name)) != comparable(name, value)
        ]
        if not different:
            return run
        if stored.get("model") == settings.run.model:
            differences.append(f"{run.name}: {'; '.join(different[:2])}")
    raise UsageError(
        "CONFIG",
        "No finished run agrees with these flags.",
        where=settings.run.checkpoints,
        evidence=" | ".join(differences[:2]) or f"no finished run of {settings.run.model} there",
        next_command="train it first with --is_training 1, or leave out the flags that differ"
        + ("; one of the years of --cross_validate is scored again with --run RUN" if folds else ""),
    )


def _named(run: Path, settings: Settings) -> Path:
    run_directory.require_finished(run)
    its_own = task_of(run_directory.read_json(run / "config.json")["flags"])
    if settings.given.get("task_name", its_own) == its_own:
        return run
    raise UsageError(
        "CONFIG",
        "This run has another task.",
        where=f"--run {run}",
        evidence=f"run: {its_own}  now: {settings.given['task_name']}",
        next_command=f"python run.py --is_training 0 --run {run}, without --task_name",
    )


def is_forecast(config: Mapping[str, Any]) -> bool:
    """True for the config.json of a run that forecasts series; the others say whether it rains, or how much."""
    return task_of(config["flags"]) == "forecast"


def task_of(flags: Mapping[str, Any]) -> str:
    """Return the task of a run by its stored flags; the first versions of this project had one alone."""
    return str(flags.get("task_name", "classification"))


def comparable(name: str, value: Any) -> Any:
    """Return a flag's value for comparison; a folder is the same with and without a slash at its end."""
    if name in ("root_path", "data_path", "pretrain_model_path") and value:
        return str(Path(value))
    return list(value) if isinstance(value, tuple) else value


def current_names(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Return stored flag -> value under the names that the flags have now."""
    return {RENAMED.get(name, name): value for name, value in stored.items()}


def with_flags_since(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Return stored flags under the names of now, with what the run did where a flag was not there yet.

    Args:
        stored: flag -> value, of a run of this or an earlier version.
    """
    own = current_names(stored)
    if own.get("model") not in models.names():
        return own
    groups = shown_groups(task_of(own), own["model"])
    defaults = {each.name: each.default for group in groups for each in fields(group)}
    return defaults | {name: value for name, value in MEANT_THEN.items() if name in defaults} | own


def stored_settings(
    stored: dict[str, Any], given: Mapping[str, Any], resolved: Mapping[str, Any] | None = None
) -> Settings:
    """Rebuild the settings of a run from its config.json; what is given now wins.

    Args:
        stored: content of config.json.
        given: the flags typed.
        resolved: also what presets and a file give, where that is to win too.
    """
    flags = current_names(stored["flags"])
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in flags.items()}
    return Settings.from_values(MEANT_THEN | values | dict(given if resolved is None else resolved), given)


def load_forecaster(run: Path, settings: Settings, device: torch.device) -> Forecaster:
    """Rebuild the model of a run from its config.json and best.pt.

    Raises:
        CheckpointError: best.pt is damaged, or holds a number that is not finite.
    """
    dimensions = Dimensions(**run_directory.read_json(run / "config.json")["dimensions"])
    forecaster = forecasters.build(settings, dimensions, device)
    weights = checkpoint.load(run / "best.pt")
    require_no_error(judge(weights, run / "best.pt"))
    forecaster.load_state(weights)
    return forecaster
