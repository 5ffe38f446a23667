#!/usr/bin/env bash
# Where the time goes, on this machine, as JSON.
#   bash scripts/benchmark.sh epoch      share of an epoch outside model and optimizer (6,224 windows of 1440 x 27)
#   bash scripts/benchmark.sh guard      a guarded step against a plain one (option small; --preset tiny)
#   bash scripts/benchmark.sh frozen     ten epochs with a frozen encoder, run once per window or in every step
#   bash scripts/benchmark.sh save       saving the state of a training against its steps (option small)
#   bash scripts/benchmark.sh variates   9, 27 and 54 variables, joint and independent: time and memory (option small)
cd "$(dirname "$0")/.."
source scripts/setup.sh
exec "$PYTHON" -m exp.benchmark "$@"
