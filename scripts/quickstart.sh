#!/usr/bin/env bash
# From nothing to a scored rain forecast: sets up, writes labelled SYNTHETIC data of the Peru box, prepares them, trains
# Timer-XL beside its honest references and shows the scores. About seven minutes on two busy cores after the installation.
#   bash scripts/quickstart.sh                 further words go to the Timer-XL run, such as --train_epochs 2
# It writes datasets/synthetic_era5/, datasets/processed/synthetic_peru.* and checkpoints/synthetic_peru/.
cd "$(dirname "$0")/.."
source scripts/help.sh
help_where_asked scripts/quickstart.sh "$@"
source scripts/setup.sh
export MPLCONFIGDIR=${MPLCONFIGDIR:-$(mktemp -d)}
started=$SECONDS
step() { printf '\n[quickstart] %s\n' "$*"; }

step "1 of 4: synthetic ERA5 of Peru (hourly, labelled synthetic; never mixed with real data)"
"$PYTHON" -m data_provider.synthetic_era5 --output datasets/synthetic_era5

step "2 of 4: regions, features, label"
"$PYTHON" -m data_provider.prepare --input_dir datasets/synthetic_era5 --output datasets/processed/synthetic_peru.nc

data=(--data_path synthetic_peru.csv --model_id synthetic_peru --sample_stride_hours 12)
step "3 of 4: references"
for model in climatology persistence logistic_regression gradient_boosting; do
  "$PYTHON" run.py --model "$model" --seq_len 168 "${data[@]}"
done

step "4 of 4: Timer-XL"
# The design of preset best in small: features of the past week beside a tiny encoder.
"$PYTHON" run.py --preset tiny --history_features --head_dropout 0.5 --train_epochs 2 "${data[@]}" "$@"

step "all models, same windows, same scores ($((SECONDS - started)) s)"
"$PYTHON" -m exp.comparison checkpoints/synthetic_peru
