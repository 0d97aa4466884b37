#!/usr/bin/env bash
# Makes the Python environment of the tests that drive a browser, outside the source tree, keyed by its pins. Prints its
# folder (the last line of stdout). The browser is Debian's Chromium; Ubuntu's package is a snap, which cannot be driven.
#
# Environment: MINERVA_CACHE (default ~/.cache/minerva).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cache=${MINERVA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/minerva}

key=$({ cat "$here/web_ui/requirements.txt" "$here/requirements.txt"; python3 --version; } | sha256sum | cut -c1-16)
python="$cache/e2e/web-ui-$key"
"$here/../../tools/python_environment.sh" "$python" python3 "what drives a browser for the tests (pip, once)" \
  "$here/requirements.txt" "$here/web_ui/requirements.txt"
printf '%s\n' "$python"
