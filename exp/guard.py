"""The step that cannot hurt: a step that is not finite changes nothing, and on a GPU the host learns it a step later.

The total gradient norm, needed for clipping anyway, tells whether any gradient is not finite. The answer goes to the
fused AdamW as `found_inf`, so that its kernel leaves weights, moments and step count bitwise as they were. Nothing
waits for the device. Multiplying by zero would not do: 0 x NaN is NaN.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import nn
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from utils.flag_rules import require
from utils.reproducibility import RandomState

# At a scale of 1 a float16 gradient that overflows is the gradient's own fault, not that of the scaling.
LOSS_SCALE_FLOOR = 1.0


@dataclass(frozen=True, kw_only=True)
class GuardConfig:
    """Guard against NaN."""

    clip_grad_norm: float = field(
        default=1.0, metadata={"help": "scale gradients down to this total norm; 0 never clips"}
    )
    nan_policy: Literal["skip", "stop", "rollback"] = field(
        default="skip",
        metadata={
            "help": "a step that is not finite changes nothing; skip goes on within --max_skipped_steps, stop ends "
            "the run at the first one and scores the best weights so far, rollback goes back to the last verified "
            "state at half the rates, twice at most, where skip would end (all end with 5 when a run is cut short)"
        },
    )
    max_skipped_steps: float = field(
        default=0.01,
        metadata={
            "help": "non-finite steps that are skipped before the run stops: 0 none, below 1 a share of an epoch "
            "(at least 3), else a number; ten in a row always stop"
        },
    )
    guard_level: Literal["step", "full"] = field(
        default="step",
        metadata={
            "help": "step: loss and total gradient norm, at no measurable cost; full: also every input, label, output, "
            "gradient, parameter and attention mask in every step, named and its cost printed"
        },
    )
    detect_anomaly: bool = field(
        default=False, metadata={"help": "torch's anomaly mode: names the operation whose backward gave NaN; slow"}
    )

    def __post_init__(self) -> None:
        for name in ("clip_grad_norm", "max_skipped_steps"):
            require(self, name, 0 <= getattr(self, name) < math.inf, "must be a number of at least 0")


@dataclass(frozen=True, eq=False)
class StepRecord:
    """What must be known before a step to be able to repeat it.

    Attributes:
        number: attempted step of the run, from 1.
        epoch: from 1.
        batch: number of the batch in its epoch, from 1.
        ids: `(B,)` windows of the batch, on their device.
        random_state: generators before the forward pass.
        learning_rates: of the optimizer's parameter groups.
    """

    number: int
    epoch: int
    batch: int
    ids: torch.Tensor
    random_state: RandomState
    learning_rates: tuple[float, ...]


@dataclass(frozen=True)
class Outcome:
    """What a step came to, known to the host one step later.

    Attributes:
        step: the step.
        loss: mean training loss.
        norm: total gradient norm before clipping.
        is_bad: loss or norm is not finite, so the step changed nothing.
        loss_scale: of float16, None without a scaler.
        is_scale_lowered: the scaler met gradients that are not finite, and lowered its scale for the next step.
    """

    step: StepRecord
    loss: float
    norm: float
    is_bad: bool
    loss_scale: float | None
    is_scale_lowered: bool = False

    @property
    def is_scaler_overflow(self) -> bool:
        """True where float16 gradients overflowed because of the loss scale, which halves itself: nothing is wrong.

        Finite gradients whose norm overflows are no such case: the scaler keeps its scale, and would for ever.
        """
        return (
            self.is_bad
            and self.is_scale_lowered
            and self.loss_scale is not None
            and self.loss_scale > LOSS_SCALE_FLOOR
            and math.isfinite(self.loss)
        )


class Guard:
    """Clips, judges and takes the step.

    Args:
        model: its running statistics are put back after a bad step.
        optimizer: a fused AdamW skips on the device; any other is put back with `torch.where`.
        clip_grad_norm: total gradient norm above which gradients are scaled down; 0 never clips.
        scaler: loss scaler of float16, or None.
        on_outcome: told of each step before the next one changes anything.
        reads_late: tell of a step only during the next one, so that nothing waits for the device; by default on a GPU.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        *,
        clip_grad_norm: float,
        scaler: torch.amp.GradScaler | None = None,
        on_outcome: Callable[[Outcome], None] = lambda _: None,
        reads_late: bool | None = None,
    ) -> None:
        self.optimizer = optimizer
        self.scaler = scaler
        self.clip_grad_norm = clip_grad_norm
        self.on_outcome = on_outcome
        self.last_applied: StepRecord | None = None
        self._pending: tuple[StepRecord, torch.Tensor, torch.cuda.Event | None] | None = None
        self._step: StepRecord | None = None
        self._parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        on_gpu = any(parameter.device.type == "cuda" for parameter in self._parameters)
        self._reads_late = on_gpu if reads_late is None else reads_late
        self._is_fused = all(group.get("fused") for group in optimizer.param_groups)
        self._statistics = _running_statistics(model)
        self._kept: list[torch.Tensor] = []
        self._is_scale_too_low = False

    def before_forward(self, step: StepRecord) -> None:
        """Note the step, and keep the running statistics, which a forward pass with NaN would poison."""
        self._step = step
        self._kept = [buffer.clone() for buffer in self._statistics.values()]

    def step(self, loss: torch.Tensor) -> None:
        """Take the optimizer step when loss and gradients are finite, else leave everything as it was.

        Args:
            loss: scalar training loss, detached, on the device.
        """
        assert self._step is not None, "before_forward comes first"
        # Before the scaler looks at these gradients: where the run goes back, it must not have begun with them.
        self.read_pending()
        given = gradients(self._parameters)
        # Anomaly mode can end a backward pass before its first gradient; a scaler refuses to look at none.
        scaler = self.scaler if given else None
        scale = next_scale = torch.ones_like(loss)
        if self.scaler is not None:
            scale = next_scale = self.scaler.scale(scale)
        if scaler is not None:
            scaler.unscale_(self.optimizer)
        norm = get_total_norm(given) if given else torch.zeros_like(loss)
        bad = ~(torch.isfinite(norm) & torch.isfinite(loss))
        if self.clip_grad_norm > 0:
            clip_grads_with_norm_(self._parameters, self.clip_grad_norm, norm)
        self._step_unless(bad)
        if scaler is not None:
            scaler.update()
            next_scale = scaler.scale(torch.ones_like(loss))
            if self._is_scale_too_low:
                scaler.update(LOSS_SCALE_FLOOR)
        for buffer, kept in zip(self._statistics.values(), self._kept, strict=True):
            buffer.copy_(torch.where(bad, kept, buffer))
        figures = (bad, loss, norm, scale, next_scale < scale)
        self._pending = (self._step, *_to_host(torch.stack([figure.float() for figure in figures])))
        if not self._reads_late:
            self.read_pending()

    def read_pending(self) -> None:
        """Tell of the step before this one, whose verdict has reached the host by now.

        The weights are still what they were before that step if it was bad.
        """
        if self._pending is None:
            return
        step, figures, event = self._pending
        self._pending = None
        if event is not None:
            event.synchronize()
        bad, loss, norm, scale, lowered = figures.tolist()
        outcome = Outcome(step, loss, norm, bool(bad), scale if self.scaler is not None else None, bool(lowered))
        self._is_scale_too_low = outcome.loss_scale is not None and scale < LOSS_SCALE_FLOOR
        if not outcome.is_bad:
            self.last_applied = step
        self.on_outcome(outcome)

    def state(self) -> dict[str, Any]:
        """Return what the guard remembers between two steps, as plain values."""
        last = self.last_applied
        return {
            "is_scale_too_low": self._is_scale_too_low,
            "last_applied": last
            and {
                "number": last.number,
                "epoch": last.epoch,
                "batch": last.batch,
                "ids": last.ids,
                "rng_cpu": last.random_state.cpu,
                "rng_cuda": last.random_state.cuda,
                "learning_rates": list(last.learning_rates),
            },
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` returned; a step whose outcome was not read yet is forgotten."""
        self._pending = None
        self._is_scale_too_low = state["is_scale_too_low"]
        last = state["last_applied"]
        self.last_applied = last and StepRecord(
            number=last["number"],
            epoch=last["epoch"],
            batch=last["batch"],
            ids=last["ids"],
            random_state=RandomState(last["rng_cpu"], last["rng_cuda"]),
            learning_rates=tuple(last["learning_rates"]),
        )

    def statistics_before(self) -> dict[str, torch.Tensor]:
        """Return the running statistics by name as they were before the step that `on_outcome` is told of."""
        return dict(zip(self._statistics, self._kept, strict=True))

    def _step_unless(self, bad: torch.Tensor) -> None:
        """Let the optimizer step; where `bad` is true nothing changes."""
        if self._is_fused:
            self.optimizer.found_inf = bad.to(torch.float32)  # type: ignore[attr-defined]
            self.optimizer.step()
            return
        weights = [parameter.detach().clone() for parameter in self._parameters]
        states = [_tensors_of(self.optimizer, parameter) for parameter in self._parameters]
        self.optimizer.step()
        with torch.no_grad():
            for parameter, weight, state in zip(self._parameters, weights, states, strict=True):
                parameter.copy_(torch.where(bad, weight, parameter))
                for name, value in _tensors_of(self.optimizer, parameter, copy=False).items():
                    value.copy_(torch.where(bad.to(value.device), state.get(name, torch.zeros_like(value)), value))


def gradients(parameters: Iterable[torch.Tensor]) -> list[torch.Tensor]:
    """Return the gradients that exist."""
    return [parameter.grad for parameter in parameters if parameter.grad is not None]


def _running_statistics(model: nn.Module) -> dict[str, torch.Tensor]:
    """Return the buffers of batch norms, and of instance norms that keep statistics, by name."""
    return {
        f"{prefix}.{name}" if prefix else name: buffer
        for prefix, module in model.named_modules()
        if isinstance(module, nn.modules.batchnorm._NormBase)
        for name, buffer in module.named_buffers(recurse=False)
    }


def _tensors_of(
    optimizer: torch.optim.Optimizer, parameter: torch.Tensor, *, copy: bool = True
) -> dict[str, torch.Tensor]:
    """Return the tensors an optimizer keeps for a parameter; none before its first step."""
    state: dict[str, Any] = optimizer.state.get(parameter, {})
    found = {name: value for name, value in state.items() if isinstance(value, torch.Tensor)}
    return {name: value.clone() for name, value in found.items()} if copy else found


def _to_host(figures: torch.Tensor) -> tuple[torch.Tensor, torch.cuda.Event | None]:
    """Start copying a few figures to the host without waiting for them."""
    if figures.device.type != "cuda":
        return figures, None
    host = torch.empty(figures.shape, dtype=figures.dtype, pin_memory=True)
    host.copy_(figures, non_blocking=True)
    event = torch.cuda.Event()
    event.record()
    return host, event
