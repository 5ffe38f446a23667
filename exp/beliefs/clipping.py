"""Gradient norms: what clipping changes, and what a large norm says."""

from __future__ import annotations

import math
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import nn

from exp.beliefs.learning import Short, plain, short
from exp.beliefs.row import Row, Sizes, percent
from exp.beliefs.training import build
from exp.beliefs.weather import weeks

LIMITS = (2.0, 1.0, 0.5, 0.25, 0.0)
LOSS_FACTOR = 1000.0


def _thousandfold(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return LOSS_FACTOR * F.cross_entropy(logits, labels)


@lru_cache(maxsize=2)
def thousandfold(sizes: Sizes) -> Short:
    """A short training, unclipped, with its loss times a thousand."""
    return short(sizes, lambda seed: build(sizes, seed=seed), clip=0.0, loss=_thousandfold)


def clipping_harder(sizes: Sizes) -> Row:
    """Limits of 2, 1, 0.5, 0.25 and none."""
    runs = {limit: plain(sizes, clip=limit) for limit in LIMITS}
    return Row(
        belief="clipping gradients harder (1.0, 0.5, 0.25) prevents NaN",
        notes="1.0 to 0.5 to 0.25",
        measured="; ".join(
            f"{f'limit {limit:g}' if limit else 'none'}: {run}, clipped {percent(run.clipped)}"
            for limit, run in runs.items()
        ),
        verdict="false",
        reason="Without any clipping nothing is NaN either, and AdamW divides the size of the gradient out again.",
        holds=all(run.non_finite == 0 for run in runs.values()),
        figures={f"{limit:g}": vars(run) for limit, run in runs.items()},
    )


def no_clipping(sizes: Sizes) -> Row:
    """Residual GELU network and ours without clipping at the notes' rate."""
    ours, gelu = plain(sizes, clip=0.0), plain(sizes, clip=0.0, activation="gelu")
    return Row(
        belief="no gradient clipping caused the NaN; it is essential with residual connections",
        notes="cause 1",
        measured=f"unclipped at 1e-3: non-finite steps {percent(ours.non_finite)} (ReLU) and "
        f"{percent(gelu.non_finite)} (GELU); largest norm {ours.largest_norm:.1f} and {gelu.largest_norm:.1f}",
        verdict="false",
        reason="This network is residual throughout and trains unclipped; another network may need it.",
        holds=ours.non_finite == gelu.non_finite == 0,
        figures={"relu": vars(ours), "gelu": vars(gelu)},
    )


def large_norm(sizes: Sizes) -> Row:
    """The same training with its loss times a thousand."""
    usual = plain(sizes, clip=0.0)
    large = thousandfold(sizes)
    return Row(
        belief="gradient norms above 10 (5, or 100 times the limit) mean that the rate must be lowered",
        notes="> 10; < 5.0; 30-50 % lower",
        measured=f"steps with a norm above 10: {percent(usual.large_norms)}, with the loss times 1000 "
        f"{percent(large.large_norms)}; ROC AUC {usual.roc_auc:.3f} and {large.roc_auc:.3f}, non-finite "
        f"{percent(large.non_finite)}",
        verdict="false",
        reason="A norm has the unit of the loss, which AdamW divides out; only its change within a run says something.",
        holds=large.large_norms > 0.9 and large.non_finite == 0,
        figures={"usual": vars(usual), "large": vars(large)},
    )


def large_loss(sizes: Sizes) -> Row:
    """The same, for the loss itself."""
    large = thousandfold(sizes)
    return Row(
        belief="a loss above 1000, or one that does not fall steadily, is an early sign of NaN",
        notes="> 1000",
        measured=f"loss times 1000: between {large.loss:.0f} and {large.first_loss:.0f}, non-finite steps "
        f"{percent(large.non_finite)}, ROC AUC {large.roc_auc:.3f} "
        f"({plain(sizes, clip=0.0).roc_auc:.3f} at the usual size)",
        verdict="half true",
        reason="For cross-entropy it means that something is wrong; the number itself depends on the unit of the loss.",
        holds=large.non_finite == 0,
        figures={"loss": large.loss, "non_finite": large.non_finite},
    )


def overflow_sizes(_sizes: Sizes) -> Row:
    """Gradients of 1e10 and more, and the norm that sees them."""
    norms = {}
    for size in (1e10, 1e16, 1e18, 1e38):
        gradient = nn.Parameter(torch.zeros(1000))
        gradient.grad = torch.full((1000,), size)
        norms[size] = nn.utils.clip_grad_norm_([gradient], 1.0).item()
    first = min((size for size, norm in norms.items() if not math.isfinite(norm)), default=float("inf"))
    largest = torch.finfo(torch.float32).max
    return Row(
        belief="gradients above 1e10 overflow; float32 ends at 3.4e38",
        notes="> 1e10, 3.4e38",
        measured=f"largest float32 {largest:.3g}; total norm of 1000 gradients: "
        + ", ".join(f"{size:.0e} gives {norm:.1e}" for size, norm in norms.items()),
        verdict="half true",
        reason="1e10 is clipped like any other; the squares inside the norm overflow, once it passes 1.8e19.",
        holds=first == 1e18,
        figures={f"{size:g}": norm for size, norm in norms.items()},
    )


def unfreezing(sizes: Sizes) -> Row:
    """The gradient norm before and after the encoder is thawed."""
    training, _ = weeks(sizes)
    model = build(sizes)
    model.freeze_encoder()
    frozen = _norm(model, training.inputs(torch.arange(sizes.batch)), training.labels[: sizes.batch])
    model.unfreeze_encoder()
    thawed = _norm(model, training.inputs(torch.arange(sizes.batch)), training.labels[: sizes.batch])
    return Row(
        belief="gradients explode when layers are unfrozen",
        notes="later epochs",
        measured=f"gradient norm of one batch: head alone {frozen:.3f}, with the encoder thawed {thawed:.3f}",
        verdict="false",
        reason="The norm grows by the tensors that join it, not by an explosion.",
        holds=thawed < 100,
        figures={"frozen": frozen, "thawed": thawed},
    )


def _norm(model: nn.Module, x: torch.Tensor, labels: torch.Tensor) -> float:
    model.zero_grad()
    torch.manual_seed(0)
    F.cross_entropy(model(x), labels).backward()
    return nn.utils.clip_grad_norm_(model.parameters(), float("inf")).item()


ALL = (clipping_harder, no_clipping, large_norm, large_loss, overflow_sizes, unfreezing)
