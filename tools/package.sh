#!/usr/bin/env bash
# Makes the Debian package: build/package/minerva_<version>_<architecture>.deb. What `make package` runs after the
# daemon is built.
#
# On x86-64 it holds an engine for each of the levels v2, v3 and v4. ggml's instruction flags are private to its library
# ggml-cpu, so the three differ in that library alone, and the compiler's cache has the rest after the first.
#
# Environment: MINERVA_PROGRAMS (folder of minerva and minerva-launcher; default build/bin), and what
# tools/build_engine.sh reads.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '==> %s\n' "$*"; }
die() { printf 'package: %s\n' "$*" >&2; exit 1; }

programs=$(realpath "${MINERVA_PROGRAMS:-build/bin}")
build=$PWD/build/package
engines=build/engines
staged=$build/staged
generated=$build/generated
version=$(sed -n 's/^project(minerva VERSION \([0-9.]*\).*/\1/p' CMakeLists.txt)
command -v dpkg-shlibdeps >/dev/null || die "missing: dpkg-shlibdeps. On Debian: apt-get install dpkg-dev"
[ -x "$programs/minerva" ] || die "there is no $programs/minerva: run make build"

rm -rf "$build"
mkdir -p "$generated" "$staged"
cp -L "$programs"/minerva{,-launcher} "$staged/"
if [ "$(uname -m)" = x86_64 ]; then
  for level in v2 v3 v4; do
    say "the engine for x86-64-$level"
    MINERVA_ENGINE_LEVEL=$level tools/build_engine.sh --engine-only "$engines/$level"
    cp -L "$engines/$level/minerva-engine" "$staged/minerva-engine-x86-64-$level"
  done
else
  say "the engine for any $(uname -m)"
  MINERVA_ENGINE_NATIVE=OFF tools/build_engine.sh --engine-only "$engines/portable"
  cp -L "$engines/portable/minerva-engine" "$staged/"
fi
strip "$staged"/*
chmod 755 "$staged"/*
if [ -e build/bin/ui/index.html ]; then
  mkdir "$staged/ui"
  cp -RL build/bin/ui/. "$staged/ui/"
  chmod -R u=rwX,go=rX "$staged/ui"
else
  say "without the web UI: make ui builds it"
fi

"$programs/minerva" manual | gzip -9n >"$generated/minerva.1.gz"
"$programs/minerva" completion bash >"$generated/minerva"
"$programs/minerva" completion zsh >"$generated/_minerva"
"$programs/minerva" completion fish >"$generated/minerva.fish"
# The time of the last commit, so that the same sources make the same package.
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || date +%s)}
{
  printf 'minerva (%s) stable; urgency=medium\n\n  * Release %s.\n\n' "$version" "$version"
  printf ' -- The Minerva authors <maintainers@users.noreply.example>  %s\n' "$(LC_ALL=C date -Rud "@$SOURCE_DATE_EPOCH")"
} | gzip -9n >"$generated/changelog.gz"

(
  umask 022
  cmake -S deploy -B "$build/cmake" -DMINERVA_VERSION="$version" -DMINERVA_PROGRAMS="$staged" \
    -DMINERVA_GENERATED="$generated" >"$build/configure.log" 2>&1 ||
    { cat "$build/configure.log" >&2; exit 1; }
  cd "$build/cmake" && cpack -B "$build/out" >"$build/cpack.log" 2>&1 || { cat "$build/cpack.log" >&2; exit 1; }
)
mv "$build"/out/*.deb "$build/"
say "built: $(realpath --relative-to=. "$build"/*.deb)"
