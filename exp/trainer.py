"""The training loop: any network, any loss, windows in, history out."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, Protocol

import torch
from torch import nn
from tqdm import tqdm

from data_provider.windows import WindowSet
from exp import memory
from exp.diagnosis.verdict import Verdict
from exp.full_checks import FullChecks
from exp.guard import Guard, GuardConfig, Outcome, StepRecord
from exp.objective import Objective
from exp.precision import AmpName, autocast
from exp.schedule import learning_rate_factor
from exp.step_watch import StepWatch
from utils.errors import NumericalError, UsageError
from utils.reproducibility import RandomState

logger = logging.getLogger(__name__)
Row = dict[str, Any]
Explain = Callable[["Trainer", Outcome], Verdict]
SECONDS_BETWEEN_LINES = 30.0


@dataclass(frozen=True, kw_only=True)
class TrainerConfig:
    """Training."""

    batch_size: int = field(default=16, metadata={"help": "windows per optimizer step"})
    micro_batch_size: int | None = field(
        default=None,
        metadata={
            "help": "windows per forward pass; a batch is split into these at the same effective size "
            "(default: whole batches, or what fits the memory)"
        },
    )
    train_epochs: int = field(default=50, metadata={"help": "passes over the training windows at most"})
    patience: int = field(default=10, metadata={"help": "stop after so many epochs without a better validation score"})
    validation_score: Literal["loss", "roc_auc", "brier_score"] = field(
        default="loss", metadata={"help": "score on validation that decides which epoch is the best"}
    )
    learning_rate: float = field(default=1e-4, metadata={"help": "rate of AdamW after the warm-up"})
    weight_decay: float = field(default=0.01, metadata={"help": "decoupled weight decay of AdamW"})
    warmup_epochs: float = field(default=0.0, metadata={"help": "linear warm-up, step by step, over so many epochs"})
    warmup_start_lr: float = field(default=0.0, metadata={"help": "rate of the first warm-up step"})
    cosine: bool = field(default=False, metadata={"help": "lower the rate along a cosine; else it stays constant"})
    tmax: int | None = field(
        default=None, metadata={"help": "epochs until the cosine is at its lowest (default: train_epochs)"}
    )
    min_learning_rate: float = field(default=0.0, metadata={"help": "lowest rate of the cosine"})
    amp: AmpName = field(
        default="off", metadata={"help": "mixed precision; auto: bf16 or fp16 as the GPU can, off on the CPU"}
    )

    def __post_init__(self) -> None:
        for name in ("batch_size", "train_epochs", "patience", "learning_rate"):
            self._require(name, getattr(self, name) > 0, "must be above 0")
        not_negative = ("weight_decay", "warmup_epochs", "warmup_start_lr", "min_learning_rate")
        for name in not_negative:
            self._require(name, getattr(self, name) >= 0, "cannot be negative")
        for name in ("micro_batch_size", "tmax"):
            self._require(name, getattr(self, name) is None or getattr(self, name) > 0, "must be above 0")

    def _require(self, name: str, holds: bool, rule: str) -> None:
        if not holds:
            raise UsageError(
                "CONFIG",
                f"--{name} {rule}.",
                where=f"--{name}",
                evidence=f"got {getattr(self, name)}",
                next_command=f"--{name} {TrainerConfig.__dataclass_fields__[name].default}",
            )


class Callback(Protocol):
    """What happens at the end of an epoch; returns True to stop the training."""

    def on_epoch_end(self, trainer: Trainer, row: Row) -> bool:
        """See one row of the history, already complete."""
        ...


class Trainer:
    """Trains a network on windows.

    Args:
        model: called as `model(x (B, L, V), marks (B, M))`, returns logits.
        objective: loss, precision and micro-batches.
        config: flags of the training.
        guard: flags of the guard.
        train: training windows.
        evaluate: returns the validation part of a history row.
        seed: order of the windows.
        callbacks: seen at the end of each epoch, in order.
        explain: finds the cause of a step that was not finite.
    """

    def __init__(
        self,
        model: nn.Module,
        objective: Objective,
        config: TrainerConfig,
        guard: GuardConfig,
        train: WindowSet,
        *,
        evaluate: Callable[[nn.Module], Mapping[str, float | None]],
        seed: int,
        callbacks: tuple[Callback, ...] = (),
        explain: Explain | None = None,
    ) -> None:
        self.model, self.objective, self.config, self.train = model, objective, config, train
        self.evaluate, self.callbacks, self.seed = evaluate, callbacks, seed
        self.device = train.device
        self.steps_per_epoch = -(-len(train) // config.batch_size)
        parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.AdamW(
            parameters, lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
        )
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, self._factor())
        self.scaler = torch.amp.GradScaler(self.device.type) if objective.precision is torch.float16 else None
        self.watch = StepWatch(guard, self.steps_per_epoch, explain and partial(explain, self))
        self.guard = Guard(
            model,
            self.optimizer,
            clip_grad_norm=guard.clip_grad_norm,
            scaler=self.scaler,
            on_outcome=self.watch.see,
        )
        self.checks = FullChecks(model) if guard.guard_level == "full" else None
        self.detect_anomaly = guard.detect_anomaly
        self.epoch = self.step_number = self.batch = 0
        self.learning_rate = config.learning_rate
        self.history: list[Row] = []
        self.epoch_start: dict[str, torch.Tensor] = {}
        self.anomaly: tuple[int, str] = (0, "")
        self.cut_short: Row | None = None

    def fit(self) -> list[Row]:
        """Train until the last epoch or until a callback says stop; return the history, a row an epoch.

        Raises:
            NumericalError: too many steps were not finite.
        """
        for epoch in range(1, self.config.train_epochs + 1):
            self.epoch = epoch
            started = time.monotonic()
            row = self._train_epoch()
            trained = time.monotonic()
            row |= self.evaluate(self.model)
            row |= {
                "train_seconds": trained - started,
                "evaluation_seconds": time.monotonic() - trained,
                "windows_per_second": len(self.train) / (trained - started),
            }
            self.history.append(row)
            stops = [callback.on_epoch_end(self, row) for callback in self.callbacks]
            if any(stops):
                break
        return self.history

    def _train_epoch(self) -> Row:
        self.model.train()
        self.watch.start_epoch()
        started = time.monotonic()
        plain = getattr(self.model, "_orig_mod", self.model)  # of a compiled model, whose names differ
        self.epoch_start = {name: tensor.detach().cpu().clone() for name, tensor in plain.named_parameters()}
        sums = _Sums(self.device)
        try:
            self._take_steps(sums, started)
        except NumericalError:
            self.cut_short = self._row(sums) | {"cut_short": True}
            raise
        self.watch.end_epoch(self.epoch)
        if self.checks is not None:
            self.checks.report(time.monotonic() - started)
        return self._row(sums)

    def _take_steps(self, sums: _Sums, started: float) -> None:
        """Take all steps of an epoch, with a bar or lines of progress."""
        said = started
        with tqdm(total=self.steps_per_epoch, disable=None, leave=False, unit="batch") as bar:
            bar.set_description(f"epoch {self.epoch}/{self.config.train_epochs}")
            for done, ids in enumerate(self._batches(), start=1):
                self.batch = done
                sums.add(*self._step(ids), len(ids))
                said = self._say_progress(bar, done, started, said)
                if bar.update():  # True only when the bar is redrawn, so the host rarely waits for the device
                    bar.set_postfix(self._progress(sums), refresh=False)
            self.guard.read_pending()

    def _row(self, sums: _Sums) -> Row:
        """Return what the steps of this epoch came to so far."""
        return {
            "epoch": self.epoch,
            "step": self.step_number,
            **sums.means(),
            "learning_rate": self.learning_rate,
            **self.watch.row(),
        }

    def _step(self, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Take one optimizer step, in micro-batches where needed; return mean loss and number of right answers."""
        self.optimizer.zero_grad(set_to_none=True)
        step = self.record(ids)
        self.learning_rate = step.learning_rates[0]
        self.guard.before_forward(step)
        loss, correct = self._backward(ids)
        if self.checks is not None:
            self.checks.gradients(self.model, f"step {self.step_number + 1}")
        self.guard.step(loss)
        self.schedule.step()
        self.step_number += 1
        return loss, correct

    def record(self, ids: torch.Tensor) -> StepRecord:
        """Return what must be known before a step on the windows `ids` to be able to repeat it."""
        rates = tuple(float(rate) for rate in self.schedule.get_last_lr())
        return StepRecord(self.step_number + 1, self.epoch, self.batch, ids, RandomState.capture(self.device), rates)

    def _backward(self, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Compute loss and gradients; what torch's anomaly mode stops counts as a loss that is not finite."""
        if self.checks is not None:
            self.checks.weights(self.model, f"step {self.step_number + 1}")
        scale = None if self.scaler is None else self.scaler.scale
        try:
            with torch.autograd.set_detect_anomaly(self.detect_anomaly):
                return self.objective.backward(self.model, self.train, ids, scale=scale, probe=self.checks)
        except (RuntimeError, MemoryError) as error:
            if memory.is_exhausted(error):
                size, step = self.objective.micro_batch_size, f"step {self.step_number + 1}, epoch {self.epoch}"
                told = memory.exhausted(error, device=self.device, micro_batch_size=size, where=step)
                raise told from error
            if not self.detect_anomaly or "returned nan values" not in str(error):
                raise
            self.anomaly = (self.step_number + 1, str(error).splitlines()[0])
            logger.warning("ANOMALY: %s (step %d).", self.anomaly[1], self.anomaly[0])
            return torch.full((), math.nan, device=self.device), torch.zeros((), device=self.device)

    def _batches(self) -> Iterator[torch.Tensor]:
        """Yield window ids in an order that depends on seed and epoch alone."""
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        order = torch.randperm(len(self.train), generator=generator).to(self.device)
        yield from order.split(self.config.batch_size)

    def _say_progress(self, bar: tqdm, done: int, started: float, said: float) -> float:
        """Log a line now and then where no bar is shown; return when that was last done."""
        now = time.monotonic()
        if not bar.disable or now - said < SECONDS_BETWEEN_LINES:
            return said
        left = (now - started) / done * (self.steps_per_epoch - done)
        logger.info("epoch %d: step %d of %d, %.0f s left", self.epoch, done, self.steps_per_epoch, left)
        return now

    def _progress(self, sums: _Sums) -> dict[str, str]:
        latest, means = self.watch.latest, sums.means()
        return {
            "loss": _short(means["train_loss"], 4),
            "acc": _short(means["train_accuracy"], 3),
            "lr": f"{self.schedule.get_last_lr()[0]:.1e}",
            "grad": f"{latest.norm:.2f}" if latest else "",
            "skipped": str(self.watch.skipped),
        }

    def _factor(self) -> Callable[[int], float]:
        config = self.config
        return learning_rate_factor(
            learning_rate=config.learning_rate,
            steps_per_epoch=self.steps_per_epoch,
            warmup_epochs=config.warmup_epochs,
            warmup_start_lr=config.warmup_start_lr,
            cosine_epochs=(config.tmax or config.train_epochs) if config.cosine else None,
            min_learning_rate=config.min_learning_rate,
        )


class _Sums:
    """Loss and right answers of the steps that were finite, summed on the device."""

    def __init__(self, device: torch.device) -> None:
        self._sums = torch.zeros(3, device=device, dtype=torch.float64)

    def add(self, loss: torch.Tensor, correct: torch.Tensor, count: int) -> None:
        """Add a step of `count` windows, unless its loss is not finite."""
        step = torch.stack((loss * count, correct.to(loss.dtype), torch.full_like(loss, count))).double()
        self._sums += torch.where(torch.isfinite(loss), step, torch.zeros_like(step))

    def means(self) -> Row:
        """Return mean loss and accuracy, None where no step was finite."""
        loss, correct, count = self._sums.tolist()
        return {
            "train_loss": loss / count if count else None,
            "train_accuracy": correct / count if count else None,
        }


def _short(value: float | None, digits: int) -> str:
    return "undefined" if value is None else f"{value:.{digits}f}"


@torch.no_grad()
def predict_logits(
    model: nn.Module, windows: WindowSet, batch_size: int, precision: torch.dtype | None, *, title: str = ""
) -> torch.Tensor:
    """Return the logits `(N, K)` of all windows in float32, in their own order, on their device."""
    model.eval()
    parts = []
    ids = torch.arange(len(windows), device=windows.device)
    for part in tqdm(ids.split(batch_size), disable=None if title else True, leave=False, desc=title, unit="batch"):
        with autocast(windows.device, precision):
            parts.append(model(windows.inputs(part), windows.marks[part]).float())
    return torch.cat(parts)
