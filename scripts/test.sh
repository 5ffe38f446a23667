#!/usr/bin/env bash
# Sets up and passes all checks: style, types, tests (two workers). Further words go to pytest.
#   bash scripts/test.sh                      everything
#   bash scripts/test.sh tests/layers -x      some tests
#   bash scripts/test.sh --long [PART ...]    the long campaigns instead: hours, in parts that can be stopped (--help)
# Needs nothing but Python 3.11-3.13 and git; with an empty HOME too. Some minutes after the first installation.
# With CI=true or TEST_BROWSER=1 a Chromium is installed, where there is none, for the tests that look at the report in
# one; where it cannot be had, or is not asked for, they are skipped with the reason.
cd "$(dirname "$0")/.."
source scripts/setup.sh --dev
if [ "${1:-}" = --long ]; then exec "$PYTHON" -m tests.long "${@:2}"; fi

has_browser() { command -v chromium || command -v chromium-browser || command -v google-chrome; } >/dev/null

install_browser() {
  local -a as_root=()
  command -v apt-get >/dev/null || { echo "no apt-get here to install Chromium with"; return 1; }
  [ "$(id -u)" = 0 ] || as_root=(sudo -n)
  local -a get=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Acquire::Retries=1 -o Acquire::http::Timeout=20)
  timeout 300 "${get[@]}" update && timeout 300 "${get[@]}" install -y --no-install-recommends chromium
}

# It is fetched while style and types are checked.
browser_log=$(mktemp)
browser_job=
if { [ "${CI:-}" = true ] || [ "${TEST_BROWSER:-}" = 1 ]; } && ! has_browser; then
  install_browser >"$browser_log" 2>&1 &
  browser_job=$!
fi

echo "[test] 1 of 3: style"
"$PYTHON" -m ruff check .
"$PYTHON" -m ruff format --check .
echo "[test] 2 of 3: types"
"$PYTHON" -m mypy run.py debug_nan_source.py models layers data_provider exp utils scripts
if [ -n "$browser_job" ] && ! wait "$browser_job"; then
  TIMERXL_NO_BROWSER="Chromium could not be installed: $(tail -n 1 "$browser_log")"
  export TIMERXL_NO_BROWSER
  echo "[test] $TIMERXL_NO_BROWSER"
fi
rm -f "$browser_log"
echo "[test] 3 of 3: tests"
# One thread a worker: two workers with two threads each would wait for one another.
OMP_NUM_THREADS=1 MPLCONFIGDIR=${MPLCONFIGDIR:-$(mktemp -d)} exec "$PYTHON" -m pytest -q -n 2 --dist worksteal "$@"
