#!/usr/bin/env bash
# Tries build/package/*.deb in a fresh, bare Debian 12, as somebody who installs it: apt installs it, the unit's command
# runs as its user, serves a demo model, parks it and wakes it, is killed and started again, and is removed, which leaves
# models and state.
#
# No systemd runs there, so this script takes its place: it reads the unit, and sets what can be set without it: user and
# group, environment, folders and their modes, limits, no capability, no new privileges, a file system that is read only
# but for the folders of the unit, /tmp of its own, the filter of system calls (as systemd-analyze and libseccomp know
# it), and NOTIFY_SOCKET. `systemd-analyze verify` and `security` judge the rest.
#
# The tree is $MINERVA_CACHE/distros/package (tools/distros.sh), made anew by each run. Needs root, debootstrap, and the
# demo models.
# Usage: tools/try_package.sh
set -euo pipefail
cd "$(dirname "$0")/.."
cache=${MINERVA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/minerva}

say() { printf '==> %s\n' "$*"; }
die() { printf 'try_package: %s\n' "$*" >&2; exit 1; }

# ---- on this machine ----

outside() {
  local packages=(build/package/minerva_*.deb) tree=$cache/distros/package
  [ -e "${packages[0]}" ] || die "there is no package: run make package"
  [ "$(id -u)" -eq 0 ] || die "this needs root: it makes a system and mounts in it. As root: make try-package"
  tools/distros.sh --make bookworm package
  cp "${packages[0]}" "$cache/models/smollm2-135m.gguf" "$tree/minerva/"
  install -D tools/try_package.sh "$tree/minerva/tools/try_package.sh"
  install -D tools/unit_command.py "$tree/minerva/tools/unit_command.py"
  tools/distros.sh --shell package tools/try_package.sh --inside
}

# ---- in the tree ----

readonly home=/var/lib/minerva unit=/lib/systemd/system/minerva.service url=http://127.0.0.1:3000

# Starts the unit's command, and waits until it reports that it is ready.
start() {
  local line
  coproc service { exec python3 tools/unit_command.py "$unit" 2>>/root/minerva.log; }
  runner=$service_PID
  while IFS= read -r line <&"${service[0]}"; do
    case $line in
      pid\ *) pid=${line#pid } ;;
      READY=1*) return ;;
    esac
  done
  tail -n 30 /root/minerva.log >&2
  die "the service does not get ready"
}

ask() { minerva run smollm2-135m --max-tokens 8 "What is a cache?"; }

inside() {
  export DEBIAN_FRONTEND=noninteractive MINERVA_URL=$url
  apt-get update -qq
  # No service may start there.
  printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d && chmod 755 /usr/sbin/policy-rc.d
  say "installing the package"
  apt-get install -y -qq --no-install-recommends ./minerva_*.deb >/root/install.log 2>&1 || { cat /root/install.log; exit 1; }
  grep -E '^Setting up minerva' /root/install.log
  dpkg --verify minerva
  getent passwd minerva
  ls -ld $home $home/models
  find /usr/lib/minerva -maxdepth 1 | sort

  say "what judges the unit"
  apt-get install -y -qq --no-install-recommends systemd lintian man-db procps python3 python3-seccomp >/root/tools.log 2>&1 ||
    { cat /root/tools.log; exit 1; }
  systemd-analyze verify "$unit" /lib/systemd/system/minerva.socket
  systemd-analyze security --offline=true "$unit" | tail -n 1
  lintian --allow-root --fail-on error --suppress-tags bad-distribution-in-changes-file ./minerva_*.deb
  man -P cat minerva | sed -n 1,4p

  say "the unit's command, as its user and with its limits"
  install -o minerva -g minerva -m 644 smollm2-135m.gguf $home/models/
  local pid runner
  start
  say "process $pid: $(ps -o user=,args= -p "$pid")"
  grep -E '^(NoNewPrivs|Seccomp|CapBnd):' "/proc/$pid/status"
  ask
  ps -o args= --ppid "$pid" | grep -o '/usr/lib/minerva/minerva-engine[^ ]*' | sort -u
  minerva park smollm2-135m
  minerva ps
  ask
  minerva stats --json | grep -q '"wakes":1' || die "no model was parked and woken"
  minerva doctor || die "doctor finds something wrong"
  say "SIGKILL, and a start"
  kill -KILL "$pid"
  wait "$runner" 2>/dev/null || true
  start
  ask
  minerva stats
  grep -i "sandbox" /root/minerva.log && die "an engine's sandbox is not whole"
  say "SIGTERM"
  kill -TERM "$pid"
  wait "$runner" || die "the service did not end as it should"

  say "removing the package"
  apt-get remove -y -qq minerva >/dev/null
  [ ! -e /usr/bin/minerva ] || die "the program is still there"
  [ -e /etc/minerva/minerva.toml ] || die "the settings are gone"
  [ -e $home/models/smollm2-135m.gguf ] || die "the model is gone"
  [ -e $home/state ] || die "the state is gone"
  install -m 600 /dev/null /etc/minerva/keys
  apt-get purge -y -qq minerva >/root/purge.log 2>&1
  grep "models and state are left" /root/purge.log || die "purging says nothing of what is left"
  grep "keys and certificates are left" /root/purge.log || die "purging says nothing of the keys"
  [ ! -e /etc/minerva/minerva.toml ] || die "the settings are still there"
  [ -e $home/models/smollm2-135m.gguf ] && [ -e $home/state ] || die "purging took models or state"
  say "models and state are left; all of it worked"
}

case ${1:-} in
  --inside) inside ;;
  "") outside ;;
  *) die "no argument \"$1\"" ;;
esac
