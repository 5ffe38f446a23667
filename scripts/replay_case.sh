#!/usr/bin/env bash
# The case, replayed on labelled SYNTHETIC data of the same shape: what killed the training (one finite loss, one step),
# what the diagnosis says of it before the first step, and the same model trained cleanly. Under two minutes on two
# cores after the installation; further words go to the replay, such as --seed 1.
#   bash scripts/replay_case.sh
# It writes datasets/processed/synthetic_case.* and checkpoints/replay_case/, where the page is index.html.
cd "$(dirname "$0")/.."
source scripts/setup.sh
export MPLCONFIGDIR=${MPLCONFIGDIR:-$(mktemp -d)}
# The model is so small that two threads would wait for one another longer than they work.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
exec "$PYTHON" -m scripts.replay_case "$@"
