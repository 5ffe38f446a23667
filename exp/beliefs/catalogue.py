"""All beliefs by name, in the order of the table."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from exp.beliefs import (
    causes,
    clipping,
    costs,
    expectations,
    initialisation,
    losses,
    network,
    rates,
    repairs,
    replacing,
)
from exp.beliefs.row import Belief, Row, Sizes

logger = logging.getLogger(__name__)
THEMES = (causes, repairs, replacing, initialisation, network, rates, clipping, losses, costs, expectations)
BELIEFS: dict[str, Belief] = {function.__name__: function for theme in THEMES for function in theme.ALL}


def measure(names: Sequence[str], sizes: Sizes) -> list[tuple[str, Row]]:
    """Measure the named beliefs and return named rows; says how long each took."""
    rows = []
    for number, name in enumerate(names, start=1):
        started = time.monotonic()
        rows.append((name, BELIEFS[name](sizes)))
        logger.info("%d/%d %s: %.0f s", number, len(names), name, time.monotonic() - started)
    return rows
