"""Is this step finite? If not it changes nothing: the optimizer skips on the device, and the skip is counted.

The total gradient norm, needed for clipping anyway, tells whether any gradient is not finite. The answer goes to the
fused AdamW as `found_inf`, so that its kernel leaves weights, moments and step count bitwise as they were; the host
reads it one step late. Multiplying by zero would not do: 0 x NaN is NaN.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import nn
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from utils.errors import NumericalError

MINIMUM_BUDGET = 3
LONGEST_RUN_OF_SKIPS = 10


class Guard:
    """Clips, judges and takes the step.

    Args:
        model: its running statistics are put back after a bad step.
        optimizer: a fused AdamW.
        clip_grad_norm: total gradient norm above which gradients are scaled down; 0 never clips.
        max_skipped_steps: below 1 a share of an epoch (at least 3 steps), else a number of steps per epoch.
        steps_per_epoch: attempted steps of an epoch.
        scaler: loss scaler of float16, or None.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        *,
        clip_grad_norm: float,
        max_skipped_steps: float,
        steps_per_epoch: int,
        scaler: torch.amp.GradScaler | None = None,
    ) -> None:
        self.optimizer = optimizer
        self.scaler = scaler
        self.clip_grad_norm = clip_grad_norm
        self.budget = _budget(max_skipped_steps, steps_per_epoch)
        self.skipped = 0
        self.skipped_total = 0
        self.norms: list[torch.Tensor] = []
        self._in_a_row = 0
        self._pending: tuple[int, torch.Tensor, torch.cuda.Event | None] | None = None
        self._parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        self._statistics = [
            buffer
            for module in model.modules()
            if isinstance(module, nn.modules.batchnorm._BatchNorm)
            for buffer in module.buffers(recurse=False)
        ]
        self._kept: list[torch.Tensor] = []

    def start_epoch(self) -> None:
        """Count skips and norms anew."""
        self.skipped, self.norms = 0, []

    def before_forward(self) -> None:
        """Keep the running statistics, which a forward pass with NaN would poison."""
        self._kept = [buffer.clone() for buffer in self._statistics]

    def step(self, number: int, loss: torch.Tensor) -> None:
        """Take the optimizer step when loss and gradients are finite, else leave everything as it was.

        Args:
            number: attempted step, for the message.
            loss: scalar training loss, detached, on the device.

        Raises:
            NumericalError: the previous step exhausted the budget of skipped steps.
        """
        if self.scaler is not None:
            self.scaler.unscale_(self.optimizer)
        norm = get_total_norm(gradients(self._parameters))
        bad = ~(torch.isfinite(norm) & torch.isfinite(loss))
        if self.clip_grad_norm > 0:
            clip_grads_with_norm_(self._parameters, self.clip_grad_norm, norm)
        self.read_pending()
        self.optimizer.found_inf = bad.to(torch.float32)  # type: ignore[attr-defined]
        self.optimizer.step()
        if self.scaler is not None:
            self.scaler.update()
        for buffer, kept in zip(self._statistics, self._kept, strict=True):
            buffer.copy_(torch.where(bad, kept, buffer))
        self.norms.append(norm.detach())
        self._pending = (number, *_to_host(bad))

    def read_pending(self) -> None:
        """Count the step before this one, whose verdict has reached the host by now.

        Raises:
            NumericalError: the budget of skipped steps is spent.
        """
        if self._pending is None:
            return
        number, flag, event = self._pending
        self._pending = None
        if event is not None:
            event.synchronize()
        if not bool(flag):
            self._in_a_row = 0
            return
        self.skipped += 1
        self.skipped_total += 1
        self._in_a_row += 1
        if self.skipped > self.budget or self._in_a_row >= LONGEST_RUN_OF_SKIPS:
            raise NumericalError(
                "SKIP_BUDGET",
                f"{self.skipped} steps of this epoch were not finite; they were skipped and changed nothing.",
                where=f"step {number}",
                evidence=f"allowed: {self.budget} an epoch and {LONGEST_RUN_OF_SKIPS - 1} in a row; "
                "last.pt in the run directory holds the last whole epoch, if there was one",
                next_command="check the data for missing values, lower --learning_rate, or use --amp off",
            )

    def gradient_norms(self) -> dict[str, float | None]:
        """Return median and maximum of this epoch's finite gradient norms, and the share that was clipped."""
        norms = torch.stack(self.norms).float().cpu() if self.norms else torch.empty(0)
        norms = norms[torch.isfinite(norms)]
        if not len(norms):
            return {"gradient_norm_median": None, "gradient_norm_max": None, "clipped_share": None}
        limit = self.clip_grad_norm if self.clip_grad_norm > 0 else math.inf
        return {
            "gradient_norm_median": norms.median().item(),
            "gradient_norm_max": norms.max().item(),
            "clipped_share": (norms > limit).float().mean().item(),
        }


def gradients(parameters: Iterable[torch.Tensor]) -> list[torch.Tensor]:
    """Return the gradients that exist."""
    return [parameter.grad for parameter in parameters if parameter.grad is not None]


def _budget(max_skipped_steps: float, steps_per_epoch: int) -> int:
    if max_skipped_steps >= 1:
        return int(max_skipped_steps)
    return max(MINIMUM_BUDGET, int(max_skipped_steps * steps_per_epoch))


def _to_host(flag: torch.Tensor) -> tuple[torch.Tensor, torch.cuda.Event | None]:
    """Start copying a flag to the host without waiting for it."""
    if flag.device.type != "cuda":
        return flag, None
    host = torch.empty((), dtype=flag.dtype, pin_memory=True)
    host.copy_(flag, non_blocking=True)
    event = torch.cuda.Event()
    event.record()
    return host, event
