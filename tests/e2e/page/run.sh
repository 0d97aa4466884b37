#!/usr/bin/env bash
# Runs the tests of the page at / in Debian's Chromium. Usage: tests/e2e/page/run.sh [pytest's arguments]
# Environment: as of ../run.sh, and MINERVA_SCREENSHOTS (a folder).
set -euo pipefail
cd "$(dirname "$0")/.."
if [ ! -x /usr/bin/chromium ]; then
  # Ubuntu's is a snap, which no test can drive.
  [ "$(. /etc/os-release && echo "${ID:-}")" = debian ] || { echo "skipped: this system has no Chromium but a snap"; exit 0; }
  echo "page tests: chromium is missing; \`make setup-tests\` installs it." >&2
  exit 1
fi
python=$(./browser_setup.sh | tail -n 1)
MINERVA_AXE=$(../../tools/page_libraries.sh --axe)/axe.min.js
export MINERVA_AXE PYTHONDONTWRITEBYTECODE=1
exec "$python/bin/python" -m pytest -q page "$@"
