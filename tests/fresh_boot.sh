#!/usr/bin/env bash
# Runs a program whose steady clock starts near zero, as on a machine that was just booted. This finds code that takes
# the clock's epoch for "never" or "long ago".
# It uses a time namespace where one is permitted (to root, or in a user namespace). Otherwise it says so, and preloads
# a library. Without either it fails.
# Usage: tests/fresh_boot.sh LIBRARY PROGRAM [ARGUMENT...]
set -euo pipefail

library=$1
shift
readonly near_zero='import sys, time; sys.exit(time.monotonic() > 60)'

read -r monotonic boot < <(python3 -c 'import time
print(*(int(time.clock_gettime(clock)) - 2 for clock in (time.CLOCK_MONOTONIC, time.CLOCK_BOOTTIME)))')
namespace=(--time --monotonic "-$monotonic" --boottime "-$boot" --fork --kill-child)

for user in "" "--user --map-current-user"; do
  # shellcheck disable=SC2206  # none, or two words
  command=(unshare $user "${namespace[@]}")
  if "${command[@]}" python3 -c "$near_zero" 2>/dev/null; then exec "${command[@]}" "$@"; fi
done

export LD_PRELOAD=$library FRESH_BOOT_AGO_S=$monotonic
if python3 -c "$near_zero"; then
  echo "fresh_boot: no time namespace is permitted here, so the clock is moved by $library"
  exec "$@"
fi
echo "fresh_boot: the steady clock cannot be moved here: neither by a time namespace nor by $library" >&2
exit 1
