"""Short trainings of one setting against another, on clean weeks; shared by several themes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from exp.beliefs.row import Sizes, percent
from exp.beliefs.training import RATE, Outcome, build, evaluate, train
from exp.beliefs.weather import weeks

NEWEST = 20


@dataclass(frozen=True)
class Short:
    """The mean of some short trainings.

    Attributes:
        non_finite: share of steps that were not finite.
        loss: training loss of the last steps.
        validation: loss on later weeks; NaN where an output is.
        roc_auc: ROC AUC on later weeks.
        largest_norm: largest gradient norm before clipping.
        clipped: share of steps that were clipped.
        first_loss: loss of the first step.
        large_norms: share of steps with a gradient norm above 10.
    """

    non_finite: float
    loss: float
    validation: float
    roc_auc: float
    largest_norm: float
    clipped: float
    first_loss: float
    large_norms: float

    def __str__(self) -> str:
        return f"loss {self.loss:.3f}, ROC AUC {self.roc_auc:.3f}, non-finite {percent(self.non_finite)}"


def short(sizes: Sizes, make: Callable[[int], Any], **flags: Any) -> Short:
    """Train what `make(seed)` builds, once a seed, and average.

    Args:
        sizes: steps and seeds.
        make: builds the model of a seed.
        flags: of `train`.
    """
    training, validation = weeks(sizes)
    results = []
    for seed in range(sizes.seeds):
        model = make(seed)
        outcome = train(model, training, sizes, seed=seed, **flags)
        results.append(_summary(outcome, *evaluate(model, validation)))
    columns = zip(*(tuple(vars(result).values()) for result in results), strict=True)
    return Short(*(sum(column) / len(column) for column in columns))


def _summary(outcome: Outcome, validation: float, roc_auc: float) -> Short:
    newest = outcome.losses[-NEWEST:]
    return Short(
        non_finite=outcome.share,
        loss=sum(newest) / len(newest),
        validation=validation,
        roc_auc=roc_auc,
        largest_norm=max(outcome.norms, default=0.0),
        clipped=outcome.clipped,
        first_loss=outcome.losses[0],
        large_norms=sum(norm > 10 for norm in outcome.norms) / max(1, len(outcome.norms)),
    )


@lru_cache(maxsize=32)
def plain(sizes: Sizes, rate: float = RATE, clip: float = 1.0, **flags: Any) -> Short:
    """The project's model with some flags of its own, at some rate and clipping."""
    return short(sizes, lambda seed: build(sizes, seed=seed, **flags), rate=rate, clip=clip)
