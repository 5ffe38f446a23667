#!/usr/bin/env bash
# What is believed about NaN in training, beside our own measurement of it: a Markdown table, in some minutes.
#   bash scripts/measure_beliefs.sh                          all of them
#   bash scripts/measure_beliefs.sh --only xavier_bound      one of them; the names stand in the table
cd "$(dirname "$0")/.."
source scripts/setup.sh
exec "$PYTHON" -m exp.beliefs "$@"
