#!/usr/bin/env bash
# Option F: a probe. The whole file is loaded and stays frozen, the head alone learns, at 1e-3: what the encoder knows already.
#   bash scripts/option_f_linear_probe.sh                       starts from checkpoints/timer_xl/checkpoint.pth
#   bash scripts/option_f_linear_probe.sh --preset encoder      starts from our own small encoder, at its size
#   bash scripts/option_f_linear_probe.sh --preset smoke        seconds, on SYNTHETIC data, from an encoder made on them
# Cost: the encoder runs once over all windows and what it gives is kept; on a T4 about 2 minutes (estimated: a third of 1.02
# PFLOP at 40 % of 8.1 TFLOP/s), on one core less than the 6 hours of an epoch without that (measured: --dry_run, the
# other core busy); an epoch of the head then takes seconds (estimated).
# The notes give it no score; for a transfer that works they hope for F1 "0.72-0.78?". That F1 is no measure of skill: where
# it rains on 63 % of the days, saying "rain" every time scores 0.776. Read ROC AUC, Brier skill, MCC.
# All flags of run.py may follow, and win: python run.py --help
source "$(dirname "$0")/options.sh"
run_options "$0" F "$@"
