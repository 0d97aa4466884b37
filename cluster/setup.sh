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
command -v "$python" >/dev/null || { printf 'cluster setup: %s is missing; `make setup-tests` installs it.\n' "$python" >&2; exit 1; }

key=$({ cat "$here/requirements.txt"; "$python" --version; command -v "$python"; } | sha256sum | cut -c1-16)
out="$cache/cluster/$key"
"$here/../tools/python_environment.sh" "$out" "$python" "Ray for the cluster (pip, half a gigabyte, once)" \
  "$here/requirements.txt"
printf '%s\n' "$out"
