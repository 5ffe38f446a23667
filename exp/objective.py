"""Loss and gradients of one batch: the training step and its replay run the same lines.

B windows of a batch, L time steps, V variables, M marks, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import nn

from exp.precision import autocast

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
LossTerms = Callable[[torch.Tensor, torch.Tensor], Mapping[str, torch.Tensor]]


class Windows(Protocol):
    """Where a batch comes from: the windows of a split, or those a replay bundle has kept."""

    device: torch.device
    labels: torch.Tensor
    marks: torch.Tensor

    def inputs(self, ids: torch.Tensor) -> Any:
        """Return `(B, L, V)` of the windows `ids`, or what else their model takes."""
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
class Objective:
    """What a step minimises, and in which pieces and precision.

    Attributes:
        loss: `loss(logits (B, K), labels (B,)) -> scalar` mean over the batch.
        micro_batch_size: windows per forward pass.
        precision: of the forward pass, None for float32.
        weigh: what the mean loss of a batch with these labels divides by.
        terms: the parts that the loss is made of, by name, for the diagnosis; each `(B,)` or a scalar.
    """

    loss: Loss
    micro_batch_size: int
    precision: torch.dtype | None = None
    weigh: Callable[[torch.Tensor], torch.Tensor] = count
    terms: LossTerms | None = None

    def backward(
        self,
        model: nn.Module,
        windows: Windows,
        ids: torch.Tensor,
        *,
        scale: Callable[[torch.Tensor], torch.Tensor] | None = None,
        probe: Probe | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Add the gradients of the windows `ids` to the model, in micro-batches where needed.

        Args:
            model: called as `model(x (B, L, V), marks (B, M))`.
            windows: where the batch comes from.
            ids: `(B,)` which windows.
            scale: what multiplies the loss before the backward pass, as float16 needs it.
            probe: sees inputs and outputs of each micro-batch.

        Returns:
            The mean loss and the number of right answers, both detached scalars on the device.
        """
        probe = probe or Probe()
        loss = torch.zeros((), device=windows.device)
        correct = torch.zeros((), device=windows.device)
        whole = self.weigh(windows.labels[ids])
        for part in ids.split(self.micro_batch_size):
            labels, marks, inputs = windows.labels[part], windows.marks[part], windows.inputs(part)
            probe.batch(inputs, marks, labels)
            with autocast(windows.device, self.precision):
                logits = model(inputs, marks)
                share = self.loss(logits.float(), labels) * (self.weigh(labels) / whole)
            probe.output(logits, labels, share)
            (share if scale is None else scale(share)).backward()
            loss += share.detach()
            correct += (answers(logits) == labels).sum()
        return loss, correct


def answers(logits: torch.Tensor) -> torch.Tensor:
    """Return the class `(B,)` that the logits favour; a single logit is the log odds of class 1."""
    return (logits[:, 0] > 0).long() if logits.shape[1] == 1 else logits.argmax(dim=1)
