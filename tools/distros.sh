#!/usr/bin/env bash
# Tries this source tree in a bare Debian of each release that is supported, as a newcomer would: set-up, build, unit
# tests, and a server that answers, parks and wakes. A release lives in a folder of its own (debootstrap) that is kept, and
# so are the compiler's cache and the engine, so that a second run takes minutes.
#
#   $MINERVA_CACHE/distros/       (default: ~/.cache/minerva/distros)
#     RELEASE/                    its tree. The sources are in minerva/, a new copy for each run
#     RELEASE.log                 what the latest run printed
#     ccache/                     the compiler's cache of all of them
#
# Packages come from where this machine has its own from: mirror, proxy and authorities of certificates are taken over.
# What is mounted in a tree is mounted in a namespace of the run's own. It is gone with the run, however that ends, and so is
# every process in the tree. Needs root, and a Debian or Ubuntu with debootstrap.
#
# Environment: MINERVA_CACHE; JOBS; DISTROS_CCACHE (a ccache folder to use in the place of the above, such as the user's:
# then the build has the flags of `make test`, so that the two share what they compile).
# Usage: tools/distros.sh [RELEASE...]            default: bookworm trixie
#        tools/distros.sh --shell RELEASE COMMAND   runs a command in a tree, in its copy of the sources
#        tools/distros.sh --make RELEASE NAME       makes a tree of that name anew, for --shell NAME; without sources
set -euo pipefail
cd "$(dirname "$0")/.."
readonly all_releases=(bookworm trixie)
readonly script=$PWD/tools/distros.sh
readonly place=${MINERVA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/minerva}/distros
readonly ccache=${DISTROS_CCACHE:-$place/ccache}

say() { printf '==> %s\n' "$*"; }
die() { printf 'distros: %s\n' "$*" >&2; exit 1; }

# ---- on this machine ----

# Field $2 of what apt knows about a source of packages with the label $1; empty if this machine has none.
source_of() { apt-get indextargets --format "\$($2)" 'Created-By: Packages' "Label: $1" | sed -n 1p; }

# Runs a command that ends with this process. Nothing outlives the command, mounts included.
in_namespace() {
  setpriv --pdeathsig KILL unshare --mount --propagation private --pid --fork --kill-child "$@"
}

make_tree() { # RELEASE [NAME]
  local tree=$place/${2:-$1} mirror security
  mirror=$(source_of Debian REPO_URI)
  security=$(source_of Debian-Security REPO_URI)
  say "making a bare Debian ($1)"
  rm -rf --one-file-system "$tree.new"
  # shellcheck disable=SC2086  # no mirror, no argument
  # It mounts in the tree as well.
  in_namespace --mount-proc debootstrap --variant=minbase --include=make "$1" "$tree.new" $mirror || die "debootstrap failed (see above)"
  if [ -n "$mirror" ]; then
    printf 'deb %s %s main\n' "$mirror" "$1" "$mirror" "$1-updates" ${security:+"$security" "$1-security"} \
      >"$tree.new/etc/apt/sources.list"
  fi
  apt-config dump Acquire >"$tree.new/etc/apt/apt.conf.d/90-as-the-machine"
  mkdir -p "$tree.new/usr/local/share/ca-certificates"
  find /usr/local/share/ca-certificates -name '*.crt' -exec cp -t "$tree.new/usr/local/share/ca-certificates" {} +
  mv "$tree.new" "$tree"
}

copy_sources() { # RELEASE
  local sources=$place/$1/minerva
  rm -rf --one-file-system "$sources"
  mkdir -p "$sources"
  # The files that git knows, and new ones, but no deleted ones.
  git ls-files -z -co --exclude-standard | xargs -0 sh -c 'for file; do [ -e "$file" ] && printf "%s\0" "$file"; done' - |
    tar -c --null -T - | tar -x --no-same-owner -C "$sources"
}

in_tree() { # RELEASE COMMAND...
  local tree=$place/$1
  shift
  cp -f /etc/resolv.conf "$tree/etc/resolv.conf"
  # An installer makes this file; debootstrap does not.
  [ -e "$tree/etc/hosts" ] || printf '127.0.0.1 localhost\n::1 localhost\n' >"$tree/etc/hosts"
  mkdir -p "$ccache" "$tree/ccache"
  env -u XDG_CACHE_HOME -u XDG_STATE_HOME HOME=/root LANG=C.UTF-8 TERM="${TERM:-dumb}" \
    PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    CCACHE_DIR=/ccache MINERVA_CACHE=/root/.cache/minerva \
    setpriv --pdeathsig KILL unshare --mount --propagation private --pid --fork --kill-child "$script" --enter "$tree" "$ccache" "$@"
}

try_release() { # RELEASE
  [ -d "$place/$1" ] || make_tree "$1"
  copy_sources "$1"
  in_tree "$1" tools/distros.sh --inside
}

