"""What saving the state costs: saves and steps of the same model in turn, set against five minutes and an epoch."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from exp.callbacks import BestCheckpoint
from exp.guard_benchmark import random_trainer
from exp.presets import flags_of
from exp.state_keeper import CheckpointConfig, Keeping, StateKeeper
from exp.trainer import Trainer

# Steps of an epoch of the case: 6,224 windows in batches of 16.
STEPS_OF_AN_EPOCH = 389
LIMIT_PERCENT = 1.0


def measure(preset: str, pairs: int) -> dict[str, Any]:
    """Return seconds of a step and of a save, and what saves cost in per cent of a training.

    The file lies in the folder for temporary files (`TMPDIR` names another disk). A state with moments and another set
    of best weights is saved, the largest there is.

    Args:
        preset: option whose state is saved.
        pairs: how often.

    Raises:
        UsageError: there is no such preset.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    trainer = random_trainer(flags_of(preset), device)
    ids = torch.arange(trainer.config.batch_size, device=device)
    steps, saves = [], []
    with tempfile.TemporaryDirectory() as folder:
        best = BestCheckpoint(Path(folder), "loss", 10)
        best.weights = {name: tensor.detach().cpu().clone() for name, tensor in trainer.model.state_dict().items()}
        keeper = StateKeeper(Path(folder), CheckpointConfig(), best, Keeping(), can_roll_back=False)
        for _ in tqdm(range(pairs + 1), disable=None, leave=False, unit="pair"):
            steps.append(_seconds(trainer, lambda: trainer._step(ids)))
            saves.append(_seconds(trainer, lambda: keeper.save(trainer)))
        size = (Path(folder) / "last.pt").stat().st_size
    step, save = statistics.median(steps[1:]), statistics.median(saves[1:])
    return {
        "preset": preset,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "pairs": pairs,
        "state_bytes": size,
        "step_seconds": round(step, 4),
        "save_seconds": round(save, 4),
        "save_seconds_slowest": round(max(saves), 4),
        "percent_of_five_minutes": round(100 * save / (300 + save), 4),
        "percent_of_an_epoch_of_389_steps": round(100 * save / (STEPS_OF_AN_EPOCH * step + save), 4),
        "limit_percent": LIMIT_PERCENT,
    }


def _seconds(trainer: Trainer, act: Any) -> float:
    started = time.perf_counter()
    act()
    if trainer.device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started
