#!/usr/bin/env bash
# Makes an environment for this project and leaves its python in $PYTHON. Sourced by the other scripts; alone it sets up:
#   bash scripts/setup.sh          what a run needs
#   bash scripts/setup.sh --dev    what the checks need too
# Where python already has torch (Colab, a cluster, an activated environment) that environment is used and its torch is
# kept; elsewhere a .venv is made in the project folder.
# TIMERXL_PYTHON names another python, TIMERXL_VENV another folder for the environment.
set -euo pipefail

project=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
say() { printf '[setup] %s\n' "$*"; }
fail() { printf '[setup] %s\n' "$*" >&2; exit 2; }

find_python() {
  local candidate
  for candidate in "${TIMERXL_PYTHON:-}" python3 python python3.13 python3.12 python3.11; do
    [ -n "$candidate" ] || continue
    if "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then
      command -v "$candidate"
      return
    fi
  done
  fail "Python 3.11, 3.12 or 3.13 is needed and none was found. Install one from https://www.python.org/downloads/, or name it: TIMERXL_PYTHON=/path/to/python bash scripts/setup.sh"
}

has_module() { "$1" -c "import importlib.util, sys; sys.exit(importlib.util.find_spec('$2') is None)" 2>/dev/null; }

install() { "$PYTHON" -m pip install --quiet --disable-pip-version-check --root-user-action=ignore "$@"; }

# Without an NVIDIA card the build for the processor is enough; the default one for Linux brings gigabytes of CUDA.
# uv knows where each build is published and picks the one that fits the driver.
install_torch() {
  local version
  version=$(sed -n 's/^torch==//p' "$project/constraints.txt")
  say "installing torch $version (once; some minutes)"
  if ! command -v nvidia-smi >/dev/null 2>&1 && install "torch==$version+cpu" 2>/dev/null; then return; fi
  install uv
  "$PYTHON" -m uv pip install --quiet --python "$PYTHON" --torch-backend=auto "torch==$version" ||
    fail "torch could not be installed. Install it as https://pytorch.org/get-started says, then run this again."
}

own_environment() {
  local folder=${TIMERXL_VENV:-$project/.venv}
  if [ ! -x "$folder/bin/python" ]; then
    say "making $folder with $("$1" --version)"
    "$1" -m venv "$folder" ||
      fail "python -m venv failed. On Debian and Ubuntu: sudo apt-get install python3-venv. Then run this again."
  fi
  PYTHON=$folder/bin/python
  has_module "$PYTHON" torch || install_torch
}

main() {
  local base stamp wanted kind=run
  local -a files=(-r "$project/requirements.txt")
  if [ "${1:-}" = --dev ]; then
    kind=dev
    files+=(-r "$project/requirements-dev.txt")
  fi
  base=$(find_python)
  if [ -z "${TIMERXL_VENV:-}" ] && [ ! -x "$project/.venv/bin/python" ] && has_module "$base" torch; then
    PYTHON=$base
    say "using the environment of $base and its torch"
  else
    own_environment "$base"
    files+=(-c "$project/constraints.txt")
  fi
  # What is installed is remembered by the content of the requirement files, so that a second time costs nothing.
  wanted=$(cat "$project"/requirements*.txt "$project/constraints.txt" | cksum | cut -d' ' -f1)
  stamp=$("$PYTHON" -c 'import sys; print(sys.prefix)')/.timerxl-$kind-$wanted
  if [ ! -e "$stamp" ]; then
    say "installing packages"
    install "${files[@]}"
    touch "$stamp" 2>/dev/null || true
  fi
  export PYTHON
}

main "$@"
if [ "${BASH_SOURCE[0]}" = "$0" ]; then
  say "ready: $PYTHON ($("$PYTHON" --version))"
fi