# ---- in a namespace of the run's own ----

enter() { # TREE CCACHE COMMAND...
  local tree=$1
  mount --bind "$2" "$tree/ccache"
  mount --rbind --make-rslave /dev "$tree/dev"
  mount --rbind --make-rslave /sys "$tree/sys"
  mount -t proc proc "$tree/proc"
  shift 2
  # The place where a newcomer would put a clone.
  exec chroot "$tree" /bin/bash -c 'cd /minerva && exec "$@"' - "$@"
}

# ---- in the tree ----

# Serves the demo models, and asks what a newcomer would ask.
try_serving() {
  local log=build/serve.log minerva=build/dev/bin/minerva url server
  "$minerva" serve --engine "$PWD/build/bin/minerva-engine" --models-dir "$MINERVA_CACHE/models" \
    --state-dir "$PWD/build/state" --listen 127.0.0.1:0 --max-models 1 >"$log" 2>&1 &
  server=$!
  for _ in $(seq 300); do
    url=$(sed -n 's/^minerva listens on //p' "$log")
    [ -z "$url" ] || break
    kill -0 $server || { cat "$log" >&2; die "the server ended"; }
    sleep 0.1
  done
  [ -n "$url" ] || { cat "$log" >&2; die "the server does not start"; }
  export MINERVA_URL=$url
  "$minerva" run smollm2-135m --max-tokens 8 "What is a cache?"
  "$minerva" run gemma3-270m --max-tokens 8 "A cache is"
  "$minerva" run smollm2-135m --max-tokens 8 "What is a cache?"
  "$minerva" stats
  "$minerva" stats --json | grep -q '"wakes":1' || die "no model was parked and woken"
  "$minerva" doctor || die "doctor finds something wrong"
  kill -TERM $server
  wait $server || { cat "$log" >&2; die "the server did not end as it should"; }
}

inside() {
  export JOBS=${JOBS:-$(nproc)} CCACHE_BASEDIR=$PWD CCACHE_NOHASHDIR=1
  unset MAKEFLAGS MAKELEVEL
  . /etc/os-release
  say "$PRETTY_NAME: set-up"
  make setup-tests
  say "$PRETTY_NAME: build"
  # The question is whether it compiles and works, not how fast.
  local flags=()
  [ -n "${DISTROS_CCACHE:-}" ] || flags=(-DCMAKE_CXX_FLAGS_DEBUG="-O0 -g0")
  cmake --preset dev "${flags[@]}" -DMINERVA_SIM_SEEDS=2000
  cmake --build build/dev -j "$JOBS"
  say "$PRETTY_NAME: unit tests"
  # The tests that need no engine. `make test` runs the others, which are the same on each release.
  ctest --test-dir build/dev --output-on-failure -j "$JOBS" -LE 'e2e|campaign' -E '^(engine\.attention|consumer)$'
  say "$PRETTY_NAME: engine"
  make engine
  say "$PRETTY_NAME: serving"
  tools/fetch_demo_models.sh
  try_serving
}

case ${1:-} in
  --try) try_release "$2"; exit ;;
  --enter) shift; enter "$@" ;;
  --inside) inside; exit ;;
  --shell) shift; in_tree "$@"; exit ;;
  --make)
    [ ! -e "$place/$3" ] || [ -f "$place/$3/etc/apt/apt.conf.d/90-as-the-machine" ] ||
      die "$place/$3 is no tree of this script's making: move it away, or set MINERVA_CACHE to another folder."
    rm -rf --one-file-system "${place:?}/$3"
    make_tree "$2" "$3"
    mkdir "$place/$3/minerva"
    exit ;;
esac

releases=("$@")
[ ${#releases[@]} -gt 0 ] || releases=("${all_releases[@]}")
for release in "${releases[@]}"; do
  [[ " ${all_releases[*]} " == *" $release "* ]] || die "no release \"$release\"; there are: ${all_releases[*]}"
done
[ "$(id -u)" -eq 0 ] || die "this needs root: it makes systems and mounts in them. As root: make distros"
if ! command -v debootstrap >/dev/null; then
  say "installing debootstrap"
  { apt-get update -qq && apt-get install -y -qq --no-install-recommends debootstrap; } >/dev/null ||
    die "apt-get could not install debootstrap"
fi
mkdir -p "$place"
failed=()
for release in "${releases[@]}"; do
  say "$release ($place/$release.log)"
  began=$SECONDS
  # A process of its own, which ends with this one.
  if setpriv --pdeathsig KILL "$script" --try "$release" >"$place/$release.log" 2>&1; then
    say "$release: passed, $((SECONDS - began)) s, $(grep -E '^[0-9]+% tests passed' "$place/$release.log")"
  else
    tail -n 30 "$place/$release.log"
    failed+=("$release")
  fi
done
[ ${#failed[@]} -eq 0 ] || die "failed: ${failed[*]}"
