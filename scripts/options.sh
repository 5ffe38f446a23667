#!/usr/bin/env bash
# What the option scripts share; sourced by them. Their --help is what stands at their head.
set -euo pipefail

source "$(dirname "${BASH_SOURCE[0]}")/help.sh"

# run_options SCRIPT WORDS...: help where it is asked for, else sets up and hands the words on.
run_options() {
  local script=$1
  shift
  help_where_asked "$script" "$@"
  cd "$(dirname "$script")/.."
  source scripts/setup.sh
  exec "$PYTHON" -m scripts.options "$@"
}
