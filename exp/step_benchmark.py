"""A training step against the published formula written out: the same weights, the same batch, in turn.

The written-out model (tests/eager_timer_xl.py) builds masks, bias and angles anew in every layer, runs its MLP as a
convolution and its attention as a softmax over the whole map, and is stepped by AdamW as torch has it by default.
Beside both stands what the matrix products alone would take at the rate that this machine reaches, in the same run,
with matrices of these shapes: no step can be faster than that.

B batch, T tokens, D width, F inner width.
"""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import clip_grad_norm_
from tqdm import tqdm

import models
from data_provider.windows import CALENDAR_MARKS, WindowSet
from exp import flops, micro_batches
from exp.diagnosis.model_check import random_windows
from exp.precision import autocast
from exp.settings import Dimensions

N_VARIABLES, TOKEN = 27, 96
WARM_UP = 1
CLIP = 1.0


@dataclass(frozen=True)
class Size:
    """An option of the case as its step is measured.

    Attributes:
        layers: of the encoder.
        width: D.
        inner: F.
        heads: of attention.
        tokens: of each variable.
        batch: windows of a step.
    """

    layers: int
    width: int
    inner: int
    heads: int
    tokens: int
    batch: int


SIZES = {
    "full": Size(8, 1024, 2048, 8, 15, 4),
    "small": Size(4, 512, 1024, 8, 7, 16),
    "tiny": Size(2, 64, 128, 4, 2, 32),
}
# What is timed in turn: who computes, and in which precision.
STEPS: dict[str, tuple[str, torch.dtype | None]] = {
    "written out, float32": ("written out", None),
    "ours, float32": ("ours", None),
    "ours, bfloat16": ("ours", torch.bfloat16),
    # --activation_checkpointing
    "recomputed, float32": ("recomputed", None),
}


class WrittenOut(nn.Module):
    """The written-out encoder with our classifier's mean over tokens and head.

    Args:
        configs: sizes, as both models take them.
        head: of our classifier; its weights are shared.
    """

    def __init__(self, configs: SimpleNamespace, head: nn.Module) -> None:
        super().__init__()
        # It lives with the tests, which hold the fast model to it; a benchmark is run from a checkout.
        from tests.eager_timer_xl import EagerTimerXL

        self.encoder = EagerTimerXL(configs)
        self.classifier = head

    def forward(self, x: torch.Tensor, marks: torch.Tensor) -> torch.Tensor:  # noqa: ARG002 - as ours is called
        """Classify windows `(B, L, C)`: logits `(B, 2)`."""
        return self.classifier(self.encoder.head_of_every_token(x).mean(dim=(1, 2)))


@dataclass(frozen=True)
class Stand:
    """Both models on one batch.

    Attributes:
        models: by name, with the same weights.
        optimizers: of each.
        windows: random numbers.
        size: of the option.
    """

    models: dict[str, nn.Module]
    optimizers: dict[str, torch.optim.Optimizer]
    windows: WindowSet
    size: Size

    def step(self, who: str, precision: torch.dtype | None) -> None:
        """Take one step: forward, backward, clipping, update."""
        model, optimizer, ids = self.models[who], self.optimizers[who], torch.arange(self.size.batch)
        ids = ids.to(self.windows.device) % len(self.windows)
        optimizer.zero_grad(set_to_none=True)
        with autocast(self.windows.device, precision):
            logits = model(self.windows.inputs(ids), self.windows.marks[ids])
        F.cross_entropy(logits.float(), self.windows.labels[ids]).backward()
        clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()


def measure(option: str, rounds: int, *, dropout: float) -> dict[str, Any]:
    """Return seconds of a step, ratios to the written-out one, shares of the matrix limit and bytes kept.

    Args:
        option: among `SIZES`.
        rounds: how often each is taken; medians are told.
        dropout: of the encoder.
    """
    stand = build(SIZES[option], dropout)
    device = stand.windows.device
    products = {name: _products(stand.size, precision, device) for name, precision in _precisions().items()}
    taken: dict[str, list[float]] = {name: [] for name in (*STEPS, *products)}
    for turn in tqdm(range(rounds + WARM_UP), disable=None, leave=False, unit="round"):
        actions: dict[str, Callable[[], None]] = {name: partial(stand.step, *step) for name, step in STEPS.items()}
        actions |= {name: run for name, (run, _) in products.items()}
        for name in sorted(actions, reverse=bool(turn % 2)):
            seconds = timed(actions[name], device)
            if turn >= WARM_UP:
                taken[name].append(seconds)
    rates = {name: operations / statistics.median(taken[name]) for name, (_, operations) in products.items()}
    operations = stand.size.batch * flops.of_a_window(stand.models["ours"], stand.windows).training
    return {
        "option": option,
        "dropout": dropout,
        **where_and_how_often(device, rounds),
        "matrix_gigaflops_per_second": {name: round(rate / 1e9, 3) for name, rate in rates.items()},
        "step_gigaflops": round(operations / 1e9, 4),
        "steps": [_row(name, taken, rates, operations) for name in STEPS],
        "saved_for_backward": _saved(stand),
    }


