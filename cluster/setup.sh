#!/usr/bin/env bash
# Makes the Python environment of the cluster: Ray, this package, and what its tests need, as pinned here. The environment
# lives outside the source tree, keyed by the pins and the interpreter, so that a fresh clone finds it ready.
#
# Environment: MINERVA_CACHE (default ~/.cache/minerva), MINERVA_CLUSTER_PYTHON (default python3).
# Prints the environment's folder (the last line of stdout).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cache=${MINERVA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/minerva}
python=${MINERVA_CLUSTER_PYTHON:-python3}

die() { printf 'cluster setup: %s\n' "$*" >&2; exit 1; }
command -v "$python" >/dev/null || die "python3 is missing; \`make setup-tests\` installs it."

key=$({ cat "$here/requirements.txt"; "$python" --version; command -v "$python"; } | sha256sum | cut -c1-16)
out="$cache/cluster/$key"
if [ ! -f "$out/.complete" ]; then
  mkdir -p "$cache/cluster"
  exec 9>"$cache/cluster/.lock"
  flock 9
fi
if [ ! -f "$out/.complete" ]; then
  printf '==> installing Ray for the cluster (pip, half a gigabyte, once)\n' >&2
  rm -rf "$out"
  "$python" -m venv "$out" || die "python3 cannot make an environment; is python3-venv installed?"
  "$out/bin/pip" install --quiet --disable-pip-version-check -r "$here/requirements.txt" >&2 ||
    die "pip could not install cluster/requirements.txt; see its message above."
  touch "$out/.complete"
fi
printf '%s\n' "$out"
