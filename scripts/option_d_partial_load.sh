#!/usr/bin/env bash
# Option D: a partial load. Embedding and layers 0-3 (the lower half) come from the file, all above starts fresh; the rate
# falls from 1e-4 at the top by a fifth with each layer, so that the fresh layers learn and the loaded ones are spared.
#   bash scripts/option_d_partial_load.sh                       starts from checkpoints/timer_xl/checkpoint.pth
#   bash scripts/option_d_partial_load.sh --preset encoder      starts from our own small encoder, at its size
#   bash scripts/option_d_partial_load.sh --preset smoke        seconds, on SYNTHETIC data, from an encoder made on them
# Cost: that of option C, about 5 minutes an epoch and 4.3 GiB on a T4 (estimated), 4 hours an epoch on one core,
# with --preset encoder 3 minutes and 0.5 GiB (measured: --dry_run in processor time; a busy machine takes longer). What it
# costs here: --dry_run.
# The notes give it no score of its own; for a transfer that works they hope for F1 "0.72-0.78?". That F1 is no measure of
# skill: where it rains on 63 % of the days, saying "rain" every time scores 0.776. Read ROC AUC, Brier skill, MCC.
# All flags of run.py may follow, and win: python run.py --help
source "$(dirname "$0")/options.sh"
run_options "$0" D "$@"
