#!/usr/bin/env bash
# Runs the tests of the web UI in Debian's Chromium. Usage: tests/e2e/web_ui/run.sh [pytest's arguments]
# Environment: as of ../run.sh, and MINERVA_UI_DIR (where `make ui` put the UI), MINERVA_SCREENSHOTS (a folder).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cache=${MINERVA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/minerva}
die() { printf 'web UI tests: %s\n' "$*" >&2; exit 1; }
command -v chromium >/dev/null || die "chromium is missing; \`make test-ui\` installs it."
[ -f "${MINERVA_UI_DIR:-}/index.html" ] || die "the web UI is not built: \`make ui\` builds it."

key=$({ cat "$here/requirements.txt" "$here/../requirements.txt"; python3 --version; } | sha256sum | cut -c1-16)
python="$cache/e2e/web-ui-$key"
if [ ! -f "$python/.complete" ]; then
  mkdir -p "$cache/e2e"
  rm -rf "$python"
  python3 -m venv "$python" || die "python3 cannot make an environment; is python3-venv installed?"
  "$python/bin/pip" install --quiet --disable-pip-version-check -r "$here/../requirements.txt" -r "$here/requirements.txt" >&2 ||
    die "pip could not install the requirements; see its message above."
  touch "$python/.complete"
fi
cd "$here/.."
export PYTHONDONTWRITEBYTECODE=1
exec "$python/bin/python" -m pytest -q web_ui "$@"
