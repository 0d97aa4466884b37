#!/usr/bin/env bash
# Runs end-to-end tests: sets up what they need, then pytest. Usage: tests/e2e/run.sh [pytest's arguments]
# Environment: MINERVA_BIN (the program under test), MINERVA_BIN_DIR (minerva-engine, make_gguf), MINERVA_CACHE.
set -euo pipefail
cd "$(dirname "$0")"
environment=$(./setup.sh | tail -n 1)
export MINERVA_E2E_NODE="$environment/node" PYTHONDONTWRITEBYTECODE=1
[ ! -d "$environment/go" ] || export MINERVA_E2E_GO="$environment/go"
exec "$environment/python/bin/python" -m pytest -q "$@"
