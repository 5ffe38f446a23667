"""The training loop: any network, any loss, windows in, history out."""

from __future__ import annotations

import logging
import math
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, Protocol

import torch
from torch import nn
from tqdm import tqdm

from data_provider.windows import WindowSet
from exp import agreed, memory, progress
from exp.diagnosis.verdict import Verdict
from exp.epoch_sums import EpochSums
from exp.frozen_encoder import FrozenEncoder
from exp.full_checks import FullChecks
from exp.guard import Guard, GuardConfig, Outcome, StepRecord
from exp.objective import Objective, Windows
from exp.precision import AmpName, autocast
from exp.rates import Group, groups_of, with_own_warmup
from exp.schedule import learning_rate_factor
from exp.stages import Stages
from exp.step_watch import StepWatch
from exp.transfer_config import TransferConfig
from utils import distributed, signals
from utils.errors import NumericalError
from utils.flag_rules import require
from utils.reproducibility import RandomState

logger = logging.getLogger(__name__)
Row = dict[str, Any]
Explain = Callable[["Trainer", Outcome], Verdict]
SECONDS_BETWEEN_LINES = 30.0
# What a step came to is known one step later at most.
STEPS_LOOKED_BACK = 4
RUNNING = ("running_mean", "running_var")


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
    restart_epochs: float | None = field(
        default=None, metadata={"help": "with --cosine: begin it again at the full rate every so many epochs"}
    )
    min_learning_rate: float = field(default=0.0, metadata={"help": "lowest rate of the cosine"})
    amp: AmpName = field(
        default="off", metadata={"help": "mixed precision; auto: bf16 or fp16 as the GPU can, off on the CPU"}
    )

    compile: bool = field(
        default=False,
        metadata={
            "help": "compile the layers of a network (torch.compile): faster on a GPU after a slow first step, slower "
            "on a CPU with dropout; without a compiler the run goes on as it is"
        },
    )

    def __post_init__(self) -> None:
        for name in ("batch_size", "train_epochs", "patience", "learning_rate"):
            require(self, name, getattr(self, name) > 0, "must be above 0")
        for name in ("weight_decay", "warmup_epochs", "warmup_start_lr", "min_learning_rate"):
            require(self, name, getattr(self, name) >= 0, "cannot be negative")
        for name in ("micro_batch_size", "tmax", "restart_epochs"):
            require(self, name, getattr(self, name) is None or getattr(self, name) > 0, "must be above 0")


class Callback(ABC):
    """What happens at the end of an epoch; keeps what it remembers in the state of the training."""

    @abstractmethod
    def on_epoch_end(self, trainer: Trainer, row: Row) -> bool:
        """See one row of the history, already complete; return True to stop the training."""

    def stops(self, trainer: Trainer) -> bool:  # noqa: ARG002
        """Return whether what it remembers is a reason to train no further epoch after the trainer's last one."""
        return False

    def state(self) -> dict[str, Any]:
        """Return what it remembers, as plain values."""
        return {}

    def load_state(self, state: Mapping[str, Any]) -> None:  # noqa: B027 - most remember nothing
        """Remember what `state` returned."""


class Keeper(Protocol):
    """Keeps the state of a training, so that it can go on after an interruption."""

    def step_taken(self, trainer: Trainer) -> None:
        """See a step that is complete."""
        ...

    def epoch_ended(self, trainer: Trainer) -> None:
        """See an epoch that is complete, with its row in the history."""
        ...

    def interrupted(self, trainer: Trainer, stop: signals.Interrupted) -> signals.Interrupted:
        """Save what there is and return what is to be said about it."""
        ...

    def rolled_back(self, trainer: Trainer, error: NumericalError) -> bool:
        """Put the training back to a good state, or return False where the error has to end it."""
        ...


