#!/usr/bin/env bash
# Does Timer-XL earn its place? References and presets on one real table, trained on earlier years and tested on 2022, 2023
# and 2024 by runs of their own, networks with three seeds; then who is better by how much, with intervals: on the last
# year alone and on all three as one record. What is finished is not done again: stop it, and type it again.
#   bash scripts/benchmark_skill.sh --input_dir FOLDER        prepares the table from a folder of ERA5 files, then all of it
#   bash scripts/benchmark_skill.sh --only best,boosting      parts, by the names below
#   bash scripts/benchmark_skill.sh --threshold_mm 1          rain of 1 mm, a table of its own
#   bash scripts/benchmark_skill.sh --threshold_mm 0.1,1,5    three thresholds, told by one model at once
#   bash scripts/benchmark_skill.sh --lead_times 24,6,12,48,72   five lead times, told by one model at once
#   bash scripts/benchmark_skill.sh --regions cells           each grid cell a region, in place of the columns of the grid
#   bash scripts/benchmark_skill.sh --seeds 5                 more seeds of the networks
# Names: climatology, logistic, boosting, boosting_slow (600 slow trees), the same on the features of the past month that
# preset best reads (logistic_history, boosting_history, boosting_history_tuned), tiny, best, best_alone (without these
# features). References and best took an hour on two busy cores. Runs: checkpoints/skill_<name>-by_years/; tables, pictures
# and pages: checkpoints/skill_2024/ and checkpoints/skill_all_years/. Other flags go to every run: python run.py --help
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/help.sh
help_where_asked scripts/benchmark_skill.sh "$@"

input_dir= only= seeds=3 threshold=0.1 regions=grid_columns leads=
more=()
while [ $# -gt 0 ]; do
  case $1 in --input_dir|--only|--seeds|--threshold_mm|--regions|--lead_times)
    [ $# -ge 2 ] || { echo "$1 wants a value: bash scripts/benchmark_skill.sh --help" >&2; exit 2; }
    case ${3:-} in ''|-*) ;; *) echo "$1 takes one word: write several as A,B" >&2; exit 2 ;; esac ;;
  esac
  case $1 in
    --input_dir) input_dir=$2; shift 2 ;;
    --only) only=$2; shift 2 ;;
    --seeds) seeds=$2; shift 2 ;;
    --threshold_mm) threshold=$2; shift 2 ;;
    --regions) regions=$2; shift 2 ;;
    --lead_times) leads=$2; shift 2 ;;
    *) more+=("$1"); shift ;;
  esac
done
source scripts/setup.sh

suffix=
[ "$threshold" = 0.1 ] || suffix=_${threshold//,/-}mm
[ "$regions" = grid_columns ] || suffix=${suffix}_$regions
table=yerevan$suffix
label=()
if [ -n "$leads" ]; then
  # The longer periods are summed from those of the shortest lead time.
  shortest=$(tr , '\n' <<<"$leads" | sort -n | head -1)
  table=${table}_${shortest}h
  suffix=${suffix}_leads_${leads//,/-}
  label=(--lead_time_hours "$shortest")
  more+=(--lead_times ${leads//,/ })
fi
if [ -n "$input_dir" ] && [ ! -f "datasets/processed/$table.csv" ]; then
  "$PYTHON" -m data_provider.prepare --input_dir "$input_dir" --output "datasets/processed/$table.nc" \
    --regions "$regions" --columns tp t2m sp u10 v10 blh --threshold_mm "$threshold" ${label[@]+"${label[@]}"}
fi
if [ ! -f "datasets/processed/$table.csv" ]; then
  echo "There is no datasets/processed/$table.csv: --input_dir FOLDER makes it from ERA5 files (docs/data.md)" >&2
  exit 3
fi

declare -A flags=(
  [climatology]="--model climatology --seq_len 720"
  [logistic]="--model logistic_regression --seq_len 720"
  [logistic_history]="--model logistic_regression --seq_len 720 --history_features --logistic_c 0.001"
  [boosting]="--model gradient_boosting --seq_len 720"
  [boosting_slow]="--model gradient_boosting --seq_len 720 --boosting_trees 600 --boosting_learning_rate 0.015"
  [boosting_history]="--model gradient_boosting --seq_len 720 --history_features"
  [boosting_history_tuned]="--model gradient_boosting --seq_len 720 --history_features --boosting_trees 250 --boosting_learning_rate 0.04 --boosting_leaves 12 --boosting_feature_share 0.15 --boosting_min_samples 150 --boosting_l2 10"
  [tiny]="--preset tiny --seq_len 720 --encoder_hours 168 --itr $seeds"
  [best]="--preset best --itr $seeds"
  [best_alone]="--preset best --history_features no --use_marks --last_hours 24 --itr $seeds"
)
names=(climatology logistic logistic_history boosting boosting_slow boosting_history boosting_history_tuned tiny best best_alone)
all="${names[*]}"
[ -z "$only" ] || IFS=, read -ra names <<<"$only"
for name in "${names[@]}"; do
  [ -n "${flags[$name]:-}" ] || { echo "--only $name: there is no such name; names: $all" >&2; exit 2; }
done

folders=()
for name in "${names[@]}"; do
  printf '\n[skill] %s\n' "$name"
  read -ra words <<<"${flags[$name]}"
  words+=(--cross_validate years --sample_stride_hours 3 --data_path "$table.csv" --model_id "skill_$name$suffix")
  "$PYTHON" run.py "${words[@]}" ${more[@]+"${more[@]}"}
  folders+=("checkpoints/skill_$name$suffix-by_years")
done

printf '\n[skill] the last year alone\n'
compare=(--task_name compare "${folders[@]}")
"$PYTHON" run.py "${compare[@]}" --test_year 2024 --output="checkpoints/skill_2024$suffix"
printf '\n[skill] all test years as one record\n'
"$PYTHON" run.py "${compare[@]}" --output="checkpoints/skill_all_years$suffix"
# The first lead time is that of the tables above.
further=
case $leads in *,*) further=${leads#*,} ;; esac
for hours in ${further//,/ }; do
  printf '\n[skill] all test years, %s h ahead\n' "$hours"
  at=(--lead_time "$hours")
  "$PYTHON" run.py "${compare[@]}" "${at[@]}" --output="checkpoints/skill_all_years${suffix}_${hours}h"
done
