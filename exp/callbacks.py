"""What happens at the end of an epoch: the metrics log, the best and last checkpoint, early stopping."""

from __future__ import annotations

import logging
import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

from exp.diagnosis.verdict import Verdict
from exp.trainer import Row, Trainer
from utils import checkpoint
from utils.checkpoint_contents import leaves
from utils.errors import NumericalError
from utils.run_directory import append_json_line

logger = logging.getLogger(__name__)
HIGHER_IS_BETTER = {"loss": False, "brier_score": False, "roc_auc": True}
UNDEFINED_EPOCHS = 2
HIGH_LOSS = 1000.0
RISING_EPOCHS = 3
COLLAPSED_DEVIATION = 0.02


class MetricsLog:
    """Writes each row to metrics.jsonl and one line to the log.

    Args:
        path: metrics.jsonl.
        base_rate_entropy: loss of a forecast that always gives the base rate of training.
    """

    def __init__(self, path: Path, base_rate_entropy: float) -> None:
        self.path = path
        self.base_rate_entropy = base_rate_entropy

    def on_epoch_end(self, trainer: Trainer, row: Row) -> bool:
        """Log the row; never stops."""
        row["base_rate_entropy"] = self.base_rate_entropy
        append_json_line(self.path, row)
        logger.info(
            "epoch %d/%d  loss %s  validation loss %s  roc_auc %s  rate %.1e  gradient norm %s  skipped %d  %.0f s",
            row["epoch"],
            trainer.config.train_epochs,
            _short(row["train_loss"]),
            _short(row["validation_loss"]),
            _short(row["validation_roc_auc"]),
            row["learning_rate"],
            _short(row["gradient_norm_median"]),
            row["skipped_steps"],
            row["train_seconds"] + row["evaluation_seconds"],
        )
        if row["epoch"] == 1:
            logger.info("  (a forecast that always gives the base rate has a loss of %.4f)", self.base_rate_entropy)
        return False


class EpochWarnings:
    """Warns of what often comes before NaN, and of a forecast that has collapsed; never stops.

    Args:
        base_rate: share of rain in the validation labels.
    """

    def __init__(self, base_rate: float) -> None:
        self.base_rate = base_rate
        self._losses: list[float] = []

    def on_epoch_end(self, trainer: Trainer, row: Row) -> bool:  # noqa: ARG002
        """Look at an epoch; the codes of its warnings go into the row."""
        found = [
            *self._loss_too_high(row["train_loss"]),
            *self._loss_rising(row.get("validation_loss")),
            *self._collapsed(row.get("validation_rain_share"), row.get("rain_probability_deviation")),
        ]
        for code, sentence in found:
            logger.warning("%s: %s (epoch %d).", code, sentence, row["epoch"])
        row["warnings"] = [code for code, _ in found]
        return False

    def _loss_too_high(self, loss: float | None) -> list[tuple[str, str]]:
        if loss is None or loss <= HIGH_LOSS:
            return []
        return [("LOSS_HIGH", f"the training loss is {loss:.4g}; a tenth of --learning_rate")]

    def _loss_rising(self, loss: float | None) -> list[tuple[str, str]]:
        if loss is None or not math.isfinite(loss):
            return []
        self._losses.append(loss)
        latest = self._losses[-RISING_EPOCHS - 1 :]
        if len(latest) <= RISING_EPOCHS or any(b <= a for a, b in pairwise(latest)):
            return []
        words = ", ".join(f"{value:.4g}" for value in latest)
        sentence = f"the validation loss has risen {RISING_EPOCHS} epochs in a row: {words}; "
        return [("LOSS_RISING", sentence + "a lower --learning_rate or a shorter --patience")]

    def _collapsed(self, share: float | None, deviation: float | None) -> list[tuple[str, str]]:
        if share is None or deviation is None or 0 < share < 1 or deviation >= COLLAPSED_DEVIATION:
            return []
        sentence = f"rain is said in {100 * share:.1f} % of the validation windows, with nearly one probability "
        sentence += f"(deviation {deviation:.2g}); base rate {self.base_rate:.3f}; "
        sentence += "lower --learning_rate if later epochs say the same"
        return [("COLLAPSED", sentence)]


