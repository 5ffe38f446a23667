#!/usr/bin/env bash
# Puts a checkpoint in its place, checkpoints/timer_xl/checkpoint.pth: fetched or copied, looked at, never half.
#   bash scripts/get_checkpoint.sh ~/Downloads/checkpoint.pth
#   bash scripts/get_checkpoint.sh "https://HOST/PATH/checkpoint.pth" --sha256 HEX
# Type the same command again where it was cut: it goes on. All flags: bash scripts/get_checkpoint.sh --help
words=("$@")
# A path is meant as seen from where the command is typed.
if [ -e "${1:-}" ]; then words[0]=$(cd "$(dirname -- "$1")" && pwd)/$(basename -- "$1"); fi
cd "$(dirname "$0")/.."
source scripts/setup.sh
exec "$PYTHON" -m utils.get_checkpoint ${words[@]+"${words[@]}"}
