#!/usr/bin/env bash
# The most skilful Timer-XL of this repository (docs/model_card.md): a tiny encoder of the newest week beside features of the
# past month. With six variables 391 features and 574,954 parameters, with more variables more. Resumed where it was cut.
#   bash scripts/option_best.sh                             on datasets/processed/peru_rainfall.csv
#   bash scripts/option_best.sh --data_path mine.csv --train_until 2022 --validation_until 2023 --itr 3
# It needs tp, t2m, sp, u10 and v10 in the table; a table without them is refused by name, and preset tiny fits it.
# Some minutes on two cores for five regions and four years of training. What it costs here: --dry_run.
# All flags of run.py may follow, and win: python run.py --help
cd "$(dirname "$0")/.."
source scripts/help.sh
help_where_asked scripts/option_best.sh "$@"
source scripts/setup.sh
exec "$PYTHON" run.py --preset best --model_id best --resume auto "$@"
