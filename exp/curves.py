"""The numbers behind the curves of a forecast, for whoever draws them: exp/figures.py as PNG, exp/report as SVG."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

RELIABILITY_BINS = 10
# A bin with fewer cases than this is drawn hollow: its frequency is mostly chance.
FEW_CASES = 30


@dataclass(frozen=True)
class Reliability:
    """How often it rained when a probability was forecast, in bins of equal width.

    Attributes:
        edges: `(RELIABILITY_BINS + 1,)` of the bins.
        counts: `(RELIABILITY_BINS,)` forecasts in each.
        said: `(K,)` mean probability of the K bins that hold a forecast.
        rained: `(K,)` share of them with rain.
    """

    edges: np.ndarray
    counts: np.ndarray
    said: np.ndarray
    rained: np.ndarray

    @property
    def is_rare(self) -> np.ndarray:
        """`(K,)` True where a bin holds fewer than `FEW_CASES`."""
        return self.counts[self.counts > 0] < FEW_CASES


def reliability(observed: np.ndarray, probability: np.ndarray) -> Reliability:
    """Sort forecasts into bins.

    Args:
        observed: `(N,)` 0 or 1.
        probability: `(N,)` forecast probability.
    """
    edges = np.linspace(0, 1, RELIABILITY_BINS + 1)
    place = np.clip(np.digitize(probability, edges) - 1, 0, RELIABILITY_BINS - 1)
    counts = np.bincount(place, minlength=RELIABILITY_BINS)
    used = counts > 0
    return Reliability(
        edges=edges,
        counts=counts,
        said=np.bincount(place, weights=probability, minlength=RELIABILITY_BINS)[used] / counts[used],
        rained=np.bincount(place, weights=observed, minlength=RELIABILITY_BINS)[used] / counts[used],
    )
