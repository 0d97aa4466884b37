#!/usr/bin/env bash
# Fetches the small libraries that the page at / is made with, and prints the folder that holds them: for CMake, which
# puts them into the program. Nothing of them is run here.
#
# The result is cached outside the source tree, once per machine:
#   $MINERVA_CACHE (default ~/.cache/minerva)
#     page/<key>/    htm.js (htm and preact), uPlot.js, uPlot.css, licenses.txt; key: the pins below
#
# Environment: MINERVA_CACHE, MINERVA_PAGE_LIBRARIES (a folder with the packages as .tgz files, where there is no network).
# Usage: tools/page_libraries.sh          what the page is made with
#        tools/page_libraries.sh --axe    axe.min.js, which only the page's tests need
set -euo pipefail

readonly htm=htm-3.1.1.tgz uplot=uplot-1.6.32.tgz axe=axe-core-4.11.0.tgz
readonly -A packages=([$htm]=htm@3.1.1 [$uplot]=uplot@1.6.32 [$axe]=axe-core@4.11.0)
readonly -A hashes=(
  [$htm]=f7cdd5ca0f0dc1413b26467a3663aaa4267eb21d5b2afda2613954933956980e490f669c2a8c5de0a5716cc9b15fff399ad7dd9c399316834a720e43180bf135
  [$uplot]=2883159c6ebccefbb95d751b0b82d010f9e1c0ec41b8bc96d401eda66e882935c89a46cb824332fa369b8cb8122cc6ac36e186cd09bf7a9ded3a4c93c6989023
  [$axe]=8a561a9c453cbf1c417b1a4977c716338125490ab841cb422ca8a1d1349f8c87c24137b21ffeb356b98825f2cfaca4ca2516e21be71f9d96d02230252661758d)
readonly patience=120  # seconds for one package of npm

say() { printf '==> %s\n' "$*" >&2; }
die() { printf 'page_libraries: %s\n' "$*" >&2; exit 1; }

wanted=("$htm" "$uplot")
[ "${1:-}" != --axe ] || wanted=("$axe")
cache=${MINERVA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/minerva}
key=$(for name in "${wanted[@]}"; do echo "${hashes[$name]}"; done | sha256sum | cut -c1-16)
out="$cache/page/$key"
if [ -f "$out/.complete" ]; then
  echo "$out"
  exit 0
fi

mkdir -p "$cache/page"
exec 9>"$cache/page/.lock"
flock -n 9 || { say "another run fetches the page's libraries; waiting for it"; flock 9; }
work=$(mktemp -d "$cache/page/fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT

# unpack PACKAGE FILE NAME: unpacks one file of a package, under a name of ours.
unpack() { tar -xzOf "$work/$1" "package/$2" >"$work/new/$3" || die "there is no $2 in $1."; }

if [ ! -f "$out/.complete" ]; then
  [ ! -e "$out" ] || die "$out is not of this script's making: move it away, or set MINERVA_CACHE to another folder."
  for name in "${wanted[@]}"; do
    if [ -n "${MINERVA_PAGE_LIBRARIES:-}" ]; then
      cp "$MINERVA_PAGE_LIBRARIES/$name" "$work/" || die "there is no $name in MINERVA_PAGE_LIBRARIES."
    else
      command -v npm >/dev/null || die "missing: npm. On Debian: apt-get install npm; then run this again."
      say "fetching ${packages[$name]} from npm (once per machine, under 1 MB)"
      (cd "$work" && timeout "$patience" npm pack --silent "${packages[$name]}" >/dev/null) ||
        die "npm could not fetch ${packages[$name]} within $patience s. Check the network or the npm registry setting, or put $name into a folder and point MINERVA_PAGE_LIBRARIES at it."
    fi
    echo "${hashes[$name]}  $work/$name" | sha512sum --check --quiet >&2 ||
      die "$name does not have the expected hash: refusing to use it."
  done
  mkdir "$work/new"
  if [ "${wanted[0]}" = "$axe" ]; then
    unpack "$axe" axe.min.js axe.min.js
  else
    unpack "$htm" preact/standalone.module.js htm.js
    unpack "$uplot" dist/uPlot.esm.js uPlot.js
    unpack "$uplot" dist/uPlot.min.css uPlot.css
    for name in "$htm" "$uplot"; do
      printf '%s\n\n' "${packages[$name]}"
      tar -xzOf "$work/$name" package/LICENSE
      printf '\n'
    done >"$work/new/licenses.txt"
  fi
  touch "$work/new/.complete"
  chmod 755 "$work/new"
  mv "$work/new" "$out"
fi
echo "$out"
