"""The training loop: any network, any loss, windows in, history out."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import torch
from torch import nn
from tqdm import tqdm

from data_provider.windows import WindowSet
from exp.guard import Guard
from exp.schedule import learning_rate_factor
from utils.errors import UsageError

logger = logging.getLogger(__name__)
Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
AmpName = Literal["off", "bf16", "fp16", "auto"]
Row = dict[str, Any]
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
    clip_grad_norm: float = field(default=1.0, metadata={"help": "scale gradients down to this total norm; 0 is off"})
    max_skipped_steps: float = field(
        default=0.01,
        metadata={
            "help": "non-finite steps that are skipped before the run stops: below 1 a share of an epoch "
            "(at least 3), else a number; ten in a row always stop"
        },
    )
    amp: AmpName = field(
        default="off", metadata={"help": "mixed precision; auto: bf16 or fp16 as the GPU can, off on the CPU"}
    )

    def __post_init__(self) -> None:
        for name in ("batch_size", "train_epochs", "patience", "learning_rate"):
            self._require(name, getattr(self, name) > 0, "must be above 0")
        not_negative = ("weight_decay", "warmup_epochs", "warmup_start_lr", "min_learning_rate", "clip_grad_norm")
        for name in (*not_negative, "max_skipped_steps"):
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


def _count(labels: torch.Tensor) -> torch.Tensor:
    """Return the number of labels: what an unweighted mean divides by."""
    return torch.tensor(float(len(labels)), device=labels.device)


class Callback(Protocol):
    """What happens at the end of an epoch; returns True to stop the training."""

    def on_epoch_end(self, trainer: Trainer, row: Row) -> bool:
        """See one row of the history, already complete."""
        ...


class Trainer:
    """Trains a network on windows.

    Args:
        model: called as `model(x (B, L, V), marks (B, M))`, returns logits.
        loss: `loss(logits, labels) -> scalar` mean over the batch.
        config: flags of the training.
        train: training windows.
        evaluate: returns the validation part of a history row.
        micro_batch_size: windows per forward pass.
        weigh: what the mean loss of a batch with these labels divides by.
        seed: order of the windows.
        callbacks: seen at the end of each epoch, in order.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Loss,
        config: TrainerConfig,
        train: WindowSet,
        *,
        evaluate: Callable[[nn.Module], Mapping[str, float | None]],
        micro_batch_size: int,
        weigh: Callable[[torch.Tensor], torch.Tensor] = _count,
        seed: int,
        callbacks: tuple[Callback, ...] = (),
    ) -> None:
        self.model, self.loss, self.config, self.train = model, loss, config, train
        self.weigh = weigh
        self.evaluate, self.callbacks, self.seed = evaluate, callbacks, seed
        self.micro_batch_size = min(micro_batch_size, config.batch_size)
        self.device = train.device
        self.steps_per_epoch = -(-len(train) // config.batch_size)
        parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.AdamW(
            parameters, lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
        )
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, self._factor())
        self.precision = amp_dtype(config.amp, self.device)
        self.scaler = torch.amp.GradScaler(self.device.type) if self.precision is torch.float16 else None
        self.guard = Guard(
            model,
            self.optimizer,
            clip_grad_norm=config.clip_grad_norm,
            max_skipped_steps=config.max_skipped_steps,
            steps_per_epoch=self.steps_per_epoch,
            scaler=self.scaler,
        )
        self.epoch = self.step_number = 0
        self.learning_rate = config.learning_rate

    def fit(self) -> list[Row]:
        """Train until the last epoch or until a callback says stop; return the history, a row an epoch.

        Raises:
            NumericalError: too many steps were not finite.
        """
        history: list[Row] = []
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
            history.append(row)
            stops = [callback.on_epoch_end(self, row) for callback in self.callbacks]
            if any(stops):
                break
        return history

    def _train_epoch(self) -> Row:
        self.model.train()
        self.guard.start_epoch()
        started = said = time.monotonic()
        loss_sum = torch.zeros((), device=self.device)
        correct = torch.zeros((), device=self.device)
        with tqdm(total=self.steps_per_epoch, disable=None, leave=False, unit="batch") as bar:
            bar.set_description(f"epoch {self.epoch}/{self.config.train_epochs}")
            for done, ids in enumerate(self._batches(), start=1):
                loss, hits = self._step(ids)
                loss_sum += torch.where(torch.isfinite(loss), loss, 0.0) * len(ids)
                correct += hits
                said = self._say_progress(bar, done, started, said)
                if bar.update():  # True only when the bar is redrawn, so the host rarely waits for the device
                    bar.set_postfix(self._progress(loss_sum, correct, done), refresh=False)
            self.guard.read_pending()
        return {
            "epoch": self.epoch,
            "step": self.step_number,
            "train_loss": loss_sum.item() / len(self.train),
            "train_accuracy": correct.item() / len(self.train),
            "learning_rate": self.learning_rate,
            "skipped_steps": self.guard.skipped,
            **self.guard.gradient_norms(),
        }

    def _step(self, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Take one optimizer step, in micro-batches where needed; return mean loss and number of right answers."""
        self.optimizer.zero_grad(set_to_none=True)
        self.guard.before_forward()
        loss = torch.zeros((), device=self.device)
        correct = torch.zeros((), device=self.device)
        whole = self.weigh(self.train.labels[ids])
        for part in ids.split(self.micro_batch_size):
            labels = self.train.labels[part]
            with autocast(self.device, self.precision):
                logits = self.model(self.train.inputs(part), self.train.marks[part])
                share = self.loss(logits.float(), labels) * (self.weigh(labels) / whole)
            (share if self.scaler is None else self.scaler.scale(share)).backward()
            loss += share.detach()
            correct += (_answer(logits) == labels).sum()
        self.learning_rate = float(self.schedule.get_last_lr()[0])
        self.guard.step(self.step_number, loss)
        self.schedule.step()
        self.step_number += 1
        return loss, correct

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

    def _progress(self, loss_sum: torch.Tensor, correct: torch.Tensor, done: int) -> dict[str, str]:
        seen = min(done * self.config.batch_size, len(self.train))
        norm = self.guard.norms[-1].item()
        return {
            "loss": f"{loss_sum.item() / seen:.4f}",
            "acc": f"{correct.item() / seen:.3f}",
            "lr": f"{self.schedule.get_last_lr()[0]:.1e}",
            "grad": f"{norm:.2f}",
            "skipped": str(self.guard.skipped),
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


def amp_dtype(amp: AmpName, device: torch.device) -> torch.dtype | None:
    """Return the precision of the forward pass, None for float32.

    A T4 reports bf16 as supported because it emulates it, slowly: there `auto` means fp16.
    """
    if amp == "auto":
        if device.type != "cuda":
            return None
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    return {"off": None, "bf16": torch.bfloat16, "fp16": torch.float16}[amp]


def autocast(device: torch.device, precision: torch.dtype | None) -> AbstractContextManager[Any]:
    """Return the context of the forward pass."""
    return nullcontext() if precision is None else torch.autocast(device.type, precision)


def _answer(logits: torch.Tensor) -> torch.Tensor:
    """Return the class that the logits favour; a single logit is the log odds of class 1."""
    return (logits[:, 0] > 0).long() if logits.shape[1] == 1 else logits.argmax(dim=1)
