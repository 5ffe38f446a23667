"""The training of a network, whatever it learns: micro-batches that fit, and the best weights at its end."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from torch import nn

from exp.callbacks import BestCheckpoint
from exp.compiling import compile_parts
from exp.micro_batches import fitting_batch_size
from exp.objective import Loss, Windows
from exp.precision import amp_dtype
from exp.settings import Settings
from exp.state_keeper import Keeping, StateKeeper
from exp.trainer import Row, Trainer
from exp.training_state import device_name
from utils import distributed
from utils.errors import PeerError
from utils.run_directory import append_json_line

EVALUATION_BATCH = 4
METRICS_FILE = "metrics.jsonl"


class NetworkTraining:
    """A network, its flags, and what its training came to so far.

    Args:
        model: on its device.
        settings: flags of the run.
        loss: mean over a batch.
    """

    def __init__(self, model: nn.Module, settings: Settings, loss: Loss) -> None:
        self.model, self.settings, self.loss = model, settings, loss
        self.micro_batch_size = settings.trainer.micro_batch_size or settings.trainer.batch_size
        self.best_epoch: int | None = None
        self.history: list[Row] = []

    def precision(self, device: torch.device) -> torch.dtype | None:
        """Return the precision of a forward pass, None for float32."""
        return amp_dtype(self.settings.trainer.amp, device)

    @property
    def evaluation_batch(self) -> int:
        """Windows per forward pass without gradients."""
        return self.micro_batch_size * EVALUATION_BATCH

    def cost(self) -> dict[str, Any]:
        """Return the number of parameters and how batches were split."""
        return {
            "parameters": sum(parameter.numel() for parameter in self.model.parameters()),
            "batch_size": self.settings.trainer.batch_size,
            "micro_batch_size": self.micro_batch_size,
            "best_epoch": self.best_epoch,
        }

    def split_batches(self, windows: Windows, keeping: Keeping) -> None:
        """Take micro-batches that fit, or on the same device those the run began with: sums in other pieces differ."""
        config, point = self.settings.trainer, keeping.point
        if config.micro_batch_size is not None:
            return
        if point is not None and point.state["device"] == device_name(windows.device):
            self.micro_batch_size = int(point.state["micro_batch_size"])
            return
        precision = self.precision(windows.device)
        share = -(-config.batch_size // distributed.current().count)
        self.micro_batch_size = fitting_batch_size(self.model, self.loss, windows, share, precision)

    def keeper(self, run: Path, best: BestCheckpoint, keeping: Keeping) -> StateKeeper:
        """Return what keeps the state of this training in a run directory."""
        can_roll_back = self.settings.guard.nan_policy == "rollback"
        return StateKeeper(run, self.settings.checkpoint, best, keeping, can_roll_back=can_roll_back)

    def train(self, trainer: Trainer, keeper: StateKeeper) -> list[Row]:
        """Train from where the keeper is; the model ends with the best weights, also where the run is cut short.

        Raises:
            NumericalError: no epoch had a finite score, or too many steps were not finite.
        """
        best = keeper.best
        if self.settings.trainer.compile:
            compile_parts(self.model, trainer.device)
        try:
            keeper.begin(trainer)
            trainer.fit()
        finally:
            # Also when the run is cut short: what was best so far can still be scored.
            self.history = trainer.history
            if trainer.cut_short is not None and trainer.ranks.is_first:
                append_json_line(keeper.run / METRICS_FILE, trainer.cut_short)
            self.best_epoch = best.best_epoch or None
            # After a lost peer a card may never answer again, and nothing is scored.
            if best.weights and not isinstance(sys.exc_info()[1], PeerError):
                trainer.plain_model.load_state_dict(best.weights)
        best.require_an_epoch(trainer)
        return self.history
