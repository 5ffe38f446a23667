#!/usr/bin/env python
"""Where does the NaN come from? The notes' name for `python run.py --task_name diagnose`; takes the same flags."""

from __future__ import annotations

from utils import signals

if __name__ == "__main__":
    signals.install()

import sys

import run

if __name__ == "__main__":
    # The task comes last and wins: the flags of a training, which are given here again, may name theirs.
    sys.exit(run.main([*sys.argv[1:], "--task_name", "diagnose"]))
