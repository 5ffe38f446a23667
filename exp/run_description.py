"""What a run is: in files of its own, and beside its weights and states."""

from __future__ import annotations

import shlex
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from data_provider.factory import SPLIT_NAMES, Splits
from data_provider.windows import WindowSet
from exp.settings import Dimensions, Settings
from utils import run_directory
from utils.files import sha256
from utils.reproducibility import environment, versions

FILES = ("config.json", "environment.json", "preprocessing.json")


def write(run: Path, settings: Settings, splits: Splits, dimensions: Dimensions, device: torch.device) -> None:
    """Write config.json, environment.json and preprocessing.json into a run directory.

    Where they are there already, the weights that the run began with stay as they were told.

    Raises:
        StorageError: one cannot be written.
    """
    run_directory.write_json(
        run / "config.json",
        {
            "command": shlex.join(["python", *sys.argv]),
            "given": dict(settings.given),
            "flags": settings.as_flags(),
            "dimensions": asdict(dimensions),
            "variables": splits.preprocessing.variables,
            "regions": splits.table.regions,
            "splits": {
                **splits.ends.to_json(),
                "windows": {name: len(part) for name, part in zip(SPLIT_NAMES, splits.sets, strict=True)},
                "periods": {name: _period(part) for name, part in zip(SPLIT_NAMES, splits.sets, strict=True)},
                "left_out": splits.left_out,
            },
            "table": splits.table.attributes,
            "description": settings.openltm.des,
        },
    )
    weights = Path(settings.run.pretrain_model_path) if settings.run.adaptation else None
    is_new = not (run / "environment.json").exists()
    record = environment(device, splits.table.source, weights if is_new else None)
    if not is_new:
        before = run_directory.read_json(run / "environment.json")
        record |= {name: before[name] for name in ("weights", "weights_sha256")}
    run_directory.write_json(run / "environment.json", record)
    run_directory.write_json(run / "preprocessing.json", splits.preprocessing.to_json())


def _period(part: WindowSet) -> dict[str, Any]:
    """Return the first and last init time of a split and its share of cases with rain."""
    index = part.index
    return {
        "first": str(index.init_time.min()),
        "last": str(index.init_time.max()),
        "base_rate": float((index.label > 0).mean()),
    }


def of_state(settings: Settings, splits: Splits, dimensions: Dimensions) -> dict[str, Any]:
    """Return what weights and states belong to, so that either can be understood and compared without its run."""
    return {
        "model": settings.run.model,
        "config": run_directory.finite(settings.as_flags()),
        "dimensions": asdict(dimensions),
        **of_data(splits),
        "data_sha256": sha256(splits.table.source),
        "versions": versions(),
    }


def of_data(splits: Splits) -> dict[str, Any]:
    """Return what a state must find again: features in order, fitted scaling, windows of each split."""
    return {
        "feature_order": list(splits.preprocessing.variables),
        "windows": [len(part) for part in splits.sets],
        "preprocessing": run_directory.finite(splits.preprocessing.to_json()),
    }
