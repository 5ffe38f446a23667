#!/usr/bin/env bash
# Option A: Timer-XL at its published size (8 layers, width 1024, 67 million parameters), from scratch, 60 days of context.
#   bash scripts/option_a_from_scratch.sh                          on datasets/processed/peru_rainfall.csv; goes on where it was cut
#   bash scripts/option_a_from_scratch.sh --preset encoder         at the size of our own small encoder
#   bash scripts/option_a_from_scratch.sh --preset smoke           seconds, on SYNTHETIC data
# Cost (6,224 windows of 27 variables, batch of 16): on a T4 about 6 minutes an epoch (estimated: 1.12 PFLOP at 40 % of
# 8.1 TFLOP/s) and 6.1 GiB; on one core 5 hours an epoch, with --preset encoder (batch of 32, 1.2 million parameters)
# 3 minutes and 0.5 GiB (measured: --dry_run in processor time; a busy machine takes longer). What it costs here: --dry_run.
# The notes expect F1 0.70-0.75 in 3-4 hours. That F1 is no measure of skill: it is that of rain alone and rises with the
# share of rainy days; where it rains on 63 % of them, saying "rain" every time scores 0.776. Read ROC AUC, Brier skill, MCC.
# All flags of run.py may follow, and win: python run.py --help
source "$(dirname "$0")/options.sh"
run_options "$0" A "$@"
