"""What a reference asks for, all of it from the same windows the networks see."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from data_provider.amounts import AmountWindows
from data_provider.windows import WindowSet
from exp.settings import Dimensions
from layers.history_features import HistoryFeatures
from layers.window_features import WindowFeatures

FEATURE_BATCH = 512


def collect(
    needs: tuple[str, ...], windows: WindowSet, dimensions: Dimensions, *, with_history: bool = False
) -> dict[str, Any]:
    """Collect the inputs of a reference.

    Args:
        needs: among `features`, `region`, `month`, `past_class`, and of windows with amounts `past_mm`.
        windows: the windows of one split.
        dimensions: of the data.
        with_history: the features are those of the past month, in place of lags and rolling values.

    Returns:
        name -> `(N, ...)` array.
    """
    index = windows.index
    available = {
        "region": lambda: index.region,
        "month": lambda: index.month,
        "past_class": lambda: index.past_class,
        "past_mm": lambda: _past_amounts(windows),
        "features": lambda: _features(windows, dimensions, with_history),
    }
    return {name: available[name]() for name in needs}


def _past_amounts(windows: WindowSet) -> np.ndarray:
    assert isinstance(windows, AmountWindows), "only a model of amounts asks for amounts"
    return windows.past_mm


def _features(windows: WindowSet, dimensions: Dimensions, with_history: bool) -> np.ndarray:
    """Return the engineered features and marks `(N, F)` of all windows."""
    engineered = _history(dimensions).to(windows.device) if with_history else _lags(dimensions)
    ids = torch.arange(len(windows), device=windows.device)
    parts = [
        torch.cat([engineered(windows.inputs(part)), windows.marks[part]], dim=1).cpu()
        for part in tqdm(ids.split(FEATURE_BATCH), disable=None, leave=False, desc="window features", unit="batch")
    ]
    return torch.cat(parts).numpy()


def _lags(of: Dimensions) -> WindowFeatures:
    return WindowFeatures(of.n_variables, of.context_length, of.step_hours, of.pressure_index)


def _history(of: Dimensions) -> HistoryFeatures:
    return HistoryFeatures(of.variables, of.centre, of.spread, of.context_length, of.step_hours)
