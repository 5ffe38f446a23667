"""Act 1, what the settings of the notes did: a finite loss, one step, and no weight is a number any more.

THE ONLY PLACE IN THIS REPOSITORY WHERE NaN IS REPLACED BY A NUMBER. It is here to show what that does; nothing in the
rooms of the project may import it, and tests/test_architecture.py forbids it there.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace

import torch
from torch import nn
from torch.nn.functional import cross_entropy
from tqdm import tqdm

import models
from scripts.replay_case import stacked
from scripts.replay_case.stacked import BATCH_WINDOWS, StackedTable, StackedWindows

logger = logging.getLogger(__name__)

# Small on purpose: what happens does not depend on the size, and two layers show it in seconds.
MODEL_FLAGS = {"e_layers": 2, "d_model": 32, "d_ff": 64, "n_heads": 4, "input_token_len": 480, "output_token_len": 96}
EPOCHS = 2
LEARNING_RATE = 1e-4
CLIP_NORM = 1.0
CLASSES = 2


class SafetyNet(nn.Module):
    """A classifier with the net of the case: missing values behind the encoder become zeros before the head."""

    def __init__(self, classifier: nn.Module) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits `(B, 2)` of windows `(B, L, C)`; they are finite whatever the windows hold."""
        return self.classifier.classify(torch.nan_to_num(self.classifier.pooled(x)))  # type: ignore[operator]


@dataclass(frozen=True)
class Batch:
    """What was left after one batch: its loss, its right answers, and which share of all weights is NaN."""

    epoch: int
    loss: float
    applied: bool
    windows: int
    right_answers: int
    nan_share: float


@dataclass(frozen=True)
class FirstStep:
    """One step of a fresh model looked at closely; tensors that hold a NaN, of `tensors`."""

    loss: float
    windows: int
    windows_with_nan: int
    tensors: int
    gradients: int
    clipped_gradients: int
    weights: int


@dataclass(frozen=True)
class Epoch:
    """What the notes' program saw at the end of an epoch, and what it kept as its best weights."""

    number: int
    training_accuracy: float
    validation_loss: float
    called_best: bool
    nan_tensors_in_best: int


@dataclass(frozen=True)
class Reenactment:
    """Everything act 1 counted."""

    table: StackedTable
    windows: int
    touched: int
    rain_rows_share: float
    dry_windows_share: float
    parameters: int
    first: FirstStep
    without_blank_rows: FirstStep
    batches: tuple[Batch, ...]
    epochs: tuple[Epoch, ...]
    loss_on_clean_windows: float

    @property
    def touched_share(self) -> float:
        """Share of the training windows that hold a missing value."""
        return self.touched / self.windows

    def skipped(self, epoch: int) -> int:
        """Return how many batches of an epoch were skipped because their loss was not finite."""
        return sum(not batch.applied for batch in self.batches if batch.epoch == epoch)

    def batches_in(self, epoch: int) -> int:
        """Return how many batches an epoch had."""
        return sum(batch.epoch == epoch for batch in self.batches)


def reenact(table: StackedTable, *, seed: int, batches_per_epoch: int | None = None) -> Reenactment:
    """Train with the notes' settings and count.

    Args:
        table: the stacked rows.
        seed: of the initial weights and of the order of the windows.
        batches_per_epoch: stop epochs early; all batches by default.
    """
    windows = stacked.training_windows(table)
    order = _order(windows, seed, 1)
    first_ids = order[:BATCH_WINDOWS]
    model = fresh_model(len(table.columns), seed)
    batches, epochs = _train(model, windows, stacked.validation_windows(table), seed, batches_per_epoch)
    clean_ids = torch.from_numpy((~windows.touched).nonzero()[0][:BATCH_WINDOWS])
    return Reenactment(
        table=table,
        windows=len(windows),
        touched=int(windows.touched.sum()),
        rain_rows_share=table.labels[: table.training_rows].float().mean().item(),
        dry_windows_share=1 - windows.labels(torch.arange(len(windows))).float().mean().item(),
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        first=first_step(windows, first_ids, windows.inputs, seed),
        without_blank_rows=first_step(windows, first_ids, windows.inputs_without_blank_rows, seed),
        batches=tuple(batches),
        epochs=tuple(epochs),
        loss_on_clean_windows=_mean_loss(model, windows, clean_ids),
    )


def fresh_model(columns: int, seed: int) -> SafetyNet:
    """Build the classifier with its initial weights, inside the net."""
    torch.manual_seed(seed)
    values = SimpleNamespace(**MODEL_FLAGS, n_variables=columns, n_classes=CLASSES)
    return SafetyNet(models.build("timer_xl_classifier", values))


