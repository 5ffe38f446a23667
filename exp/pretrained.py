"""From a checkpoint to a model: which tensors must be there and which may be new."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from exp.forecasters import Forecaster, NetworkForecaster
from exp.settings import Settings
from utils import checkpoint
from utils.checkpoint_contents import judge, unwrap
from utils.errors import UsageError
from utils.findings import require_no_error

# A loaded encoder has these names in common with the classifier; what begins with one of the fresh ones may be missing.
FRESH_PARTS = ("classifier.", "shortcut.")


def load(forecaster: Forecaster, settings: Settings, state: dict[str, Any] | None = None) -> str:
    """Load the weights that the flags name into a network.

    Args:
        forecaster: its model is changed.
        settings: with `--adaptation`, else nothing happens.
        state: the checkpoint's tensors where they were read and judged already.

    Returns:
        One line that says what was loaded; empty without `--adaptation`.

    Raises:
        UsageError: the model has no encoder.
        CheckpointError: the file cannot be read, holds values that are not finite, or does not fit.
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
    content = _judged(path) if state is None else state
    return checkpoint.load_strict(forecaster.model, content, path, fresh_prefixes=FRESH_PARTS)


def _judged(path: Path) -> dict[str, Any]:
    """Read weights and refuse what is not finite, as the file may have changed since the checks before training.

    Those checks have told what was unwrapped and what is suspect; it is not told again.
    """
    weights = unwrap(checkpoint.load(path), path).tensors
    require_no_error(judge(weights, path))
    return weights