class BestCheckpoint:
    """Keeps the best weights in best.pt and all that a later run needs in last.pt; stops when patience is over.

    A score that is not finite is never the best, and two such epochs in a row end the run.

    Args:
        run: run directory.
        score: name of the validation score.
        patience: epochs without improvement before stopping.
    """

    def __init__(self, run: Path, score: str, patience: int) -> None:
        self.run, self.score, self.patience = run, score, patience
        self.best: float | None = None
        self.best_epoch = 0
        self.undefined = 0
        self.state: dict[str, torch.Tensor] = {}

    def on_epoch_end(self, trainer: Trainer, row: Row) -> bool:
        """Save, and say whether to stop.

        Raises:
            NumericalError: the score was not finite twice in a row.
        """
        value = row[f"validation_{self.score}"]
        if value is None or not math.isfinite(value):
            self._undefined(row["epoch"], trainer)
        else:
            self.undefined = 0
            if self._is_better(value):
                self.best, self.best_epoch = value, row["epoch"]
                self.state = {
                    name: tensor.detach().cpu().clone() for name, tensor in trainer.model.state_dict().items()
                }
                checkpoint.save(self.run / "best.pt", self.state)
        self._save_last(trainer)
        if row["epoch"] - self.best_epoch < self.patience:
            return False
        logger.info("No better %s for %d epochs: stopping.", self.score, self.patience)
        return True

    def _save_last(self, trainer: Trainer) -> None:
        """Write last.pt, unless something in it is not finite: then the last good file stays."""
        state = _training_state(trainer, self)
        bad = next((name for name, value in leaves(state) if not _is_finite(value)), None)
        if bad is None:
            checkpoint.save(self.run / "last.pt", state)
            return
        logger.warning(
            "CKPT_NOT_SAVED: Not saving checkpoint: %s is not finite after epoch %d; last.pt stays as it was.",
            bad,
            trainer.epoch,
        )

    def require_an_epoch(self, trainer: Trainer) -> None:
        """Raise NumericalError where no epoch had a finite score."""
        if not self.state:
            raise self._never_finite("no epoch", trainer.watch.first_verdict)

    def _is_better(self, value: float) -> bool:
        if self.best is None:
            return True
        return value > self.best if HIGHER_IS_BETTER[self.score] else value < self.best

    def _undefined(self, epoch: int, trainer: Trainer) -> None:
        self.undefined += 1
        logger.warning("METRIC_UNDEFINED: validation %s is not finite in epoch %d.", self.score, epoch)
        if self.undefined >= UNDEFINED_EPOCHS:
            raise self._never_finite(f"epoch {epoch} and the one before", trainer.watch.first_verdict)

    def _never_finite(self, where: str, cause: Verdict | None = None) -> NumericalError:
        kept = f"best so far: {self.best} in epoch {self.best_epoch}, kept in best.pt" if self.state else "nothing kept"
        return NumericalError(
            "METRIC_UNDEFINED",
            f"The validation {self.score} was not finite.",
            where=where,
            evidence=kept + (f"; in training: {cause.code}: {cause.what}" if cause else ""),
            next_command=cause.next_command if cause else "python run.py --task_name diagnose with the same flags",
        )


def _training_state(trainer: Trainer, best: BestCheckpoint) -> dict[str, Any]:
    return {
        "epoch": trainer.epoch,
        "step": trainer.step_number,
        "best_score": best.best,
        "best_epoch": best.best_epoch,
        "model_state_dict": trainer.model.state_dict(),
        "optimizer_state_dict": trainer.optimizer.state_dict(),
        "scheduler_state_dict": {"last_epoch": trainer.schedule.last_epoch},
        "torch_rng_state": torch.get_rng_state(),
    }


def _is_finite(value: torch.Tensor | float) -> bool:
    return bool(torch.isfinite(value).all()) if isinstance(value, torch.Tensor) else math.isfinite(value)


def _short(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.4f}"
