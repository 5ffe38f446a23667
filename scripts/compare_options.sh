#!/usr/bin/env bash
# Options of the case side by side, on equal terms: same table, splits, windows, epochs, batch and seeds, tested at the same
# instants (told before the first hour is spent). What is finished is not done again, what was cut goes on: type the same.
#   bash scripts/compare_options.sh A B                     these; without letters all six
#   bash scripts/compare_options.sh A C F --seeds 3         three seeds each, mean and deviation (--itr 3 is the same)
#   bash scripts/compare_options.sh --ladder --seeds 3      small, full, transfer: after each step, what it allows to conclude
#   bash scripts/compare_options.sh --preset smoke          seconds an option, on SYNTHETIC data
#   bash scripts/compare_options.sh --preset encoder        at the size of our own small encoder, B too, at its own rate
# It writes comparison.json, .md, .csv and report.html into checkpoints/compared_options/, or ladder/: scores with 95 %
# intervals beside what the notes expected, which differences are real (docs/comparison.md), base rate, time, parameters,
# skipped steps, collapsed seeds. Exit code 5 where a seed died of its numbers.
# Flags of run.py may follow and go to every option: python run.py --help
source "$(dirname "$0")/options.sh"
run_options "$0" compare "$@"
