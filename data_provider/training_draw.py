"""Fewer training windows than there are: whole blocks of time, drawn at random.

Neighbouring windows overlap, and all regions of a day share their weather, so windows strewn at random would be worth
more than a record of their number. The draw of a block depends on the seed and on its date alone: two models whose
contexts begin at different times are given the same blocks.
"""

from __future__ import annotations

import numpy as np

from data_provider.splits import SplitConfig
from utils.errors import UsageError


def drawn(init_times: np.ndarray, config: SplitConfig) -> np.ndarray:
    """Choose which training windows are used.

    Args:
        init_times: `(N,)` datetime64[s] of all of them, regions in any order.
        config: how many windows, in blocks of how many days, and the seed.

    Returns:
        `(N,)` True for those chosen: exactly `train_windows` of them, whole blocks but for one, which is cut in time.

    Raises:
        UsageError: there are not so many.
    """
    if config.train_windows is None:
        return np.ones(len(init_times), bool)
    _require(len(init_times), config.train_windows)
    blocks = init_times.astype("datetime64[D]").astype(np.int64) // config.train_block_days
    chance = {block: _chance(config.train_windows_seed, block) for block in np.unique(blocks)}
    # By the chance of its block, and inside of it by time.
    order = np.lexsort([init_times.astype(np.int64), np.array([chance[block] for block in blocks])])
    chosen = np.zeros(len(init_times), bool)
    chosen[order[: config.train_windows]] = True
    return chosen


def _chance(seed: int, block: int) -> float:
    # A block before 1970 has a negative number, which a seed cannot have.
    return float(np.random.default_rng([seed, block % 2**32]).random())


def _require(present: int, wanted: int) -> None:
    if wanted <= present:
        return
    raise UsageError(
        "CONFIG",
        "There are fewer training windows than are to be drawn.",
        where="--train_windows",
        evidence=f"{wanted} wanted, {present} there",
        next_command=f"--train_windows {present}, or leave it out to use all",
    )
