#!/usr/bin/env bash
# Sets up and passes all checks: style, types, tests (two workers). Further words go to pytest.
#   bash scripts/test.sh                      everything
#   bash scripts/test.sh tests/layers -x      some tests
#   bash scripts/test.sh --long [PART ...]    the long campaigns instead: hours, in parts that can be stopped (--help)
# Needs nothing but Python 3.11-3.13 and git; with an empty HOME too. Some minutes after the first installation.
cd "$(dirname "$0")/.."
source scripts/setup.sh --dev
if [ "${1:-}" = --long ]; then exec "$PYTHON" -m tests.long "${@:2}"; fi

echo "[test] 1 of 3: style"
"$PYTHON" -m ruff check .
"$PYTHON" -m ruff format --check .
echo "[test] 2 of 3: types"
"$PYTHON" -m mypy run.py debug_nan_source.py models layers data_provider exp utils scripts
echo "[test] 3 of 3: tests"
# One thread a worker: two workers with two threads each would wait for one another.
OMP_NUM_THREADS=1 MPLCONFIGDIR=${MPLCONFIGDIR:-$(mktemp -d)} exec "$PYTHON" -m pytest -q -n 2 --dist worksteal "$@"
