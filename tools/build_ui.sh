#!/usr/bin/env bash
# Builds llama.cpp's own web UI, which minerva serves below /chat/, from the pinned source of tools/build_engine.sh.
#
# The result is cached outside the source tree, once per machine:
#   $MINERVA_CACHE (default ~/.cache/minerva)
#     ui/<key>/    the files that are served, about 10 MB; key: llama.cpp's version
# npm's packages (0.7 GB) are needed while it is built and removed afterwards.
#
# Environment: MINERVA_CACHE, MINERVA_LLAMA_SOURCE (a llama.cpp checkout of one's own).
# Usage: tools/build_ui.sh [DIR]     where the link `ui` goes (default: build/bin)
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '==> %s\n' "$*"; }
die() { printf 'build_ui: %s\n' "$*" >&2; exit 1; }

bin_dir=${1:-build/bin}
cache=${MINERVA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/minerva}
llama=${MINERVA_LLAMA_SOURCE:-}
if [ -z "$llama" ]; then
  llama=$(tools/build_engine.sh --source)
fi
key=$(sha256sum "$llama/tools/ui/package-lock.json" "$llama/tools/ui/vite.config.ts" | sha256sum | cut -c1-16)
out="$cache/ui/$key"
mkdir -p "$cache/ui" "$bin_dir"

exec 9>"$cache/ui/.lock"
flock -n 9 || { say "another build of the web UI is running; waiting for it"; flock 9; }

if [ ! -f "$out/index.html" ] || [ -n "${MINERVA_LLAMA_SOURCE:-}" ]; then
  command -v npm >/dev/null || die "missing: npm, and Node 20 or later. On Debian 13: apt-get install npm."
  major=$(node -p 'process.versions.node.split(".")[0]') || die "missing: node, version 20 or later."
  [ "$major" -ge 20 ] ||
    die "the web UI needs Node 20 or later to build, and this is Node $major. npm's package \"node\" brings one."
  say "building the web UI (npm's packages are fetched: 0.7 GB while it builds; 4 minutes on two cores, once per machine)"
  work=$(mktemp -d "$cache/ui/build.XXXXXX")
  trap 'rm -rf "$work"' EXIT
  cp -R "$llama/tools/ui/." "$work"
  # No script of a package runs, and every package has the hash that the lock file says.
  (cd "$work" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error) ||
    die "npm could not fetch the packages of the web UI. Check the network or the npm registry setting, then run this again."
  version=$(basename "$llama")
  (cd "$work" && LLAMA_BUILD_NUMBER="${version#llama.cpp-}" LLAMA_UI_OUT_DIR="$work/dist" npm run --silent build >"$work/build.log" 2>&1) ||
    { tail -n 30 "$work/build.log" >&2; die "the web UI's build failed (see above)"; }
  [ -f "$work/dist/index.html" ] || die "the web UI's build made no index.html."
  rm -rf "$out"
  mv "$work/dist" "$out"
fi
ln -sfn "$out" "$bin_dir/ui"
say "web UI: $bin_dir/ui (from $out)"
