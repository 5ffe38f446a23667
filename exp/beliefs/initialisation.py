"""Initial weights: what Xavier's bound is, whether it overflows, and what smaller weights buy."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import torch
from torch import nn

from exp.beliefs.learning import Short, plain, short
from exp.beliefs.row import Row, Sizes, percent
from exp.beliefs.training import HEAD_INPUTS, build
from exp.beliefs.weather import weeks

N_OUT = 256
CHAIN_DEPTH, CHAIN_WIDTH = 8, 256


def xavier_bound(_sizes: Sizes) -> Row:
    """The bound of Xavier's uniform distribution."""
    torch.manual_seed(0)
    layer = nn.Linear(HEAD_INPUTS, N_OUT)
    nn.init.xavier_uniform_(layer.weight)
    bound, largest = math.sqrt(6 / (HEAD_INPUTS + N_OUT)), layer.weight.abs().max().item()
    return Row(
        belief="Xavier's range for 96 inputs and 256 outputs is [-0.25, 0.25]",
        notes="[-sqrt(6/n), sqrt(6/n)] = 0.25",
        measured=f"sqrt(6/(96+256)) = {bound:.3f}; largest of {layer.weight.numel()} weights {largest:.3f}",
        verdict="false",
        reason="The bound takes inputs and outputs; 0.25 is sqrt(6/96).",
        holds=largest <= bound < 0.14,
        figures={"bound": bound, "largest": largest},
    )


def small_normal_range(_sizes: Sizes) -> Row:
    """The range of a normal distribution of deviation 0.01."""
    torch.manual_seed(0)
    weight = torch.empty(N_OUT, HEAD_INPUTS).normal_(std=0.01)
    inside = (weight.abs() <= 0.03).float().mean().item()
    return Row(
        belief="a deviation of 0.01 gives weights in [-0.03, 0.03]",
        notes="[-0.03, 0.03]",
        measured=f"{percent(inside)} of them; largest {weight.abs().max().item():.3f}",
        verdict="half true",
        reason="Three deviations hold almost all of them; a normal distribution has no bound.",
        holds=0.99 < inside < 1,
        figures={"inside": inside, "largest": weight.abs().max().item()},
    )


def started(sizes: Sizes, seed: int, scheme: str) -> Any:
    """A model whose head, or everything, is initialised by one of the notes' schemes."""
    everywhere = {"encoder_init": "xavier", "init_gain": 0.5} if scheme == "gain 0.5 everywhere" else {}
    model = build(sizes, seed=seed, **everywhere)
    if scheme != "std 0.01":
        for layer in (model.classifier[1], model.classifier[4]):
            nn.init.xavier_uniform_(layer.weight, gain=0.5 if everywhere else 1.0)
    return model


@lru_cache(maxsize=8)
def trained(sizes: Sizes, scheme: str) -> Short:
    """A short training from one scheme."""
    return short(sizes, lambda seed: started(sizes, seed, scheme))


def _largest(sizes: Sizes, scheme: str) -> tuple[float, float]:
    """Largest activation inside the head and largest logit, before training."""
    windows, _ = weeks(sizes)
    model = started(sizes, 0, scheme).eval()
    seen: list[float] = []
    for layer in model.classifier:
        layer.register_forward_hook(lambda _module, _inputs, output: seen.append(output.abs().max().item()))
    with torch.no_grad():
        logits = model(windows.inputs(torch.arange(min(200, len(windows)))))
    return max(seen[1:]), logits.abs().max().item()


def xavier_overflow(sizes: Sizes) -> Row:
    """Activations and logits of Xavier against the small start."""
    figures = {scheme: _largest(sizes, scheme) for scheme in ("xavier", "std 0.01")}
    share = trained(sizes, "xavier").non_finite
    return Row(
        belief="Xavier's weights overflow in the forward pass",
        notes="can cause overflow",
        measured=f"largest activation in the head and logit: Xavier {figures['xavier'][0]:.2f} and "
        f"{figures['xavier'][1]:.2f}, deviation 0.01 {figures['std 0.01'][0]:.3f} and {figures['std 0.01'][1]:.4f}; "
        f"non-finite steps with Xavier {percent(share)}",
        verdict="false",
        reason="float32 ends at 3.4e38; these numbers are below a hundred.",
        holds=share == 0 and figures["xavier"][0] < 100,
        figures={"xavier": figures["xavier"], "small": figures["std 0.01"], "non_finite": share},
    )


