#!/usr/bin/env bash
# Makes what the end-to-end tests need beside Minerva: a Python environment, the Node clients and the programs of the Go
# clients, as pinned here. All live outside the source tree, keyed by the pins, the interpreters and the compiler, so a
# fresh clone finds them ready. Go clients need Go 1.22: where it is older or missing, go/ is left out.
#
# Environment: MINERVA_CACHE (default ~/.cache/minerva).
# Prints the folder that holds python/, node/ and go/ (the last line of stdout).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cache=${MINERVA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/minerva}
python=${MINERVA_E2E_PYTHON:-python3}

die() { printf 'e2e setup: %s\n' "$*" >&2; exit 1; }
command -v "$python" >/dev/null || die "python3 is missing; \`make setup-tests\` installs it."
command -v node >/dev/null || die "node is missing; \`make setup-tests\` installs it."

# The installed Go that can build the clients; nothing if there is none. It fetches no other Go.
export GOTOOLCHAIN=local
go=$(go env GOVERSION 2>/dev/null || true)
[[ $go =~ ^go([0-9]+)\.([0-9]+) ]] && ((BASH_REMATCH[1] > 1 || BASH_REMATCH[2] >= 22)) || go=""

key=$({ cat "$here/requirements.txt" "$here/clients/package.json" "$here/clients/package-lock.json" "$here"/clients/go/*/*
  "$python" --version; command -v "$python"; node --version; echo "$go"; } | sha256sum | cut -c1-16)
out="$cache/e2e/$key"

if [ ! -f "$out/.complete" ]; then
  mkdir -p "$cache/e2e"
  # The tests of one run start at the same time: one of them does the work.
  exec 9>"$cache/e2e/.lock"
  flock 9
fi
if [ ! -f "$out/.complete" ]; then
  printf '==> installing the clients for the end-to-end tests (pip, npm and go, once)\n' >&2
  rm -rf "$out"
  mkdir -p "$out/node"
  "$python" -m venv "$out/python" || die "python3 cannot make an environment; is python3-venv installed?"
  "$out/python/bin/pip" install --quiet --disable-pip-version-check -r "$here/requirements.txt" >&2 ||
    die "pip could not install tests/e2e/requirements.txt; see its message above."
  cp "$here/clients/package.json" "$here/clients/package-lock.json" "$out/node/"
  npm --prefix "$out/node" ci --silent --no-audit --no-fund >&2 ||
    die "npm could not install tests/e2e/clients/package.json; see its message above."
  if [ -n "$go" ]; then
    for program in "$here"/clients/go/*/; do
      (cd "$program" && go build -trimpath -buildvcs=false -o "$out/go/$(basename "$program")" .) >&2 ||
        die "go could not build $program; see its message above."
    done
  fi
  touch "$out/.complete"
fi
printf '%s\n' "$out"