def first_step(
    windows: StackedWindows, ids: torch.Tensor, inputs: Callable[[torch.Tensor], torch.Tensor], seed: int
) -> FirstStep:
    """Give one batch to a fresh model, take the step, and count the tensors with NaN on the way.

    Args:
        windows: where labels come from.
        ids: the batch.
        inputs: how the windows of the batch are cut.
        seed: of the initial weights.
    """
    x = inputs(ids)
    model = fresh_model(x.shape[-1], seed)
    optimizer = _optimizer(model)
    parameters = list(model.parameters())
    loss = cross_entropy(model(x), windows.labels(ids))
    loss.backward()
    gradients = _count_nan([parameter.grad for parameter in parameters])
    nn.utils.clip_grad_norm_(parameters, CLIP_NORM)
    clipped = _count_nan([parameter.grad for parameter in parameters])
    optimizer.step()
    return FirstStep(
        loss=loss.item(),
        windows=len(ids),
        windows_with_nan=int(torch.isnan(x).flatten(1).any(dim=1).sum()),
        tensors=len(parameters),
        gradients=gradients,
        clipped_gradients=clipped,
        weights=_count_nan(parameters),
    )


def _train(
    model: SafetyNet, train: StackedWindows, validation: StackedWindows, seed: int, batches_per_epoch: int | None
) -> tuple[list[Batch], list[Epoch]]:
    """The loop of the notes: skip a loss that is not finite, clip, step; keep the weights of the "best" epoch."""
    optimizer = _optimizer(model)
    batches: list[Batch] = []
    epochs: list[Epoch] = []
    best_loss, nan_in_best = float("inf"), 0
    for number in range(1, EPOCHS + 1):
        model.train()
        order = _order(train, seed, number).split(BATCH_WINDOWS)[:batches_per_epoch]
        for ids in tqdm(order, desc=f"epoch {number}/{EPOCHS} of the notes", unit="batch", disable=None, leave=False):
            batches.append(_one_batch(model, optimizer, train, ids, number))
        mine = [batch for batch in batches if batch.epoch == number]
        accuracy = sum(batch.right_answers for batch in mine) / sum(batch.windows for batch in mine)
        loss = _mean_loss(model, validation, torch.arange(len(validation)), batches_per_epoch)
        # A comparison with NaN is false, so "not worse than before" is true: the dead weights are the best ones.
        called_best = not loss > best_loss
        if called_best:
            best_loss, nan_in_best = loss, _count_nan(list(model.parameters()))
        epochs.append(Epoch(number, accuracy, loss, called_best, nan_in_best))
        logger.info(
            "  epoch %d: %d of %d batches skipped, accuracy %.3f, validation loss %.4f%s",
            number,
            sum(not batch.applied for batch in mine),
            len(mine),
            accuracy,
            loss,
            ", kept as best" if called_best else "",
        )
    return batches, epochs


def _one_batch(
    model: SafetyNet, optimizer: torch.optim.Optimizer, windows: StackedWindows, ids: torch.Tensor, epoch: int
) -> Batch:
    optimizer.zero_grad()
    labels = windows.labels(ids)
    logits = model(windows.inputs(ids))
    loss = cross_entropy(logits, labels)
    applied = bool(torch.isfinite(loss))
    if applied:
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), CLIP_NORM)
        optimizer.step()
    # Among logits that are all NaN the first counts as the largest: class 0, "no rain", whatever the window.
    right_answers = int((logits.argmax(dim=1) == labels).sum())
    return Batch(epoch, loss.item(), applied, len(ids), right_answers, _nan_share(model))


@torch.no_grad()
def _mean_loss(model: SafetyNet, windows: StackedWindows, ids: torch.Tensor, n_batches: int | None = None) -> float:
    """Return the mean loss of (the first batches of) windows."""
    model.eval()
    parts = ids.split(BATCH_WINDOWS)[:n_batches]
    logits = torch.cat([model(windows.inputs(part)) for part in parts])
    return cross_entropy(logits, windows.labels(torch.cat(parts))).item()


def _order(windows: StackedWindows, seed: int, epoch: int) -> torch.Tensor:
    return torch.randperm(len(windows), generator=torch.Generator().manual_seed(1000 * seed + epoch))


def _optimizer(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE)


def _count_nan(tensors: list[torch.Tensor | None] | list[nn.Parameter]) -> int:
    """Return how many tensors hold a NaN."""
    return sum(tensor is not None and bool(torch.isnan(tensor).any()) for tensor in tensors)


def _nan_share(model: nn.Module) -> float:
    total = sum(parameter.numel() for parameter in model.parameters())
    return sum(int(torch.isnan(parameter).sum()) for parameter in model.parameters()) / total
