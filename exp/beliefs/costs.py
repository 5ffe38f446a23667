"""What safeguards cost: interleaved pairs of steps, one with and one without, as ratios of processor time."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from exp.beliefs.row import Row, Sizes
from exp.beliefs.training import build

CONTEXT, COLUMNS, TOKEN = 672, 27, 96
Step = Callable[[], None]


def paired_ratio(plain: Step, changed: Step, pairs: int) -> tuple[float, float, float]:
    """Median and quartiles of the processor time of `changed` over that of `plain`, in turns and in changing order."""
    ratios = []
    for number in range(pairs + 1):
        order = (plain, changed) if number % 2 else (changed, plain)
        seconds = {step: _seconds(step) for step in order}
        if number:  # the first pair warms up
            ratios.append(seconds[changed] / seconds[plain])
    low, middle, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
    return middle, low, high


def _seconds(step: Step) -> float:
    started = time.process_time()  # of this process alone: others on the machine do not count
    step()
    return time.process_time() - started


def _windows(sizes: Sizes) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(sizes.timed_batch, CONTEXT, COLUMNS, generator=generator)
    return x, torch.randint(2, (sizes.timed_batch,), generator=generator)


def _model(sizes: Sizes, **flags: Any) -> Any:
    width = sizes.timed_width
    shape = {"input_token_len": TOKEN, "d_model": width, "d_ff": 2 * width, "e_layers": sizes.timed_layers}
    return build(sizes, pooling="mean", **(shape | flags))


def _step(model: nn.Module, x: torch.Tensor, labels: torch.Tensor, check: bool = False) -> Step:
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)

    def run() -> None:
        optimizer.zero_grad()
        if check:
            _look([x])
        logits = model(x)
        loss = F.cross_entropy(logits, labels)
        if check:
            _look([logits, loss])
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        if check:
            _look(parameter.grad for parameter in model.parameters() if parameter.grad is not None)
            _look(model.parameters())
        optimizer.step()

    return run


def _look(tensors: Iterable[torch.Tensor]) -> None:
    """Look for NaN and Inf as the notes do: two answers a tensor, each waited for."""
    for tensor in tensors:
        if torch.isnan(tensor).any().item() or torch.isinf(tensor).any().item():
            raise ArithmeticError("a timing met a number that is not finite")


@lru_cache(maxsize=2)
def same_twice(sizes: Sizes) -> tuple[float, float, float]:
    """The ratio of a step to itself: what the machine's noise looks like."""
    x, labels = _windows(sizes)
    return paired_ratio(_step(_model(sizes), x, labels), _step(_model(sizes), x, labels), sizes.pairs)


def _say(ratio: tuple[float, float, float]) -> str:
    return f"{ratio[0]:.3f} (quartiles {ratio[1]:.3f} to {ratio[2]:.3f})"


def nan_checks(sizes: Sizes) -> Row:
    """Look for NaN and Inf in input, output, loss, every gradient and every weight, every step."""
    x, labels = _windows(sizes)
    ratio = paired_ratio(_step(_model(sizes), x, labels), _step(_model(sizes), x, labels, check=True), sizes.pairs)
    return Row(
        belief="NaN checks on everything, every step, cost less than 1 %",
        notes="< 1 %",
        measured=f"step with over step without {_say(ratio)}; a step against itself {_say(same_twice(sizes))}",
        verdict="depends",
        reason="It is a matter of size; on a GPU each answer also makes the host wait, so the guard looks at one "
        "number a step: the norm it has anyway.",
        figures={"ratio": ratio, "noise": same_twice(sizes)},
    )


def clamp_cost(sizes: Sizes) -> Row:
    """Clamp inputs in every forward pass."""
    x, labels = _windows(sizes)
    ratio = paired_ratio(
        _step(_model(sizes), x, labels), _step(_model(sizes, clamp_inputs=10.0), x, labels), sizes.pairs
    )
    return Row(
        belief="clamping the inputs costs nothing worth mentioning",
        notes="negligible",
        measured=f"step with over step without {_say(ratio)}; a step against itself {_say(same_twice(sizes))}",
        verdict="true",
        reason="In time; in rain it costs the heavy hours (clamp_inputs).",
        holds=ratio[1] < 1.02,
        figures={"ratio": ratio, "noise": same_twice(sizes)},
    )


def layer_norm_cost(sizes: Sizes) -> Row:
    """A layer norm in the head, with and without."""
    x, labels = _windows(sizes)
    without = _model(sizes)
    without.classifier[0] = nn.Identity()
    ratio = paired_ratio(_step(without, x, labels), _step(_model(sizes), x, labels), sizes.pairs)
    return Row(
        belief="layer norm in the head costs about 2 %",
        notes="~2 %",
        measured=f"step with over step without {_say(ratio)}; a step against itself {_say(same_twice(sizes))}",
        verdict="half true",
        reason="It is one small norm after pooling: nearer to nothing.",
        holds=ratio[1] < 1.02,
        figures={"ratio": ratio, "noise": same_twice(sizes)},
    )


def small_model_time(sizes: Sizes) -> Row:
    """The step of twice the layers and twice the width against the small one."""
    x, labels = _windows(sizes)
    half = {
        "d_model": sizes.timed_width // 2, "d_ff": sizes.timed_width, "e_layers": max(1, sizes.timed_layers // 2),
    }  # fmt: skip
    ratio = paired_ratio(
        _step(_model(sizes, **half), x, labels), _step(_model(sizes), x, labels), max(1, sizes.pairs // 2)
    )
    return Row(
        belief="the small model is 50 % faster to train: 5-10 min an epoch against 2 min",
        notes="5-10 min vs 2 min",
        measured=f"a step of twice the layers and twice the width takes {ratio[0]:.1f} times as long",
        verdict="half true",
        reason="It is faster, but the two times of the note say the opposite: they are exchanged or of other machines.",
        holds=ratio[0] > 1.3,
        figures={"ratio": ratio},
    )


ALL = (nan_checks, clamp_cost, layer_norm_cost, small_model_time)
