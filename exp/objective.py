"""Loss and gradients of one batch: the training step and its replay run the same lines.

B windows of a batch, L time steps, V variables, M marks, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import torch
from torch import nn

from exp.precision import autocast

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
LossTerms = Callable[[torch.Tensor, torch.Tensor], Mapping[str, torch.Tensor]]


class Windows(Protocol):
    """Where a batch comes from: the windows of a split, or those a replay bundle has kept."""

    device: torch.device
    marks: torch.Tensor
    table: torch.Tensor
    context_length: int
    kind: ClassVar[str]

    def __len__(self) -> int: ...

    def inputs(self, ids: torch.Tensor) -> Any:
        """Return `(B, L, V)` of the windows `ids`, or what else their model takes."""
        ...

    def targets(self, ids: torch.Tensor) -> torch.Tensor:
        """Return what the model is to answer: classes `(B,)`, or a series laid out as its output."""
        ...

    def cells(self, ids: torch.Tensor) -> torch.Tensor:
        """Return every value of the data that a step on these windows sees, `(B, rows, V)`."""
        ...

    def place(self, window: int, row: int, step_hours: int) -> tuple[str, str]:
        """Return the time of a row of a window, and the name of the region or series (`kind`)."""
        ...

    def subset(self, ids: torch.Tensor) -> Windows:
        """Return these windows alone, with a copy of their rows; its ids begin at 0."""
        ...


class Probe:
    """Sees what passes by in a step; this one looks at nothing."""

    def batch(self, inputs: torch.Tensor, marks: torch.Tensor, labels: torch.Tensor) -> None:
        """See `(B, L, V)`, `(B, M)` and `(B,)` before the forward pass."""

    def output(self, logits: torch.Tensor, labels: torch.Tensor, loss: torch.Tensor) -> None:
        """See `(B, K)`, `(B,)` and the share of the loss before the backward pass."""


def count(labels: torch.Tensor) -> torch.Tensor:
    """Return the number of labels: what an unweighted mean divides by."""
    return torch.full((), float(len(labels)), device=labels.device)


@dataclass(frozen=True, kw_only=True)
class Tally:
    """What is counted beside the loss, to be told with it.

    Attributes:
        name: of its mean over the windows in a row of the history.
        short: in the progress bar.
        count: `count(output, target) -> scalar` sum over the windows of a batch.
    """

    name: str
    short: str
    count: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def answers(logits: torch.Tensor) -> torch.Tensor:
    """Return the class `(B,)` that the logits favour; a single logit is the log odds of class 1."""
    return (logits[:, 0] > 0).long() if logits.shape[1] == 1 else logits.argmax(dim=1)


def _right(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return (answers(logits) == labels).sum()


RIGHT_ANSWERS = Tally(name="train_accuracy", short="acc", count=_right)


@dataclass(frozen=True, kw_only=True)
class Objective:
    """What a step minimises, and in which pieces and precision.

    Attributes:
        loss: `loss(output, target) -> scalar` mean over the batch: logits `(B, K)` and classes `(B,)`, or two series.
        micro_batch_size: windows per forward pass.
        precision: of the forward pass, None for float32.
        weigh: what the mean loss of a batch with these labels divides by.
        terms: the parts that the loss is made of, by name, for the diagnosis; each `(B,)` or a scalar.
        tally: what is counted beside it; right answers where the targets are classes.
    """

    loss: Loss
    micro_batch_size: int
    precision: torch.dtype | None = None
    weigh: Callable[[torch.Tensor], torch.Tensor] = count
    terms: LossTerms | None = None
    tally: Tally = RIGHT_ANSWERS

    def backward(
        self,
        model: nn.Module,
        windows: Windows,
        ids: torch.Tensor,
        *,
        of: torch.Tensor | None = None,
        scale: Callable[[torch.Tensor], torch.Tensor] | None = None,
        probe: Probe | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Add the gradients of the windows `ids` to the model, in micro-batches where needed.

        Args:
            model: called as `model(x (B, L, V), marks (B, M))`.
            windows: where the batch comes from.
            ids: `(B,)` which windows.
            of: `(N,)` the windows of the whole batch, where these are a part of it: gradients and loss of all parts add
                up to those of the batch. A part without windows adds zeros.
            scale: what multiplies the loss before the backward pass, as float16 needs it.
            probe: sees inputs and outputs of each micro-batch.

        Returns:
            The mean loss (of a part: its share of it) and what is counted, both detached scalars on the device.
        """
        probe = probe or Probe()
        loss = torch.zeros((), device=windows.device)
        counted = torch.zeros((), device=windows.device)
        everything = ids if of is None else of
        whole = self.weigh(windows.targets(everything))
        is_idle = not len(ids)
        for part in (everything[:1] if is_idle else ids).split(self.micro_batch_size):
            labels, marks, inputs = windows.targets(part), windows.marks[part], windows.inputs(part)
            probe.batch(inputs, marks, labels)
            with autocast(windows.device, self.precision):
                logits = model(inputs, marks)
                weight = torch.zeros_like(whole) if is_idle else self.weigh(labels) / whole
                share = self.loss(logits.float(), labels) * weight
            probe.output(logits, labels, share)
            (share if scale is None else scale(share)).backward()
            loss += share.detach()
            if not is_idle:
                counted += self.tally.count(logits.detach(), labels)
        return loss, counted
