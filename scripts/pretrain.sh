#!/usr/bin/env bash
# Pre-trains a small Timer-XL on a folder of series: every token forecasts the next one. Its best.pt has the published
# names; a classifier of the same sizes starts from it: --preset encoder --adaptation --pretrain_model_path RUN/best.pt.
#   bash scripts/pretrain.sh --root_path FOLDER                    ERA5 at one place (NetCDF) or a table, all variables at once
#   bash scripts/pretrain.sh --root_path FOLDER --variates univariate   also files of other columns, such as Weather (CSV or ZIP)
#   bash scripts/pretrain.sh --root_path FOLDER --preset smoke     to see that it works
# The encoder in checkpoints/small_encoder was made so, on thirty years of ERA5 at one place, in 15 minutes of one core.
# The same command goes on where it was cut. Files named ETT* are left out: their licence forbids derivatives, and they
# are what a forecast is measured on. Measuring one on ETTh1, from scratch (look-back 672, horizon 96, the usual borders):
#   python run.py --task_name forecast --root_path FOLDER --data_path ETTh1.csv --split_rows 8640 11520 14400 --seq_len 672 --test_pred_len 96 --e_layers 1 --d_model 128 --d_ff 256 --n_heads 4 --use_norm --batch_size 64 --learning_rate 3e-4 --cosine --train_epochs 5 --patience 2 --model_id etth1
cd "$(dirname "$0")/.."
source scripts/setup.sh
exec "$PYTHON" run.py --task_name forecast --preset pretrain --model_id pretrained --exclude_series 'ETT*' --resume auto "$@"