def small_start(sizes: Sizes) -> Row:
    """Short trainings from three starts."""
    runs = {scheme: trained(sizes, scheme) for scheme in ("xavier", "std 0.01", "gain 0.5 everywhere")}
    return Row(
        belief="smaller initial weights (std 0.01, gain 0.5 everywhere) are more stable",
        notes="std 0.01, gain 0.5",
        measured="; ".join(f"{scheme}: {run}" for scheme, run in runs.items()),
        verdict="half true",
        reason="All are equally finite; a small head only makes the first loss log 2.",
        holds=all(run.non_finite == 0 for run in runs.values()),
        figures={scheme: vars(run) for scheme, run in runs.items()},
    )


def first_loss(sizes: Sizes) -> Row:
    """The loss of the first step."""
    small, xavier = trained(sizes, "std 0.01").first_loss, trained(sizes, "xavier").first_loss
    return Row(
        belief="the first loss should be a number between 0.5 and 0.8",
        notes="0.5-0.8",
        measured=f"std 0.01: {small:.3f}, Xavier: {xavier:.3f}; log 2 = {math.log(2):.3f}",
        verdict="true",
        reason="A head that knows nothing says one half, and its loss is log 2.",
        holds=0.5 < small < 0.8,
        figures={"small": small, "xavier": xavier},
    )


def torch_initialises(sizes: Sizes) -> Row:
    """What PyTorch gives a linear layer when nobody asks."""
    torch.manual_seed(0)
    weight = nn.Linear(HEAD_INPUTS, N_OUT).weight
    expected = 1 / math.sqrt(3 * HEAD_INPUTS)
    deviation = weight.std().item()
    return Row(
        belief="PyTorch does not initialise weights, which caused the NaN",
        notes="cause 4",
        measured=f"a fresh Linear(96, 256): deviation {deviation:.4f} (formula {expected:.4f}), "
        f"{int((~torch.isfinite(weight)).sum())} values not finite; default start: "
        f"{percent(plain(sizes).non_finite)} non-finite steps",
        verdict="false",
        reason="Linear layers start from Kaiming's uniform distribution.",
        holds=abs(deviation / expected - 1) < 0.05 and plain(sizes).non_finite == 0,
        figures={"deviation": deviation, "expected": expected},
    )


def xavier_keeps_variance(_sizes: Sizes) -> Row:
    """The variance of activations through eight GELU layers."""
    ratios = {name: _variance_ratio(name) for name in ("xavier", "default", "kaiming")}
    return Row(
        belief="Xavier keeps the variance across layers and is critical for GELU",
        notes="cause 4's cure",
        measured=f"variance after {CHAIN_DEPTH} GELU layers over that before: "
        + ", ".join(f"{name} {ratio:.1e}" for name, ratio in ratios.items()),
        verdict="half true",
        reason="It shrinks it, by less than the default does; with layer norms between it does not matter.",
        holds=ratios["default"] < ratios["xavier"] < 1,
        figures=ratios,
    )


def _variance_ratio(scheme: str) -> float:
    torch.manual_seed(0)
    x = torch.randn(512, CHAIN_WIDTH)
    before = x.var().item()
    with torch.no_grad():
        for _ in range(CHAIN_DEPTH):
            layer = nn.Linear(CHAIN_WIDTH, CHAIN_WIDTH, bias=False)
            if scheme == "xavier":
                nn.init.xavier_uniform_(layer.weight)
            elif scheme == "kaiming":
                nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu")
            x = nn.functional.gelu(layer(x))
    return x.var().item() / before


ALL = (
    xavier_bound, small_normal_range, xavier_overflow, small_start, first_loss, torch_initialises,
    xavier_keeps_variance,
)  # fmt: skip
