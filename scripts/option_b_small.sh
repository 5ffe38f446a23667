#!/usr/bin/env bash
# Option B: a small Timer-XL (4 layers, width 512, 8.5 million parameters), from scratch, 30 days of context, rate 1e-3.
#   bash scripts/option_b_small.sh                          on datasets/processed/peru_rainfall.csv; goes on where it was cut
#   bash scripts/option_b_small.sh --preset smoke           seconds, on SYNTHETIC data
# Cost (6,224 windows of 27 variables, batch of 16): on a T4 about 20 seconds an epoch (estimated: 64.9 TFLOP at 40 % of
# 8.1 TFLOP/s; the case saw 35) and 0.7 GiB; on one core 18 minutes an epoch (measured: --dry_run in processor time;
# a busy machine takes longer). What it costs here: --dry_run.
# The notes expect F1 0.68-0.73 in 1-2 hours. That F1 is no measure of skill: it is that of rain alone and rises with the
# share of rainy days; where it rains on 63 % of them, saying "rain" every time scores 0.776. Read ROC AUC, Brier skill, MCC.
# All flags of run.py may follow, and win: python run.py --help
source "$(dirname "$0")/options.sh"
run_options "$0" B "$@"
