#!/usr/bin/env bash
# Makes the Python environment of the tests that drive a browser, outside the source tree, keyed by its pins. Prints its
# folder (the last line of stdout). The browser is Debian's Chromium; Ubuntu's package is a snap, which cannot be driven.
#
# Environment: MINERVA_CACHE (default ~/.cache/minerva).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cache=${MINERVA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/minerva}
die() { printf 'browser tests: %s\n' "$*" >&2; exit 1; }

key=$({ cat "$here/web_ui/requirements.txt" "$here/requirements.txt"; python3 --version; } | sha256sum | cut -c1-16)
python="$cache/e2e/web-ui-$key"
if [ ! -f "$python/.complete" ]; then
  mkdir -p "$cache/e2e"
  exec 9>"$cache/e2e/.browser-lock"
  flock 9
fi
if [ ! -f "$python/.complete" ]; then
  printf '==> installing what drives a browser for the tests (pip, once)\n' >&2
  rm -rf "$python"
  python3 -m venv "$python" || die "python3 cannot make an environment; is python3-venv installed?"
  "$python/bin/pip" install --quiet --disable-pip-version-check -r "$here/requirements.txt" -r "$here/web_ui/requirements.txt" >&2 ||
    die "pip could not install the requirements; see its message above."
  touch "$python/.complete"
fi
printf '%s\n' "$python"
