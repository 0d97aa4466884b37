#!/usr/bin/env bash
# What `make fuzz` runs: each fuzz target for a while, one after another. A target starts from its corpus in the
# repository, and from what earlier runs have found. A finding is an input in build/fuzz/findings/; it belongs into
# tests/fuzz/corpus/ together with its fix.
# Usage: tools/fuzz.sh SECONDS [TARGET...]     (targets: the names of tests/fuzz/corpus/)
set -uo pipefail
cd "$(dirname "$0")/.."
seconds=${1:?usage: tools/fuzz.sh SECONDS [TARGET...]}
shift
targets=("$@")
[ ${#targets[@]} -gt 0 ] || mapfile -t targets < <(ls tests/fuzz/corpus)

mkdir -p build/fuzz/findings
failed=()
for target in "${targets[@]}"; do
  program="build/fuzz/bin/${target}_fuzz"
  [ -x "$program" ] || { echo "fuzz: there is no $program; \`make fuzz\` builds it" >&2; exit 1; }
  grown="build/fuzz/corpus/$target"
  mkdir -p "$grown"
  log="build/fuzz/$target.log"
  # A slow input is a finding too: every parser here should take linear time.
  "$program" -max_total_time="$seconds" -max_len=16384 -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
    -artifact_prefix="build/fuzz/findings/$target-" "$grown" "tests/fuzz/corpus/$target" >"$log" 2>&1
  result=$?
  runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
  covered=$(grep -oE 'cov: [0-9]+' "$log" | tail -n 1)
  if [ $result -eq 0 ]; then
    printf 'fuzz %-15s %s runs, %s, no finding\n' "$target" "${runs:-?}" "${covered:-no coverage}"
  else
    failed+=("$target")
    printf 'fuzz %-15s A FINDING after %s runs: see %s\n' "$target" "${runs:-?}" "$log"
    grep -m 3 -E 'ERROR|runtime error|check failed|Test unit written' "$log"
  fi
done
[ ${#failed[@]} -eq 0 ] || { echo "fuzz: findings in ${failed[*]}" >&2; exit 1; }
