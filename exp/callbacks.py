"""What happens at the end of an epoch: the metrics log, warnings, the best weights, early stopping."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

from exp.diagnosis.verdict import Verdict
from exp.trainer import Callback, Row, Trainer
from utils import checkpoint, distributed
from utils.checkpoint_contents import first_not_finite
from utils.errors import CheckpointError, NumericalError
from utils.run_directory import append_json_line

logger = logging.getLogger(__name__)
BEST = "best.pt"
HIGHER_IS_BETTER = {"loss": False, "brier_score": False, "roc_auc": True}
UNDEFINED_EPOCHS = 2
HIGH_LOSS = 1000.0
RISING_EPOCHS = 3
COLLAPSED_DEVIATION = 0.02


class MetricsLog(Callback):
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
        if trainer.ranks.is_first:
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


class EpochWarnings(Callback):
    """Warns of what often comes before NaN, and of a forecast that has collapsed; never stops.

    Args:
        base_rate: share of rain in the validation labels; not used where the row has no share of rain.
    """

    def __init__(self, base_rate: float = 0.0) -> None:
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

    def state(self) -> dict[str, Any]:
        """Return the latest validation losses."""
        return {"losses": self._losses[-RISING_EPOCHS - 1 :]}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` returned."""
        self._losses = list(state["losses"])

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


class BestCheckpoint(Callback):
    """Keeps the best weights in memory and in best.pt; stops when patience is over.

    A score that is not finite is never the best, and two such epochs in a row end the run.

    Args:
        run: run directory.
        score: name of the validation score.
        patience: epochs without improvement before stopping, once all parts that are to learn do.
        description: what the weights belong to, for the JSON beside them.
        as_safetensors: write best.safetensors too.
        advice: what to type when the score is not finite and no step says why.
    """

    def __init__(
        self,
        run: Path,
        score: str,
        patience: int,
        *,
        description: Mapping[str, Any] | None = None,
        as_safetensors: bool = False,
        advice: str = "python run.py --task_name diagnose with the same flags",
    ) -> None:
        self.run, self.score, self.patience = run, score, patience
        self.description, self.as_safetensors, self.advice = description or {}, as_safetensors, advice
        self.best: float | None = None
        self.best_epoch = 0
        self.undefined = 0
        self.weights: dict[str, torch.Tensor] = {}

    def on_epoch_end(self, trainer: Trainer, row: Row) -> bool:
        """Save, and say whether to stop.

        Raises:
            NumericalError: the score was not finite twice in a row.
            StorageError: best.pt cannot be written; the one before stays.
        """
        value = row[f"validation_{self.score}"]
        if value is None or not math.isfinite(value):
            self._undefined(row["epoch"], trainer)
        else:
            self.undefined = 0
            if self._is_better(value):
                self._keep(trainer, value, row["epoch"])
        if not self.stops(trainer):
            return False
        logger.info("No better %s for %d epochs: stopping.", self.score, self.patience)
        return True

    def stops(self, trainer: Trainer) -> bool:
        """Return whether patience is over; it begins anew with the last stage, which must not be missed for it."""
        since = max(self.best_epoch, trainer.stages.first_epochs[-1] - 1)
        return trainer.epoch - since >= self.patience

    def state(self) -> dict[str, Any]:
        """Return the best score, its epoch and how many undefined ones there were."""
        return {"best_score": self.best, "best_epoch": self.best_epoch, "undefined": self.undefined}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` returned; the weights come with the state of the training."""
        self.best, self.best_epoch, self.undefined = state["best_score"], state["best_epoch"], state["undefined"]

    def is_of_now(self, trainer: Trainer) -> bool:
        """True where the present weights are the best ones: no step was taken since."""
        return bool(self.weights) and self.best_epoch == trainer.epoch == len(trainer.history)

    def write_unless_there(self) -> None:
        """Write best.pt, and best.safetensors, where one is missing, damaged, or of another epoch than the best one.

        Raises:
            StorageError: it cannot be written.
        """
        files = [self.run / BEST, *([self._safetensors] if self.as_safetensors else [])]
        if self.weights and not all(map(self._is_of_best_epoch, files)):
            self._write()

    @property
    def _safetensors(self) -> Path:
        return (self.run / BEST).with_suffix(".safetensors")

    def _is_of_best_epoch(self, path: Path) -> bool:
        try:
            checkpoint.load(path)
            told = checkpoint.metadata(path) or {}
        except CheckpointError:
            return False
        return str(told.get("epoch")) == str(self.best_epoch)

    def _keep(self, trainer: Trainer, value: float, epoch: int) -> None:
        weights = {name: tensor.detach().cpu().clone() for name, tensor in trainer.plain_model.state_dict().items()}
        bad = first_not_finite(weights)
        if bad is not None:
            logger.warning(
                "CKPT_NOT_SAVED: Not saving checkpoint: %s is not finite in epoch %d; best.pt stays as it was.",
                bad,
                epoch,
            )
            return
        self.best, self.best_epoch, self.weights = value, epoch, weights
        self._write()

    def _write(self) -> None:
        if not distributed.current().is_first:
            return
        metadata = {"holds": "best weights", "epoch": self.best_epoch, self.score: self.best, **self.description}
        checkpoint.save(self.run / BEST, self.weights, metadata=metadata)
        if self.as_safetensors:
            # That format has room for text alone.
            told = {name: value if isinstance(value, str) else json.dumps(value) for name, value in metadata.items()}
            checkpoint.save_safetensors(self._safetensors, self.weights, told)

    def require_an_epoch(self, trainer: Trainer) -> None:
        """Raise NumericalError where no epoch had a finite score."""
        if not self.weights:
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
        kept = (
            f"best so far: {self.best} in epoch {self.best_epoch}, kept in best.pt" if self.weights else "nothing kept"
        )
        return NumericalError(
            "METRIC_UNDEFINED",
            f"The validation {self.score} was not finite.",
            where=where,
            evidence=kept + (f"; in training: {cause.code}: {cause.what}" if cause else ""),
            next_command=cause.next_command if cause else self.advice,
        )


def _short(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.4f}"
