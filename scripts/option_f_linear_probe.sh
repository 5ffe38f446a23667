#!/usr/bin/env bash
# Option F: a probe. The whole file is loaded and stays frozen, the head alone learns, at 1e-3: what the encoder knows already.
#   bash scripts/option_f_linear_probe.sh                       starts from checkpoints/timer_xl/checkpoint.pth
#   bash scripts/option_f_linear_probe.sh --preset encoder      starts from our own small encoder, at its size
#   bash scripts/option_f_linear_probe.sh --preset smoke        seconds, on SYNTHETIC data, from an encoder made on them
# Cost: the encoder runs once over all windows and what it gives is kept (2 MiB); on a T4 about 2 minutes (estimated: 340 TFLOP
# at 40 % of 8.1 TFLOP/s), on one core 70 minutes; an epoch of the head then takes 3 seconds. With --preset encoder 48 seconds
# for the pass (82 MiB kept) and 1 an epoch, 90 for 50 epochs (measured: --dry_run in processor time; a busy machine takes
# longer). What it costs here: --dry_run.
# The notes give it no score; for a transfer that works they hope for F1 "0.72-0.78?". That F1 is no measure of skill: where
# it rains on 63 % of the days, saying "rain" every time scores 0.776. Read ROC AUC, Brier skill, MCC.
# All flags of run.py may follow, and win: python run.py --help
source "$(dirname "$0")/options.sh"
run_options "$0" F "$@"