class Trainer:
    """Trains a network on windows.

    Args:
        model: called as `model(x (B, L, V), marks (B, M))`, returns logits or a forecast.
        objective: loss, precision and micro-batches.
        config: flags of the training.
        guard: flags of the guard.
        train: training windows.
        evaluate: returns the validation part of a history row, given the model that the steps of the epoch saw.
        seed: order of the windows.
        callbacks: seen at the end of each epoch, in order.
        explain: finds the cause of a step that was not finite.
        keeper: keeps the state; None: nothing is kept.
        transfer: what learns when, and at which rate; by default everything at one rate.
        frozen: runs a frozen encoder once per window; None: in every step.
    """

    def __init__(
        self,
        model: nn.Module,
        objective: Objective,
        config: TrainerConfig,
        guard: GuardConfig,
        train: Windows,
        *,
        evaluate: Callable[[nn.Module], Mapping[str, float | None]],
        seed: int,
        callbacks: tuple[Callback, ...] = (),
        explain: Explain | None = None,
        keeper: Keeper | None = None,
        transfer: TransferConfig | None = None,
        frozen: FrozenEncoder | None = None,
    ) -> None:
        self.model, self.objective, self.config, self.train = model, objective, config, train
        self.evaluate, self.callbacks, self.seed, self.keeper = evaluate, callbacks, seed, keeper
        self.device = train.device
        self.ranks = distributed.current()
        self.guilt: deque[tuple[int, torch.Tensor]] = deque(maxlen=STEPS_LOOKED_BACK)
        self.steps_per_epoch = -(-len(train) // config.batch_size)
        transfer = transfer or TransferConfig()
        self.stages = Stages(self.plain_model, transfer, config.train_epochs)
        self.groups = groups_of(self.plain_model, self.stages, transfer, config.weight_decay)
        self.optimizer = torch.optim.AdamW([self._options(group) for group in self.groups], fused=True)
        self.rate_scale = 1.0
        self.rollbacks = self.skipped_saves = 0
        self._factors = self._rate_factors(transfer.stage_warmup_epochs)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, self._factors)
        self.scaler = torch.amp.GradScaler(self.device.type) if objective.precision is torch.float16 else None
        self.watch = StepWatch(guard, self.steps_per_epoch, explain and partial(agreed.explained, explain, self))
        self.guard = Guard(
            model,
            self.optimizer,
            clip_grad_norm=guard.clip_grad_norm,
            scaler=self.scaler,
            on_outcome=self.watch.see,
        )
        self.checks = FullChecks(model) if guard.guard_level == "full" else None
        self.detect_anomaly = guard.detect_anomaly
        # The checks of every tensor look at the encoder too.
        self.frozen = frozen if self.checks is None else None
        self.seen: tuple[nn.Module, Windows] = (model, train)
        self.epoch = self.step_number = self.batch = 0
        self.learning_rate = config.learning_rate
        self.sums = EpochSums(self.device, objective.tally.name)
        self.seconds = 0.0
        self.history: list[Row] = []
        self.is_stopped = False
        self.epoch_start: dict[str, torch.Tensor] = {}
        self.anomaly: tuple[int, str] = (0, "")
        self.cut_short: Row | None = None

    @property
    def plain_model(self) -> nn.Module:
        """The model itself: a compiled one calls its tensors by other names."""
        return getattr(self.model, "_orig_mod", self.model)

    @property
    def is_finished(self) -> bool:
        """True after the last epoch, or once a callback has said stop."""
        return self.is_stopped or len(self.history) >= self.config.train_epochs

    def fit(self) -> list[Row]:
        """Train, from where the state is, until the last epoch or until a callback says stop.

        Returns:
            The history, a row an epoch.

        Raises:
            NumericalError: too many steps were not finite.
            Interrupted: a signal came; the step in progress was finished and the state kept.
        """
        with signals.deferred():
            while not self.is_finished:
                try:
                    self._finish_epoch()
                except NumericalError as error:
                    if self.keeper is None or not self.keeper.rolled_back(self, error):
                        # What the steps of this epoch came to, unless it is the row of a whole epoch that was refused.
                        self.cut_short = self._row() | {"cut_short": True} if len(self.history) < self.epoch else None
                        raise
                except signals.Interrupted as stop:
                    raise stop if self.keeper is None else self.keeper.interrupted(self, stop) from None
        return self.history

    def _finish_epoch(self) -> None:
        """Take the steps that are left of the epoch in progress, or all of the next one, and end it."""
        if len(self.history) == self.epoch:
            self._begin_epoch()
        row = self._train_epoch()
        self._share_running_statistics()
        trained = time.monotonic()
        # What is best, and when it ends, all ranks decide by the same figures.
        row |= self.ranks.told_by(0, dict(self.evaluate(self.seen[0])))
        row |= {
            "train_seconds": self.seconds,
            "evaluation_seconds": time.monotonic() - trained,
            "windows_per_second": len(self.train) / self.seconds,
        }
        self.history.append(row)
        answers = [callback.on_epoch_end(self, row) for callback in self.callbacks]
        self.is_stopped = any(answers)
        if self.keeper is not None:
            self.keeper.epoch_ended(self)
        if self.ranks.count > 1:
            self._stop_if_asked()

    def _share_running_statistics(self) -> None:
        """Take the mean over the ranks of what batch norm has seen, each on its share."""
        if self.ranks.count > 1:
            own = [each for name, each in self.plain_model.named_buffers() if name.endswith(RUNNING)]
            for buffer in own:
                buffer /= self.ranks.count
            self.ranks.add_up(own)

    def _begin_epoch(self) -> None:
        self.epoch += 1
        self.batch, self.seconds = 0, 0.0
        self.sums = EpochSums(self.device, self.objective.tally.name)
        self.watch.start_epoch()
        if self.epoch in self.stages.first_epochs and not self.stages.is_plain:
            logger.info("%s", self.stages.describe(self.plain_model, self.epoch))
        self.epoch_start = {
            name: tensor.detach().cpu().clone()
            for name, tensor in self.plain_model.named_parameters()
            if self.stages.learns(name, self.epoch)
        }

    def _train_epoch(self) -> Row:
        self.seen = self._what_steps_see()
        self.model.train()
        self.stages.enter(self.plain_model, self.epoch)
        self._take_steps()
        self.watch.end_epoch(self.epoch)
        if self.checks is not None:
            self.checks.report(self.seconds)
        return self._row()

    def _what_steps_see(self) -> tuple[nn.Module, Windows]:
        """Return model and windows of the steps: with a frozen encoder the head alone, and what the encoder gave."""
        if self.frozen is None:
            return self.model, self.train
        if self.stages.is_encoder_frozen(self.epoch):
            assert isinstance(self.train, WindowSet), "only a classifier has an encoder and a head"
            return self.frozen.head, self.frozen.encoded(self.train, "training")
        self.frozen.release()
        return self.model, self.train

    def _take_steps(self) -> None:
        """Take the steps that are left of an epoch, with a bar or lines of progress."""
        said = started = time.monotonic() - self.seconds
        hidden = None if self.ranks.is_first else True
        with tqdm(total=self.steps_per_epoch, initial=self.batch, disable=hidden, leave=False, unit="batch") as bar:
            bar.set_description(f"epoch {self.epoch}/{self.config.train_epochs}")
            for number, ids in enumerate(self._batches()[self.batch :], start=self.batch + 1):
                self.batch = number
                self.sums.add(*self._step(ids), len(ids))
                self.seconds = time.monotonic() - started
                said = self._say_progress(bar, said)
                if bar.update():  # True only when the bar is redrawn, so the host rarely waits for the device
                    bar.set_postfix(progress.postfix(self), refresh=False)
                if self.keeper is not None:
                    self.keeper.step_taken(self)
                self._stop_if_asked()
            self.guard.read_pending()

    def _stop_if_asked(self) -> None:
        """End here where a signal came, to any rank."""
        (asked,) = self.ranks.first_raised([signals.requested() is not None])
        if asked is not None:
            signals.remember(f"a signal to rank {asked}")
            self.guard.read_pending()  # a bad step goes the usual way, before anything is saved
        signals.check()

    def _row(self) -> Row:
        """Return what the steps of this epoch came to so far."""
        return {
            "epoch": self.epoch,
            "step": self.step_number,
            **self.sums.means(),
            "learning_rate": self.learning_rate,
            **self.watch.row(),
            **({"rollbacks": self.rollbacks} if self.rollbacks else {}),
            **({"skipped_saves": self.skipped_saves} if self.skipped_saves else {}),
        }

    def _step(self, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Take one optimizer step, in micro-batches where needed; return mean loss and what is counted."""
        self.optimizer.zero_grad(set_to_none=True)
        share = self.ranks.share(ids)
        step = self.record(share)
        self.learning_rate = max(step.learning_rates)
        self.guard.before_forward(step)
        loss, correct = self._of_all_ranks(*self._backward(share, ids))
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

    def _of_all_ranks(self, loss: torch.Tensor, counted: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Add up gradients, loss and count of all ranks, and note whose were not finite."""
        ranks = self.ranks
        if ranks.count == 1:
            return loss, counted
        if self.detect_anomaly:
            (stopped,) = ranks.first_raised([self.anomaly[0] == self.step_number + 1])
            if stopped is not None:  # its backward pass was cut short, so that not all gradients are there
                return self._spoiled_by(stopped, loss, counted)
        gradients = [each.grad for each in self.plain_model.parameters() if each.grad is not None]
        own = torch.zeros(2 + ranks.count, device=self.device)
        own[0], own[1] = loss, counted
        own[2 + ranks.number] = ~(torch.isfinite(loss) & torch.isfinite(torch.nn.utils.get_total_norm(gradients)))
        ranks.add_up([*gradients, own])
        self.guilt.append((self.step_number + 1, own[2:]))
        return own[0], own[1]

    def _spoiled_by(self, rank: int, loss: torch.Tensor, counted: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return a step that is not finite on any rank, since that of one is not."""
        self.optimizer.zero_grad(set_to_none=True)
        flags = torch.zeros(self.ranks.count, device=self.device)
        flags[rank] = 1
        self.guilt.append((self.step_number + 1, flags))
        return torch.full_like(loss, math.nan), torch.zeros_like(counted)

    def guilty_rank(self, step: int) -> int:
        """Return the first rank whose share of a step was not finite; the first of all where each alone was."""
        found = next((flags for number, flags in reversed(self.guilt) if number == step), None)
        return 0 if found is None or not bool(found.any()) else int(found.argmax())

    def _backward(self, ids: torch.Tensor, of: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Compute loss and gradients of this rank's part of a batch; what torch's anomaly mode stops is not finite."""
        if self.checks is not None:
            self.checks.weights(self.model, f"step {self.step_number + 1}")
        scale = None if self.scaler is None else self.scaler.scale
        try:
            with torch.autograd.set_detect_anomaly(self.detect_anomaly):
                return self.objective.backward(*self.seen, ids, of=of, scale=scale, probe=self.checks)
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

    def scale_rates(self, scale: float) -> None:
        """Multiply every learning rate, of the next step on, by `scale` times what the schedule says."""
        self.rate_scale = scale
        bases, done = self.schedule.base_lrs, self.schedule.last_epoch
        rates = [base * factor(done) for base, factor in zip(bases, self._factors, strict=True)]
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate
        self.schedule._last_lr = rates

    def follow_flags(self, rate_scale: float) -> None:
        """Take rate and decay from the flags: a state that was put back may have been saved under others."""
        own = [self._options(group) for group in self.groups]
        for group, options in zip(self.optimizer.param_groups, own, strict=True):
            group["initial_lr"], group["weight_decay"] = options["lr"], options["weight_decay"]
        self.schedule.base_lrs = [options["lr"] for options in own]
        self.scale_rates(rate_scale)

    def _batches(self) -> tuple[torch.Tensor, ...]:
        """Return the window ids of each step, in an order that depends on seed and epoch alone."""
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        order = torch.randperm(len(self.train), generator=generator).to(self.device)
        return order.split(self.config.batch_size)

    def _say_progress(self, bar: tqdm, said: float) -> float:
        """Log a line now and then where no bar is shown; return when that was last done."""
        now = time.monotonic()
        if not bar.disable or now - said < SECONDS_BETWEEN_LINES:
            return said
        logger.info("%s", progress.line(self))
        return now

    def _options(self, group: Group) -> dict[str, Any]:
        rate = self.config.learning_rate * group.rate_factor
        return {"params": list(group.parameters), "lr": rate, "weight_decay": group.weight_decay}

    def _rate_factors(self, stage_warmup_epochs: float) -> list[Callable[[int], float]]:
        """Return the factor on the rate of each group."""
        config = self.config
        factor = learning_rate_factor(
            learning_rate=config.learning_rate,
            steps_per_epoch=self.steps_per_epoch,
            warmup_epochs=config.warmup_epochs,
            warmup_start_lr=config.warmup_start_lr,
            cosine_epochs=(config.tmax or config.train_epochs) if config.cosine else None,
            min_learning_rate=config.min_learning_rate,
            restart_epochs=config.restart_epochs if config.cosine else None,
        )

        # Multiplying by 1.0 changes no bit, so a run without a rollback is as it would be without this.
        def scaled(step: int) -> float:
            return factor(step) * self.rate_scale

        return [
            with_own_warmup(scaled, group.begin, self.steps_per_epoch, stage_warmup_epochs) for group in self.groups
        ]


@torch.no_grad()
def predict_logits(
    model: nn.Module,
    windows: Windows,
    batch_size: int,
    precision: torch.dtype | None,
    *,
    title: str = "",
    ranks: distributed.Ranks | None = None,
) -> torch.Tensor:
    """Return the logits `(N, K)` of all windows in float32, in their own order, on their device.

    Args:
        model: called as in training.
        windows: of a split.
        batch_size: windows per forward pass.
        precision: of it.
        title: of the bar; none is shown without.
        ranks: share the work among these; by default this process does it alone.
    """
    model.eval()
    if ranks is not None and ranks.count > 1:
        return _shared_logits(model, windows, batch_size, precision, ranks)
    parts = []
    ids = torch.arange(len(windows), device=windows.device)
    for part in tqdm(ids.split(batch_size), disable=None if title else True, leave=False, desc=title, unit="batch"):
        signals.check()
        with autocast(windows.device, precision):
            parts.append(model(windows.inputs(part), windows.marks[part]).float())
    return torch.cat(parts)


def _shared_logits(
    model: nn.Module, windows: Windows, batch_size: int, precision: torch.dtype | None, ranks: distributed.Ranks
) -> torch.Tensor:
    """Return what `predict_logits` does, each rank having done its share; signals wait, or the others would wait."""
    ids = torch.arange(len(windows), device=windows.device)
    own = ranks.share(ids)
    parts = []
    # A rank without windows does one for the shape of the answer.
    for part in (own if len(own) else ids[:1]).split(batch_size):
        with autocast(windows.device, precision):
            parts.append(model(windows.inputs(part), windows.marks[part]).float())
    told = torch.cat(parts)
    logits = torch.zeros(len(windows), *told.shape[1:], device=windows.device)
    logits[own] = told[: len(own)]
    ranks.add_up([logits])
    return logits
