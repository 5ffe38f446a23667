"""A run whose rank 1 has a NaN in its copy of the table from the fourth step on, as a fault of memory would leave."""

from __future__ import annotations

import math
import os
import sys
from typing import Any

import run
from exp.trainer import Trainer

BAD_STEP = 4
usual = Trainer._backward


def backward(trainer: Trainer, ids: Any, of: Any) -> Any:
    """Spoil the newest row of the first window of this rank's share, once."""
    if trainer.step_number + 1 == BAD_STEP and os.environ["RANK"] == "1":
        windows: Any = trainer.train
        windows.table[windows._ends[ids[0]], 0] = math.nan
    return usual(trainer, ids, of)


if __name__ == "__main__":
    Trainer._backward = backward  # type: ignore[method-assign]
    sys.exit(run.main(sys.argv[1:]))
