"""--guard_level full: every tensor of every step is looked at, the first bad one is named, and the cost is told.

Each look waits for the device. The guard itself needs none of this: it skips what is not finite either way.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec

import torch
from torch import nn

from exp.diagnosis.arithmetic import blind_rows
from exp.objective import Probe
from layers.masks import AttentionLayout

logger = logging.getLogger(__name__)
LINES_PER_EPOCH = 3
Words = ParamSpec("Words")


def _timed(method: Callable[Concatenate[FullChecks, Words], None]) -> Callable[Concatenate[FullChecks, Words], None]:
    """Add the seconds of a check to its cost."""

    @wraps(method)
    def timed(self: FullChecks, *words: Words.args, **named: Words.kwargs) -> None:
        started = time.perf_counter()
        try:
            method(self, *words, **named)
        finally:
            self.seconds += time.perf_counter() - started

    return timed


class FullChecks(Probe):
    """Looks at weights, inputs, labels, attention masks, outputs, loss and gradients of each step.

    Args:
        model: its attention masks are watched from now on.
    """

    def __init__(self, model: nn.Module) -> None:
        self.seconds = 0.0
        self.found = self.looked_at = self._lines = 0
        self.step = ""
        self._named_in: str | None = None
        for name, module in model.named_modules():
            module.register_forward_pre_hook(self._watch_masks(name), with_kwargs=True)

    @_timed
    def weights(self, model: nn.Module, step: str) -> None:
        """See the weights before a step."""
        self.step = step
        for name, tensor in model.state_dict().items():
            self._look(f"weight {name}", tensor)

    @_timed
    def batch(self, inputs: torch.Tensor, marks: torch.Tensor, labels: torch.Tensor) -> None:
        """See a batch before the forward pass."""
        self._look("input", inputs)
        self._look("calendar mark", marks)
        self._look("label", labels)
        if not labels.is_floating_point() and bool((labels < 0).any()):
            self._name(f"label {int(labels.min())}, which is no class")

    @_timed
    def output(self, logits: torch.Tensor, labels: torch.Tensor, loss: torch.Tensor) -> None:  # noqa: ARG002
        """See logits and loss before the backward pass."""
        self._look("output", logits)
        self._look("loss", loss)

    @_timed
    def gradients(self, model: nn.Module, step: str) -> None:
        """See the gradients before the update."""
        self.step = step
        for name, parameter in model.named_parameters():
            if parameter.grad is not None:
                self._look(f"gradient {name}", parameter.grad)

    def report(self, epoch_seconds: float) -> None:
        """Tell the cost of an epoch's checks, and start anew."""
        logger.info(
            "  --guard_level full: %d tensors looked at, %d not finite, %.2f s, %.1f %% of the epoch",
            self.looked_at,
            self.found,
            self.seconds,
            100 * self.seconds / epoch_seconds,
        )
        self.seconds = 0.0
        self.found = self.looked_at = self._lines = 0

    def _look(self, name: str, tensor: torch.Tensor) -> None:
        self.looked_at += 1
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            self._name(name)

    def _name(self, what: str) -> None:
        """Name the first bad tensor of a step; what follows in the same step follows from it."""
        self.found += 1
        if self._named_in != self.step:
            self._named_in = self.step
            self._lines += 1
            if self._lines <= LINES_PER_EPOCH:
                logger.warning("--guard_level full: first not finite at %s: %s", self.step, what)

    def _watch_masks(self, module_name: str) -> Callable[..., None]:
        def hook(_: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
            for value in (*inputs, *named.values()):
                if isinstance(value, AttentionLayout):
                    rows = value.hidden.all(dim=-1).nonzero().flatten().tolist()
                    if rows:
                        raise blind_rows([(module_name, row) for row in rows], self.step).as_error()

        return hook
