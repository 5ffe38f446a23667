"""What a run on series is: in files of its own, and beside its weights and states."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from data_provider.series_factory import SeriesData
from data_provider.splits import SPLIT_NAMES
from exp.settings import Dimensions, Settings
from utils import run_directory
from utils.reproducibility import environment, versions


def write(run: Path, settings: Settings, data: SeriesData, windows: Sequence[int], dimensions: Dimensions) -> None:
    """Write config.json, environment.json and preprocessing.json into a new run directory.

    Raises:
        StorageError: one cannot be written.
    """
    content = {
        "command": shlex.join(["python", *sys.argv]),
        "given": dict(settings.given),
        "flags": settings.as_flags(),
        "dimensions": asdict(dimensions),
        "windows": dict(zip(SPLIT_NAMES, windows, strict=True)),
        "series": data.description(),
        "description": settings.openltm.des,
    }
    run_directory.write_json(run / "config.json", content)
    weights = Path(settings.run.pretrain_model_path) if settings.run.adaptation else None
    record = environment(data.device, settings.series.path, weights, data.sha256)
    run_directory.write_json(run / "environment.json", record)
    run_directory.write_json(run / "preprocessing.json", _preprocessing(data))


def of_state(settings: Settings, data: SeriesData, windows: Sequence[int], dimensions: Dimensions) -> dict[str, Any]:
    """Return what weights and states belong to, so that either can be understood and compared without its run."""
    return {
        "model": settings.run.model,
        "config": run_directory.finite(settings.as_flags()),
        "dimensions": asdict(dimensions),
        **of_data(data, windows),
        "data_sha256": data.sha256,
        "versions": versions(),
    }


def of_data(data: SeriesData, windows: Sequence[int]) -> dict[str, Any]:
    """Return what a state must find again: sequences in order, fitted scaling, windows of each split."""
    return {
        "feature_order": [strand.name for strand in data.strands],
        "windows": list(windows),
        "preprocessing": run_directory.finite(_preprocessing(data)),
    }


def _preprocessing(data: SeriesData) -> dict[str, Any]:
    return {fitted.series: fitted.to_json() for fitted in data.scaling}
