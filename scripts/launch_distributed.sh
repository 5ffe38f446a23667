#!/usr/bin/env bash
# Trains one network with several processes: each takes its share of every batch, and the steps are those of one.
#   bash scripts/launch_distributed.sh --preset full                        one for each GPU of this machine
#   bash scripts/launch_distributed.sh --ranks 2 --preset small --device cpu      two on the processor
#   bash scripts/launch_distributed.sh --preset full --resume auto          go on, with as many as before
# On several machines with one file system, on each: --nodes 2 --node_rank 0 --master HOST:29500 (scripts/slurm_distributed.sbatch).
# --batch_size is that of all together. Other flags are those of run.py; so is the exit code, and where ranks differ that of
# the cause: 8 is told of a rank that is gone (PEER_LOST). Signals go to all ranks, which stop after the same step (75).
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/help.sh
help_where_asked scripts/launch_distributed.sh "$@"

ranks= nodes=1 node_rank=0 master=127.0.0.1:29500
more=()
while [ $# -gt 0 ]; do
  case $1 in --ranks|--nodes|--node_rank|--master)
    [ $# -ge 2 ] || { echo "$1 wants a value: bash scripts/launch_distributed.sh --help" >&2; exit 2; } ;;
  esac
  case $1 in
    --ranks) ranks=$2; shift 2 ;;
    --nodes) nodes=$2; shift 2 ;;
    --node_rank) node_rank=$2; shift 2 ;;
    --master) master=$2; shift 2 ;;
    *) more+=("$1"); shift ;;
  esac
done
source scripts/setup.sh

[ -n "$ranks" ] || ranks=$("$PYTHON" -c 'import torch; print(max(torch.cuda.device_count(), 1))')
case $ranks$nodes$node_rank in *[!0-9]*) echo "--ranks, --nodes and --node_rank take whole numbers" >&2; exit 2 ;; esac
[ "$ranks" -gt 0 ] && [ "$nodes" -gt 0 ] || { echo "--ranks and --nodes must be at least 1" >&2; exit 2; }
cores=$("$PYTHON" -c 'import os; print(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count())')
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$((cores > ranks ? cores / ranks : 1))}
where=(--standalone)
[ "$nodes" = 1 ] || where=(--nnodes "$nodes" --node_rank "$node_rank" --master_addr "${master%:*}" --master_port "${master##*:}")

# torchrun itself ends with 1 whatever a rank ended with, so each rank leaves its code here.
TIMERXL_EXIT_FOLDER=$(mktemp -d)
export TIMERXL_EXIT_FOLDER
trap 'rm -rf "$TIMERXL_EXIT_FOLDER"' EXIT
# A validation or a large state may take longer than the 30 seconds that torchrun waits for.
export TORCH_ELASTIC_SHUTDOWN_TIMEOUT=${TORCH_ELASTIC_SHUTDOWN_TIMEOUT:-100}
"$PYTHON" -m scripts.launch "${where[@]}" --nproc_per_node "$ranks" --max_restarts 0 run.py ${more[@]+"${more[@]}"} &
launcher=$!
trap 'kill -TERM $launcher 2>/dev/null' TERM INT HUP
# A signal ends the first wait, not the launcher.
while kill -0 $launcher 2>/dev/null; do wait $launcher || true; done

[ -n "$(ls "$TIMERXL_EXIT_FOLDER")" ] || { echo "No rank has ended by itself: see what was said above" >&2; exit 1; }
code=0 lost= stopped=
for rank in $(seq 0 $((ranks - 1))); do
  own=$(cat "$TIMERXL_EXIT_FOLDER/$rank" 2>/dev/null || echo killed)
  case $own in
    0) ;;
    8|killed) lost=1 ;;
    75) stopped=1 ;;
    *) [ "$code" != 0 ] || code=$own ;;
  esac
done
[ "$code" = 0 ] || exit "$code"
[ -z "$lost" ] || exit 8
[ -z "$stopped" ] || exit 75
