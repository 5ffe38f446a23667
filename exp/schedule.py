"""Learning rate as a closed form of the attempted step: warm-up, then constant or cosine."""

from __future__ import annotations

import math
from collections.abc import Callable


def learning_rate_factor(
    *,
    learning_rate: float,
    steps_per_epoch: int,
    warmup_epochs: float,
    warmup_start_lr: float,
    cosine_epochs: float | None,
    min_learning_rate: float,
    restart_epochs: float | None = None,
) -> Callable[[int], float]:
    """Return the factor on the learning rate for each step, counted from 0, for `LambdaLR`.

    Args:
        learning_rate: rate after the warm-up.
        steps_per_epoch: attempted steps of one epoch.
        warmup_epochs: length of the linear warm-up in epochs.
        warmup_start_lr: rate of the first step.
        cosine_epochs: epoch, warm-up included, in which the rate is at its lowest; None keeps it constant.
        min_learning_rate: lowest rate of the cosine, kept after it.
        restart_epochs: epochs after which the cosine begins again at the full rate; None: it goes down once. Source:
            Loshchilov and Hutter 2017, SGDR, arXiv:1608.03983.
    """
    warmup_steps = round(warmup_epochs * steps_per_epoch)
    start = warmup_start_lr / learning_rate
    floor = min_learning_rate / learning_rate
    decay_steps = None
    if cosine_epochs is not None:
        decay_steps = max(round(cosine_epochs * steps_per_epoch) - warmup_steps, 1)
    if restart_epochs is not None:
        decay_steps = max(round(restart_epochs * steps_per_epoch), 1)

    def factor(step: int) -> float:
        if step < warmup_steps:
            return start + (1 - start) * step / warmup_steps
        if decay_steps is None:
            return 1.0
        done = step - warmup_steps
        progress = min((done if restart_epochs is None else done % decay_steps) / decay_steps, 1.0)
        return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * progress))

    return factor