def build(size: Size, dropout: float) -> Stand:
    """Make both models with the same weights, and windows of random numbers."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    sizes = SimpleNamespace(
        input_token_len=TOKEN, output_token_len=TOKEN, d_model=size.width, d_ff=size.inner, n_heads=size.heads,
        e_layers=size.layers, dropout=dropout, activation="relu", use_norm=False, covariate=False, head_dropout=0.0,
        n_classes=2,
    )  # fmt: skip
    torch.manual_seed(0)
    ours: Any = models.build("timer_xl_classifier", sizes).to(device).train()
    written = WrittenOut(sizes, nn.Identity())
    shared = {name: tensor for name, tensor in ours.state_dict().items() if not name.startswith("classifier")}
    written.encoder.load_state_dict(shared)
    written.classifier = copy.deepcopy(ours.classifier)
    written = written.to(device).train()
    dimensions = Dimensions(
        n_classes=2, n_variables=N_VARIABLES, context_length=TOKEN * size.tokens, n_marks=CALENDAR_MARKS + 1,
        n_regions=1, step_hours=1, pressure_index=None,
    )  # fmt: skip
    sizes.activation_checkpointing = True
    recomputed = models.build("timer_xl_classifier", sizes).to(device).train()
    recomputed.load_state_dict(ours.state_dict())
    optimizers: dict[str, torch.optim.Optimizer] = {
        "written out": torch.optim.AdamW(written.parameters(), lr=1e-5),
        "ours": torch.optim.AdamW(ours.parameters(), lr=1e-5, fused=True),
        "recomputed": torch.optim.AdamW(recomputed.parameters(), lr=1e-5, fused=True),
    }
    return Stand(
        {"written out": written, "ours": ours, "recomputed": recomputed},
        optimizers,
        random_windows(dimensions, device),
        size,
    )


def where_and_how_often(device: torch.device, rounds: int) -> dict[str, Any]:
    """Return what the figures of every benchmark begin with."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    return {"device": name, "threads": torch.get_num_threads(), "rounds": rounds}


def timed(action: Callable[[], None], device: torch.device) -> float:
    """Return the seconds that something takes, the device's work included."""
    _wait(device)
    started = time.perf_counter()
    action()
    _wait(device)
    return time.perf_counter() - started


def table(found: dict[str, Any]) -> list[str]:
    """Return the figures of `measure` as lines for the terminal."""
    rates = ", ".join(f"{name} {rate:.4g} GFLOP/s" for name, rate in found["matrix_gigaflops_per_second"].items())
    lines = [
        f"option {found['option']}, dropout {found['dropout']:g}, {found['device']}, {found['threads']} threads, "
        f"{found['rounds']} rounds; {found['step_gigaflops']:.4g} GFLOP a step; {rates}",
        f"{'step':<22} {'ms':>9} {'faster':>8} {'of the matrix limit':>20}",
    ]
    for row in found["steps"]:
        limit = f"{row['share_of_matrix_limit_percent']:.0f} %"
        lines.append(f"{row['step']:<22} {row['milliseconds']:>9.1f} {row['times_faster']:>6.2f} x {limit:>20}")
    kept = found["saved_for_backward"]
    lines.append(
        f"kept for the backward pass: {kept['ours_mebibytes']:.1f} MiB a batch against "
        f"{kept['written_out_mebibytes']:.1f}, ratio {kept['ratio']:.2f}; recomputed {kept['recomputed_ratio']:.2f}"
    )
    return lines


def _row(name: str, taken: dict[str, list[float]], rates: dict[str, float], operations: int) -> dict[str, Any]:
    reference = taken["written out, float32"]
    precision = name.split(", ")[1]
    ratios = [slow / fast for slow, fast in zip(reference, taken[name], strict=True)]
    seconds = statistics.median(taken[name])
    return {
        "step": name,
        "milliseconds": round(1000 * seconds, 4),
        "times_faster": round(statistics.median(ratios), 3),
        "share_of_matrix_limit_percent": round(100 * operations / rates[precision] / seconds, 2),
    }


def _precisions() -> dict[str, torch.dtype]:
    return {"float32": torch.float32, "bfloat16": torch.bfloat16}


def _products(size: Size, dtype: torch.dtype, device: torch.device) -> tuple[Callable[[], None], int]:
    """Return the matrix products of one layer's linear maps, and their operations."""
    rows = size.batch * N_VARIABLES * size.tokens
    shapes = [(size.width, size.width)] * 4 + [(size.width, size.inner), (size.inner, size.width)]
    pairs = [
        (torch.randn(rows, inner, dtype=dtype, device=device), torch.randn(outer, inner, dtype=dtype, device=device))
        for inner, outer in shapes
    ]

    def run() -> None:
        for left, right in pairs:
            left @ right.mT

    return run, sum(2 * rows * inner * outer for inner, outer in shapes)


def _saved(stand: Stand) -> dict[str, float]:
    """Return what each keeps for the backward pass of a batch."""
    found = {
        name: micro_batches.saved_bytes(model, F.cross_entropy, stand.windows)
        * stand.size.batch
        / micro_batches.PROBE_WINDOWS
        / 2**20
        for name, model in stand.models.items()
    }
    return {
        "ours_mebibytes": round(found["ours"], 2),
        "written_out_mebibytes": round(found["written out"], 2),
        "ratio": round(found["ours"] / found["written out"], 3),
        "recomputed_mebibytes": round(found["recomputed"], 2),
        "recomputed_ratio": round(found["recomputed"] / found["written out"], 3),
    }


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
