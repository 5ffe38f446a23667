"""python -m scripts.options A|B|C|D|E|F [flags of run.py], or compare [letters] [flags]; see scripts/option_*.sh."""

from __future__ import annotations

from utils import signals

if __name__ == "__main__":
    signals.install()  # before anything slow is imported, as in run.py

import logging
import sys
from collections.abc import Sequence

import run as program
from utils import outcome

logger = logging.getLogger(__name__)


def main(argv: Sequence[str]) -> int:
    """Run one option or a comparison and return its exit code; what is foreseen ends in a message."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    return outcome.of(lambda: _dispatch(list(argv)))


def _dispatch(words: list[str]) -> int:
    from scripts.options import compare, single

    signals.raise_at_once()
    if words[:1] == ["compare"]:
        return compare.run(words[1:])
    return single.run(words[0].upper(), words[1:], program.main)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
