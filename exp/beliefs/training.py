"""The small training of the measurements, with every safeguard as a switch.

Axes: B batch, L time steps, C columns, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import nn

from exp.beliefs.row import Sizes
from exp.beliefs.weather import Windows
from models import timer_xl_classifier

RATE = 1e-3
EVALUATED = 400
HEAD_INPUTS = 96
Protection = Literal["guard", "notes", "none"]
Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


@dataclass
class Outcome:
    """What a short training left behind.

    Attributes:
        losses: loss of every attempted step.
        norms: gradient norm of every step whose loss was looked at, before clipping.
        non_finite: steps whose loss or gradient norm was not finite.
        steps: attempted steps.
        limit: what gradients were clipped at; 0 never.
    """

    limit: float = 0.0
    losses: list[float] = field(default_factory=list)
    norms: list[float] = field(default_factory=list)
    non_finite: int = 0
    steps: int = 0

    @property
    def share(self) -> float:
        """Share of the steps that were not finite."""
        return self.non_finite / max(1, self.steps)

    @property
    def clipped(self) -> float:
        """Share of the steps whose gradients were scaled down."""
        return sum(norm > self.limit > 0 for norm in self.norms) / max(1, len(self.norms))


def build(sizes: Sizes, *, seed: int = 0, **flags: Any) -> Any:
    """A small classifier with the head of the project; tokens of a day of hours, or a fifth of the case's window."""
    torch.manual_seed(seed)
    defaults: dict[str, Any] = {
        "input_token_len": 24,
        "output_token_len": HEAD_INPUTS,
        "d_model": sizes.width,
        "d_ff": 2 * sizes.width,
        "e_layers": sizes.layers,
        "n_heads": 4,
        "dropout": 0.0,
        "pooling": "last",
    }
    return timer_xl_classifier.Model(timer_xl_classifier.Config(**(defaults | flags)))


def for_case(sizes: Sizes, windows: Windows, **flags: Any) -> Any:
    """The same for windows of the case: five tokens a window and the mean over them, as the case has it."""
    return build(sizes, seed=0, **({"input_token_len": windows.length // 5, "pooling": "mean"} | flags))


def batches(windows: Windows, size: int, seed: int) -> Iterator[torch.Tensor]:
    """Yield window numbers for ever, epoch after epoch, in an order that the seed decides."""
    generator = torch.Generator().manual_seed(seed)
    while True:
        yield from torch.randperm(len(windows), generator=generator).split(size)


def train(
    model: nn.Module,
    windows: Windows,
    sizes: Sizes,
    *,
    steps: int | None = None,
    rate: float | Callable[[int], float] = RATE,
    clip: float = 1.0,
    loss: Loss = F.cross_entropy,
    protection: Protection = "guard",
    seed: int = 0,
) -> Outcome:
    """Train for some steps and count.

    Args:
        model: trained in place.
        windows: training windows.
        sizes: batch size and default number of steps.
        steps: attempted steps.
        rate: of AdamW, or a function of the step.
        clip: total gradient norm above which gradients are scaled down; 0 never.
        loss: of logits `(B, K)` and labels `(B,)`.
        protection: ``guard`` takes no step that is not finite; ``notes`` skips a batch whose loss is not finite and
            looks no further, as the notes do; ``none`` takes every step.
        seed: order of the windows and dropout.
    """
    torch.manual_seed(seed)
    model.train()
    schedule = rate if callable(rate) else lambda _: rate
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=schedule(0), weight_decay=0.01)
    outcome = Outcome(limit=clip)
    for step, ids in zip(range(steps or sizes.steps), batches(windows, sizes.batch, seed), strict=False):
        for group in optimizer.param_groups:
            group["lr"] = schedule(step)
        optimizer.zero_grad()
        value = loss(model(windows.inputs(ids)), windows.labels[ids])
        outcome.steps += 1
        outcome.losses.append(value.item())
        if protection == "notes" and not torch.isfinite(value):
            outcome.non_finite += 1
            continue
        value.backward()
        norm = nn.utils.get_total_norm([parameter.grad for parameter in trained if parameter.grad is not None])
        if clip:
            nn.utils.clip_grads_with_norm_(trained, clip, norm)
        outcome.norms.append(norm.item())
        good = bool(torch.isfinite(norm) & torch.isfinite(value))
        outcome.non_finite += not good
        if good or protection != "guard":
            optimizer.step()
    return outcome


@torch.no_grad()
def evaluate(model: nn.Module, windows: Windows) -> tuple[float, float]:
    """Mean loss and ROC AUC on evenly spread windows; NaN where the outputs are."""
    from sklearn.metrics import roc_auc_score

    model.eval()
    ids = torch.linspace(0, len(windows) - 1, min(EVALUATED, len(windows))).long()
    logits = torch.cat([model(windows.inputs(part)) for part in ids.split(100)])
    labels = windows.labels[ids]
    if not torch.isfinite(logits).all():
        return float("nan"), float("nan")
    score = roc_auc_score(labels.numpy(), (logits[:, 1] - logits[:, 0]).numpy())
    return F.cross_entropy(logits, labels).item(), float(score)


def dead_tensors(model: nn.Module) -> int:
    """Number of parameter tensors that hold a value that is not finite."""
    return sum(not torch.isfinite(parameter).all() for parameter in model.parameters())


def n_tensors(model: nn.Module) -> int:
    """Number of parameter tensors."""
    return len(list(model.parameters()))
