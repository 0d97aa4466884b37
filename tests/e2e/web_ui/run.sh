#!/usr/bin/env bash
# Runs the tests of the web UI in Debian's Chromium. Usage: tests/e2e/web_ui/run.sh [pytest's arguments]
# Environment: as of ../run.sh, and MINERVA_UI_DIR (where `make ui` put the UI), MINERVA_SCREENSHOTS (a folder).
set -euo pipefail
cd "$(dirname "$0")/.."
die() { printf 'web UI tests: %s\n' "$*" >&2; exit 1; }
command -v chromium >/dev/null || die "chromium is missing; \`make test-ui\` installs it."
[ -f "${MINERVA_UI_DIR:-}/index.html" ] || die "the web UI is not built: \`make ui\` builds it."
python=$(./browser_setup.sh | tail -n 1)
export PYTHONDONTWRITEBYTECODE=1
exec "$python/bin/python" -m pytest -q web_ui "$@"
