#!/usr/bin/env bash
# What `make test-cluster` runs: ruff, mypy --strict and the tests of the cluster. Usage: cluster/test.sh [pytest's arguments]
# Environment: MINERVA_BIN (the daemon), MINERVA_BIN_DIR (minerva-engine, make_gguf), MINERVA_CACHE.
set -euo pipefail
cd "$(dirname "$0")"
environment=$(./setup.sh | tail -n 1)
export PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$PWD:$PWD/../tests/e2e
# Ray's processes find the package by this; they are not in this folder.
export RAY_USAGE_STATS_ENABLED=0
"$environment/bin/ruff" check --no-cache .
"$environment/bin/ruff" format --no-cache --check .
"$environment/bin/mypy" --cache-dir=/dev/null
exec "$environment/bin/python" -m pytest -q "$@"
