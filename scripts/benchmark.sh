#!/usr/bin/env bash
# Where the time goes, on this machine, as JSON, with a table beside it (--output FILE keeps the JSON).
#   bash scripts/benchmark.sh step       a training step against the published formula written out, and the limit of the
#                                        matrix products (option small; --preset full, --preset tiny; --dropout 0)
#   bash scripts/benchmark.sh layers     pieces of an encoder layer against the same written out
#   bash scripts/benchmark.sh epoch      share of an epoch outside model and optimizer (6,224 windows of 1440 x 27)
#   bash scripts/benchmark.sh guard      a guarded step against a plain one (option small; --preset tiny)
#   bash scripts/benchmark.sh frozen     ten epochs with a frozen encoder, run once per window or in every step
#   bash scripts/benchmark.sh save       saving the state of a training against its steps (option small)
#   bash scripts/benchmark.sh scaling    9 to 135 variables, joint and independent, 480 to 5,760 hours, 1 to 16 windows
cd "$(dirname "$0")/.."
source scripts/setup.sh
exec "$PYTHON" -m exp.benchmark "$@"
