#!/usr/bin/env bash
# Option E: the whole file is loaded and its encoder frozen for 5 epochs, in which the head learns alone at 1e-3; then
# everything learns, gently: encoder 1e-5 after a warm-up of 2 epochs, neck 1e-4, head 1e-3.
#   bash scripts/option_e_frozen_warmup.sh                       starts from checkpoints/timer_xl/checkpoint.pth
#   bash scripts/option_e_frozen_warmup.sh --preset encoder      starts from our own small encoder, at its size
#   bash scripts/option_e_frozen_warmup.sh --preset smoke        seconds, on SYNTHETIC data, from an encoder made on them
# Cost: the frozen epochs together take one pass over the windows, about 2 minutes on a T4 (estimated: 340 TFLOP at 40 % of
# 8.1 TFLOP/s), 70 on one core; after them as option C, 5 minutes an epoch there (estimated), 4 hours on one core. With
# --preset encoder on one core 48 seconds for the pass, of which 82 MiB are kept, 1 for each frozen epoch after it, then 3
# minutes an epoch (measured: --dry_run in processor time; a busy machine takes longer). What it costs here: --dry_run.
# The notes propose it for 5-10 epochs and give it no score; for a transfer that works they hope for F1 "0.72-0.78?". That
# F1 is no measure of skill: where it rains on 63 % of the days, saying "rain" every time scores 0.776. Read ROC AUC,
# Brier skill, MCC.
# All flags of run.py may follow, and win: python run.py --help
source "$(dirname "$0")/options.sh"
run_options "$0" E "$@"
