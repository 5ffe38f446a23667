"""The forecasts of a finished run, read back from its directory: whoever compares or draws needs no model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from exp import amount_columns
from exp.scoring import TIME_FORMAT
from utils import run_directory
from utils.amounts import AmountForecasts
from utils.errors import DataError
from utils.forecasts import Forecasts

PREDICTIONS_FILE = "predictions.csv"
FILES = {"test": PREDICTIONS_FILE, "validation": "validation_predictions.csv"}
Split = Literal["test", "validation"]


def read(run: Path, split: Split = "test") -> dict[float, Forecasts]:
    """Read what a run forecast on its test or validation split.

    Args:
        run: directory of a finished run, or a folder `scored-<time>` in one.
        split: which.

    Returns:
        Threshold in millimetres -> forecasts, in the order of init time and region.

    Raises:
        DataError: ``RUN_WITHOUT_PREDICTIONS``, the file is missing, or an older version of the project wrote it
            without the reference forecasts.
    """
    scores = run_directory.read_json(run / run_directory.FINISHED_FILE)
    path = run / FILES[split]
    frame = observed_cases(run, split)
    return {
        threshold: _event(path, frame, threshold, level, cut)
        for level, (threshold, cut) in enumerate(zip(scores["threshold_mm"], scores["cut"], strict=True))
    }


def read_amounts(run: Path) -> AmountForecasts | None:
    """Read the amounts that a run forecast on its test split, in the order of `read`; None in a classification.

    Raises:
        DataError: ``RUN_WITHOUT_PREDICTIONS``, the file is missing, or an older version of the project wrote it
            without the quantiles of climatology.
    """
    scores = run_directory.read_json(run / run_directory.FINISHED_FILE)
    if not has_amounts(scores):
        return None
    frame = observed_cases(run)
    n_quantiles = len(scores["quantile_levels"])
    missing = [name for name in amount_columns.needed(n_quantiles) if name not in frame]
    if missing:
        raise without_predictions(run / PREDICTIONS_FILE, f"columns missing: {', '.join(missing)}")
    return amount_columns.read(frame, n_quantiles)


def has_amounts(scores: Mapping[str, Any]) -> bool:
    """True for the scores.json of a regression."""
    return scores.get("task") == "regression"


def lacks(run: Path) -> str:
    """Say what the test forecasts of a finished run lack for the two above; empty where they have it all."""
    path = run / PREDICTIONS_FILE
    if not path.is_file():
        return f"no {PREDICTIONS_FILE}"
    header = pd.read_csv(path, nrows=0)
    scores = run_directory.read_json(run / run_directory.FINISHED_FILE)
    needed = [name for threshold in scores["threshold_mm"] for name in _columns(threshold).values()]
    if has_amounts(scores):
        needed += amount_columns.needed(len(scores["quantile_levels"]))
    missing = [name for name in needed if name not in header]
    return f"{PREDICTIONS_FILE} of an earlier version without {', '.join(missing)}" if missing else ""


def observed_cases(run: Path, split: Split = "test") -> pd.DataFrame:
    """Read the rows of a split's file whose label is known, in the order of init time and region.

    Raises:
        DataError: ``RUN_WITHOUT_PREDICTIONS``, the file is missing.
    """
    path = run / FILES[split]
    if not path.is_file():
        raise without_predictions(path, "no such file")
    frame = pd.read_csv(path, parse_dates=["init_time"], date_format=TIME_FORMAT, dtype={"region": str})
    return frame[frame["observed_class"].notna()].sort_values(["init_time", "region"], ignore_index=True)


def _event(path: Path, frame: pd.DataFrame, threshold: float, level: int, cut: float) -> Forecasts:
    names = _columns(threshold)
    missing = [name for name in names.values() if name not in frame]
    if missing:
        raise without_predictions(path, f"columns missing: {', '.join(missing)}")
    return Forecasts(
        init_time=frame["init_time"].to_numpy().astype("datetime64[s]"),
        region=frame["region"].to_numpy().astype(str),
        observed=(frame["observed_class"].to_numpy() > level).astype(np.int8),
        cut=cut,
        **{part: frame[name].to_numpy(dtype=np.float64) for part, name in names.items()},
    )


def _columns(threshold: float) -> dict[str, str]:
    return {part: f"{part}_{threshold:g}mm" for part in ("probability", "climatology", "persistence")}


def without_predictions(path: Path, evidence: str) -> DataError:
    """Return the error of a run whose predictions cannot be used, with what was found."""
    run = run_directory.home_of(path.parent)
    return DataError(
        "RUN_WITHOUT_PREDICTIONS",
        f"This run has no {_split_of(path)} forecasts that scores could be made from.",
        where=str(path),
        evidence=evidence,
        next_command=f"python run.py --is_training 0 --run {run} scores it again; name its folder "
        "scored-<time> in the place of the run",
    )


def _split_of(path: Path) -> str:
    return next(split for split, name in FILES.items() if path.name == name)
