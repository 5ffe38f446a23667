"""From a checkpoint to a model: which tensors must be there and which may be new."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from exp.forecasters import Forecaster, NetworkForecaster
from exp.settings import Settings
from utils import checkpoint
from utils.errors import UsageError

# A loaded encoder has these names in common with the classifier; what begins with one of the fresh ones may be missing.
FRESH_PARTS = ("classifier.", "shortcut.")


def load(forecaster: Forecaster, settings: Settings, state: dict[str, Any] | None = None) -> str:
    """Load the weights that the flags name into a network.

    Args:
        forecaster: its model is changed.
        settings: with `--adaptation`, else nothing happens.
        state: the checkpoint's tensors where they were read already.

    Returns:
        One line that says what was loaded; empty without `--adaptation`.

    Raises:
        UsageError: the model has no encoder.
        CheckpointError: the file cannot be read or does not fit.
    """
    if not settings.run.adaptation:
        return ""
    if not isinstance(forecaster, NetworkForecaster) or not hasattr(forecaster.model, "freeze_encoder"):
        raise UsageError(
            "CONFIG",
            f"{settings.run.model} has no encoder to load weights into.",
            where="--adaptation",
            next_command="--model timer_xl_classifier, or leave out --adaptation",
        )
    path = Path(settings.run.pretrain_model_path)
    content = checkpoint.load(path) if state is None else state
    return checkpoint.load_strict(forecaster.model, content, path, fresh_prefixes=FRESH_PARTS)
