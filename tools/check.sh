#!/usr/bin/env bash
# What `make check` runs: format, include directions, wording, papers, clang-tidy. Usage: tools/check.sh BUILD_DIR
set -euo pipefail
cd "$(dirname "$0")/.."
build=${1:?usage: tools/check.sh BUILD_DIR}

mapfile -t sources < <(git ls-files -co --exclude-standard '*.cc' '*.h')
clang-format-19 --dry-run -Werror "${sources[@]}" || { echo "check: run \`make fmt\`" >&2; exit 1; }
echo "format: ${#sources[@]} files"
python3 tools/check_includes.py
python3 tools/check_wording.py
python3 tools/check_papers.py
mapfile -t units < <(git ls-files -co --exclude-standard 'src/*.cc' 'apps/*.cc' 'tools/*.cc')
python3 tools/tidy.py "$build" "${units[@]}"
