#!/usr/bin/env bash
# Makes a Python environment in FOLDER from lists of pinned packages, unless it is there. Several may ask at once: one of
# them does the work. FOLDER's name has the key of what is in it, so an environment that was not completed is made anew.
#
# Usage: tools/python_environment.sh FOLDER PYTHON WHAT REQUIREMENTS...     WHAT: what is being installed, for people
set -euo pipefail
folder=$1 python=$2 what=$3
shift 3

die() { printf 'python environment: %s\n' "$*" >&2; exit 1; }
command -v "$python" >/dev/null || die "python3 is missing; \`make setup-tests\` installs it."

[ ! -f "$folder/.complete" ] || exit 0
mkdir -p "$(dirname "$folder")"
exec 9>"$folder.lock"
flock 9
[ ! -f "$folder/.complete" ] || exit 0
printf '==> installing %s\n' "$what" >&2
rm -rf "$folder"
"$python" -m venv "$folder" || die "python3 cannot make an environment; is python3-venv installed?"
lists=()
for list in "$@"; do lists+=(-r "$list"); done
"$folder/bin/pip" install --quiet --disable-pip-version-check "${lists[@]}" >&2 ||
  die "pip could not install $*; see its message above."
touch "$folder/.complete"
