"""A replay bundle: one bad step in a folder, complete enough to be opened and explained again elsewhere.

`bundle.json` says what it is (flags, sizes, names, times, versions); `bundle.pt` holds plain tensors: weights and
running statistics before the step, the batch, its labels, the generators, the weights before the last update and at
the start of the epoch.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from data_provider.windows import WindowIndex, WindowSet
from exp import forecasters
from exp.diagnosis.replay import Past, Suspect
from exp.finished_runs import stored_settings
from exp.forecasters import NetworkForecaster
from exp.settings import Dimensions, Settings
from utils import checkpoint, run_directory
from utils.errors import CheckpointError
from utils.reproducibility import RandomState, commit

BUNDLE_VERSION = 1
DESCRIPTION, TENSORS = "bundle.json", "bundle.pt"


def save(
    folder: Path, suspect: Suspect, settings: Settings, dimensions: Dimensions, verdict: Mapping[str, Any]
) -> Path:
    """Write a bundle.

    Args:
        folder: a new folder for it.
        suspect: the step.
        settings: flags of the run.
        dimensions: sizes the model was built with.
        verdict: what the diagnosis said, as JSON values.

    Raises:
        StorageError: the folder cannot be written.
    """
    run_directory.make_folder(folder)
    windows = suspect.windows
    assert isinstance(windows, WindowSet), "a bundle holds labelled windows"
    index = windows.index.select(suspect.ids.cpu().numpy())
    description = {
        "bundle_version": BUNDLE_VERSION,
        "made_with": {"torch": str(torch.__version__), "commit": commit()},
        "step": suspect.name,
        "last_good": suspect.last_good,
        "is_loaded": suspect.is_loaded,
        "seen": {"loss": repr(suspect.seen_loss), "norm": repr(suspect.seen_norm)},
        "loss_scale": suspect.loss_scale,
        "micro_batch_size": suspect.objective.micro_batch_size,
        "variables": suspect.variables,
        "step_hours": suspect.step_hours,
        "n_classes": suspect.n_classes,
        "regions": windows.regions,
        "context_length": suspect.windows.context_length,
        "windows": {
            "id": suspect.ids.tolist(),
            "region": index.region.tolist(),
            "init_time": [str(time) for time in index.init_time],
        },
        "flags": settings.as_flags(),
        "dimensions": asdict(dimensions),
        "verdict": dict(verdict),
    }
    state, past = suspect.random_state, suspect.past()
    tensors = {
        "model_state_dict": {name: tensor.cpu() for name, tensor in suspect.model.state_dict().items()},
        "inputs": suspect.windows.inputs(suspect.ids).cpu(),
        "labels": windows.labels[suspect.ids].cpu(),
        "random_state_cpu": None if state is None else state.cpu,
        "random_state_cuda": None if state is None else state.cuda,
        "weights_before_update": _single(past.before_update),
        "weights_at_epoch_start": _single(past.epoch_start),
    }
    checkpoint.save(folder / TENSORS, tensors)
    run_directory.write_json(folder / DESCRIPTION, description)
    return folder


def load(folder: Path, device: torch.device) -> tuple[Suspect, dict[str, Any]]:
    """Open a bundle and rebuild its step.

    Returns:
        The step, and the description that lay beside it.

    Raises:
        CheckpointError: the folder is no bundle, is damaged, or is from a version that reads differently.
    """
    description = _description(folder)
    settings = stored_settings(description, {})
    dimensions = Dimensions(**description["dimensions"])
    tensors = checkpoint.load(folder / TENSORS, device=device)
    forecaster = forecasters.build(settings, dimensions, device)
    assert isinstance(forecaster, NetworkForecaster), "only networks take steps"
    forecaster.load_state(tensors["model_state_dict"])
    forecaster.model.train()
    objective = replace(forecaster.objective(device), micro_batch_size=description["micro_batch_size"])
    windows = _windows(description, tensors, device)
    past = Past(
        before_update=tensors["weights_before_update"] or None, epoch_start=tensors["weights_at_epoch_start"] or None
    )
    state = tensors["random_state_cpu"]
    cuda = tensors["random_state_cuda"]
    seen = description["seen"]
    suspect = Suspect(
        model=forecaster.model,
        objective=objective,
        windows=windows,
        ids=torch.arange(len(windows), device=device),
        variables=tuple(description["variables"]),
        step_hours=description["step_hours"],
        n_classes=description["n_classes"],
        random_state=None if state is None else RandomState(state.cpu(), None if cuda is None else cuda.cpu()),
        loss_scale=description["loss_scale"],
        past=lambda: past,
        name=description["step"],
        last_good=description["last_good"],
        is_loaded=description["is_loaded"],
        seen_loss=None if seen["loss"] == "None" else float(seen["loss"]),
        seen_norm=None if seen["norm"] == "None" else float(seen["norm"]),
        numbers=tuple(description["windows"]["id"]),
    )
    return suspect, description


def _single(weights: Mapping[str, torch.Tensor] | None) -> dict[str, torch.Tensor]:
    """Return float32 copies on the host, which is half the size and enough for a replay."""
    return {name: tensor.detach().float().cpu() for name, tensor in (weights or {}).items()}


def _description(folder: Path) -> dict[str, Any]:
    path = folder / DESCRIPTION
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
        version = description["bundle_version"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            "BUNDLE",
            "This folder is no replay bundle.",
            where=str(path),
            evidence=f"{type(error).__name__}: {error}",
            next_command="name the folder bundle-step<n> inside a run directory",
        ) from None
    if version != BUNDLE_VERSION:
        raise CheckpointError(
            "CKPT_VERSION",
            "The bundle was written by another version of this project.",
            where=str(path),
            evidence=f"bundle version {version}, this program reads {BUNDLE_VERSION}; made with "
            f"{description.get('made_with')}",
            next_command=f"open it with the commit that made it: git checkout "
            f"{(description.get('made_with') or {}).get('commit')}",
        )
    return description


def _windows(description: dict[str, Any], tensors: dict[str, Any], device: torch.device) -> WindowSet:
    inputs = tensors["inputs"]
    count, length = inputs.shape[:2]
    labels = tensors["labels"].cpu().numpy()
    stored = description["windows"]
    index = WindowIndex(
        end=np.arange(1, count + 1) * length - 1,
        region=np.array(stored["region"], np.int64),
        init_time=np.array(stored["init_time"], "datetime64[s]"),
        label=labels,
        past_class=np.full(count, -1, np.int64),
        precipitation_mm=np.full(count, np.nan, np.float32),
    )
    return WindowSet(inputs.flatten(0, 1), index, length, tuple(description["regions"]), device)
