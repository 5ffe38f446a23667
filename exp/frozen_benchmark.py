"""What running a frozen encoder once per window saves: epochs of a linear probe with and without, of equal results."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

import models
from exp.frozen_encoder import FrozenEncoder
from exp.guard import GuardConfig
from exp.guard_benchmark import N_VARIABLES, random_windows
from exp.objective import Objective
from exp.presets import flags_of
from exp.trainer import Trainer, TrainerConfig, predict_logits
from exp.transfer_config import TransferConfig

EPOCHS = 10


def measure(preset: str, pairs: int) -> dict[str, Any]:
    """Return how many times faster ten frozen epochs are, and by how much the logits differ after them.

    Ten passes against one can be at most ten times faster.

    Args:
        preset: option whose encoder is frozen, on random numbers in 27 variables.
        pairs: steps of an epoch.

    Raises:
        UsageError: there is no such preset.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    flags = flags_of(preset)
    batch = flags.get("batch_size", TrainerConfig().batch_size)
    windows = random_windows(flags, device, batch * pairs)
    seconds, logits = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        for is_kept in (True, False):
            torch.manual_seed(0)
            sizes = {"n_variables": N_VARIABLES, "n_classes": 2, "n_marks": windows.marks.shape[1], "step_hours": 1}
            model = models.build("timer_xl_classifier", SimpleNamespace(**(flags | sizes))).to(device)
            frozen = FrozenEncoder(model, None, batch, Path(folder)) if is_kept else None
            trainer = Trainer(
                model,
                Objective(loss=torch.nn.functional.cross_entropy, micro_batch_size=batch),
                TrainerConfig(batch_size=batch, train_epochs=EPOCHS, learning_rate=1e-3),
                GuardConfig(),
                windows,
                evaluate=lambda _: {},
                seed=0,
                transfer=TransferConfig(tune="head"),
                frozen=frozen,
            )
            started = time.perf_counter()
            trainer.fit()
            seconds[is_kept] = time.perf_counter() - started
            logits[is_kept] = predict_logits(model, windows, batch, None)
    return {
        "preset": preset,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "windows": len(windows),
        "epochs": EPOCHS,
        "seconds_with": round(seconds[True], 2),
        "seconds_without": round(seconds[False], 2),
        "times_faster": round(seconds[False] / seconds[True], 2),
        "limit_times": EPOCHS,
        "largest_difference_of_logits": float((logits[True] - logits[False]).abs().max()),
    }
