#!/usr/bin/env bash
# Installs Minerva into an empty folder, builds a foreign project against that, and runs it with real engines.
# Usage: run.sh BUILD_DIR BIN_DIR CXX CXX_FLAGS LINKER_FLAGS   (BIN_DIR: where make_gguf is)
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
build=$1 bin=$2 cxx=$3 cxx_flags=$4 linker_flags=$5

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
prefix=$work/prefix
cmake --install "$build" --prefix "$prefix" >"$work/install.log" || { cat "$work/install.log"; exit 1; }

for file in bin/minerva bin/minerva-engine share/man/man1/minerva.1 include/minerva/host/embedded.h \
  share/bash-completion/completions/minerva share/zsh/site-functions/_minerva \
  share/fish/vendor_completions.d/minerva.fish; do
  [ -s "$prefix/$file" ] || { echo "not installed: $file" >&2; exit 1; }
done
# The installed files name neither the source folder nor the build folder.
source_dir=$(cd "$here/../.." && pwd)
if grep -rIl -e "$source_dir" "$prefix/include" "$prefix"/lib*/cmake "$prefix"/lib/*/cmake 2>/dev/null; then
  echo "the installed files above name $source_dir" >&2
  exit 1
fi

cmake -S "$here" -B "$work/build" -G Ninja -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_CXX_COMPILER="$cxx" \
  -DCMAKE_CXX_FLAGS="$cxx_flags" -DCMAKE_EXE_LINKER_FLAGS="$linker_flags" \
  -DMINERVA_EXAMPLES="$source_dir/examples" >"$work/configure.log" || { cat "$work/configure.log"; exit 1; }
cmake --build "$work/build"

mkdir "$work/models"
"$bin/make_gguf" "$work/models/a.gguf" --seed 1 >/dev/null
"$bin/make_gguf" "$work/models/b.gguf" --seed 2 >/dev/null
"$work/build/consumer" "$prefix/bin/minerva-engine" "$work/models/a.gguf" "$work/models/b.gguf" | grep "all is well"
"$work/build/embed" "$prefix/bin/minerva-engine" "$work/models/a.gguf" "$work/models/b.gguf" >"$work/embed.out"
for words in "loaded b, evicted a" "a answered" "evictions 2"; do
  grep -q "$words" "$work/embed.out" || { echo "the example did not say: $words" >&2; cat "$work/embed.out" >&2; exit 1; }
done
"$prefix/bin/minerva" --version
