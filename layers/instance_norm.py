"""Instance norm over a window, and its undoing.

Axes: B batch, L time steps, C variables.

Instance norm erases the level of each window: absolute humidity and pressure vanish. `WindowStatistics`
keeps what was taken away, for undoing it on a forecast or for giving it to a classifier's head.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

EPSILON = 1e-5


class WindowStatistics(NamedTuple):
    """Level and spread of every variable of a window.

    Attributes:
        mean: `(B, 1, C)`, in the units of the window.
        deviation: `(B, 1, C)`, square root of the population variance plus ``EPSILON``.
    """

    mean: torch.Tensor
    deviation: torch.Tensor


def window_statistics(x: torch.Tensor) -> WindowStatistics:
    """Measure a window `(B, L, C)` over its time steps."""
    variance, mean = torch.var_mean(x, dim=1, keepdim=True, correction=0)
    return WindowStatistics(mean, torch.sqrt(variance + EPSILON))


def normalise(x: torch.Tensor, statistics: WindowStatistics) -> torch.Tensor:
    """Take level and spread out of a window `(B, L, C)`."""
    return (x - statistics.mean) / statistics.deviation


def restore(y: torch.Tensor, statistics: WindowStatistics) -> torch.Tensor:
    """Put level and spread back into a forecast `(B, M, C)` of any number of steps M."""
    return y * statistics.deviation + statistics.mean
