#!/usr/bin/env bash
# Is pre-training worth it? Skill against the number of training windows, for a model from scratch, a linear probe, a
# frozen warm-up, fine-tuning and gradient boosting, each with several draws of the windows. What is there already is
# skipped, so the curve can be made in parts. Table and picture: checkpoints/learning_curve/.
#   bash scripts/learning_curve.sh                                             the prepared table, 3 seeds
#   bash scripts/learning_curve.sh --sizes 100 300 --seeds 5                   a part of it
#   bash scripts/learning_curve.sh --data_path yerevan.csv --train_until 2022 --validation_until 2023
cd "$(dirname "$0")/.."
source scripts/setup.sh
exec "$PYTHON" -m exp.learning_curve "$@"
