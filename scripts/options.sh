#!/usr/bin/env bash
# What the option scripts share; sourced by them. Their --help is what stands at their head.
set -euo pipefail

# Prints the comment at the head of a script.
show_help() { sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$1"; }

# run_options SCRIPT WORDS...: help where it is asked for, else sets up and hands the words on.
run_options() {
  local script=$1 word
  shift
  for word in "$@"; do
    case $word in -h|--help) show_help "$script"; exit 0 ;; esac
  done
  cd "$(dirname "$script")/.."
  source scripts/setup.sh
  exec "$PYTHON" -m scripts.options "$@"
}
